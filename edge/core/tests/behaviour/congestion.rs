//! Slow, stalled and credit-less subscribers.

use crate::common::{Wire, name, priority};
use crate::stage::{MS, Stage, audio, video};
use bytes::Bytes;
use meridian_relay::{Config, DropReason, End, SessionId};
use meridian_wire::property::Properties;
use meridian_wire::{FullTrackName, Parameters, ResetCode};

fn viewer(stage: &mut Stage, track: &FullTrackName) -> SessionId {
    let viewer = stage.client();
    stage.subscribe(viewer, 0, track);
    viewer
}

fn dropped(stage: &Stage) -> Vec<(DropReason, u64)> {
    let counters = stage.relay.counters();
    let count = |reason: &DropReason| (*reason, counters.dropped(*reason));
    DropReason::ALL
        .iter()
        .map(count)
        .filter(|(_, n)| *n > 0)
        .collect()
}

#[test]
fn a_blocked_stream_is_given_nothing_until_it_is_writable_and_then_the_rest() {
    let mut stage = Stage::new();
    let publisher = stage.publisher(&video(), priority(160));
    let slow = viewer(&mut stage, &video());
    let fast = viewer(&mut stage, &video());
    let stream = stage.open(publisher);
    let mut wire = Wire::group(1, 1).object(0, b"key");
    stage.feed(stream, wire.take());
    let first = stage.deliveries();
    let blocked = first
        .iter()
        .find(|delivery| delivery.session == slow)
        .expect("both get it")
        .stream;
    stage.relay.handle_blocked(blocked, stage.now);
    for id in 1..5 {
        wire = wire.object(id, &[id as u8; 4]);
        stage.feed(stream, wire.take());
        let deliveries = stage.settle();
        assert!(deliveries.iter().all(|delivery| delivery.session == fast));
    }
    stage.finish(stream, Bytes::new());
    stage.settle();
    assert_eq!(stage.objects(slow).len(), 1);
    stage.relay.handle_writable(blocked, stage.now);
    let next = stage.deliveries();
    assert_eq!(next.len(), 1);
    assert_eq!(next[0].end, End::More, "one object at a time");
    stage.relay.handle_writable(blocked, stage.now);
    stage.settle();
    assert_eq!(stage.objects(slow), stage.objects(fast));
    assert_eq!(stage.got(slow)[0].end, Some(End::Finish(None)));
    assert_eq!(dropped(&stage), []);
    assert_eq!(stage.relay.counters().objects_out, 10);
    stage.ends_empty(&[publisher, slow, fast]);
}

#[test]
fn a_stream_blocked_for_too_long_is_reset_and_what_it_misses_is_counted() {
    let mut stage = Stage::new();
    let publisher = stage.publisher(&video(), priority(160));
    let slow = viewer(&mut stage, &video());
    let stream = stage.open(publisher);
    let mut wire = Wire::group(1, 1).object(0, b"key");
    stage.feed(stream, wire.take());
    let blocked = stage.deliveries()[0].stream;
    stage.relay.handle_blocked(blocked, stage.now);
    let mut wire = wire.object(1, b"one");
    stage.feed(stream, wire.take());
    stage.wait(2999 * MS);
    assert!(stage.deliveries().is_empty());
    stage.wait(2 * MS);
    stage.deliveries();
    let timeout = End::Reset(ResetCode::DELIVERY_TIMEOUT);
    assert_eq!(stage.got(slow)[0].end, Some(timeout));
    // The object in the pipe, the one behind it, and what still comes for the stream.
    assert_eq!(dropped(&stage), [(DropReason::TimedOut, 2)]);
    stage.finish(stream, wire.object(2, b"two").take());
    stage.settle();
    assert_eq!(dropped(&stage), [(DropReason::TimedOut, 3)]);
    assert_eq!(stage.relay.counters().objects_out, 0);
    stage.send(publisher, 1, 2, b"key");
    stage.settle();
    assert_eq!(stage.got(slow)[1].reader.objects, [(0, b"key".to_vec())]);
    stage.ends_empty(&[publisher, slow]);
}

