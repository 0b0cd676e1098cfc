//! Fills, which come with a subscription.

use crate::common::{name, priority};
use crate::hall::{DONE, Hall, MS, groups, object, reset, subscribe_ok};
use meridian_relay::{Config, Role, SessionId};
use meridian_wire::param::FillParameters;
use meridian_wire::{
    Draft, FullTrackName, GroupOrder, Location, LocationFilter, Message, Parameters, ResetCode,
};

fn video() -> FullTrackName {
    name("ana", "video-high")
}

fn stocked(config: Config) -> (Hall, SessionId) {
    let mut hall = Hall::with(config);
    let publisher = hall.client();
    hall.publish(publisher, 1, &video(), priority(160));
    for group in 1..=3 {
        hall.group(publisher, 1, group, &[b"key", b"delta"]);
    }
    hall.commands();
    (hall, publisher)
}

/// A subscription to what is new, and a fill of so many groups.
fn filled(groups_back: u64) -> Parameters {
    Parameters {
        location_filter: Some(LocationFilter::NextObject),
        fill: Some(Box::new(FillParameters {
            location_filter: Some(LocationFilter::Relative { groups_back }),
            ..FillParameters::default()
        })),
        ..Parameters::default()
    }
}

#[test]
fn a_fill_brings_the_past_and_the_subscription_what_is_new() {
    let (mut hall, publisher) = stocked(Config::default());
    let viewer = hall.client();
    hall.subscribe(viewer, 4, &video(), filled(2));
    let expected = vec![
        object(2, 0, b"key"),
        object(2, 1, b"delta"),
        object(3, 0, b"key"),
        object(3, 1, b"delta"),
    ];
    assert_eq!(hall.fetched(viewer, 4), (expected, DONE));
    assert!(hall.live(viewer).is_empty());
    hall.group(publisher, 1, 4, &[b"new"]);
    assert_eq!(hall.live(viewer), [(4, 0, b"new".to_vec())]);
    hall.ends_empty(&[publisher, viewer]);
}

#[test]
fn what_a_fill_brings_does_not_come_live_as_well() {
    let (mut hall, _) = stocked(Config::default());
    let viewer = hall.client();
    let params = Parameters {
        location_filter: Some(LocationFilter::Relative { groups_back: 1 }),
        fill: Some(Box::default()),
        ..Parameters::default()
    };
    hall.subscribe(viewer, 0, &video(), params);
    let expected = vec![object(3, 0, b"key"), object(3, 1, b"delta")];
    assert_eq!(hall.fetched(viewer, 0), (expected, DONE));
    assert!(hall.live(viewer).is_empty());
}

#[test]
fn an_update_with_fill_parameters_opens_a_stream_under_its_own_id() {
    let (mut hall, _) = stocked(Config::default());
    let viewer = hall.client();
    let next = Parameters {
        location_filter: Some(LocationFilter::NextObject),
        ..Parameters::default()
    };
    hall.subscribe(viewer, 0, &video(), next);
    assert!(!hall.has_fetch_stream(viewer, 0));
    let fill = FillParameters {
        location_filter: groups(1, 2).location_filter,
        group_order: Some(GroupOrder::Descending),
        ..FillParameters::default()
    };
    let params = Parameters {
        fill: Some(Box::new(fill)),
        ..Parameters::default()
    };
    hall.update(viewer, 0, 2, params);
    let (items, end) = hall.fetched_as(viewer, 2, Draft::D22, GroupOrder::Descending);
    let expected = [
        object(2, 0, b"key"),
        object(2, 1, b"delta"),
        object(1, 0, b"key"),
        object(1, 1, b"delta"),
    ];
    assert_eq!(items, expected);
    assert_eq!(end, DONE);
}

#[test]
fn a_paused_subscription_opens_no_fill() {
    let (mut hall, _) = stocked(Config::default());
    let viewer = hall.client();
    let params = Parameters {
        forward: Some(false),
        ..filled(2)
    };
    hall.subscribe(viewer, 0, &video(), params);
    let resumed = Parameters {
        forward: Some(true),
        ..Parameters::default()
    };
    hall.update(viewer, 0, 2, resumed);
    assert!(!hall.has_fetch_stream(viewer, 0) && !hall.has_fetch_stream(viewer, 2));
}

#[test]
fn a_fill_of_nothing_opens_no_stream() {
    let (mut hall, _) = stocked(Config::default());
    let viewer = hall.client();
    hall.subscribe(viewer, 0, &video(), filled(0));
    assert!(!hall.has_fetch_stream(viewer, 0));
}

#[test]
fn a_fill_waits_for_its_subscription_and_ends_with_it() {
    let mut hall = Hall::new();
    let parent = hall.session(Role::Parent);
    let viewer = hall.client();
    hall.subscribe(viewer, 0, &video(), filled(2));
    let (request, _) = hall.only_request();
    assert!(!hall.has_fetch_stream(viewer, 0));
    hall.answer(request, subscribe_ok(1, Some(Location::new(5, 0))));
    let requests = hall.requests();
    let [((session, _), Message::Fetch(fetch))] = &requests[..] else {
        panic!("not one FETCH: {requests:?}");
    };
    assert_eq!(*session, parent);
    let missing = LocationFilter::Absolute {
        start: Location::new(4, 0),
        end_group: Some(5),
        end_object: Some(0),
    };
    assert_eq!(fetch.params.location_filter, Some(missing));
    hall.cancel(viewer, 0);
    assert_eq!(hall.fetched(viewer, 0).1, reset(ResetCode::CANCELLED));
    hall.ends_empty(&[parent, viewer]);
}

#[test]
fn a_fill_beyond_the_limit_fails_by_a_reset_and_the_subscription_goes_on() {
    let config = Config {
        fetches_per_session: 0,
        ..Config::default()
    };
    let (mut hall, publisher) = stocked(config);
    let viewer = hall.client();
    hall.subscribe(viewer, 0, &video(), filled(2));
    assert_eq!(hall.fetched(viewer, 0).1, reset(ResetCode::EXCESSIVE_LOAD));
    hall.group(publisher, 1, 4, &[b"new"]);
    hall.wait(MS);
    assert_eq!(hall.live(viewer), [(4, 0, b"new".to_vec())]);
}
