//! What is refused at the door.

use crate::common::{name, priority};
use crate::hall::{Hall, MS, subscribe_ok, under};
use bytes::Bytes;
use meridian_relay::{Command, Role};
use meridian_wire::control::{Subscribe, SubscribeOk};
use meridian_wire::error::PublishDoneCode;
use meridian_wire::param::{FilterSubject, InvalidFilter, RangeFilter};
use meridian_wire::property::Properties;
use meridian_wire::{FullTrackName, Message, Namespace, Parameters, RequestErrorCode};

fn video() -> FullTrackName {
    name("ana", "video-high")
}

fn mandatory() -> Properties {
    let properties = Properties::builder().int(0x4002, 1).build();
    properties.expect("a number under an even type")
}

#[test]
fn reserved_names_belong_to_nobody_here_and_go_nowhere() {
    let mut hall = Hall::new();
    hall.session(Role::Parent);
    let viewer = hall.client();
    for (id, first) in [(0, ".session"), (2, "."), (4, "meridian-edge")] {
        let namespace = Namespace::new([Bytes::copy_from_slice(first.as_bytes())]);
        let namespace = namespace.expect("a short field");
        let track = FullTrackName::new(namespace.clone(), Bytes::from_static(b"x"));
        let track = track.expect("a short name");
        hall.subscribe(viewer, id, &track, Parameters::default());
        assert_eq!(hall.error(), RequestErrorCode::DOES_NOT_EXIST, "{first}");
        hall.fetch(viewer, id, &track, Parameters::default());
        assert_eq!(hall.error(), RequestErrorCode::DOES_NOT_EXIST, "{first}");
        let ask = Subscribe {
            request_id: id,
            track,
            params: Parameters::default(),
        };
        hall.request(viewer, Message::TrackStatus(ask));
        assert_eq!(hall.error(), RequestErrorCode::DOES_NOT_EXIST, "{first}");
        hall.announce(viewer, id, &namespace);
        assert_eq!(hall.error(), RequestErrorCode::DOES_NOT_EXIST, "{first}");
        let watch = Message::SubscribeNamespace(under(id, &namespace));
        hall.request(viewer, watch);
        assert_eq!(hall.error(), RequestErrorCode::DOES_NOT_EXIST, "{first}");
    }
    assert!(hall.requests().is_empty());
}

#[test]
fn a_filter_that_is_wrong_or_too_long_is_refused() {
    let mut hall = Hall::new();
    let viewer = hall.client();
    let wrong = Parameters {
        invalid_filter: Some(InvalidFilter {
            parameter: 0x25,
            what: "descending",
        }),
        ..Parameters::default()
    };
    hall.subscribe(viewer, 0, &video(), wrong.clone());
    assert_eq!(hall.error(), RequestErrorCode::INVALID_FILTER);
    let long = Parameters {
        range_filters: vec![RangeFilter {
            subject: FilterSubject::ObjectId,
            set: 0,
            ranges: (0..9).map(|n| (n * 2, Some(n * 2))).collect(),
        }],
        ..Parameters::default()
    };
    hall.fetch(viewer, 2, &video(), long);
    assert_eq!(hall.error(), RequestErrorCode::INVALID_FILTER);
    let publisher = hall.client();
    hall.publish(publisher, 1, &video(), priority(160));
    hall.subscribe(viewer, 4, &video(), Parameters::default());
    hall.commands();
    hall.update(viewer, 4, 6, wrong);
    let responses = hall.responses();
    let [
        (_, 4, Message::RequestError(error)),
        (_, 4, Message::PublishDone(done)),
    ] = &responses[..]
    else {
        panic!("not an error and an end: {responses:?}");
    };
    assert_eq!(error.code, RequestErrorCode::INVALID_FILTER);
    assert_eq!(done.code, PublishDoneCode::UPDATE_FAILED);
}

#[test]
fn a_track_that_needs_what_is_not_known_here_is_neither_taken_nor_passed_on() {
    let mut hall = Hall::new();
    let publisher = hall.client();
    hall.publish(publisher, 1, &video(), mandatory());
    assert_eq!(hall.error(), RequestErrorCode::UNSUPPORTED_EXTENSION);
    let parent = hall.session(Role::Parent);
    let viewer = hall.client();
    hall.subscribe(viewer, 0, &video(), Parameters::default());
    let (request, _) = hall.only_request();
    let ok = SubscribeOk {
        track_alias: 1,
        params: Parameters::default(),
        properties: mandatory(),
    };
    hall.answer(request, Message::SubscribeOk(ok));
    let commands = hall.commands();
    assert!(matches!(&commands[0], Command::Cancel { session, .. } if *session == parent));
    let refused = commands.iter().any(|command| {
        matches!(command,
        Command::Respond { message: Message::RequestError(error), .. }
            if error.code == RequestErrorCode::UNSUPPORTED_EXTENSION)
    });
    assert!(refused, "{commands:?}");
    hall.ends_empty(&[publisher, parent, viewer]);
}

#[test]
fn a_subscription_that_expires_is_extended_in_time() {
    let mut hall = Hall::new();
    hall.session(Role::Parent);
    let viewer = hall.client();
    hall.subscribe(viewer, 0, &video(), Parameters::default());
    let (request, _) = hall.only_request();
    let Message::SubscribeOk(mut ok) = subscribe_ok(1, None) else {
        unreachable!()
    };
    ok.params.expires = Some(10_000);
    hall.answer(request, Message::SubscribeOk(ok));
    hall.commands();
    hall.wait(5000 * MS);
    let commands = hall.commands();
    let extends = |command: &Command| {
        matches!(
            command,
            Command::Update {
                message: Message::RequestUpdate(_),
                ..
            }
        )
    };
    assert!(commands.iter().any(extends), "{commands:?}");
}
