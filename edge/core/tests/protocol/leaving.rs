//! GOAWAY: theirs, and ours.

use crate::common::{name, namespace};
use crate::hall::{Hall, subscribe_ok, under};
use meridian_relay::{Command, Role};
use meridian_wire::{FullTrackName, Message, Parameters, RequestErrorCode};
use std::time::Duration;

fn video() -> FullTrackName {
    name("ana", "video-high")
}

#[test]
fn a_parent_that_leaves_is_left_only_when_another_has_the_track() {
    let mut hall = Hall::new();
    let parent = hall.session(Role::Parent);
    let backup = hall.session(Role::BackupParent);
    let viewer = hall.client();
    hall.subscribe(viewer, 0, &video(), Parameters::default());
    let (old, _) = hall.only_request();
    assert_eq!(old.0, parent);
    hall.answer(old, subscribe_ok(1, None));
    hall.commands();
    hall.relay.handle_goaway(parent, hall.now);
    let (new, _) = hall.only_request();
    assert_eq!(new.0, backup);
    hall.group(parent, 1, 1, &[b"still"]);
    assert_eq!(hall.live(viewer).len(), 1);
    hall.answer(new, subscribe_ok(1, None));
    let commands = hall.commands();
    let left = |command: &Command| matches!(command, Command::Cancel { session, request, .. } if (*session, *request) == old);
    assert!(commands.iter().any(left), "{commands:?}");
    hall.group(backup, 1, 2, &[b"on"]);
    assert_eq!(hall.live(viewer).len(), 2);
    hall.ends_empty(&[parent, backup, viewer]);
}

#[test]
fn nothing_new_is_asked_of_who_leaves() {
    let mut hall = Hall::new();
    let parent = hall.session(Role::Parent);
    let child = hall.session(Role::Child);
    hall.announce(child, 0, &namespace("ana"));
    hall.commands();
    for session in [parent, child] {
        hall.relay.handle_goaway(session, hall.now);
    }
    let viewer = hall.client();
    hall.subscribe(viewer, 0, &video(), Parameters::default());
    assert_eq!(hall.error(), RequestErrorCode::DOES_NOT_EXIST);
    hall.fetch(viewer, 2, &video(), Parameters::default());
    assert_eq!(hall.error(), RequestErrorCode::DOES_NOT_EXIST);
}

#[test]
fn who_drains_tells_everybody_before_anything_ends_and_takes_nothing_new() {
    let mut hall = Hall::new();
    let parent = hall.session(Role::Parent);
    let viewer = hall.client();
    hall.subscribe(viewer, 0, &video(), Parameters::default());
    let (request, _) = hall.only_request();
    hall.answer(request, subscribe_ok(1, None));
    hall.commands();
    let within = Duration::from_secs(2);
    hall.relay.drain(within);
    let told = [parent, viewer].map(|session| Command::Goaway { session, within });
    assert_eq!(hall.commands(), told);
    hall.group(parent, 1, 1, &[b"on"]);
    assert_eq!(hall.live(viewer).len(), 1);
    hall.subscribe(viewer, 2, &name("bo", "audio"), Parameters::default());
    assert_eq!(hall.error(), RequestErrorCode::GOING_AWAY);
    hall.request(
        viewer,
        Message::SubscribeNamespace(under(4, &namespace("a"))),
    );
    assert_eq!(hall.error(), RequestErrorCode::GOING_AWAY);
}
