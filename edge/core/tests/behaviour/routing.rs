//! Whom a relay asks: valley-free, one upstream, two for audio, and what happens when parents come and go.

use crate::common::{Wire, namespace, priority};
use crate::stage::{MS, Stage, audio, done, error, error_code, rendezvous, subscribe_ok, video};
use meridian_relay::{Command, End, Role, SessionId};
use meridian_wire::error::PublishDoneCode;
use meridian_wire::{Message, RequestErrorCode};

/// A viewer's track, established through the first peer that is asked.
fn established(stage: &mut Stage, viewer: SessionId, alias: u64) {
    stage.subscribe(viewer, 0, &video());
    let asked = stage.asked();
    stage.answer(asked[0], subscribe_ok(alias, priority(160)));
    stage.commands();
}

#[test]
fn a_request_from_above_never_goes_above() {
    for role in [Role::Parent, Role::BackupParent, Role::Shortcut] {
        let mut stage = Stage::new();
        let above = stage.session(role);
        let parent = stage.session(Role::Parent);
        let shortcut = stage.session(Role::Shortcut);
        stage.announce(shortcut, 0, &namespace("ana"));
        stage.commands();
        stage.subscribe(above, 0, &audio());
        assert_eq!(stage.asked(), []);
        stage.ends_empty(&[above, parent, shortcut]);
    }
}

#[test]
fn a_request_from_above_goes_to_announcing_children() {
    let mut stage = Stage::new();
    let parent = stage.session(Role::Parent);
    let child = stage.session(Role::Child);
    stage.announce(child, 1, &namespace("ana"));
    stage.commands();
    stage.subscribe(parent, 0, &audio());
    let asked = stage.asked();
    assert_eq!(asked[0].0, child);
    stage.answer(asked[0], subscribe_ok(3, priority(16)));
    assert!(matches!(stage.responses()[0], (to, 0, Message::SubscribeOk(_)) if to == parent));
}

#[test]
fn a_track_that_came_from_above_is_not_handed_up() {
    let mut stage = Stage::new();
    let parent = stage.session(Role::Parent);
    let backup = stage.session(Role::BackupParent);
    let viewer = stage.client();
    established(&mut stage, viewer, 5);
    for above in [parent, backup] {
        stage.subscribe(above, 0, &video());
        let responses = stage.responses();
        assert_eq!(responses.len(), 1);
        let code = error_code(&responses[0].2);
        assert_eq!(code, RequestErrorCode::DOES_NOT_EXIST);
    }
    stage.ends_empty(&[parent, backup, viewer]);
}

#[test]
fn a_request_from_above_is_ended_when_the_last_publisher_below_is_gone() {
    let mut stage = Stage::new();
    let parent = stage.session(Role::Parent);
    let publisher = stage.publisher(&video(), priority(160));
    let viewer = stage.client();
    stage.subscribe(viewer, 0, &video());
    stage.subscribe(parent, 0, &video());
    stage.commands();
    stage.leave(publisher);
    let commands = stage.commands();
    let done: Vec<SessionId> = commands
        .iter()
        .filter_map(|command| match command {
            Command::Respond {
                session,
                message: Message::PublishDone(_),
                ..
            } => Some(*session),
            _ => None,
        })
        .collect();
    assert_eq!(done, [parent], "the viewer waits for another publisher");
    let asked = commands.iter().any(|command| {
        matches!(command, Command::Request { session, message: Message::Subscribe(_), .. } if *session == parent)
    });
    assert!(asked, "on behalf of the viewer");
    stage.ends_empty(&[parent, viewer]);
}

#[test]
fn a_child_that_asks_for_its_own_track_is_not_asked_for_it() {
    let mut stage = Stage::new();
    let child = stage.session(Role::Child);
    stage.announce(child, 1, &namespace("ana"));
    stage.commands();
    stage.subscribe(child, 3, &audio());
    assert_eq!(stage.asked(), []);
    let viewer = stage.client();
    stage.subscribe(viewer, 0, &audio());
    let asked = stage.asked();
    assert_eq!(asked[0].0, child, "for somebody else it is");
    stage.ends_empty(&[child, viewer]);
}

