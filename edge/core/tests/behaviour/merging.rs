//! Several publishers of one track: copies are merged byte by byte.

use crate::common::{Wire, priority};
use crate::stage::{MS, Stage, audio, done_code, video};
use bytes::Bytes;
use meridian_relay::{Command, DropReason, End, InStreamId, SessionId};
use meridian_wire::ResetCode;
use meridian_wire::data::{SubgroupHeader, SubgroupId};
use meridian_wire::error::PublishDoneCode;

/// Two publishers of the video track, under alias 1, and a viewer.
fn two() -> (Stage, [SessionId; 2], SessionId) {
    let mut stage = Stage::new();
    let a = stage.publisher(&video(), priority(160));
    let b = stage.publisher(&video(), priority(160));
    let viewer = stage.client();
    stage.subscribe(viewer, 0, &video());
    stage.commands();
    (stage, [a, b], viewer)
}

fn streams(stage: &mut Stage, publishers: [SessionId; 2]) -> [InStreamId; 2] {
    publishers.map(|publisher| stage.open(publisher))
}

#[test]
fn the_second_copy_of_an_object_goes_nowhere() {
    let (mut stage, [a, b], viewer) = two();
    stage.send(a, 1, 1, b"frame");
    stage.send(b, 1, 1, b"frame");
    stage.send(b, 1, 2, b"next");
    stage.send(a, 1, 2, b"next");
    assert_eq!(stage.settle().len(), 2);
    assert_eq!(
        stage.objects(viewer),
        [(1, 0, b"frame".to_vec()), (2, 0, b"next".to_vec())]
    );
    let counters = stage.relay.counters();
    assert_eq!((counters.objects_in, counters.duplicates), (2, 2));
    assert_eq!(counters.objects_out, 2);
    stage.ends_empty(&[a, b, viewer]);
}

#[test]
fn a_stalled_copy_is_continued_by_the_other_at_the_same_byte() {
    let (mut stage, publishers, viewer) = two();
    let [a, b] = streams(&mut stage, publishers);
    stage.feed(a, Wire::group(1, 1).head(0, 10, &[]).raw(b"01234").build());
    stage.settle();
    stage.feed(b, Wire::group(1, 1).head(0, 10, &[]).raw(b"012").build());
    assert!(stage.settle().is_empty(), "nothing new");
    stage.feed(b, Bytes::from_static(b"3456"));
    let deliveries = stage.settle();
    assert_eq!(deliveries[0].body.slices(), [Bytes::from_static(b"56")]);
    stage.finish(b, Bytes::from_static(b"789"));
    stage.settle();
    let got = stage.got(viewer);
    assert_eq!(got.len(), 1);
    assert_eq!(got[0].reader.objects, [(0, b"0123456789".to_vec())]);
    assert_eq!(got[0].end, Some(End::Finish(None)));
    assert_eq!(stage.relay.counters().objects_in, 1);
}

#[test]
fn a_lost_copy_is_continued_by_the_other_within_its_time() {
    let (mut stage, publishers, viewer) = two();
    let [a, b] = streams(&mut stage, publishers);
    stage.feed(a, Wire::group(1, 1).head(0, 4, &[]).raw(b"01").build());
    stage.settle();
    stage
        .relay
        .handle_stream_reset(a, ResetCode::INTERNAL_ERROR, stage.now);
    stage.wait(900 * MS);
    assert!(stage.settle().is_empty());
    let wire = Wire::group(1, 1).object(0, b"0123").object(1, b"x").build();
    stage.finish(b, wire);
    stage.settle();
    stage.wait(900 * MS);
    stage.settle();
    let got = stage.got(viewer);
    let expected = [(0, b"0123".to_vec()), (1, b"x".to_vec())];
    assert_eq!(got[0].reader.objects, expected);
    assert_eq!(got[0].end, Some(End::Finish(None)));
}

#[test]
fn a_lost_copy_that_nobody_continues_is_reset_after_its_time() {
    let (mut stage, publishers, viewer) = two();
    let [a, b] = streams(&mut stage, publishers);
    stage.feed(a, Wire::group(1, 1).head(0, 4, &[]).raw(b"01").build());
    stage.settle();
    stage
        .relay
        .handle_stream_reset(a, ResetCode::INTERNAL_ERROR, stage.now);
    stage.wait(1001 * MS);
    stage.settle();
    assert!(matches!(stage.got(viewer)[0].end, Some(End::Reset(_))));
    assert_eq!(stage.relay.counters().dropped(DropReason::SourceReset), 1);
    // What comes for it later is not glued onto the broken stream, nor onto a new one as if nothing were missing.
    stage.finish(b, Wire::group(1, 1).object(1, b"x").build());
    assert!(stage.settle().is_empty());
}

