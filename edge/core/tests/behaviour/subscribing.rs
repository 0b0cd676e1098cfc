//! SUBSCRIBE: one upstream for any audience, rendezvous, and refusals.

use crate::common::{name, namespace, priority};
use crate::stage::{
    MS, Stage, audio, error, error_code, forward, ok, rendezvous, subscribe_ok, video,
};
use meridian_relay::{Command, Role};
use meridian_wire::control::SubscribeOk;
use meridian_wire::{Location, LocationFilter, Message, Parameters, RequestErrorCode};

#[test]
fn any_audience_takes_one_upstream() {
    let mut stage = Stage::new();
    let parent = stage.session(Role::Parent);
    let viewers: Vec<_> = (0..20).map(|_| stage.client()).collect();
    for viewer in &viewers[..10] {
        stage.subscribe(*viewer, 0, &audio());
    }
    let asked = stage.requests();
    assert_eq!(asked.len(), 1);
    let (to, request, Message::Subscribe(ask)) = asked[0].clone() else {
        panic!("SUBSCRIBE")
    };
    assert_eq!((to, &ask.track), (parent, &audio()));
    assert_eq!(ask.params.forward, Some(true));
    assert_eq!(ask.params.subscriber_priority, None);
    let newest = LocationFilter::Relative { groups_back: 1 };
    assert_eq!(ask.params.location_filter, Some(newest));
    stage.answer((parent, request), subscribe_ok(5, priority(16)));
    assert_eq!(stage.responses().len(), 10);
    for viewer in &viewers[10..] {
        stage.subscribe(*viewer, 0, &audio());
    }
    assert_eq!(stage.responses().len(), 10);
    stage.send(parent, 5, 1, b"a");
    assert_eq!(stage.settle().len(), 20);
}

#[test]
fn subscribe_ok_carries_the_tracks_properties_and_largest_object() {
    let mut stage = Stage::new();
    let parent = stage.session(Role::Parent);
    let viewer = stage.client();
    stage.subscribe(viewer, 0, &audio());
    let asked = stage.asked();
    let accepted = Message::SubscribeOk(SubscribeOk {
        track_alias: 5,
        params: Parameters {
            largest_object: Some(Location::new(30, 2)),
            ..Parameters::default()
        },
        properties: priority(16),
    });
    stage.answer(asked[0], accepted);
    let (session, request, Message::SubscribeOk(ok)) = stage.responses().remove(0) else {
        panic!("SUBSCRIBE_OK")
    };
    assert_eq!((session, request), (viewer, 0));
    assert_eq!(ok.properties, priority(16));
    assert_eq!(ok.params.largest_object, Some(Location::new(30, 2)));
    assert_eq!(stage.asked(), [], "{parent:?} is the only one");
}

#[test]
fn nobody_has_it_and_nobody_waits_so_it_does_not_exist() {
    let mut stage = Stage::new();
    let viewer = stage.client();
    stage.subscribe(viewer, 0, &audio());
    let Command::Respond {
        message, finish, ..
    } = stage.command()
    else {
        panic!("an answer")
    };
    assert_eq!(error_code(&message), RequestErrorCode::DOES_NOT_EXIST);
    assert!(finish);
    stage.ends_empty(&[viewer]);
}

#[test]
fn a_rendezvous_is_served_by_a_later_publish() {
    let mut stage = Stage::new();
    let viewer = stage.client();
    stage.subscribe_with(viewer, 0, &audio(), rendezvous(2000));
    assert_eq!(stage.commands(), []);
    stage.wait(1999 * MS);
    let publisher = stage.client();
    stage.publish(publisher, 1, &audio(), priority(16));
    let responses = stage.responses();
    assert!(matches!(responses[0], (_, 1, Message::RequestOk(_))));
    assert!(matches!(responses[1], (_, 0, Message::SubscribeOk(_))));
    stage.wait(10 * MS);
    assert_eq!(stage.commands(), []);
    stage.send(publisher, 1, 1, b"a");
    assert_eq!(stage.settle().len(), 1);
    stage.ends_empty(&[viewer, publisher]);
}

#[test]
fn a_rendezvous_is_served_by_a_later_announcement() {
    let mut stage = Stage::new();
    let viewer = stage.client();
    stage.subscribe_with(viewer, 0, &audio(), rendezvous(2000));
    let publisher = stage.client();
    stage.announce(publisher, 0, &namespace("ana"));
    let asked = stage.asked();
    assert_eq!(asked[0].0, publisher);
    stage.answer(asked[0], subscribe_ok(9, priority(16)));
    assert!(matches!(
        stage.responses()[0],
        (_, 0, Message::SubscribeOk(_))
    ));
}

