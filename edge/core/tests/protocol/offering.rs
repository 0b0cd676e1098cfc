//! SUBSCRIBE_TRACKS: tracks are offered by PUBLISH.

use crate::common::{name, namespace, priority};
use crate::hall::{Hall, ok, refusal, under};
use meridian_relay::{Config, OutRequestId, Role, SessionId};
use meridian_wire::control::{NamespaceRequest, Publish, RequestUpdate};
use meridian_wire::error::PublishDoneCode;
use meridian_wire::param::{FilterSubject, RangeFilter};
use meridian_wire::{FullTrackName, GroupOrder, Message, Namespace, Parameters, RequestErrorCode};

fn meeting() -> Namespace {
    let fields = ["meridian", "m1"].map(|field| field.as_bytes().to_vec());
    Namespace::new(fields).expect("short fields")
}

fn audio(who: &str) -> FullTrackName {
    name(who, "audio")
}

fn watch(hall: &mut Hall, session: SessionId, params: Parameters) {
    let ask = NamespaceRequest {
        params,
        ..under(0, &meeting())
    };
    hall.request(session, Message::SubscribeTracks(ask));
}

/// The offers made: to whom, which.
fn offers(hall: &mut Hall) -> Vec<((SessionId, OutRequestId), Publish)> {
    let offer = |(to, message)| match message {
        Message::Publish(offer) => Some((to, offer)),
        _ => None,
    };
    hall.requests().into_iter().filter_map(offer).collect()
}

#[test]
fn every_track_there_is_and_every_one_to_come_is_offered() {
    let mut hall = Hall::new();
    let ana = hall.client();
    hall.publish(ana, 1, &audio("ana"), priority(16));
    hall.group(ana, 1, 7, &[b"before"]);
    hall.commands();
    let viewer = hall.client();
    let params = Parameters {
        group_order: Some(GroupOrder::Descending),
        ..Parameters::default()
    };
    watch(&mut hall, viewer, params);
    let made = offers(&mut hall);
    assert_eq!(made.len(), 1);
    let (to, offer) = &made[0];
    assert_eq!((to.0, &offer.track), (viewer, &audio("ana")));
    assert_eq!(offer.params.group_order, Some(GroupOrder::Descending));
    assert_eq!(offer.params.forward, Some(true));
    assert_eq!(offer.params.largest_object.map(|l| l.group), Some(7));
    assert_eq!(offer.properties, priority(16));
    hall.answer(*to, ok());
    hall.group(ana, 1, 8, &[b"after"]);
    assert_eq!(hall.live(viewer), [(8, 0, b"after".to_vec())]);
    let bo = hall.client();
    hall.publish(bo, 1, &audio("bo"), priority(16));
    assert_eq!(offers(&mut hall).len(), 1);
    hall.ends_empty(&[ana, bo, viewer]);
}

#[test]
fn nobody_is_offered_what_it_publishes_itself() {
    let mut hall = Hall::new();
    let ana = hall.client();
    watch(&mut hall, ana, Parameters::default());
    hall.publish(ana, 1, &audio("ana"), priority(16));
    assert!(offers(&mut hall).is_empty());
}

#[test]
fn a_held_subscription_is_satisfied_and_not_offered_besides() {
    let mut hall = Hall::new();
    let viewer = hall.client();
    watch(&mut hall, viewer, Parameters::default());
    let params = Parameters {
        rendezvous_timeout: Some(5000),
        ..Parameters::default()
    };
    hall.subscribe(viewer, 2, &audio("ana"), params);
    hall.commands();
    let ana = hall.client();
    hall.publish(ana, 1, &audio("ana"), priority(16));
    let commands = hall.commands();
    let accepted = commands.iter().any(|command| {
        matches!(command, meridian_relay::Command::Respond { session, message: Message::SubscribeOk(_), .. } if *session == viewer)
    });
    let offered = commands
        .iter()
        .any(|command| matches!(command, meridian_relay::Command::Request { .. }));
    assert!(accepted && !offered, "{commands:?}");
}

#[test]
fn an_offer_that_is_declined_is_made_again_only_when_the_track_is_published_anew() {
    let mut hall = Hall::new();
    let viewer = hall.client();
    watch(&mut hall, viewer, Parameters::default());
    let ana = hall.client();
    hall.publish(ana, 1, &audio("ana"), priority(16));
    let made = offers(&mut hall);
    hall.answer(made[0].0, refusal(RequestErrorCode::UNINTERESTED));
    hall.group(ana, 1, 1, &[b"a"]);
    assert!(hall.live(viewer).is_empty());
    assert!(offers(&mut hall).is_empty());
    let done = meridian_wire::control::PublishDone {
        code: PublishDoneCode::SUBSCRIPTION_ENDED,
        stream_count: 0,
        reason: String::new(),
    };
    hall.say(ana, 1, Message::PublishDone(done));
    hall.publish(ana, 3, &audio("ana"), priority(16));
    assert_eq!(offers(&mut hall).len(), 1);
}