#[test]
fn a_blocked_last_write_that_times_out_is_counted() {
    let mut stage = Stage::new();
    let publisher = stage.publisher(&audio(), priority(16));
    let slow = viewer(&mut stage, &audio());
    stage.send(publisher, 1, 1, b"a");
    let blocked = stage.deliveries()[0].stream;
    stage.relay.handle_blocked(blocked, stage.now);
    stage.wait(1001 * MS);
    // Noted by the relay only: the FIN was handed out, but never written.
    while stage.relay.poll_delivery().is_some() {}
    assert_eq!(dropped(&stage), [(DropReason::TimedOut, 1)]);
    assert_eq!(stage.relay.counters().objects_out, 0);
    stage.ends_empty(&[publisher, slow]);
}

#[test]
fn the_subscribers_own_delivery_timeout_counts_if_it_is_tighter() {
    let mut stage = Stage::new();
    let properties = Properties::builder()
        .default_publisher_priority(160)
        .object_delivery_timeout(2000)
        .build()
        .expect("numbers");
    let publisher = stage.publisher(&video(), properties);
    let slow = stage.client();
    let params = Parameters {
        object_delivery_timeout: Some(100),
        ..Parameters::default()
    };
    stage.subscribe_with(slow, 0, &video(), params);
    let stream = stage.open(publisher);
    stage.feed(stream, Wire::group(1, 1).object(0, b"key").build());
    let blocked = stage.deliveries()[0].stream;
    stage.relay.handle_blocked(blocked, stage.now);
    stage.wait(101 * MS);
    stage.deliveries();
    assert!(matches!(stage.got(slow)[0].end, Some(End::Reset(_))));
}

#[test]
fn the_subgroup_timeout_goes_with_the_fin() {
    let mut stage = Stage::new();
    let properties = Properties::builder()
        .subgroup_delivery_timeout(700)
        .build()
        .expect("numbers");
    let publisher = stage.publisher(&video(), properties);
    let a = viewer(&mut stage, &video());
    let b = stage.client();
    let params = Parameters {
        subgroup_delivery_timeout: Some(300),
        ..Parameters::default()
    };
    stage.subscribe_with(b, 0, &video(), params);
    stage.send(publisher, 1, 1, b"a");
    stage.settle();
    assert_eq!(stage.got(a)[0].end, Some(End::Finish(Some(700 * MS))));
    assert_eq!(stage.got(b)[0].end, Some(End::Finish(Some(300 * MS))));
}

#[test]
fn without_credit_groups_wait_and_the_rest_goes_in_order_when_there_is() {
    let mut stage = Stage::new();
    let publisher = stage.publisher(&audio(), priority(16));
    let listener = viewer(&mut stage, &audio());
    stage.send(publisher, 1, 1, b"a");
    let refused = stage.relay.poll_delivery();
    let Some(meridian_relay::Outgoing::Stream(delivery)) = refused else {
        panic!("a delivery")
    };
    stage.relay.handle_no_credit(delivery.stream);
    assert_eq!(stage.relay.counters().objects_out, 0);
    assert_eq!(stage.relay.counters().bytes_out, 0);
    for group in 2..5 {
        stage.send(publisher, 1, group, b"a");
        assert!(stage.deliveries().is_empty());
    }
    stage.relay.handle_credit(listener, stage.now);
    let groups: Vec<u64> = {
        stage.settle();
        let got = stage.got(listener);
        got.iter().map(|stream| stream.reader.group()).collect()
    };
    assert_eq!(groups, [1, 2, 3, 4]);
    assert_eq!(stage.relay.counters().objects_out, 4);
    assert_eq!(dropped(&stage), []);
    stage.ends_empty(&[publisher, listener]);
}

