//! Permissions, limits and malformed input.

use crate::common::{Wire, name, namespace, priority};
use crate::stage::{MS, Stage, audio, error_code, ok, subscribe_ok, video};
use bytes::Bytes;
use meridian_relay::{Command, Config, DropReason, End, Permissions, Role, SessionId};
use meridian_wire::{Message, RequestErrorCode, ResetCode, TerminationCode};

fn codes(stage: &mut Stage) -> Vec<RequestErrorCode> {
    let responses = stage.responses();
    responses
        .iter()
        .map(|response| error_code(&response.2))
        .collect()
}

#[test]
fn who_may_do_what_is_asked_for_each_request() {
    let mut stage = Stage::new();
    let permissions = Permissions {
        publish: Some(vec![namespace("ana")]),
        subscribe: Some(vec![namespace("ben")]),
    };
    let ana = stage.session_with(Role::Client, permissions);
    stage.subscribe(ana, 0, &name("ana", "audio"));
    stage.publish(ana, 2, &name("ben", "audio"), priority(16));
    stage.announce(ana, 4, &namespace("ben"));
    assert_eq!(codes(&mut stage), [RequestErrorCode::UNAUTHORIZED; 3]);
    stage.publish(ana, 6, &name("ana", "audio"), priority(16));
    stage.announce(ana, 8, &namespace("ana"));
    assert!(
        stage
            .responses()
            .iter()
            .all(|(_, _, message)| *message == ok())
    );
    stage.ends_empty(&[ana]);
}

#[test]
fn a_session_may_have_so_many_requests_and_no_more() {
    let config = Config {
        requests_per_session: 3,
        ..Config::default()
    };
    let mut stage = Stage::with(config);
    let client = stage.client();
    for id in 0..3 {
        stage.announce(client, id, &namespace(&format!("p{id}")));
    }
    stage.commands();
    stage.announce(client, 3, &namespace("p3"));
    stage.publish(client, 4, &audio(), priority(16));
    assert_eq!(codes(&mut stage), [RequestErrorCode::EXCESSIVE_LOAD; 2]);
    let viewer = stage.client();
    stage.publish(viewer, 1, &audio(), priority(16));
    for id in 0..3 {
        stage.subscribe(viewer, 2 * id + 10, &audio());
    }
    assert_eq!(
        codes_of(&mut stage, viewer),
        [RequestErrorCode::EXCESSIVE_LOAD; 0]
    );
    stage.subscribe(viewer, 30, &audio());
    assert_eq!(codes(&mut stage), [RequestErrorCode::EXCESSIVE_LOAD]);
    stage.ends_empty(&[client, viewer]);
}

fn codes_of(stage: &mut Stage, session: SessionId) -> Vec<RequestErrorCode> {
    let responses = stage.responses();
    responses
        .iter()
        .filter(|(to, _, message)| *to == session && matches!(message, Message::RequestError(_)))
        .map(|response| error_code(&response.2))
        .collect()
}

#[test]
fn malformed_bytes_end_the_session_and_go_nowhere() {
    let mut stage = Stage::new();
    let publisher = stage.publisher(&video(), priority(160));
    let viewer = stage.client();
    stage.subscribe(viewer, 0, &video());
    let stream = stage.open(publisher);
    stage.feed(stream, Wire::group(1, 1).object(0, b"key").build());
    stage.settle();
    // No payload and a status that does not exist.
    let bad = Bytes::from_static(&[0, 0, 9]);
    let error = stage
        .relay
        .handle_stream(stream, &[bad], false, stage.now)
        .expect_err("malformed");
    assert_eq!(error.code, TerminationCode::PROTOCOL_VIOLATION);
    stage.settle();
    let got = stage.got(viewer);
    assert_eq!(got[0].reader.objects, [(0, b"key".to_vec())]);
    assert!(
        matches!(got[0].end, Some(End::Reset(_))),
        "no FIN will come"
    );
    stage.ends_empty(&[publisher, viewer]);
}

#[test]
fn what_was_well_formed_before_it_is_delivered() {
    let mut stage = Stage::new();
    let publisher = stage.publisher(&video(), priority(160));
    let viewer = stage.client();
    stage.subscribe(viewer, 0, &video());
    let stream = stage.open(publisher);
    let bytes = Wire::group(1, 1).object(0, b"key").raw(&[0, 0, 9]).build();
    stage
        .relay
        .handle_stream(stream, &[bytes], false, stage.now)
        .expect_err("malformed");
    stage.settle();
    let got = stage.got(viewer);
    assert_eq!(got[0].reader.objects, [(0, b"key".to_vec())]);
    assert!(matches!(got[0].end, Some(End::Reset(_))));
    stage.ends_empty(&[publisher, viewer]);
}