#[test]
fn what_cannot_be_offered_is_said_to_be_skipped() {
    let config = Config {
        requests_per_session: 1,
        ..Config::default()
    };
    let mut hall = Hall::with(config);
    let viewer = hall.client();
    watch(&mut hall, viewer, Parameters::default());
    for (who, expected) in [("ana", true), ("bo", false)] {
        let publisher = hall.client();
        hall.commands();
        hall.publish(publisher, 1, &audio(who), priority(16));
        let commands = hall.commands();
        let offered = commands
            .iter()
            .any(|command| matches!(command, meridian_relay::Command::Request { .. }));
        let skipped = commands.iter().any(|command| {
            matches!(
                command,
                meridian_relay::Command::Respond {
                    message: Message::PublishSkipped(_),
                    ..
                }
            )
        });
        assert_eq!((offered, skipped), (expected, !expected), "{commands:?}");
    }
}

#[test]
fn a_track_property_filter_lets_matching_tracks_through_alone() {
    let mut hall = Hall::new();
    let viewer = hall.client();
    let urgent = RangeFilter {
        subject: FilterSubject::TrackProperty(0x0E),
        set: 0,
        ranges: vec![(0, Some(48))],
    };
    let params = Parameters {
        range_filters: vec![urgent],
        ..Parameters::default()
    };
    watch(&mut hall, viewer, params);
    let ana = hall.client();
    hall.publish(ana, 1, &name("ana", "video-high"), priority(160));
    hall.publish(ana, 3, &audio("ana"), priority(16));
    let made = offers(&mut hall);
    assert_eq!(made.len(), 1);
    assert_eq!(made[0].1.track, audio("ana"));
    hall.answer(made[0].0, ok());
    hall.group(ana, 3, 1, &[b"a"]);
    assert_eq!(hall.live(viewer).len(), 1);
}

#[test]
fn a_paused_offer_is_resumed_by_an_update_on_its_own_stream() {
    let mut hall = Hall::new();
    let viewer = hall.client();
    let paused = Parameters {
        forward: Some(false),
        ..Parameters::default()
    };
    watch(&mut hall, viewer, paused);
    let ana = hall.client();
    hall.publish(ana, 1, &audio("ana"), priority(16));
    let made = offers(&mut hall);
    assert_eq!(made[0].1.params.forward, Some(false));
    hall.answer(made[0].0, ok());
    hall.group(ana, 1, 1, &[b"a"]);
    assert!(hall.live(viewer).is_empty());
    hall.commands();
    let update = RequestUpdate {
        request_id: 8,
        params: Parameters {
            forward: Some(true),
            ..Parameters::default()
        },
    };
    hall.answer(made[0].0, Message::RequestUpdate(update));
    let commands = hall.commands();
    let answered = commands.iter().any(|command| {
        matches!(
            command,
            meridian_relay::Command::Update {
                message: Message::RequestOk(_),
                ..
            }
        )
    });
    assert!(answered, "{commands:?}");
    hall.group(ana, 1, 2, &[b"b"]);
    assert_eq!(hall.live(viewer), [(2, 0, b"b".to_vec())]);
}

#[test]
fn tracks_are_watched_at_the_parent_and_at_children_that_announce_them() {
    let mut hall = Hall::new();
    let parent = hall.session(Role::Parent);
    let child = hall.session(Role::Child);
    let viewer = hall.client();
    hall.announce(child, 0, &namespace("ana"));
    hall.commands();
    watch(&mut hall, viewer, Parameters::default());
    let asked: Vec<_> = hall.requests();
    let mut whom: Vec<_> = asked.iter().map(|((session, _), _)| *session).collect();
    whom.sort();
    assert_eq!(whom, [parent, child]);
    // What the child publishes goes to the viewer, and what the parent publishes to the viewer alone, never up.
    hall.publish(child, 1, &audio("ana"), priority(16));
    hall.publish(parent, 1, &audio("bo"), priority(16));
    let to: Vec<_> = offers(&mut hall)
        .into_iter()
        .map(|((to, _), offer)| (to, offer.track))
        .collect();
    assert_eq!(to, [(viewer, audio("ana")), (viewer, audio("bo"))]);
    let ask = under(1, &meeting());
    hall.request(parent, Message::SubscribeTracks(ask));
    let to: Vec<_> = offers(&mut hall)
        .into_iter()
        .map(|((to, _), offer)| (to, offer.track))
        .collect();
    assert_eq!(to, [(parent, audio("ana"))]);
    hall.ends_empty(&[parent, child, viewer]);
}
