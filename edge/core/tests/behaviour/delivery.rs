//! From a publisher's stream to every subscriber's.

use crate::common::{Wire, priority};
use crate::stage::{Stage, audio, forward, video};
use bytes::Bytes;
use meridian_relay::{End, SessionId};
use meridian_wire::data::{Datagram, ObjectDatagram, ObjectStatus, SubgroupHeader, SubgroupId};
use meridian_wire::param::{FilterSubject, RangeFilter};
use meridian_wire::{Location, LocationFilter, Parameters};

#[test]
fn one_object_goes_to_every_subscriber_as_one_delivery_of_the_same_bytes() {
    let mut stage = Stage::new();
    let publisher = stage.publisher(&audio(), priority(16));
    let subscribers: Vec<SessionId> = (0..50).map(|_| stage.client()).collect();
    for subscriber in &subscribers {
        stage.subscribe(*subscriber, 0, &audio());
    }
    let wire = Wire::group(1, 7).object(0, b"twenty milliseconds").build();
    let payload_at = wire.as_ptr() as usize + wire.len() - b"twenty milliseconds".len();
    let stream = stage.open(publisher);
    stage.finish(stream, wire);

    let deliveries = stage.deliveries();
    assert_eq!(deliveries.len(), subscribers.len());
    for delivery in &deliveries {
        assert_eq!(delivery.end, End::Finish(None));
        let [slice] = delivery.body.slices() else {
            panic!("one slice, as it came")
        };
        let end = slice.as_ptr() as usize + slice.len() - b"twenty milliseconds".len();
        assert_eq!(end, payload_at, "the publisher's own bytes");
        let header = &delivery.open.as_ref().expect("a new stream").header;
        let first = &deliveries[0].open.as_ref().expect("a new stream").header;
        assert_eq!(header.as_ptr(), first.as_ptr(), "one header for all");
    }
    for subscriber in &subscribers {
        assert_eq!(
            stage.objects(*subscriber),
            [(7, 0, b"twenty milliseconds".to_vec())]
        );
    }
    let counters = stage.relay.counters();
    assert_eq!((counters.objects_in, counters.objects_out), (1, 50));
    assert_eq!(counters.bytes_out, counters.bytes_in * 50);
    assert_eq!(counters.drops.iter().sum::<u64>(), 0);
}

#[test]
fn an_object_leaves_before_it_is_whole() {
    let mut stage = Stage::new();
    let publisher = stage.publisher(&video(), priority(160));
    let viewer = stage.client();
    stage.subscribe(viewer, 0, &video());
    let stream = stage.open(publisher);
    let mut wire = Wire::group(1, 3).head(0, 8, &[]).raw(b"half");
    stage.feed(stream, wire.take());
    let first = stage.deliveries();
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].end, End::Open);
    assert_eq!(stage.objects(viewer), [(3, 0, b"half".to_vec())]);

    let rest = Bytes::from_static(b"more");
    stage.feed(stream, rest.clone());
    let second = stage.deliveries();
    assert_eq!(second[0].body.slices()[0].as_ptr(), rest.as_ptr());
    assert_eq!(stage.objects(viewer), [(3, 0, b"halfmore".to_vec())]);

    stage.finish(stream, Wire::group(1, 3).take().slice(..0));
    let third = stage.deliveries();
    assert_eq!((third[0].body.len(), third[0].end), (0, End::Finish(None)));
}

#[test]
fn a_head_cut_anywhere_arrives_all_the_same() {
    let bytes = Wire::group(1, 300)
        .object(0, b"key")
        .object(4, b"")
        .object(300, &[7; 300])
        .build();
    for cut in 0..bytes.len() {
        let mut stage = Stage::new();
        let publisher = stage.publisher(&video(), priority(160));
        let viewer = stage.client();
        stage.subscribe(viewer, 0, &video());
        let stream = stage.open(publisher);
        stage.feed(stream, bytes.slice(..cut));
        stage.settle();
        stage.finish(stream, bytes.slice(cut..));
        stage.settle();
        let expected = [
            (300, 0, b"key".to_vec()),
            (300, 4, vec![]),
            (300, 300, vec![7; 300]),
        ];
        assert_eq!(stage.objects(viewer), expected, "cut at {cut}");
        assert!(matches!(stage.got(viewer)[0].end, Some(End::Finish(_))));
    }
}