#[test]
fn a_fin_in_the_middle_of_an_object_is_a_violation() {
    let mut stage = Stage::new();
    let publisher = stage.publisher(&video(), priority(160));
    let viewer = stage.client();
    stage.subscribe(viewer, 0, &video());
    let stream = stage.open(publisher);
    let half = Wire::group(1, 1).head(0, 4, &[]).raw(b"12").build();
    stage
        .relay
        .handle_stream(stream, &[half], true, stage.now)
        .expect_err("cut in two");
    stage.settle();
    for stream in stage.got(viewer) {
        assert!(matches!(stream.end, Some(End::Reset(_))));
    }
    stage.ends_empty(&[publisher, viewer]);
}

#[test]
fn streams_of_an_unknown_alias_are_bounded_in_number_bytes_and_time() {
    let config = Config {
        waiting_streams: 3,
        waiting_bytes: 100,
        ..Config::default()
    };
    let mut stage = Stage::with(config);
    let peer = stage.client();
    let streams: Vec<_> = (0..4).map(|_| stage.open(peer)).collect();
    for (n, stream) in streams.iter().enumerate() {
        stage.feed(*stream, Wire::group(9, n as u64).head(0, 1000, &[]).build());
    }
    let refused = Command::Stop {
        session: peer,
        stream: streams[3],
        code: ResetCode::EXCESSIVE_LOAD,
    };
    assert_eq!(stage.command(), refused);
    for _ in 0..12 {
        stage.feed(streams[0], Bytes::from_static(&[0xFF; 10]));
    }
    let refused = Command::Stop {
        session: peer,
        stream: streams[0],
        code: ResetCode::EXCESSIVE_LOAD,
    };
    assert_eq!(stage.command(), refused);
    stage.wait(2000 * MS);
    assert_eq!(stage.commands().len(), 2);
    assert_eq!(stage.relay.counters().dropped(DropReason::UnknownAlias), 4);
    stage.ends_empty(&[peer]);
}

#[test]
fn one_alias_for_two_tracks_ends_the_session() {
    let mut stage = Stage::new();
    let publisher = stage.publisher(&audio(), priority(16));
    stage.publish(publisher, 1, &video(), priority(160));
    let closes = stage.commands().into_iter().any(|command| {
        matches!(command, Command::Close { session, code, .. }
            if session == publisher && code == TerminationCode::DUPLICATE_TRACK_ALIAS)
    });
    assert!(closes);
    stage.ends_empty(&[publisher]);
}

#[test]
fn an_opener_that_opens_nothing_ends_the_session() {
    let mut stage = Stage::new();
    let peer = stage.client();
    stage.request(peer, ok());
    let Command::Close { code, .. } = stage.command() else {
        panic!("closed")
    };
    assert_eq!(code, TerminationCode::PROTOCOL_VIOLATION);
}

#[test]
fn what_comes_for_things_that_are_gone_is_ignored() {
    let mut stage = Stage::new();
    let parent = stage.session(Role::Parent);
    let viewer = stage.client();
    stage.subscribe(viewer, 0, &audio());
    let asked = stage.asked();
    stage.unsubscribe(viewer, 0);
    stage.wait(3000 * MS);
    stage.answer(asked[0], subscribe_ok(1, priority(16)));
    stage.leave(viewer);
    stage.subscribe(viewer, 2, &audio());
    stage.unsubscribe(viewer, 2);
    assert!(stage.relay.accept_stream(viewer).is_none());
    stage.relay.handle_credit(viewer, stage.now);
    stage.ends_empty(&[parent]);
}

#[test]
fn every_object_of_a_late_stream_is_counted() {
    let config = Config {
        track_cache_groups: 2,
        ..Config::default()
    };
    let mut stage = Stage::with(config);
    let publisher = stage.publisher(&video(), priority(160));
    for group in 5..10 {
        stage.send(publisher, 1, group, b"key");
    }
    let stream = stage.open(publisher);
    let late = Wire::group(1, 1).object(0, b"a").object(1, b"b").build();
    stage.feed(stream, late);
    stage.finish(stream, Bytes::new());
    assert_eq!(stage.relay.counters().dropped(DropReason::Late), 2);
    stage.ends_empty(&[publisher]);
}
