//! FETCH from what is held.

use crate::common::{Wire, name, priority};
use crate::hall::{DONE, Hall, Item, MS, groups, object, reset};
use meridian_relay::Config;
use meridian_wire::control::Fetch;
use meridian_wire::data::{RangeGap, SubgroupHeader, SubgroupId};
use meridian_wire::property::Properties;
use meridian_wire::{
    Draft, FetchFilter, FullTrackName, GroupOrder, Location, LocationFilter, Message, Parameters,
    RequestErrorCode, ResetCode,
};

fn video() -> FullTrackName {
    name("ana", "video-high")
}

/// A track of groups 1 to 3 with two objects each.
fn stocked() -> (Hall, meridian_relay::SessionId) {
    let mut hall = Hall::new();
    let publisher = hall.client();
    hall.publish(publisher, 1, &video(), priority(160));
    for group in 1..=3 {
        hall.group(publisher, 1, group, &[b"key", b"delta"]);
    }
    hall.commands();
    (hall, publisher)
}

#[test]
fn what_is_cached_is_fetched_in_order_without_asking_anybody() {
    let (mut hall, publisher) = stocked();
    let viewer = hall.client();
    hall.fetch(viewer, 0, &video(), groups(2, 9));
    let ok = hall.fetch_ok();
    assert_eq!(ok.end, Location::new(3, 1));
    assert!(!ok.end_of_track);
    assert_eq!(ok.properties, priority(160));
    let (items, end) = hall.fetched(viewer, 0);
    let expected = [
        object(2, 0, b"key"),
        object(2, 1, b"delta"),
        object(3, 0, b"key"),
        object(3, 1, b"delta"),
    ];
    assert_eq!(items, expected);
    assert_eq!(end, DONE);
    hall.ends_empty(&[publisher, viewer]);
}

#[test]
fn a_fetch_of_a_whole_group_ends_at_its_last_object_if_that_is_known() {
    let (mut hall, publisher) = stocked();
    let viewer = hall.client();
    hall.fetch(viewer, 0, &video(), groups(1, 2));
    assert_eq!(hall.fetch_ok().end, Location::new(2, 1));
    let after_all = Parameters {
        location_filter: Some(LocationFilter::Absolute {
            start: Location::new(2, 7),
            end_group: Some(2),
            end_object: None,
        }),
        ..Parameters::default()
    };
    hall.fetch(viewer, 2, &video(), after_all);
    assert_eq!(hall.fetch_ok().end, Location::new(2, 7));
    assert_eq!(hall.fetched(viewer, 2), (Vec::new(), DONE));
    hall.ends_empty(&[publisher, viewer]);
}

#[test]
fn groups_come_in_descending_order_if_asked_for() {
    let (mut hall, _) = stocked();
    let viewer = hall.client();
    let params = Parameters {
        group_order: Some(GroupOrder::Descending),
        ..groups(1, 3)
    };
    hall.fetch(viewer, 0, &video(), params);
    let (items, end) = hall.fetched_as(viewer, 0, Draft::D22, GroupOrder::Descending);
    let places: Vec<_> = items.iter().map(place).collect();
    assert_eq!(places, [(3, 0), (3, 1), (2, 0), (2, 1), (1, 0), (1, 1)]);
    assert_eq!(end, DONE);
}

#[test]
fn objects_of_several_subgroups_come_in_the_order_of_their_ids() {
    let mut hall = Hall::new();
    let publisher = hall.client();
    hall.publish(publisher, 1, &video(), priority(160));
    for (subgroup, ids) in [(0, [0, 2]), (1, [1, 3])] {
        let header = SubgroupHeader {
            track_alias: 1,
            group: 5,
            subgroup: SubgroupId::Explicit(subgroup),
            priority: None,
            has_properties: false,
            end_of_group: subgroup == 1,
            first_object: true,
        };
        let wire = ids
            .iter()
            .fold(Wire::new(header), |wire, id| wire.object(*id, &[*id as u8]));
        let stream = hall.open(publisher);
        hall.feed(stream, wire.build(), true);
    }
    let viewer = hall.client();
    hall.fetch(viewer, 0, &video(), groups(5, 5));
    let (items, _) = hall.fetched(viewer, 0);
    let expected: Vec<Item> = (0..4).map(|id| object(5, id, &[id as u8])).collect();
    assert_eq!(items, expected);
}

