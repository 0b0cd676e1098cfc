//! A neighbour's place changes while its session goes on, or a neighbour is let go.

use crate::common::{name, namespace, priority};
use crate::hall::{Hall, subscribe_ok};
use meridian_relay::{Command, OutRequestId, Role, SessionId};
use meridian_wire::control::SubscribeOk;
use meridian_wire::{FullTrackName, Message, Parameters, RequestErrorCode};
use std::time::Duration;

fn video() -> FullTrackName {
    name("ana", "video-high")
}

fn audio_ok(track_alias: u64) -> Message {
    Message::SubscribeOk(SubscribeOk {
        track_alias,
        params: Parameters::default(),
        properties: priority(16),
    })
}

/// Whom the relay asks for which track.
fn subscribes(hall: &mut Hall) -> Vec<((SessionId, OutRequestId), FullTrackName)> {
    let subscribe = |(to, message)| match message {
        Message::Subscribe(ask) => Some((to, ask.track)),
        _ => None,
    };
    hall.requests().into_iter().filter_map(subscribe).collect()
}

fn only(hall: &mut Hall) -> (SessionId, OutRequestId) {
    let asked = subscribes(hall);
    assert_eq!(asked.len(), 1, "{asked:?}");
    asked[0].0
}

fn cancelled(hall: &mut Hall, request: (SessionId, OutRequestId)) -> bool {
    let commands = hall.commands();
    commands.iter().any(|command| {
        matches!(command, Command::Cancel { session, request: of, .. } if (*session, *of) == request)
    })
}

fn announced(hall: &mut Hall, to: SessionId) -> bool {
    let requests = hall.requests();
    let is_it = |(session, message): &(SessionId, Message)| {
        *session == to && matches!(message, Message::PublishNamespace(_))
    };
    let mut requests = requests.into_iter().map(|(to, message)| (to.0, message));
    requests.any(|request| is_it(&request))
}

#[test]
fn parents_that_change_places_pass_the_video_on_without_a_gap() {
    let mut hall = Hall::new();
    let (first, second) = (hall.session(Role::Parent), hall.session(Role::BackupParent));
    let viewer = hall.client();
    hall.subscribe(viewer, 0, &video(), Parameters::default());
    let old = only(&mut hall);
    assert_eq!(old.0, first);
    hall.answer(old, subscribe_ok(1, None));
    hall.commands();

    let now = hall.now;
    hall.relay.set_role(second, Role::Parent, now);
    hall.relay.set_role(first, Role::BackupParent, now);
    let new = only(&mut hall);
    assert_eq!(new.0, second);
    hall.group(first, 1, 1, &[b"still"]);
    assert_eq!(hall.live(viewer).len(), 1, "the old one goes on meanwhile");
    hall.answer(new, subscribe_ok(1, None));
    assert!(cancelled(&mut hall, old), "the old one is left then");
    hall.group(second, 1, 2, &[b"on"]);
    assert_eq!(hall.live(viewer).len(), 2);
    hall.ends_empty(&[first, second, viewer]);
}

#[test]
fn audio_goes_on_through_both_when_parents_change_places() {
    let mut hall = Hall::new();
    let (first, second) = (hall.session(Role::Parent), hall.session(Role::BackupParent));
    let listener = hall.client();
    hall.subscribe(listener, 0, &name("ana", "audio"), Parameters::default());
    let through_first = only(&mut hall);
    hall.answer(through_first, audio_ok(1));
    let through_second = only(&mut hall);
    assert_eq!(through_second.0, second);
    hall.answer(through_second, audio_ok(1));
    hall.commands();
    let now = hall.now;
    hall.relay.set_role(first, Role::BackupParent, now);
    hall.relay.set_role(second, Role::Parent, now);
    assert_eq!(hall.commands(), [], "nothing is asked or given up");
    hall.group(first, 1, 1, &[b"a"]);
    hall.group(second, 1, 1, &[b"a"]);
    hall.group(second, 1, 2, &[b"b"]);
    assert_eq!(hall.live(listener).len(), 2);
    hall.ends_empty(&[first, second, listener]);
}

#[test]
fn a_shortcut_that_becomes_the_parent_is_asked_for_what_was_missing() {
    let mut hall = Hall::new();
    let other = hall.session(Role::Shortcut);
    let viewer = hall.client();
    let patient = Parameters {
        rendezvous_timeout: Some(5_000),
        ..Parameters::default()
    };
    hall.subscribe(viewer, 0, &video(), patient);
    assert_eq!(subscribes(&mut hall), [], "it announces nothing");
    let now = hall.now;
    hall.relay.set_role(other, Role::Parent, now);
    let asked = only(&mut hall);
    assert_eq!(asked.0, other);
    hall.answer(asked, subscribe_ok(1, None));
    hall.group(other, 1, 1, &[b"here"]);
    assert_eq!(hall.live(viewer).len(), 1);
    hall.ends_empty(&[other, viewer]);
}