#[test]
fn a_long_wait_ends_although_credit_is_announced_only_once() {
    let mut stage = Stage::new();
    let publisher = stage.publisher(&audio(), priority(16));
    let listener = viewer(&mut stage, &audio());
    stage.send(publisher, 1, 0, b"a");
    let Some(meridian_relay::Outgoing::Stream(delivery)) = stage.relay.poll_delivery() else {
        panic!("a delivery")
    };
    stage.relay.handle_no_credit(delivery.stream);
    for group in 1..50 {
        stage.send(publisher, 1, group, b"a");
    }
    stage.relay.handle_credit(listener, stage.now);
    stage.settle();
    for _ in 0..50 {
        stage.wait(std::time::Duration::ZERO);
        stage.settle();
    }
    assert_eq!(stage.objects(listener).len(), 50);
}

#[test]
fn groups_that_wait_too_long_for_credit_are_dropped_and_counted() {
    let mut stage = Stage::new();
    let publisher = stage.publisher(&audio(), priority(16));
    let listener = viewer(&mut stage, &audio());
    stage.send(publisher, 1, 1, b"a");
    let Some(meridian_relay::Outgoing::Stream(delivery)) = stage.relay.poll_delivery() else {
        panic!("a delivery")
    };
    stage.relay.handle_no_credit(delivery.stream);
    stage.wait(600 * MS);
    stage.send(publisher, 1, 2, b"b");
    stage.wait(600 * MS);
    stage.relay.handle_credit(listener, stage.now);
    stage.settle();
    assert_eq!(stage.objects(listener), [(2, 0, b"b".to_vec())]);
    assert_eq!(dropped(&stage), [(DropReason::Expired, 1)]);
}

#[test]
fn what_waits_is_bounded_and_the_oldest_goes_first() {
    let config = Config {
        pending_subgroups: 10,
        ..Config::default()
    };
    let mut stage = Stage::with(config);
    let publisher = stage.publisher(&audio(), priority(16));
    let listener = viewer(&mut stage, &audio());
    stage.send(publisher, 1, 0, b"a");
    let Some(meridian_relay::Outgoing::Stream(delivery)) = stage.relay.poll_delivery() else {
        panic!("a delivery")
    };
    stage.relay.handle_no_credit(delivery.stream);
    for group in 1..30 {
        stage.send(publisher, 1, group, b"a");
    }
    assert_eq!(dropped(&stage), [(DropReason::PendingFull, 20)]);
    stage.relay.handle_credit(listener, stage.now);
    stage.settle();
    let first = stage.objects(listener)[0].0;
    assert_eq!((first, stage.objects(listener).len()), (20, 10));
}

#[test]
fn no_credit_under_a_range_filter_counts_only_what_was_handed_out() {
    use meridian_wire::param::{FilterSubject, RangeFilter};
    let mut stage = Stage::new();
    let publisher = stage.publisher(&video(), priority(160));
    let picky = stage.client();
    let params = Parameters {
        range_filters: vec![RangeFilter {
            subject: FilterSubject::ObjectId,
            set: 0,
            ranges: vec![(4, None)],
        }],
        ..Parameters::default()
    };
    stage.subscribe_with(picky, 0, &video(), params);
    let stream = stage.open(publisher);
    let mut wire = Wire::group(1, 1);
    for id in 0..5 {
        wire = wire.object(id, b"x");
    }
    stage.finish(stream, wire.take());
    let Some(meridian_relay::Outgoing::Stream(delivery)) = stage.relay.poll_delivery() else {
        panic!("object 4")
    };
    stage.relay.handle_no_credit(delivery.stream);
    assert_eq!(stage.relay.counters().objects_out, 0);
    stage.relay.handle_credit(picky, stage.now);
    stage.settle();
    assert_eq!(stage.objects(picky), [(1, 4, b"x".to_vec())]);
}