#[test]
fn an_object_that_is_still_coming_in_is_passed_on_as_it_comes() {
    let mut hall = Hall::new();
    let publisher = hall.client();
    hall.publish(publisher, 1, &video(), priority(160));
    let stream = hall.open(publisher);
    let mut wire = Wire::group(1, 4).head(0, 6, &[]).raw(b"abc");
    hall.feed(stream, wire.take(), false);
    let viewer = hall.client();
    hall.fetch(viewer, 0, &video(), groups(4, 4));
    let (items, end) = hall.fetched(viewer, 0);
    assert_eq!(items, [object(4, 0, b"abc")]);
    assert_ne!(end, DONE);
    hall.feed(stream, bytes::Bytes::from_static(b"def"), true);
    hall.wait(10 * MS);
    let (items, end) = hall.fetched(viewer, 0);
    assert_eq!(items, [object(4, 0, b"abcdef")]);
    assert_eq!(end, DONE);
}

#[test]
fn a_range_beyond_what_was_published_is_invalid() {
    let (mut hall, _) = stocked();
    let viewer = hall.client();
    hall.commands();
    hall.fetch(viewer, 0, &video(), groups(4, 9));
    assert_eq!(hall.error(), RequestErrorCode::INVALID_RANGE);
    let next = Parameters {
        location_filter: Some(LocationFilter::NextObject),
        ..Parameters::default()
    };
    hall.fetch(viewer, 2, &video(), next);
    assert_eq!(hall.error(), RequestErrorCode::INVALID_RANGE);
    hall.fetch(viewer, 4, &name("bo", "video-high"), groups(0, 1));
    assert_eq!(hall.error(), RequestErrorCode::DOES_NOT_EXIST);
    let empty = hall.client();
    hall.publish(empty, 1, &name("cy", "video-high"), priority(160));
    hall.commands();
    hall.fetch(viewer, 6, &name("cy", "video-high"), groups(0, 1));
    assert_eq!(hall.error(), RequestErrorCode::INVALID_RANGE);
}

#[test]
fn a_range_filter_applies_to_fetched_objects() {
    use meridian_wire::param::{FilterSubject, RangeFilter};
    let (mut hall, _) = stocked();
    let viewer = hall.client();
    let params = Parameters {
        range_filters: vec![RangeFilter {
            subject: FilterSubject::ObjectId,
            set: 0,
            ranges: vec![(0, Some(0))],
        }],
        include_properties: Some(false),
        ..groups(1, 3)
    };
    hall.fetch(viewer, 0, &video(), params);
    assert!(hall.fetch_ok().properties.is_empty());
    let (items, _) = hall.fetched(viewer, 0);
    let places: Vec<_> = items.iter().map(place).collect();
    assert_eq!(places, [(1, 0), (2, 0), (3, 0)]);
}

#[test]
fn a_cancelled_fetch_resets_its_stream() {
    let (mut hall, publisher) = stocked();
    let viewer = hall.client();
    hall.stuck.push(viewer);
    hall.fetch(viewer, 0, &video(), groups(1, 3));
    hall.cancel(viewer, 0);
    assert_eq!(hall.fetched(viewer, 0).1, reset(ResetCode::CANCELLED));
    hall.ends_empty(&[publisher, viewer]);
}

#[test]
fn a_slow_subscriber_gets_one_delivery_at_a_time_and_all_of_it() {
    let mut hall = Hall::new();
    let publisher = hall.client();
    hall.publish(publisher, 1, &video(), priority(160));
    let large = vec![7; 20_000];
    for group in 1..=3 {
        hall.group(publisher, 1, group, &[&large]);
    }
    let viewer = hall.client();
    hall.stuck.push(viewer);
    hall.fetch(viewer, 0, &video(), groups(1, 3));
    for taken in 0..=3 {
        assert_eq!(hall.fetched(viewer, 0).0.len(), taken);
        hall.take_one(viewer);
    }
    assert_eq!(hall.fetched(viewer, 0).1, DONE);
}