#[test]
fn a_child_is_not_served_from_its_own_copy() {
    let mut stage = Stage::new();
    let child = stage.session(Role::Child);
    stage.announce(child, 1, &namespace("ana"));
    let viewer = stage.client();
    stage.subscribe(viewer, 0, &audio());
    let asked = stage.asked();
    stage.answer(asked[0], subscribe_ok(3, priority(16)));
    stage.commands();
    stage.subscribe(child, 3, &audio());
    let response = stage.responses().remove(0);
    assert_eq!(error_code(&response.2), RequestErrorCode::DOES_NOT_EXIST);
    stage.subscribe_with(child, 5, &audio(), rendezvous(5000));
    assert_eq!(stage.commands(), []);
    let publisher = stage.client();
    stage.publish(publisher, 1, &audio(), priority(16));
    let accepted = stage.responses().iter().any(|(to, id, message)| {
        (*to, *id) == (child, 5) && matches!(message, Message::SubscribeOk(_))
    });
    assert!(accepted, "somebody else has it now");
    stage.ends_empty(&[child, viewer, publisher]);
}

#[test]
fn shortcuts_are_asked_only_for_what_they_announce_and_only_from_below() {
    let mut stage = Stage::new();
    let shortcut = stage.session(Role::Shortcut);
    let parent = stage.session(Role::Parent);
    let viewer = stage.client();
    stage.announce(shortcut, 1, &namespace("ana"));
    stage.commands();
    stage.subscribe(viewer, 0, &audio());
    assert_eq!(stage.asked()[0].0, shortcut);
    stage.subscribe(viewer, 2, &crate::common::name("ben", "audio"));
    assert_eq!(stage.asked()[0].0, parent);
}

#[test]
fn audio_comes_through_both_parents_and_video_through_one() {
    let mut stage = Stage::new();
    let parent = stage.session(Role::Parent);
    let backup = stage.session(Role::BackupParent);
    let viewer = stage.client();
    stage.subscribe(viewer, 0, &audio());
    stage.subscribe(viewer, 2, &video());
    let asked = stage.asked();
    assert!(asked.iter().all(|(to, _)| *to == parent));
    stage.answer(asked[0], subscribe_ok(5, priority(16)));
    let second = stage.asked();
    assert_eq!(second.len(), 1);
    assert_eq!(second[0].0, backup);
    stage.answer(asked[1], subscribe_ok(6, priority(160)));
    assert_eq!(stage.asked(), []);
    stage.answer(second[0], subscribe_ok(50, priority(16)));
    stage.send(parent, 5, 1, b"a");
    stage.send(backup, 50, 1, b"a");
    stage.send(backup, 50, 2, b"b");
    stage.settle();
    assert_eq!(stage.objects(viewer).len(), 2);
    stage.leave(parent);
    stage.send(backup, 50, 3, b"c");
    stage.settle();
    assert_eq!(stage.objects(viewer).len(), 3);
    stage.ends_empty(&[backup, viewer]);
}

#[test]
fn when_the_parent_is_lost_the_backup_goes_on_in_the_middle_of_a_stream() {
    let mut stage = Stage::new();
    let parent = stage.session(Role::Parent);
    let backup = stage.session(Role::BackupParent);
    let viewer = stage.client();
    established(&mut stage, viewer, 5);
    let stream = stage.open(parent);
    stage.feed(
        stream,
        Wire::group(5, 1).object(0, b"key").object(1, b"a").build(),
    );
    stage.settle();
    stage.leave(parent);
    assert!(stage.settle().is_empty(), "the viewer notices nothing");
    let asked = stage.asked();
    assert_eq!(asked[0].0, backup);
    stage.wait(300 * MS);
    stage.answer(asked[0], subscribe_ok(9, priority(160)));
    let stream = stage.open(backup);
    let wire = Wire::group(9, 1)
        .object(0, b"key")
        .object(1, b"a")
        .object(2, b"b");
    stage.finish(stream, wire.build());
    stage.settle();
    assert_eq!(stage.commands(), []);
    let got = stage.got(viewer);
    assert_eq!(got.len(), 1);
    assert_eq!(got[0].reader.objects.len(), 3);
    assert_eq!(got[0].end, Some(End::Finish(None)));
    stage.ends_empty(&[backup, viewer]);
}

#[test]
fn when_the_parent_is_back_it_is_joined_before_the_backup_is_left() {
    let mut stage = Stage::new();
    let backup = stage.session(Role::BackupParent);
    let viewer = stage.client();
    established(&mut stage, viewer, 5);
    let stream = stage.open(backup);
    let mut wire = Wire::group(5, 1).object(0, b"key");
    stage.feed(stream, wire.take());
    stage.settle();
    let parent = stage.session(Role::Parent);
    let commands = stage.commands();
    assert_eq!(commands.len(), 1, "asked, and nothing left yet");
    let Command::Request {
        session, request, ..
    } = commands[0]
    else {
        panic!("a request")
    };
    assert_eq!(session, parent);
    stage.feed(stream, wire.object(1, b"a").take());
    stage.settle();
    stage.answer((parent, request), subscribe_ok(7, priority(160)));
    assert!(matches!(stage.command(), Command::Cancel { session, .. } if session == backup));
    stage
        .relay
        .handle_stream_reset(stream, meridian_wire::ResetCode::CANCELLED, stage.now);
    let stream = stage.open(parent);
    let wire = Wire::group(7, 1).object(0, b"key").object(1, b"a");
    stage.finish(stream, wire.object(2, b"b").build());
    stage.settle();
    let got = stage.got(viewer);
    assert_eq!(got.len(), 1);
    assert_eq!(got[0].reader.objects.len(), 3);
    assert_eq!(got[0].end, Some(End::Finish(None)));
    stage.ends_empty(&[backup, parent, viewer]);
}