#[test]
fn a_stream_keeps_its_header_but_for_the_alias() {
    let mut stage = Stage::new();
    let publisher = stage.publisher(&video(), priority(160));
    let viewer = stage.client();
    stage.subscribe(viewer, 0, &video());
    let header = SubgroupHeader {
        track_alias: 1,
        group: 9,
        subgroup: SubgroupId::Explicit(2),
        priority: Some(5),
        has_properties: true,
        end_of_group: true,
        first_object: true,
    };
    let stream = stage.open(publisher);
    let bytes = Wire::new(header).head(3, 2, &[0x10, 1]).raw(b"ab").build();
    stage.finish(stream, bytes);
    stage.settle();
    let got = stage.got(viewer);
    let seen = got[0].reader.header.expect("it has begun");
    assert_eq!(
        SubgroupHeader {
            track_alias: 1,
            ..seen
        },
        header
    );
    assert_eq!(got[0].reader.properties[0][..], [0x10, 1]);
    assert_eq!(got[0].priority, -(128 * 256 + 5));
}

#[test]
fn every_subscription_of_a_session_gets_the_object_once() {
    let mut stage = Stage::new();
    let publisher = stage.publisher(&audio(), priority(16));
    let viewer = stage.client();
    stage.subscribe(viewer, 0, &audio());
    stage.subscribe(viewer, 2, &audio());
    stage.send(publisher, 1, 1, b"a");
    assert_eq!(stage.settle().len(), 2);
}

#[test]
fn a_publisher_may_subscribe_to_its_own_track() {
    let mut stage = Stage::new();
    let publisher = stage.publisher(&audio(), priority(16));
    stage.subscribe(publisher, 0, &audio());
    stage.send(publisher, 1, 1, b"a");
    stage.settle();
    assert_eq!(stage.objects(publisher), [(1, 0, b"a".to_vec())]);
}

#[test]
fn a_paused_subscription_gets_nothing_until_it_goes_on_and_then_the_next_object() {
    let mut stage = Stage::new();
    let publisher = stage.publisher(&audio(), priority(16));
    let viewer = stage.client();
    stage.subscribe_with(viewer, 0, &audio(), forward(false));
    stage.send(publisher, 1, 1, b"a");
    assert!(stage.settle().is_empty());
    stage.update(viewer, 0, forward(true));
    assert!(stage.settle().is_empty(), "what was missed is not made up");
    stage.send(publisher, 1, 2, b"b");
    stage.settle();
    stage.update(viewer, 0, forward(false));
    stage.send(publisher, 1, 3, b"c");
    stage.settle();
    assert_eq!(stage.objects(viewer), [(2, 0, b"b".to_vec())]);
}

#[test]
fn pausing_resets_a_stream_in_progress_and_going_on_opens_another_in_the_middle() {
    let mut stage = Stage::new();
    let publisher = stage.publisher(&video(), priority(160));
    let viewer = stage.client();
    stage.subscribe(viewer, 0, &video());
    let stream = stage.open(publisher);
    let mut wire = Wire::group(1, 3).object(0, b"key");
    stage.feed(stream, wire.take());
    stage.settle();
    stage.update(viewer, 0, forward(false));
    stage.settle();
    let mut wire = wire.object(1, b"one");
    stage.feed(stream, wire.take());
    stage.settle();
    stage.update(viewer, 0, forward(true));
    stage.finish(stream, wire.object(2, b"two").take());
    stage.settle();
    let got = stage.got(viewer);
    assert!(matches!(got[0].end, Some(End::Reset(_))));
    assert_eq!(got[1].reader.objects, [(2, b"two".to_vec())]);
    let header = got[1].reader.header.expect("it has begun");
    assert!(!header.first_object);
    assert_eq!(header.subgroup, SubgroupId::Explicit(0));
    assert_eq!(got[1].end, Some(End::Finish(None)));
}

#[test]
fn range_filters_leave_out_what_does_not_pass() {
    let mut stage = Stage::new();
    let publisher = stage.publisher(&video(), priority(160));
    let viewer = stage.client();
    let even = RangeFilter {
        subject: FilterSubject::ObjectId,
        set: 0,
        ranges: vec![(1, Some(1)), (4, Some(5))],
    };
    let params = Parameters {
        range_filters: vec![even],
        ..Parameters::default()
    };
    stage.subscribe_with(viewer, 0, &video(), params);
    let stream = stage.open(publisher);
    let mut wire = Wire::group(1, 3);
    for id in 0..8 {
        wire = wire.object(id, &[id as u8; 10]);
        stage.feed(stream, wire.take());
        stage.settle();
    }
    stage.finish(stream, Bytes::new());
    stage.settle();
    let expected = [1, 4, 5].map(|id| (3, id, vec![id as u8; 10]));
    assert_eq!(stage.objects(viewer), expected);
    let got = stage.got(viewer);
    assert_eq!(got.len(), 1);
    assert_eq!(got[0].end, Some(End::Finish(None)));
    assert_eq!(stage.relay.counters().objects_out, 3);
    assert_eq!(stage.relay.counters().drops.iter().sum::<u64>(), 0);
}

