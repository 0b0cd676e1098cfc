//! Where a subscriber starts.

use crate::common::{Wire, priority};
use crate::stage::{MS, Stage, audio, video};
use meridian_relay::{Config, End};
use meridian_wire::data::{SubgroupHeader, SubgroupId};
use meridian_wire::{Location, LocationFilter, Message};

#[test]
fn a_viewer_starts_with_the_newest_group_from_the_cache() {
    let mut stage = Stage::new();
    let publisher = stage.publisher(&video(), priority(160));
    let old = stage.open(publisher);
    stage.finish(old, Wire::group(1, 3).object(0, b"old").build());
    let stream = stage.open(publisher);
    let mut wire = Wire::group(1, 4).object(0, b"key").object(1, b"one");
    stage.feed(stream, wire.take());
    let viewer = stage.client();
    stage.subscribe(viewer, 0, &video());
    stage.settle();
    stage.finish(stream, wire.object(2, b"two").take());
    stage.settle();
    let expected = [
        (4, 0, b"key".to_vec()),
        (4, 1, b"one".to_vec()),
        (4, 2, b"two".to_vec()),
    ];
    assert_eq!(stage.objects(viewer), expected);
    let got = stage.got(viewer);
    assert_eq!(got.len(), 1);
    assert!(got[0].reader.header.expect("begun").first_object);
    assert_eq!(got[0].end, Some(End::Finish(None)));
}

#[test]
fn a_listener_starts_with_the_next_object() {
    let mut stage = Stage::new();
    let publisher = stage.publisher(&audio(), priority(16));
    stage.send(publisher, 1, 1, b"a");
    let listener = stage.client();
    stage.filtered(listener, 0, &audio(), LocationFilter::NextObject);
    let Some((_, _, Message::SubscribeOk(ok))) = stage.responses().pop() else {
        panic!("accepted")
    };
    assert_eq!(ok.params.largest_object, Some(Location::new(1, 0)));
    assert!(stage.settle().is_empty());
    stage.send(publisher, 1, 2, b"b");
    stage.settle();
    assert_eq!(stage.objects(listener), [(2, 0, b"b".to_vec())]);
}

#[test]
fn the_next_object_in_the_middle_of_a_group_has_a_head_of_its_own() {
    let mut stage = Stage::new();
    let publisher = stage.publisher(&video(), priority(160));
    let header = SubgroupHeader {
        track_alias: 1,
        group: 4,
        subgroup: SubgroupId::FirstObject,
        priority: None,
        has_properties: true,
        end_of_group: false,
        first_object: true,
    };
    let stream = stage.open(publisher);
    let mut wire = Wire::new(header).head(2, 1, &[0x10, 1]).raw(b"a");
    // The second object is half there when the viewer comes: it is not the next one any more.
    let mut wire = {
        stage.feed(stream, wire.take());
        wire.head(5, 4, &[0x10, 2]).raw(b"bb")
    };
    stage.feed(stream, wire.take());
    let viewer = stage.client();
    stage.filtered(viewer, 0, &video(), LocationFilter::NextObject);
    stage.settle();
    stage.feed(stream, bytes::Bytes::from_static(b"bb"));
    stage.settle();
    let mut wire = wire.head(9, 1, &[0x10, 3]).raw(b"c");
    stage.feed(stream, wire.take());
    stage.settle();
    stage.finish(stream, wire.head(10, 1, &[0x10, 4]).raw(b"d").take());
    stage.settle();
    let expected = [(4, 9, b"c".to_vec()), (4, 10, b"d".to_vec())];
    assert_eq!(stage.objects(viewer), expected);
    let got = stage.got(viewer);
    let seen = got[0].reader.header.expect("begun");
    assert!(!seen.first_object);
    assert_eq!(seen.subgroup, SubgroupId::Explicit(2));
    assert_eq!(got[0].reader.properties[0][..], [0x10, 3]);
}

#[test]
fn an_old_catalog_is_still_there_for_who_joins_late() {
    let mut stage = Stage::new();
    let publisher = stage.publisher(&video(), priority(48));
    stage.send(publisher, 1, 1, b"catalog");
    stage.wait(20_000 * MS);
    let viewer = stage.client();
    stage.subscribe(viewer, 0, &video());
    stage.settle();
    assert_eq!(stage.objects(viewer), [(1, 0, b"catalog".to_vec())]);
}

