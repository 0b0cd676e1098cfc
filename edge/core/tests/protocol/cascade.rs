//! FETCH of what is not held: publishers are asked, and what they send goes through.

use crate::common::{name, namespace, priority};
use crate::fetching::place;
use crate::hall::{
    DONE, FetchWire, Hall, Item, MS, fetch_ok, groups, object, refusal, reset, subscribe_ok,
};
use bytes::Bytes;
use meridian_relay::{Command, OutRequestId, Role, SessionId};
use meridian_wire::data::RangeGap;
use meridian_wire::{
    Draft, FullTrackName, GroupOrder, Location, LocationFilter, Message, Parameters,
    RequestErrorCode, ResetCode,
};

fn video() -> FullTrackName {
    name("ana", "video-high")
}

/// The relay's only new request, which is a FETCH: what for.
fn asked(hall: &mut Hall) -> ((SessionId, OutRequestId), Parameters) {
    match hall.only_request() {
        (to, Message::Fetch(fetch)) => (to, fetch.params),
        (_, other) => panic!("not a FETCH: {other:?}"),
    }
}

/// Groups 1 and 3, with nothing said of group 2 by its publisher.
fn with_gap(kind: RangeGap) -> Vec<Item> {
    vec![
        object(1, 0, b"key"),
        Item::Gap(RangeGap::NonExistent, 1, u64::MAX),
        Item::Gap(kind, 2, u64::MAX),
        object(3, 0, b"key"),
    ]
}

fn ascending() -> FetchWire {
    FetchWire::new(GroupOrder::Ascending)
}

#[test]
fn a_track_nobody_takes_is_fetched_from_the_parent_and_passed_on_as_it_comes() {
    let mut hall = Hall::new();
    let parent = hall.session(Role::Parent);
    let viewer = hall.client();
    hall.fetch(viewer, 0, &video(), groups(1, 9));
    let (request, params) = asked(&mut hall);
    assert_eq!(request.0, parent);
    assert_eq!(params.location_filter, groups(1, 9).location_filter);
    assert!(hall.responses().is_empty(), "FETCH_OK is withheld");
    let stream = hall.open_fetch(request);
    let mut wire = ascending().object(1, 0, b"one").head(2, 0, 4);
    hall.feed_fetch(stream, wire.take(), false);
    hall.feed_fetch(stream, Bytes::from_static(b"tw"), false);
    assert_eq!(
        hall.fetched(viewer, 0).0,
        [object(1, 0, b"one"), object(2, 0, b"tw")]
    );
    hall.answer(request, fetch_ok(2, 0));
    assert_eq!(hall.fetch_ok().end, Location::new(2, 0));
    hall.feed_fetch(stream, Bytes::from_static(b"oo"), true);
    let (items, end) = hall.fetched(viewer, 0);
    assert_eq!(items[1], object(2, 0, b"twoo"));
    assert_eq!(end, DONE);
    hall.ends_empty(&[parent, viewer]);
}