#[test]
fn a_rendezvous_ends_in_a_timeout() {
    let mut stage = Stage::new();
    let viewer = stage.client();
    stage.subscribe_with(viewer, 0, &audio(), rendezvous(2000));
    stage.wait(1999 * MS);
    assert_eq!(stage.commands(), []);
    stage.wait(MS);
    let response = stage.responses().remove(0);
    assert_eq!(error_code(&response.2), RequestErrorCode::TIMEOUT);
    stage.ends_empty(&[viewer]);
}

#[test]
fn a_rendezvous_that_no_parent_can_meet_waits_for_its_time_all_the_same() {
    let mut stage = Stage::new();
    let parent = stage.session(Role::Parent);
    let patient = stage.client();
    let hasty = stage.client();
    stage.subscribe_with(patient, 0, &audio(), rendezvous(2000));
    stage.subscribe(hasty, 0, &audio());
    let asked = stage.requests();
    let Message::Subscribe(ask) = &asked[0].2 else {
        panic!("SUBSCRIBE")
    };
    assert_eq!(ask.params.rendezvous_timeout, Some(2000));
    // A parent that has it answers at once: there is no need to wait with who asked to.
    stage.wait(1000 * MS);
    let responses = stage.responses();
    assert_eq!(responses.len(), 1);
    assert_eq!(responses[0].0, hasty);
    let code = error_code(&responses[0].2);
    assert_eq!(code, RequestErrorCode::DOES_NOT_EXIST);
    stage.wait(1000 * MS);
    let responses = stage.responses();
    assert_eq!(responses.len(), 1);
    assert_eq!(responses[0].0, patient);
    assert_eq!(error_code(&responses[0].2), RequestErrorCode::TIMEOUT);
    stage.ends_empty(&[parent, patient, hasty]);
}

#[test]
fn who_waits_without_a_rendezvous_is_told_when_the_asked_publisher_is_lost() {
    let mut stage = Stage::new();
    let publisher = stage.client();
    stage.announce(publisher, 0, &namespace("ana"));
    let viewer = stage.client();
    stage.subscribe(viewer, 0, &audio());
    stage.commands();
    stage.leave(publisher);
    let response = stage.responses().remove(0);
    assert_eq!(response.0, viewer);
    assert_eq!(error_code(&response.2), RequestErrorCode::DOES_NOT_EXIST);
    stage.ends_empty(&[viewer]);
}

#[test]
fn a_local_announcer_is_asked_first_and_the_parent_when_it_refuses() {
    let mut stage = Stage::new();
    let parent = stage.session(Role::Parent);
    let local = stage.client();
    stage.announce(local, 0, &namespace("ana"));
    stage.commands();
    let viewer = stage.client();
    stage.subscribe(viewer, 0, &audio());
    let asked = stage.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].0, local);
    stage.answer(asked[0], error(RequestErrorCode::DOES_NOT_EXIST));
    let asked = stage.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].0, parent);
    stage.answer(asked[0], error(RequestErrorCode::DOES_NOT_EXIST));
    let response = stage.responses().remove(0);
    assert_eq!(error_code(&response.2), RequestErrorCode::DOES_NOT_EXIST);
    stage.ends_empty(&[parent, local, viewer]);
}

#[test]
fn all_announcers_are_asked_and_each_refusal_counts_once() {
    let mut stage = Stage::new();
    let a = stage.client();
    let b = stage.client();
    stage.announce(a, 0, &namespace("ana"));
    stage.announce(b, 0, &namespace("ana"));
    let viewer = stage.client();
    stage.subscribe(viewer, 0, &audio());
    let asked = stage.asked();
    assert_eq!(asked.len(), 2);
    stage.answer(asked[0], error(RequestErrorCode::DOES_NOT_EXIST));
    assert_eq!(stage.commands(), []);
    stage.answer(asked[1], error(RequestErrorCode::DOES_NOT_EXIST));
    let responses = stage.responses();
    assert_eq!(responses.len(), 1);
    assert_eq!(responses[0].0, viewer);
    stage.ends_empty(&[a, b, viewer]);
}

#[test]
fn a_subscription_that_goes_on_wakes_a_paused_publisher() {
    let mut stage = Stage::new();
    let publisher = stage.publisher(&audio(), priority(16));
    stage.wait(3001 * MS);
    let Command::Respond { message, .. } = stage.command() else {
        panic!("an update")
    };
    let Message::RequestUpdate(update) = message else {
        panic!("REQUEST_UPDATE")
    };
    assert_eq!(update.params.forward, Some(false), "nobody listens");
    let viewer = stage.client();
    stage.subscribe_with(viewer, 0, &audio(), forward(false));
    assert_eq!(stage.responses().len(), 1, "accepted, and no more");
    stage.update(viewer, 0, forward(true));
    let updates: Vec<_> = stage
        .responses()
        .into_iter()
        .filter(|(session, _, _)| *session == publisher)
        .collect();
    let Message::RequestUpdate(update) = &updates[0].2 else {
        panic!("REQUEST_UPDATE")
    };
    assert_eq!(update.params.forward, Some(true));
    stage
        .relay
        .handle_request_message(publisher, 1, ok(), stage.now);
    assert_eq!(stage.commands(), []);
}