#[test]
fn a_viewer_of_a_long_group_gets_all_of_it() {
    let mut stage = Stage::new();
    let publisher = stage.publisher(&video(), priority(160));
    let stream = stage.open(publisher);
    let mut wire = Wire::group(1, 4).object(0, b"key");
    stage.feed(stream, wire.take());
    stage.wait(4000 * MS);
    let mut wire = wire.object(1, b"one");
    stage.feed(stream, wire.take());
    let viewer = stage.client();
    stage.subscribe(viewer, 0, &video());
    stage.settle();
    assert_eq!(
        stage.objects(viewer),
        [(4, 0, b"key".to_vec()), (4, 1, b"one".to_vec())]
    );
}

#[test]
fn a_cached_object_older_than_the_publishers_own_timeout_is_not_sent() {
    let mut stage = Stage::new();
    let properties = meridian_wire::property::Properties::builder()
        .default_publisher_priority(160)
        .object_delivery_timeout(500)
        .build()
        .expect("numbers");
    let publisher = stage.publisher(&video(), properties);
    stage.send(publisher, 1, 1, b"old");
    stage.wait(600 * MS);
    let viewer = stage.client();
    stage.subscribe(viewer, 0, &video());
    assert!(stage.settle().is_empty());
    let expired = meridian_relay::DropReason::Expired;
    assert_eq!(stage.relay.counters().dropped(expired), 1);
}

#[test]
fn what_the_cache_has_let_go_is_not_missed_by_who_starts_behind_it() {
    let config = Config {
        track_cache_groups: 3,
        ..Config::default()
    };
    let mut stage = Stage::with(config);
    let publisher = stage.publisher(&audio(), priority(16));
    for group in 0..10 {
        stage.send(publisher, 1, group, b"a");
    }
    assert_eq!(stage.relay.counters().evicted_groups, 7);
    let viewer = stage.client();
    stage.filtered(
        viewer,
        0,
        &audio(),
        LocationFilter::Relative { groups_back: 8 },
    );
    stage.settle();
    let groups: Vec<u64> = stage.objects(viewer).iter().map(|o| o.0).collect();
    assert_eq!(groups, [7, 8, 9]);
}

#[test]
fn one_endless_group_does_not_grow_the_cache_without_end() {
    let config = Config {
        track_cache_bytes: 64 << 10,
        ..Config::default()
    };
    let mut stage = Stage::with(config);
    let publisher = stage.publisher(&video(), priority(160));
    let viewer = stage.client();
    stage.subscribe(viewer, 0, &video());
    let stream = stage.open(publisher);
    let mut wire = Wire::group(1, 0);
    for id in 0..1000 {
        wire = wire.object(id, &[id as u8; 1000]);
        stage.feed(stream, wire.take());
        stage.settle();
        assert!(stage.relay.cached_bytes() <= 80 << 10);
    }
    assert_eq!(stage.objects(viewer).len(), 1000);
    assert_eq!(stage.got(viewer).len(), 1);
    let late = stage.client();
    stage.subscribe(late, 0, &video());
    stage.settle();
    stage.finish(stream, wire.object(1000, b"last").take());
    stage.settle();
    let objects = stage.objects(late);
    let first = objects.first().expect("something is cached").1;
    assert!(first > 900, "{first}");
    assert_eq!(objects.len() as u64, 1001 - first);
    let header = stage.got(late)[0].reader.header.expect("begun");
    assert!(!header.first_object);
    stage.ends_empty(&[publisher, viewer, late]);
}

#[test]
fn the_caches_together_keep_within_their_limit() {
    let config = Config {
        cache_bytes: 100 << 10,
        ..Config::default()
    };
    let mut stage = Stage::with(config);
    let mut publishers = Vec::new();
    for n in 0..10 {
        let track = crate::common::name("ana", &format!("video-{n}"));
        let publisher = stage.publisher(&track, priority(160));
        for group in 0..20 {
            stage.send(publisher, 1, group, &[0; 1000]);
        }
        publishers.push(publisher);
    }
    assert!(stage.relay.cached_bytes() <= 100 << 10);
    stage.ends_empty(&publishers);
}