#[test]
fn audio_goes_before_video_when_there_is_room_again() {
    let mut stage = Stage::new();
    let speaker = stage.publisher(&audio(), priority(16));
    let camera = stage.publisher(&video(), priority(160));
    let delegate = stage.client();
    stage.subscribe(delegate, 0, &audio());
    stage.subscribe(delegate, 2, &video());
    stage.commands();
    stage.send(camera, 1, 0, b"v");
    let Some(meridian_relay::Outgoing::Stream(delivery)) = stage.relay.poll_delivery() else {
        panic!("a delivery")
    };
    stage.relay.handle_no_credit(delivery.stream);
    stage.send(camera, 1, 1, b"v");
    stage.send(speaker, 1, 1, b"a");
    stage.send(speaker, 1, 2, b"a");
    assert!(stage.deliveries().is_empty());
    stage.relay.handle_credit(delegate, stage.now);
    stage.settle();
    let order: Vec<Vec<u8>> = stage
        .got(delegate)
        .iter()
        .map(|stream| stream.reader.objects[0].1.clone())
        .collect();
    assert_eq!(order, [b"a", b"a", b"v", b"v"]);
}

#[test]
fn blocked_video_does_not_hold_up_audio_and_no_more_video_is_begun() {
    let mut stage = Stage::new();
    let speaker = stage.publisher(&audio(), priority(16));
    let camera = stage.publisher(&video(), priority(160));
    let screen = stage.publisher(&name("ana", "screen"), priority(160));
    let delegate = stage.client();
    stage.subscribe(delegate, 0, &audio());
    stage.subscribe(delegate, 2, &video());
    stage.subscribe(delegate, 4, &name("ana", "screen"));
    stage.send(camera, 1, 1, b"v");
    let blocked = stage.deliveries()[0].stream;
    stage.relay.handle_blocked(blocked, stage.now);
    stage.send(speaker, 1, 1, b"a");
    assert_eq!(stage.settle().len(), 1);
    stage.send(screen, 1, 1, b"s");
    assert!(stage.settle().is_empty());
    stage.relay.handle_writable(blocked, stage.now);
    stage.settle();
    assert_eq!(stage.objects(delegate).len(), 3);
}

#[test]
fn a_subscriber_that_falls_behind_the_cache_is_reset_and_told_so() {
    let config = Config {
        track_cache_groups: 2,
        ..Config::default()
    };
    let mut stage = Stage::with(config);
    let publisher = stage.publisher(&video(), priority(160));
    let slow = viewer(&mut stage, &video());
    let stream = stage.open(publisher);
    let mut wire = Wire::group(1, 1).object(0, b"key");
    stage.feed(stream, wire.take());
    let blocked = stage.deliveries()[0].stream;
    stage.relay.handle_blocked(blocked, stage.now);
    stage.feed(stream, wire.object(1, b"one").take());
    for group in 2..5 {
        stage.send(publisher, 1, group, b"key");
        stage.wait(MS);
        stage.settle();
    }
    let behind = End::Reset(ResetCode::TOO_FAR_BEHIND);
    assert_eq!(stage.got(slow)[0].end, Some(behind));
    // Object 0 is in the pipe, object 1 behind it; the groups after it go as soon as it is out of the way.
    assert_eq!(dropped(&stage), [(DropReason::TooFarBehind, 2)]);
    // The publisher's stream goes on, but there is no place for it any more.
    let mut rest = Wire::group(1, 1).object(1, b"one");
    rest.take();
    stage.finish(stream, rest.object(2, b"two").take());
    stage.settle();
    assert_eq!(stage.relay.counters().dropped(DropReason::Late), 1);
    assert_eq!(stage.objects(slow).len(), 4);
    stage.ends_empty(&[publisher, slow]);
}

#[test]
fn a_stopped_stream_is_not_opened_again_and_what_it_misses_is_counted() {
    let mut stage = Stage::new();
    let publisher = stage.publisher(&video(), priority(160));
    let viewer = viewer(&mut stage, &video());
    let stream = stage.open(publisher);
    let mut wire = Wire::group(1, 1).object(0, b"key");
    stage.feed(stream, wire.take());
    let stopped = stage.settle()[0].stream;
    stage.relay.handle_stopped(stopped, stage.now);
    stage.finish(stream, wire.object(1, b"a").object(2, b"b").take());
    assert!(stage.settle().is_empty());
    assert_eq!(dropped(&stage), [(DropReason::Stopped, 2)]);
    stage.ends_empty(&[publisher, viewer]);
}