#[test]
fn a_parent_that_becomes_a_child_hears_no_more_of_what_is_published_here_and_is_not_asked() {
    let mut hall = Hall::new();
    let other = hall.session(Role::Parent);
    let speaker = hall.client();
    hall.announce(speaker, 0, &namespace("ana"));
    assert!(announced(&mut hall, other));
    let viewer = hall.client();
    hall.subscribe(viewer, 0, &name("bo", "audio"), Parameters::default());
    let asked = only(&mut hall);
    hall.answer(asked, subscribe_ok(1, None));
    hall.commands();
    let now = hall.now;
    hall.relay.set_role(other, Role::Child, now);
    let commands = hall.commands();
    let cancels = commands
        .iter()
        .filter(|command| matches!(command, Command::Cancel { session, .. } if *session == other));
    assert_eq!(
        cancels.count(),
        2,
        "the announcement and the track: {commands:?}"
    );
    hall.subscribe(other, 1, &name("ana", "audio"), Parameters::default());
    assert_eq!(
        only(&mut hall).0,
        speaker,
        "as a child it may ask for everything"
    );
    hall.ends_empty(&[other, speaker, viewer]);
}

#[test]
fn a_child_that_becomes_a_shortcut_keeps_what_is_published_below_and_loses_what_is_not() {
    let mut hall = Hall::new();
    let (parent, other) = (hall.session(Role::Parent), hall.session(Role::Child));
    let speaker = hall.client();
    hall.announce(speaker, 0, &namespace("ana"));
    hall.subscribe(other, 1, &name("ana", "audio"), Parameters::default());
    let own = only(&mut hall);
    hall.answer(own, audio_ok(1));
    hall.subscribe(other, 3, &name("bo", "audio"), Parameters::default());
    let above = only(&mut hall);
    assert_eq!(above.0, parent);
    hall.answer(above, audio_ok(1));
    hall.commands();
    let now = hall.now;
    hall.relay.set_role(other, Role::Shortcut, now);
    let ended: Vec<u64> = hall
        .responses()
        .into_iter()
        .filter(|(_, _, message)| matches!(message, Message::PublishDone(_)))
        .map(|(_, request, _)| request)
        .collect();
    assert_eq!(ended, [3]);
    hall.group(speaker, 1, 1, &[b"a"]);
    assert_eq!(hall.live(other).len(), 1);
    hall.ends_empty(&[parent, other, speaker]);
}

#[test]
fn what_a_child_announces_is_told_above_only_while_it_is_one() {
    let mut hall = Hall::new();
    let (parent, other) = (hall.session(Role::Parent), hall.session(Role::Shortcut));
    hall.announce(other, 1, &namespace("ana"));
    assert!(!announced(&mut hall, parent));
    let now = hall.now;
    hall.relay.set_role(other, Role::Child, now);
    assert!(announced(&mut hall, parent));
    hall.relay.set_role(other, Role::Shortcut, now);
    let commands = hall.commands();
    let taken_back = |command: &Command| matches!(command, Command::Cancel { session, .. } if *session == parent);
    assert!(commands.iter().any(taken_back), "{commands:?}");
    hall.ends_empty(&[parent, other]);
}

#[test]
fn a_neighbour_that_is_let_go_carries_until_another_does() {
    let mut hall = Hall::new();
    let old = hall.session(Role::Parent);
    let viewer = hall.client();
    hall.subscribe(viewer, 0, &video(), Parameters::default());
    let through_old = only(&mut hall);
    hall.answer(through_old, subscribe_ok(1, None));
    hall.commands();
    let new = hall.session(Role::Parent);
    let within = Duration::from_secs(3);
    let now = hall.now;
    hall.relay.dismiss(old, within, now);
    let commands = hall.commands();
    let goodbye = Command::Goaway {
        session: old,
        within,
    };
    assert!(commands.contains(&goodbye), "{commands:?}");
    assert!(hall.relay.carries(old));
    let ask = commands.into_iter().find_map(|command| match command {
        Command::Request {
            session, request, ..
        } => Some((session, request)),
        _ => None,
    });
    let through_new = ask.expect("the new one is asked");
    assert_eq!(through_new.0, new);
    hall.answer(through_new, subscribe_ok(1, None));
    assert!(cancelled(&mut hall, through_old));
    assert!(!hall.relay.carries(old) && hall.relay.carries(new));
    hall.ends_empty(&[old, new, viewer]);
}

#[test]
fn after_a_drain_that_was_taken_back_requests_are_taken_again() {
    let mut hall = Hall::new();
    let viewer = hall.client();
    hall.relay.drain(Duration::from_secs(1));
    hall.subscribe(viewer, 0, &video(), Parameters::default());
    assert_eq!(hall.error(), RequestErrorCode::GOING_AWAY);
    hall.relay.undrain();
    hall.subscribe(viewer, 2, &video(), Parameters::default());
    assert_eq!(hall.error(), RequestErrorCode::DOES_NOT_EXIST);
}