#[test]
fn an_update_of_a_subscription_that_still_waits_starts_nothing() {
    let mut stage = Stage::new();
    let viewer = stage.client();
    stage.subscribe_with(viewer, 0, &audio(), rendezvous(5000));
    stage.update(viewer, 0, forward(false));
    stage.update(viewer, 0, forward(true));
    assert_eq!(stage.responses().len(), 2);
    let publisher = stage.client();
    stage.publish(publisher, 1, &audio(), priority(16));
    stage.send(publisher, 1, 1, b"a");
    assert_eq!(stage.settle().len(), 1);
}

#[test]
fn an_unused_upstream_lingers_and_then_goes() {
    let mut stage = Stage::new();
    let parent = stage.session(Role::Parent);
    let viewer = stage.client();
    stage.subscribe(viewer, 0, &audio());
    let asked = stage.asked();
    stage.answer(asked[0], subscribe_ok(5, priority(16)));
    stage.unsubscribe(viewer, 0);
    stage.wait(2000 * MS);
    stage.subscribe(viewer, 2, &audio());
    assert_eq!(stage.asked(), [], "it is still there");
    stage.unsubscribe(viewer, 2);
    stage.commands();
    stage.wait(2999 * MS);
    assert_eq!(stage.commands(), [], "the time counts from the last one");
    stage.wait(MS);
    assert!(matches!(stage.command(), Command::Cancel { session, .. } if session == parent));
    stage.ends_empty(&[parent, viewer]);
}

#[test]
fn a_request_for_a_new_group_goes_up_once() {
    let mut stage = Stage::new();
    let parent = stage.session(Role::Parent);
    let viewer = stage.client();
    stage.subscribe(viewer, 0, &video());
    let asked = stage.asked();
    let properties = meridian_wire::property::Properties::builder()
        .dynamic_groups(true)
        .build()
        .expect("numbers");
    stage.answer(asked[0], subscribe_ok(5, properties));
    stage.send(parent, 5, 10, b"a");
    stage.commands();
    let new_group = |group| Parameters {
        new_group_request: Some(group),
        ..Parameters::default()
    };
    stage.update(viewer, 0, new_group(10));
    stage.update(viewer, 0, new_group(11));
    stage.update(viewer, 0, new_group(11));
    let updates = stage
        .commands()
        .into_iter()
        .filter(|command| matches!(command, Command::Update { .. }))
        .count();
    assert_eq!(updates, 1);
}

#[test]
fn tracks_of_other_names_have_nothing_to_do_with_each_other() {
    let mut stage = Stage::new();
    let publisher = stage.publisher(&audio(), priority(16));
    let viewer = stage.client();
    stage.subscribe(viewer, 0, &name("ana", "audi"));
    let response = stage.responses().remove(0);
    assert_eq!(error_code(&response.2), RequestErrorCode::DOES_NOT_EXIST);
    stage.send(publisher, 1, 1, b"a");
    assert!(stage.settle().is_empty());
}

#[test]
fn who_has_come_to_announce_a_track_is_asked_though_a_parent_holds_the_request() {
    let mut stage = Stage::new();
    let parent = stage.session(Role::Parent);
    let child = stage.session(Role::Child);
    stage.subscribe_with(child, 1, &video(), rendezvous(9000));
    assert_eq!(stage.asked()[0].0, parent);
    stage.unsubscribe(child, 1);
    stage.announce(child, 3, &namespace("ana"));
    assert_eq!(stage.asked(), []);
    let viewer = stage.client();
    stage.subscribe_with(viewer, 0, &video(), rendezvous(9000));
    assert_eq!(stage.asked()[0].0, child);
    stage.ends_empty(&[parent, child, viewer]);
}

#[test]
fn a_track_from_above_is_also_sought_at_who_announces_it_but_not_again_at_who_refused() {
    let mut stage = Stage::new();
    let parent = stage.session(Role::Parent);
    let a = stage.client();
    stage.subscribe(a, 0, &video());
    let asked = stage.asked();
    stage.answer(asked[0], subscribe_ok(5, priority(160)));
    stage.unsubscribe(a, 0);
    let local = stage.client();
    stage.announce(local, 3, &namespace("ana"));
    stage.commands();
    stage.subscribe(a, 2, &video());
    let asked = stage.asked();
    assert_eq!(asked[0].0, local);
    stage.answer(asked[0], error(RequestErrorCode::DOES_NOT_EXIST));
    stage.subscribe(a, 4, &video());
    assert_eq!(stage.asked(), []);
    stage.ends_empty(&[parent, a, local]);
}