#[test]
fn only_what_is_missing_is_asked_for_and_kept_for_the_next() {
    let mut hall = Hall::new();
    let parent = hall.session(Role::Parent);
    let listener = hall.client();
    hall.subscribe(listener, 0, &video(), Parameters::default());
    let (request, _) = hall.only_request();
    hall.answer(request, subscribe_ok(1, Some(Location::new(7, 0))));
    hall.group(parent, 1, 7, &[b"seven"]);
    hall.commands();

    let viewer = hall.client();
    hall.fetch(viewer, 0, &video(), groups(5, 7));
    let responses = hall.commands();
    let fetches: Vec<_> = responses
        .iter()
        .filter_map(|command| match command {
            Command::Request {
                session,
                request,
                message: Message::Fetch(fetch),
            } => Some(((*session, *request), fetch.params.location_filter)),
            _ => None,
        })
        .collect();
    let missing = LocationFilter::Absolute {
        start: Location::new(5, 0),
        end_group: Some(6),
        end_object: None,
    };
    assert_eq!(fetches.len(), 1);
    assert_eq!(fetches[0].1, Some(missing));
    let upstream = fetches[0].0;
    hall.answer(upstream, fetch_ok(6, u64::MAX));
    let stream = hall.open_fetch(upstream);
    let wire = ascending().object(5, 0, b"five").object(5, 1, b"5b").take();
    hall.feed_fetch(stream, wire, true);
    let expected = [
        object(5, 0, b"five"),
        object(5, 1, b"5b"),
        object(7, 0, b"seven"),
    ];
    assert_eq!(hall.fetched(viewer, 0), (expected.to_vec(), DONE));

    hall.commands();
    let second = hall.client();
    hall.fetch(second, 0, &video(), groups(5, 7));
    assert!(hall.requests().is_empty(), "it is known now");
    assert_eq!(hall.fetched(second, 0), (expected.to_vec(), DONE));
    let third = hall.client();
    let params = Parameters {
        group_order: Some(GroupOrder::Descending),
        ..groups(5, 7)
    };
    hall.fetch(third, 0, &video(), params);
    let (items, _) = hall.fetched_as(third, 0, Draft::D22, GroupOrder::Descending);
    let places: Vec<_> = items.iter().map(place).collect();
    assert_eq!(places, [(7, 0), (5, 0), (5, 1)]);
    hall.ends_empty(&[parent, listener, viewer, second, third]);
}

#[test]
fn an_announcer_is_asked_before_a_parent_and_the_next_when_one_refuses() {
    let mut hall = Hall::new();
    let _parent = hall.session(Role::Parent);
    let first = hall.client();
    let second = hall.session(Role::Child);
    hall.announce(first, 0, &namespace("ana"));
    hall.announce(second, 0, &namespace("ana"));
    hall.commands();
    let viewer = hall.client();
    hall.fetch(viewer, 0, &video(), groups(1, 2));
    let (request, _) = asked(&mut hall);
    assert_eq!(request.0, first);
    hall.answer(request, refusal(RequestErrorCode::DOES_NOT_EXIST));
    let (request, _) = asked(&mut hall);
    assert_eq!(request.0, second);
    hall.answer(request, refusal(RequestErrorCode::INVALID_RANGE));
    assert_eq!(hall.error(), RequestErrorCode::INVALID_RANGE);
}

#[test]
fn a_parents_fetch_goes_down_and_never_up() {
    let mut hall = Hall::new();
    let parent = hall.session(Role::Parent);
    let _backup = hall.session(Role::BackupParent);
    hall.fetch(parent, 1, &video(), groups(1, 2));
    assert_eq!(hall.error(), RequestErrorCode::DOES_NOT_EXIST);
    let child = hall.session(Role::Child);
    hall.announce(child, 0, &namespace("ana"));
    hall.commands();
    hall.fetch(parent, 3, &video(), groups(1, 2));
    assert_eq!(asked(&mut hall).0.0, child);
}

#[test]
fn what_cannot_be_had_is_reported_as_unknown_and_the_rest_served() {
    let mut hall = Hall::new();
    let publisher = hall.client();
    hall.publish(publisher, 1, &video(), priority(160));
    for group in [1, 3] {
        hall.group(publisher, 1, group, &[b"key"]);
    }
    hall.commands();
    let viewer = hall.client();
    hall.fetch(viewer, 0, &video(), groups(1, 3));
    let commands = hall.commands();
    let request = commands.iter().find_map(|command| match command {
        Command::Request {
            session, request, ..
        } => Some((*session, *request)),
        _ => None,
    });
    hall.answer(
        request.expect("the publisher is asked"),
        refusal(RequestErrorCode::NOT_SUPPORTED),
    );
    let expected = with_gap(RangeGap::Unknown);
    assert_eq!(hall.fetched(viewer, 0), (expected, DONE));
}

#[test]
fn a_fill_timeout_of_zero_waits_for_nobody_and_draft_18_calls_it_unknown() {
    let mut hall = Hall::new();
    let publisher = hall.client();
    hall.publish(publisher, 1, &video(), priority(160));
    for group in [1, 3] {
        hall.group(publisher, 1, group, &[b"key"]);
    }
    hall.commands();
    let params = Parameters {
        fill_timeout: Some(0),
        ..groups(1, 3)
    };
    for (draft, kind) in [
        (Draft::D22, RangeGap::TimedOut),
        (Draft::D18, RangeGap::Unknown),
    ] {
        let viewer = hall.speaking(draft);
        hall.fetch(viewer, 0, &video(), params.clone());
        let expected = with_gap(kind);
        let got = hall.fetched_as(viewer, 0, draft, GroupOrder::Ascending);
        assert_eq!(got, (expected, DONE));
    }
    assert!(hall.requests().is_empty());
}