#[test]
fn the_only_publishers_reset_goes_on_downstream_with_its_code() {
    let mut stage = Stage::new();
    let publisher = stage.publisher(&video(), priority(160));
    let viewer = stage.client();
    stage.subscribe(viewer, 0, &video());
    let stream = stage.open(publisher);
    stage.feed(stream, Wire::group(1, 1).object(0, b"a").build());
    stage.settle();
    let code = ResetCode::TOO_FAR_BEHIND;
    stage.relay.handle_stream_reset(stream, code, stage.now);
    stage.settle();
    assert_eq!(stage.got(viewer)[0].end, Some(End::Reset(code)));
    assert_eq!(stage.relay.counters().dropped(DropReason::SourceReset), 1);
}

#[test]
fn copies_that_differ_end_the_track() {
    let (mut stage, publishers, viewer) = two();
    let [a, b] = streams(&mut stage, publishers);
    stage.feed(a, Wire::group(1, 1).head(0, 4, &[]).raw(b"01").build());
    stage.settle();
    stage.feed(b, Wire::group(1, 1).head(0, 4, &[]).raw(b"0X").build());
    stage.settle();
    let malformed = ResetCode::MALFORMED_TRACK;
    assert_eq!(stage.got(viewer)[0].end, Some(End::Reset(malformed)));
    let commands = stage.commands();
    let done = commands.iter().find_map(|command| match command {
        Command::Respond {
            session, message, ..
        } if *session == viewer => Some(done_code(message)),
        _ => None,
    });
    assert_eq!(done, Some(PublishDoneCode::MALFORMED_TRACK));
    for publisher in publishers {
        let cancelled = Command::Reject {
            session: publisher,
            request: 1,
            code: malformed,
        };
        assert!(commands.contains(&cancelled), "{commands:?}");
    }
    assert_eq!(stage.relay.counters().malformed_tracks, 1);
    assert_eq!(stage.relay.cached_bytes(), 0);
    let [a, b] = publishers;
    stage.ends_empty(&[a, b, viewer]);
}

#[test]
fn copies_that_differ_in_mutable_properties_do_not() {
    let (mut stage, publishers, viewer) = two();
    let header = SubgroupHeader {
        track_alias: 1,
        group: 1,
        subgroup: SubgroupId::Zero,
        priority: None,
        has_properties: true,
        end_of_group: false,
        first_object: true,
    };
    let [a, b] = streams(&mut stage, publishers);
    stage.finish(
        a,
        Wire::new(header).head(0, 1, &[0x10, 1]).raw(b"x").build(),
    );
    stage.finish(
        b,
        Wire::new(header).head(0, 1, &[0x10, 2]).raw(b"x").build(),
    );
    stage.settle();
    assert_eq!(stage.objects(viewer), [(1, 0, b"x".to_vec())]);
    assert_eq!(stage.relay.counters().malformed_tracks, 0);
}

#[test]
fn copies_whose_streams_are_framed_differently_go_on_well_formed() {
    let (mut stage, publishers, viewer) = two();
    let with_properties = SubgroupHeader {
        track_alias: 1,
        group: 1,
        subgroup: SubgroupId::Explicit(0),
        priority: Some(160),
        has_properties: true,
        end_of_group: false,
        first_object: true,
    };
    let [a, b] = streams(&mut stage, publishers);
    stage.feed(a, Wire::group(1, 1).object(0, b"a").build());
    stage.settle();
    let wire = Wire::new(with_properties)
        .object(0, b"a")
        .object(1, b"b")
        .object(2, b"c");
    stage.finish(b, wire.build());
    stage.settle();
    let expected = [
        (1, 0, b"a".to_vec()),
        (1, 1, b"b".to_vec()),
        (1, 2, b"c".to_vec()),
    ];
    assert_eq!(stage.objects(viewer), expected);
    assert_eq!(stage.relay.counters().malformed_tracks, 0);
}

