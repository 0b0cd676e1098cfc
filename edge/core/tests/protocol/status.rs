//! TRACK_STATUS.

use crate::common::{name, namespace, priority};
use crate::hall::{Hall, refusal};
use meridian_relay::{Command, Role, SessionId};
use meridian_wire::control::{RequestOk, Subscribe};
use meridian_wire::{FullTrackName, Location, Message, Parameters, RequestErrorCode};

fn video() -> FullTrackName {
    name("ana", "video-high")
}

fn ask(hall: &mut Hall, session: SessionId, id: u64) {
    let ask = Subscribe {
        request_id: id,
        track: video(),
        params: Parameters::default(),
    };
    hall.request(session, Message::TrackStatus(ask));
}

fn found(largest: Location) -> RequestOk {
    RequestOk {
        params: Parameters {
            largest_object: Some(largest),
            ..Parameters::default()
        },
        properties: priority(160),
    }
}

#[test]
fn the_status_of_an_established_track_is_told_at_once_and_finally() {
    let mut hall = Hall::new();
    let publisher = hall.client();
    hall.publish(publisher, 1, &video(), priority(160));
    hall.group(publisher, 1, 5, &[b"a", b"b"]);
    hall.commands();
    let viewer = hall.client();
    ask(&mut hall, viewer, 0);
    let expected = Command::Respond {
        session: viewer,
        request: 0,
        message: Message::RequestOk(found(Location::new(5, 1))),
        finish: true,
    };
    assert_eq!(hall.commands(), [expected]);
    hall.ends_empty(&[publisher, viewer]);
}

#[test]
fn the_status_of_another_track_is_asked_for_upstream_and_from_the_next_if_one_refuses() {
    let mut hall = Hall::new();
    let announcer = hall.client();
    let child = hall.session(Role::Child);
    hall.announce(announcer, 0, &namespace("ana"));
    hall.announce(child, 0, &namespace("ana"));
    hall.commands();
    let viewer = hall.client();
    ask(&mut hall, viewer, 0);
    let (first, message) = hall.only_request();
    assert!(matches!(message, Message::TrackStatus(_)));
    assert_eq!(first.0, announcer);
    hall.answer(first, refusal(RequestErrorCode::DOES_NOT_EXIST));
    let (second, _) = hall.only_request();
    assert_eq!(second.0, child);
    hall.answer(second, Message::RequestOk(found(Location::new(9, 0))));
    let responses = hall.responses();
    let told = Message::RequestOk(found(Location::new(9, 0)));
    assert_eq!(responses, [(viewer, 0, told)]);
    hall.ends_empty(&[announcer, child, viewer]);
}

#[test]
fn a_track_that_nobody_has_does_not_exist() {
    let mut hall = Hall::new();
    let viewer = hall.client();
    ask(&mut hall, viewer, 0);
    assert_eq!(hall.error(), RequestErrorCode::DOES_NOT_EXIST);
    let parent = hall.session(Role::Parent);
    ask(&mut hall, viewer, 2);
    hall.commands();
    hall.leave(parent);
    assert_eq!(hall.error(), RequestErrorCode::DOES_NOT_EXIST);
    hall.ends_empty(&[viewer]);
}

#[test]
fn who_no_longer_wants_a_status_has_it_cancelled_upstream() {
    let mut hall = Hall::new();
    let parent = hall.session(Role::Parent);
    let viewer = hall.client();
    ask(&mut hall, viewer, 0);
    hall.commands();
    hall.cancel(viewer, 0);
    let commands = hall.commands();
    assert!(matches!(commands[..], [Command::Cancel { session, .. }] if session == parent));
    hall.ends_empty(&[parent, viewer]);
}