#[test]
fn a_publisher_that_is_too_slow_is_given_up_when_the_fill_timeout_is_over() {
    let mut hall = Hall::new();
    let publisher = hall.client();
    hall.publish(publisher, 1, &video(), priority(160));
    for group in [1, 3] {
        hall.group(publisher, 1, group, &[b"key"]);
    }
    let viewer = hall.client();
    let params = Parameters {
        fill_timeout: Some(200),
        ..groups(1, 3)
    };
    hall.commands();
    hall.fetch(viewer, 0, &video(), params);
    hall.wait(199 * MS);
    assert_eq!(hall.fetched(viewer, 0).0, [object(1, 0, b"key")]);
    hall.commands();
    hall.wait(MS);
    let expected = with_gap(RangeGap::TimedOut);
    assert_eq!(hall.fetched(viewer, 0), (expected, DONE));
    let commands = hall.commands();
    assert!(
        matches!(commands[0], Command::Cancel { session, .. } if session == publisher),
        "{commands:?}"
    );
    hall.ends_empty(&[publisher, viewer]);
}

#[test]
fn a_publisher_hears_of_a_fill_timeout_only_if_the_subscriber_named_one_and_a_parent_always() {
    for (named, role, told) in [
        (None, Role::Client, None),
        (Some(200), Role::Client, Some(200)),
        (None, Role::Parent, Some(10_000)),
    ] {
        let mut hall = Hall::new();
        let source = hall.session(role);
        if role == Role::Client {
            hall.announce(source, 0, &video().namespace);
        }
        let viewer = hall.client();
        hall.commands();
        let params = Parameters {
            fill_timeout: named,
            ..groups(1, 9)
        };
        hall.fetch(viewer, 0, &video(), params);
        let (request, params) = asked(&mut hall);
        assert_eq!((request.0, params.fill_timeout), (source, told));
    }
}

#[test]
fn a_gap_reported_by_a_publisher_is_reported_on() {
    let mut hall = Hall::new();
    hall.session(Role::Parent);
    let viewer = hall.client();
    hall.fetch(viewer, 0, &video(), groups(1, 9));
    let (request, _) = asked(&mut hall);
    hall.answer(request, fetch_ok(9, 0));
    let stream = hall.open_fetch(request);
    let wire = ascending()
        .object(1, 0, b"one")
        .gap(RangeGap::NonExistent, 3, 4)
        .gap(RangeGap::TimedOut, 5, 9)
        .object(9, 0, b"nine")
        .take();
    hall.feed_fetch(stream, wire, true);
    let expected = vec![
        object(1, 0, b"one"),
        Item::Gap(RangeGap::NonExistent, 3, 4),
        Item::Gap(RangeGap::TimedOut, 5, 9),
        object(9, 0, b"nine"),
    ];
    assert_eq!(hall.fetched(viewer, 0), (expected, DONE));
}

#[test]
fn a_publisher_lost_within_an_object_resets_the_stream() {
    let mut hall = Hall::new();
    let parent = hall.session(Role::Parent);
    let viewer = hall.client();
    hall.fetch(viewer, 0, &video(), groups(1, 9));
    let (request, _) = asked(&mut hall);
    hall.answer(request, fetch_ok(9, 0));
    let stream = hall.open_fetch(request);
    let wire = ascending().head(1, 0, 100).take();
    hall.feed_fetch(stream, wire, false);
    hall.leave(parent);
    let end = hall.fetched(viewer, 0).1;
    assert_eq!(end, reset(ResetCode::UNKNOWN_OBJECT_STATUS));
    hall.ends_empty(&[viewer]);
}