#[test]
fn a_gap_between_two_copies_is_not_glued_over() {
    let (mut stage, publishers, viewer) = two();
    let [a, b] = streams(&mut stage, publishers);
    stage.feed(a, Wire::group(1, 1).object(0, b"a").object(1, b"b").build());
    stage.settle();
    stage
        .relay
        .handle_stream_reset(a, ResetCode::INTERNAL_ERROR, stage.now);
    // The other publisher's stream starts further on: object 2 is unknown.
    let middle = SubgroupHeader {
        track_alias: 1,
        group: 1,
        subgroup: SubgroupId::Explicit(0),
        priority: None,
        has_properties: false,
        end_of_group: false,
        first_object: false,
    };
    stage.finish(b, Wire::new(middle).object(3, b"d").build());
    stage.settle();
    stage.wait(2000 * MS);
    stage.settle();
    let got = stage.got(viewer);
    let expected = [(0, b"a".to_vec()), (1, b"b".to_vec())];
    assert_eq!(got[0].reader.objects, expected);
    assert!(matches!(got[0].end, Some(End::Reset(_))));
    assert!(stage.relay.counters().drops.iter().sum::<u64>() >= 1);
}

#[test]
fn the_next_object_by_number_from_another_publisher_goes_on() {
    let (mut stage, publishers, viewer) = two();
    let [a, b] = streams(&mut stage, publishers);
    stage.feed(a, Wire::group(1, 1).object(0, b"a").object(1, b"b").build());
    stage.settle();
    stage
        .relay
        .handle_stream_reset(a, ResetCode::INTERNAL_ERROR, stage.now);
    let middle = SubgroupHeader {
        track_alias: 1,
        group: 1,
        subgroup: SubgroupId::Explicit(0),
        priority: None,
        has_properties: false,
        end_of_group: false,
        first_object: false,
    };
    stage.finish(b, Wire::new(middle).object(2, b"c").build());
    stage.settle();
    let got = stage.got(viewer);
    assert_eq!(got.len(), 1);
    assert_eq!(got[0].reader.objects.len(), 3);
    assert_eq!(got[0].end, Some(End::Finish(None)));
}

#[test]
fn a_half_object_never_ends_in_a_fin() {
    let (mut stage, publishers, viewer) = two();
    let [a, b] = streams(&mut stage, publishers);
    stage.feed(a, Wire::group(1, 1).head(0, 4, &[]).raw(b"01").build());
    stage.settle();
    stage
        .relay
        .handle_stream_reset(a, ResetCode::INTERNAL_ERROR, stage.now);
    stage.finish(b, Wire::group(1, 1).object(1, b"x").build());
    stage.settle();
    stage.wait(2000 * MS);
    stage.settle();
    assert!(matches!(stage.got(viewer)[0].end, Some(End::Reset(_))));
}

#[test]
fn a_subgroup_with_another_priority_ends_the_track() {
    let (mut stage, [a, b], viewer) = two();
    stage.send(a, 1, 1, b"a");
    stage.settle();
    let header = SubgroupHeader {
        track_alias: 1,
        group: 1,
        subgroup: SubgroupId::Zero,
        priority: Some(3),
        has_properties: false,
        end_of_group: false,
        first_object: true,
    };
    let stream = stage.open(b);
    stage.finish(stream, Wire::new(header).object(0, b"a").build());
    stage.settle();
    assert_eq!(stage.relay.counters().malformed_tracks, 1);
    stage.ends_empty(&[a, b, viewer]);
}

#[test]
fn an_object_in_two_subgroups_ends_the_track() {
    let (mut stage, [a, b], _) = two();
    stage.send(a, 1, 1, b"a");
    stage.settle();
    let header = SubgroupHeader {
        track_alias: 1,
        group: 1,
        subgroup: SubgroupId::Explicit(5),
        priority: None,
        has_properties: false,
        end_of_group: false,
        first_object: true,
    };
    let stream = stage.open(b);
    stage.finish(stream, Wire::new(header).object(0, b"a").build());
    stage.settle();
    assert_eq!(stage.relay.counters().malformed_tracks, 1);
}

#[test]
fn audio_copies_may_come_in_any_order_of_groups() {
    let mut stage = Stage::new();
    let a = stage.publisher(&audio(), priority(16));
    let b = stage.publisher(&audio(), priority(16));
    let listener = stage.client();
    stage.subscribe(listener, 0, &audio());
    for (publisher, group) in [(a, 1), (b, 3), (a, 2), (b, 1), (b, 2), (a, 3), (a, 4)] {
        stage.send(publisher, 1, group, &[group as u8]);
    }
    stage.settle();
    let expected = [1, 2, 3, 4].map(|group| (group, 0, vec![group as u8]));
    assert_eq!(stage.objects(listener), expected);
    assert_eq!(stage.relay.counters().duplicates, 3);
}