#[test]
fn an_expired_object_is_not_served_from_the_cache() {
    let mut hall = Hall::new();
    let publisher = hall.client();
    let properties = Properties::builder().max_cache_duration(1000).build();
    hall.publish(publisher, 1, &video(), properties.expect("a number"));
    hall.group(publisher, 1, 1, &[b"old"]);
    hall.wait(900 * MS);
    hall.group(publisher, 1, 2, &[b"young"]);
    hall.wait(200 * MS);
    let viewer = hall.client();
    let params = Parameters {
        fill_timeout: Some(0),
        ..groups(1, 2)
    };
    hall.fetch(viewer, 0, &video(), params);
    let (items, end) = hall.fetched(viewer, 0);
    let gap = Item::Gap(RangeGap::TimedOut, 1, 0);
    assert_eq!(items, [gap, object(2, 0, b"young")]);
    assert_eq!(end, DONE);
}

#[test]
fn draft_18_joins_a_subscription_up_to_where_it_began() {
    let (mut hall, publisher) = stocked();
    let viewer = hall.speaking(Draft::D18);
    let next = Parameters {
        location_filter: Some(LocationFilter::NextObject),
        ..Parameters::default()
    };
    hall.subscribe(viewer, 0, &video(), next);
    hall.group(publisher, 1, 4, &[b"key"]);
    hall.commands();
    let join = |id, filter| {
        Message::Fetch(Fetch {
            request_id: id,
            track: None,
            filter,
            params: Parameters::default(),
        })
    };
    let back = FetchFilter::RelativeJoining {
        request_id: 0,
        groups_back: 1,
    };
    hall.request(viewer, join(2, back));
    assert_eq!(hall.fetch_ok().end, Location::new(3, 1));
    let (items, end) = hall.fetched_as(viewer, 2, Draft::D18, GroupOrder::Ascending);
    let places: Vec<_> = items.iter().map(place).collect();
    assert_eq!(places, [(2, 0), (2, 1), (3, 0), (3, 1)]);
    assert_eq!(end, DONE);
    assert_eq!(hall.live(viewer), [(4, 0, b"key".to_vec())]);
    let nowhere = FetchFilter::AbsoluteJoining {
        request_id: 8,
        start_group: 1,
    };
    hall.request(viewer, join(4, nowhere));
    assert_eq!(hall.error(), RequestErrorCode::INVALID_JOINING_REQUEST_ID);
}

#[test]
fn a_session_may_have_so_many_fetches_and_no_more() {
    let config = Config {
        fetches_per_session: 1,
        ..Config::default()
    };
    let mut hall = Hall::with(config);
    let publisher = hall.client();
    hall.publish(publisher, 1, &video(), priority(160));
    hall.group(publisher, 1, 1, &[b"key"]);
    let viewer = hall.client();
    hall.stuck.push(viewer);
    hall.fetch(viewer, 0, &video(), groups(1, 1));
    hall.commands();
    hall.fetch(viewer, 2, &video(), groups(1, 1));
    assert_eq!(hall.error(), RequestErrorCode::EXCESSIVE_LOAD);
}

pub(crate) fn place(item: &Item) -> (u64, u64) {
    match item {
        Item::Object(group, object, _) | Item::Gap(_, group, object) => (*group, *object),
    }
}

#[test]
fn a_fetch_is_as_urgent_as_its_request_says_and_may_be_made_more_so() {
    let (mut hall, _) = stocked();
    let viewer = hall.client();
    hall.stuck.push(viewer);
    let params = Parameters {
        subscriber_priority: Some(3),
        ..groups(1, 3)
    };
    hall.fetch(viewer, 0, &video(), params);
    let priorities: Vec<i32> = hall.streams.values().map(|out| out.priority).collect();
    assert_eq!(priorities, [-(3 * 256 + 160)]);
    hall.commands();
    let more = Parameters {
        subscriber_priority: Some(1),
        ..Parameters::default()
    };
    hall.update(viewer, 0, 2, more);
    assert!(matches!(
        hall.responses()[..],
        [(_, 0, Message::RequestOk(_))]
    ));
}