#[test]
fn a_parents_restart_needs_nothing_of_the_viewers() {
    let mut stage = Stage::new();
    let parent = stage.session(Role::Parent);
    let viewer = stage.client();
    established(&mut stage, viewer, 5);
    stage.leave(parent);
    assert_eq!(stage.commands(), []);
    stage.wait(5000 * MS);
    let parent = stage.session(Role::Parent);
    let asked = stage.asked();
    assert_eq!(asked.len(), 1);
    stage.answer(asked[0], subscribe_ok(1, priority(160)));
    stage.send(parent, 1, 8, b"key");
    stage.settle();
    assert_eq!(stage.objects(viewer), [(8, 0, b"key".to_vec())]);
    assert_eq!(stage.commands(), []);
    stage.ends_empty(&[parent, viewer]);
}

#[test]
fn an_orphans_parent_that_refuses_is_not_asked_again_and_again() {
    let mut stage = Stage::new();
    let parent = stage.session(Role::Parent);
    let publisher = stage.publisher(&video(), priority(160));
    let viewer = stage.client();
    stage.subscribe(viewer, 0, &video());
    stage.commands();
    stage.leave(publisher);
    let mut asked = 0;
    for _ in 0..100 {
        let requests = stage.asked();
        asked += requests.len();
        for request in requests {
            stage.answer(request, error(RequestErrorCode::DOES_NOT_EXIST));
        }
        stage.wait(10 * MS);
    }
    assert!(asked <= 2, "asked {asked} times");
    stage.ends_empty(&[parent, viewer]);
}

#[test]
fn an_orphans_parent_is_asked_to_hold_the_request() {
    let mut stage = Stage::new();
    let parent = stage.session(Role::Parent);
    let publisher = stage.publisher(&video(), priority(160));
    let viewer = stage.client();
    stage.subscribe(viewer, 0, &video());
    stage.commands();
    stage.leave(publisher);
    let requests = stage.requests();
    let asked: Vec<_> = requests
        .iter()
        .filter_map(|(to, _, message)| match message {
            Message::Subscribe(ask) => Some((*to, ask.params.rendezvous_timeout)),
            _ => None,
        })
        .collect();
    assert_eq!(asked, [(parent, Some(60_000))]);
}

#[test]
fn a_shortcut_that_announces_is_asked_beside_the_parent() {
    let mut stage = Stage::new();
    let parent = stage.session(Role::Parent);
    let shortcut = stage.session(Role::Shortcut);
    let viewer = stage.client();
    established(&mut stage, viewer, 5);
    stage.announce(shortcut, 1, &namespace("ana"));
    let asked = stage.asked();
    assert_eq!(asked[0].0, shortcut);
    stage.answer(asked[0], subscribe_ok(8, priority(160)));
    stage.send(shortcut, 8, 1, b"a");
    stage.send(parent, 5, 1, b"a");
    stage.settle();
    assert_eq!(stage.objects(viewer).len(), 1);
}

#[test]
fn a_parent_that_once_refused_is_asked_again_when_there_is_a_new_reason() {
    let mut stage = Stage::new();
    let parent = stage.session(Role::Parent);
    let other = stage.session(Role::BackupParent);
    let viewer = stage.client();
    stage.subscribe_with(viewer, 0, &video(), rendezvous(9000));
    assert_eq!(stage.asked()[0].0, parent);
    stage.leave(parent);
    assert_eq!(stage.asked()[0].0, other);
    let parent = stage.session(Role::Parent);
    let third = stage.requests();
    let Message::Subscribe(ask) = &third[0].2 else {
        panic!("SUBSCRIBE")
    };
    assert!(ask.params.rendezvous_timeout.is_some());
    let refusal = error(RequestErrorCode::DOES_NOT_EXIST);
    stage.answer((parent, third[0].1), refusal);
    stage.leave(other);
    assert_eq!(stage.asked()[0].0, parent, "it is the only one left");
    stage.ends_empty(&[parent, viewer]);
}