#[test]
fn an_absolute_range_starts_and_ends_where_it_says() {
    let mut stage = Stage::new();
    let publisher = stage.publisher(&video(), priority(160));
    let viewer = stage.client();
    let filter = LocationFilter::Absolute {
        start: Location::new(2, 1),
        end_group: Some(4),
        end_object: Some(1),
    };
    stage.filtered(viewer, 0, &video(), filter);
    for group in 0..7 {
        let stream = stage.open(publisher);
        let wire = Wire::group(1, group)
            .object(0, b"a")
            .object(1, b"b")
            .object(2, b"c");
        stage.finish(stream, wire.build());
        stage.settle();
    }
    let places: Vec<(u64, u64)> = stage
        .objects(viewer)
        .iter()
        .map(|(group, object, _)| (*group, *object))
        .collect();
    let expected = [(2, 1), (2, 2), (3, 0), (3, 1), (3, 2), (4, 0), (4, 1)];
    assert_eq!(places, expected);
    for stream in stage.got(viewer) {
        assert_eq!(stream.end, Some(End::Finish(None)));
    }
}

#[test]
fn objects_that_come_before_their_alias_is_named_wait_for_it() {
    let mut stage = Stage::new();
    let publisher = stage.client();
    let viewer = stage.client();
    stage.subscribe_with(viewer, 0, &audio(), crate::stage::rendezvous(5000));
    let filter = Parameters {
        location_filter: Some(LocationFilter::Relative { groups_back: 5 }),
        ..Parameters::default()
    };
    stage.update(viewer, 0, filter);
    stage.send(publisher, 1, 6, b"early");
    let stream = stage.open(publisher);
    let mut wire = Wire::group(1, 7).head(0, 6, &[]).raw(b"fir");
    stage.feed(stream, wire.take());
    stage.feed(stream, Bytes::from_static(b"st"));
    assert!(stage.settle().is_empty());
    stage.publish(publisher, 1, &audio(), priority(16));
    stage.settle();
    stage.finish(stream, Bytes::from_static(b"!"));
    stage.settle();
    let expected = [(6, 0, b"early".to_vec()), (7, 0, b"first!".to_vec())];
    assert_eq!(stage.objects(viewer), expected);
    stage.ends_empty(&[publisher, viewer]);
}

#[test]
fn a_datagram_goes_to_every_subscriber_with_our_alias() {
    let mut stage = Stage::new();
    let publisher = stage.client();
    stage.publish(publisher, 77, &audio(), priority(16));
    let viewers = [stage.client(), stage.client()];
    for viewer in viewers {
        stage.subscribe(viewer, 0, &audio());
    }
    let object = ObjectDatagram {
        track_alias: 77,
        group: 5,
        object: 0,
        priority: Some(16),
        properties: None,
        end_of_group: false,
        status: ObjectStatus::Normal,
        payload: Bytes::from_static(b"frame"),
    };
    stage
        .relay
        .handle_datagram(publisher, object.clone(), stage.now);
    stage.relay.handle_datagram(publisher, object, stage.now);
    assert!(stage.deliveries().is_empty());
    assert_eq!(stage.datagrams.len(), 2);
    assert_eq!(stage.datagrams[0].1.as_ptr(), stage.datagrams[1].1.as_ptr());
    let Ok(Datagram::Object(got)) = Datagram::decode(stage.datagrams[0].1.clone()) else {
        panic!("an object")
    };
    assert_eq!((got.group, &got.payload[..]), (5, &b"frame"[..]));
    assert_ne!(got.track_alias, 77);
    let counters = stage.relay.counters();
    assert_eq!((counters.objects_in, counters.objects_out), (1, 2));
    assert_eq!(counters.duplicates, 1);
    stage.relay.handle_datagram_dropped();
    assert_eq!(stage.relay.counters().objects_out, 1);
}

#[test]
fn an_update_of_the_priority_reaches_open_streams() {
    let mut stage = Stage::new();
    let publisher = stage.publisher(&video(), priority(160));
    let viewer = stage.client();
    stage.subscribe(viewer, 0, &video());
    let stream = stage.open(publisher);
    stage.feed(stream, Wire::group(1, 3).object(0, b"key").build());
    stage.settle();
    let params = Parameters {
        subscriber_priority: Some(10),
        ..Parameters::default()
    };
    stage.update(viewer, 0, params);
    stage.settle();
    let id = stage.got(viewer)[0].id;
    assert_eq!(stage.priorities, [(id, -(10 * 256 + 160))]);
}