#[test]
fn a_stream_that_leaves_its_subgroup_open_is_followed_by_the_one_with_the_next_object() {
    let mut stage = Stage::new();
    let publisher = stage.publisher(&video(), priority(160));
    let viewer = stage.client();
    stage.subscribe(viewer, 0, &video());
    stage.commands();
    let past = stage.open(publisher);
    let wire = Wire::group(1, 1).object(0, b"0").object(1, b"1").build();
    stage.feed(past, wire);
    stage.relay.handle_stream_left(past);
    stage.settle();
    stage.wait(5000 * MS);
    stage.settle();
    let live = stage.open(publisher);
    stage.finish(live, Wire::group(1, 1).object(2, b"2").build());
    stage.settle();
    let got = stage.got(viewer);
    assert_eq!(got.len(), 1);
    let objects = [b"0", b"1", b"2"].map(|payload| payload.to_vec());
    assert_eq!(
        got[0].reader.objects,
        (0..).zip(objects).collect::<Vec<_>>()
    );
    assert_eq!(got[0].end, Some(End::Finish(None)));
    stage.ends_empty(&[publisher, viewer]);
}

#[test]
fn a_publisher_that_comes_back_soon_goes_on_in_the_same_group() {
    let mut stage = Stage::new();
    let publisher = stage.publisher(&video(), priority(160));
    let viewer = stage.client();
    stage.subscribe(viewer, 0, &video());
    stage.commands();
    let stream = stage.open(publisher);
    stage.feed(stream, Wire::group(1, 1).object(0, b"0").build());
    stage.settle();
    stage.leave(publisher);
    stage.wait(900 * MS);
    stage.settle();
    let again = stage.publisher(&video(), priority(160));
    stage.commands();
    let stream = stage.open(again);
    stage.finish(stream, Wire::group(1, 1).object(1, b"1").build());
    stage.settle();
    let got = stage.got(viewer);
    assert_eq!(got.len(), 1);
    assert_eq!(
        got[0].reader.objects,
        [(0, b"0".to_vec()), (1, b"1".to_vec())]
    );
    assert_eq!(got[0].end, Some(End::Finish(None)));
    stage.ends_empty(&[again, viewer]);
}

#[test]
fn a_group_whose_publisher_stays_away_is_reset_after_a_second() {
    let mut stage = Stage::new();
    let publisher = stage.publisher(&video(), priority(160));
    let viewer = stage.client();
    stage.subscribe(viewer, 0, &video());
    stage.commands();
    let stream = stage.open(publisher);
    stage.feed(stream, Wire::group(1, 1).object(0, b"0").build());
    stage.settle();
    stage.leave(publisher);
    stage.settle();
    assert_eq!(stage.got(viewer)[0].end, None);
    stage.wait(1100 * MS);
    stage.settle();
    let end = stage.got(viewer)[0].end;
    assert_eq!(end, Some(End::Reset(ResetCode::INTERNAL_ERROR)));
}

#[test]
fn live_streams_wait_for_the_part_of_their_group_that_is_fetched() {
    let mut stage = Stage::new();
    let publisher = stage.publisher(&video(), priority(160));
    let viewer = stage.client();
    stage.subscribe(viewer, 0, &video());
    stage.commands();
    stage.relay.handle_joining(publisher, 1);
    let live = stage.open(publisher);
    stage.finish(live, Wire::group(1, 1).object(2, b"2").build());
    assert!(stage.settle().is_empty());
    let past = stage.relay.accept_fetched_group(publisher);
    let past = past.expect("the publisher is there");
    let wire = Wire::group(1, 1).object(0, b"0").object(1, b"1").build();
    stage.feed(past, wire);
    stage.relay.handle_stream_left(past);
    stage.relay.handle_joined(publisher, 1, stage.now);
    stage.settle();
    let objects = [b"0", b"1", b"2"].map(|payload| payload.to_vec());
    let got = stage.got(viewer);
    assert_eq!(got.len(), 1);
    assert_eq!(
        got[0].reader.objects,
        (0..).zip(objects).collect::<Vec<_>>()
    );
    assert_eq!(got[0].end, Some(End::Finish(None)));
    stage.ends_empty(&[publisher, viewer]);
}