#[test]
fn a_child_that_lost_its_publisher_is_asked_to_hold_the_request() {
    let mut stage = Stage::new();
    let child = stage.session(Role::Child);
    stage.announce(child, 1, &namespace("ana"));
    let viewer = stage.client();
    stage.subscribe(viewer, 0, &video());
    let asked = stage.asked();
    stage.answer(asked[0], subscribe_ok(3, priority(160)));
    stage.commands();
    stage.answer(asked[0], done(PublishDoneCode::INTERNAL_ERROR));
    let asked = stage.requests();
    let Message::Subscribe(ask) = &asked[0].2 else {
        panic!("SUBSCRIBE")
    };
    assert_eq!(ask.params.rendezvous_timeout, Some(60_000));
    assert_eq!(asked[0].0, child);
    stage.ends_empty(&[child, viewer]);
}

#[test]
fn a_request_is_taken_back_from_who_announces_no_more_and_goes_to_the_parent() {
    let mut stage = Stage::new();
    let parent = stage.session(Role::Parent);
    let shortcut = stage.session(Role::Shortcut);
    stage.announce(shortcut, 1, &namespace("ana"));
    let viewer = stage.client();
    stage.subscribe_with(viewer, 0, &video(), rendezvous(9000));
    let (to, request) = stage.asked()[0];
    assert_eq!(to, shortcut);
    stage.unsubscribe(shortcut, 1);
    let commands = stage.commands();
    assert!(matches!(commands[0], Command::Cancel { request: gone, .. } if gone == request));
    assert!(matches!(commands[1], Command::Request { session, .. } if session == parent));
    stage.ends_empty(&[parent, shortcut, viewer]);
}

#[test]
fn a_lost_track_is_sought_at_announcers_and_parents_at_once() {
    let mut stage = Stage::new();
    let parent = stage.session(Role::Parent);
    let child = stage.session(Role::Child);
    stage.announce(child, 1, &namespace("ana"));
    let viewer = stage.client();
    stage.subscribe(viewer, 0, &video());
    let asked = stage.asked();
    stage.answer(asked[0], subscribe_ok(3, priority(160)));
    stage.commands();
    stage.answer(asked[0], done(PublishDoneCode::INTERNAL_ERROR));
    let asked: Vec<SessionId> = stage.asked().iter().map(|asked| asked.0).collect();
    assert_eq!(asked, [child, parent]);
    stage.ends_empty(&[parent, child, viewer]);
}

#[test]
fn a_parent_that_is_asked_while_another_is_being_lost_is_asked_again_to_hold_the_request() {
    let mut stage = Stage::new();
    let old = stage.session(Role::Parent);
    let viewer = stage.client();
    established(&mut stage, viewer, 5);
    let new = stage.session(Role::Parent);
    let asked = stage.asked();
    assert_eq!(asked[0].0, new);
    stage.leave(old);
    assert_eq!(stage.asked(), []);
    stage.answer(asked[0], error(RequestErrorCode::DOES_NOT_EXIST));
    let requests = stage.requests();
    let Message::Subscribe(ask) = &requests[0].2 else {
        panic!("SUBSCRIBE")
    };
    assert_eq!(requests[0].0, new);
    assert_eq!(ask.params.rendezvous_timeout, Some(60_000));
    stage.ends_empty(&[new, viewer]);
}

#[test]
fn with_a_publisher_below_nothing_is_taken_from_above() {
    let mut stage = Stage::new();
    let parent = stage.session(Role::Parent);
    let viewer = stage.client();
    established(&mut stage, viewer, 5);
    let stream = stage.open(parent);
    let mut wire = Wire::group(5, 1).object(0, b"key");
    stage.feed(stream, wire.take());
    stage.settle();
    let publisher = stage.client();
    stage.publish(publisher, 1, &video(), priority(160));
    let commands = stage.commands();
    let left = commands
        .iter()
        .any(|command| matches!(command, Command::Cancel { session, .. } if *session == parent));
    assert!(left, "{commands:?}");
    let code = meridian_wire::ResetCode::CANCELLED;
    stage.relay.handle_stream_reset(stream, code, stage.now);
    let wire = Wire::group(1, 1).object(0, b"key").object(1, b"a");
    let stream = stage.open(publisher);
    stage.finish(stream, wire.build());
    stage.settle();
    let got = stage.got(viewer);
    assert_eq!(got.len(), 1);
    assert_eq!(got[0].end, Some(End::Finish(None)));
    let shortcut = stage.session(Role::Shortcut);
    stage.announce(shortcut, 1, &namespace("ana"));
    assert_eq!(stage.asked(), []);
    stage.ends_empty(&[parent, viewer, publisher, shortcut]);
}