#[test]
fn a_publisher_lost_between_objects_is_replaced_by_another() {
    let mut hall = Hall::new();
    let first = hall.client();
    let second = hall.client();
    hall.announce(first, 0, &namespace("ana"));
    hall.announce(second, 0, &namespace("ana"));
    let viewer = hall.client();
    hall.commands();
    hall.fetch(viewer, 0, &video(), groups(1, 9));
    let (request, _) = asked(&mut hall);
    hall.answer(request, fetch_ok(9, 0));
    let stream = hall.open_fetch(request);
    let wire = ascending().object(1, 0, b"one").take();
    hall.feed_fetch(stream, wire, false);
    hall.commands();
    hall.leave(first);
    let (request, params) = asked(&mut hall);
    assert_eq!(request.0, second);
    let rest = LocationFilter::Absolute {
        start: Location::new(1, 1),
        end_group: Some(9),
        end_object: Some(0),
    };
    assert_eq!(params.location_filter, Some(rest));
    hall.answer(request, fetch_ok(9, 0));
    let stream = hall.open_fetch(request);
    hall.feed_fetch(stream, ascending().object(9, 0, b"nine").take(), true);
    let expected = vec![object(1, 0, b"one"), object(9, 0, b"nine")];
    assert_eq!(hall.fetched(viewer, 0), (expected, DONE));
}

#[test]
fn a_subscriber_that_stops_taking_stops_the_publisher() {
    let mut hall = Hall::new();
    let parent = hall.session(Role::Parent);
    let viewer = hall.client();
    hall.fetch(viewer, 0, &video(), groups(1, 9));
    let (request, _) = asked(&mut hall);
    hall.answer(request, fetch_ok(9, 0));
    hall.stuck.push(viewer);
    let stream = hall.open_fetch(request);
    let mut wire = ascending();
    let mut more = true;
    let mut sent = 0;
    while more {
        wire = wire.object(1, sent, &[0; 20_000]);
        more = hall.feed_fetch(stream, wire.take(), false);
        sent += 1;
        assert!(sent < 20, "the window is bounded");
    }
    hall.commands();
    for _ in 0..sent {
        hall.take_one(viewer);
    }
    let commands = hall.commands();
    let resumes =
        |command: &Command| matches!(command, Command::Resume { stream: s, .. } if *s == stream);
    assert!(commands.iter().any(resumes), "{commands:?}");
    hall.cancel(viewer, 0);
    let commands = hall.commands();
    assert!(commands.iter().any(|c| matches!(c, Command::Stop { .. })));
    assert!(commands.iter().any(|c| matches!(c, Command::Cancel { .. })));
    hall.ends_empty(&[parent, viewer]);
}

#[test]
fn a_track_that_needs_what_is_not_known_here_is_not_fetched() {
    use meridian_wire::control::FetchOk;
    use meridian_wire::property::Properties;
    let mut hall = Hall::new();
    hall.session(Role::Parent);
    let viewer = hall.client();
    hall.fetch(viewer, 0, &video(), groups(1, 9));
    let (request, _) = asked(&mut hall);
    let ok = FetchOk {
        end_of_track: false,
        end: Location::new(9, 0),
        params: Parameters::default(),
        properties: Properties::builder().int(0x4000, 1).build().expect("even"),
    };
    hall.answer(request, Message::FetchOk(ok));
    assert_eq!(hall.error(), RequestErrorCode::UNSUPPORTED_EXTENSION);
}

#[test]
fn a_request_stream_that_ends_before_the_objects_have_come_ends_nothing() {
    let mut hall = Hall::new();
    let parent = hall.session(Role::Parent);
    let viewer = hall.client();
    hall.fetch(viewer, 0, &video(), groups(1, 1));
    let (request, _) = asked(&mut hall);
    hall.answer(request, fetch_ok(1, 0));
    for cancelled in [false, true] {
        hall.relay
            .handle_response_closed(parent, request.1, cancelled, hall.now);
    }
    let stream = hall.open_fetch(request);
    hall.feed_fetch(stream, ascending().object(1, 0, b"one").take(), true);
    let expected = vec![object(1, 0, b"one")];
    assert_eq!(hall.fetched(viewer, 0), (expected, DONE));
}