#[test]
fn a_cut_stream_is_counted_once_however_its_group_ends() {
    let config = Config {
        track_cache_groups: 2,
        ..Config::default()
    };
    let mut stage = Stage::with(config);
    let publisher = stage.publisher(&video(), priority(160));
    let viewer = viewer(&mut stage, &video());
    let stream = stage.open(publisher);
    let mut wire = Wire::group(1, 1).object(0, b"key");
    stage.feed(stream, wire.take());
    let stopped = stage.settle()[0].stream;
    stage.relay.handle_stopped(stopped, stage.now);
    stage.feed(stream, wire.object(1, b"a").take());
    for group in 2..6 {
        stage.send(publisher, 1, group, b"key");
        stage.settle();
    }
    assert_eq!(dropped(&stage), [(DropReason::Stopped, 1)]);
    stage.ends_empty(&[publisher, viewer]);
}

#[test]
fn a_live_stream_whose_group_is_let_go_misses_nothing_it_was_given() {
    let config = Config {
        track_cache_groups: 2,
        ..Config::default()
    };
    let mut stage = Stage::with(config);
    let publisher = stage.publisher(&video(), priority(160));
    let viewer = viewer(&mut stage, &video());
    let stream = stage.open(publisher);
    stage.feed(stream, Wire::group(1, 1).object(0, b"key").build());
    for group in 2..6 {
        stage.send(publisher, 1, group, b"key");
        stage.settle();
    }
    assert_eq!(dropped(&stage), []);
    let behind = End::Reset(ResetCode::TOO_FAR_BEHIND);
    assert_eq!(stage.got(viewer)[0].end, Some(behind));
}

#[test]
fn a_stream_that_was_behind_when_its_source_broke_gets_the_rest_and_then_the_reset() {
    let mut stage = Stage::new();
    let publisher = stage.publisher(&video(), priority(160));
    let slow = viewer(&mut stage, &video());
    let stream = stage.open(publisher);
    let mut wire = Wire::group(1, 1).object(0, b"key");
    stage.feed(stream, wire.take());
    let blocked = stage.deliveries()[0].stream;
    stage.relay.handle_blocked(blocked, stage.now);
    stage.feed(stream, wire.object(1, b"one").take());
    let code = ResetCode::INTERNAL_ERROR;
    stage.relay.handle_stream_reset(stream, code, stage.now);
    assert!(stage.deliveries().is_empty());
    stage.relay.handle_writable(blocked, stage.now);
    stage.settle();
    let got = stage.got(slow);
    assert_eq!(got[0].reader.objects.len(), 2);
    assert_eq!(got[0].end, Some(End::Reset(code)));
}

#[test]
fn a_stalled_subscriber_costs_a_bounded_amount() {
    let config = Config {
        track_cache_bytes: 100 << 10,
        ..Config::default()
    };
    let mut stage = Stage::with(config);
    let publisher = stage.publisher(&video(), priority(160));
    let stalled = viewer(&mut stage, &video());
    for group in 0..100 {
        let stream = stage.open(publisher);
        let mut wire = Wire::group(1, group);
        for id in 0..10 {
            wire = wire.object(id, &[0; 2000]);
            stage.feed(stream, wire.take());
            for delivery in stage.deliveries() {
                if delivery.open.is_some() {
                    stage.relay.handle_blocked(delivery.stream, stage.now);
                }
            }
            stage.wait(200 * MS);
        }
        stage.finish(stream, Bytes::new());
        assert!(stage.relay.cached_bytes() < 150 << 10);
        assert!(stage.relay.population()[5] < 120);
    }
    let counters = stage.relay.counters();
    let lost: u64 = counters.drops.iter().sum();
    // The newest group's objects may still wait.
    assert!(lost >= 980, "{counters:?}");
    stage.ends_empty(&[publisher, stalled]);
}
