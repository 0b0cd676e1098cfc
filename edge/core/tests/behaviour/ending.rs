//! How tracks end: at their publisher's word, or when it is gone for too long.

use crate::common::{Wire, priority};
use crate::stage::{MS, Stage, audio, done, done_code, subscribe_ok, video};
use meridian_relay::{Config, DropReason, End, Role};
use meridian_wire::Message;
use meridian_wire::error::PublishDoneCode;

#[test]
fn subscribers_of_a_lost_publisher_wait_for_it_and_are_then_told() {
    let mut stage = Stage::new();
    let publisher = stage.publisher(&audio(), priority(16));
    let viewer = stage.client();
    stage.subscribe(viewer, 0, &audio());
    stage.commands();
    stage.leave(publisher);
    stage.wait(59_999 * MS);
    assert_eq!(stage.commands(), []);
    stage.wait(MS);
    let (to, request, message) = stage.responses().remove(0);
    assert_eq!((to, request), (viewer, 0));
    assert_eq!(done_code(&message), PublishDoneCode::TRACK_ENDED);
    assert_eq!(stage.relay.population()[1], 0);
    stage.ends_empty(&[viewer]);
}

#[test]
fn a_publisher_that_comes_back_and_goes_again_has_its_whole_time_again() {
    let mut stage = Stage::new();
    let publisher = stage.publisher(&audio(), priority(16));
    let viewer = stage.client();
    stage.subscribe(viewer, 0, &audio());
    stage.leave(publisher);
    stage.wait(10_000 * MS);
    let publisher = stage.publisher(&audio(), priority(16));
    stage.send(publisher, 1, 5, b"a");
    stage.settle();
    assert_eq!(stage.objects(viewer).len(), 1);
    stage.wait(40_000 * MS);
    stage.leave(publisher);
    stage.wait(59_999 * MS);
    assert_eq!(stage.commands(), []);
    stage.wait(MS);
    assert_eq!(stage.responses().len(), 1);
}

#[test]
fn a_track_that_has_ended_is_ended_downstream_with_its_streams_counted() {
    let mut stage = Stage::new();
    let publisher = stage.publisher(&audio(), priority(16));
    let viewer = stage.client();
    stage.subscribe(viewer, 0, &audio());
    for group in 0..3 {
        stage.send(publisher, 1, group, b"a");
    }
    stage.settle();
    stage.commands();
    stage.publish_done(publisher, 1, PublishDoneCode::TRACK_ENDED);
    stage.wait(2000 * MS);
    let (to, _, message) = stage.responses().remove(0);
    assert_eq!(to, viewer);
    let Message::PublishDone(done) = message else {
        panic!("PUBLISH_DONE")
    };
    assert_eq!(done.code, PublishDoneCode::TRACK_ENDED);
    assert_eq!(done.stream_count, 3);
    stage.ends_empty(&[publisher, viewer]);
}

#[test]
fn what_arrives_just_after_the_end_is_still_delivered() {
    let mut stage = Stage::new();
    let publisher = stage.publisher(&video(), priority(160));
    let viewer = stage.client();
    stage.subscribe(viewer, 0, &video());
    let stream = stage.open(publisher);
    let mut wire = Wire::group(1, 1).object(0, b"key");
    stage.feed(stream, wire.take());
    stage.settle();
    stage.publish_done(publisher, 1, PublishDoneCode::TRACK_ENDED);
    stage.settle();
    stage.wait(500 * MS);
    stage.finish(stream, wire.object(1, b"a").take());
    stage.send(publisher, 1, 2, b"last");
    stage.settle();
    assert_eq!(stage.objects(viewer).len(), 3);
    for stream in stage.got(viewer) {
        assert_eq!(stream.end, Some(End::Finish(None)));
    }
    stage.wait(2000 * MS);
    let responses = stage.responses();
    let last = responses.last().expect("PUBLISH_DONE");
    assert_eq!(done_code(&last.2), PublishDoneCode::TRACK_ENDED);
    stage.ends_empty(&[publisher, viewer]);
}

#[test]
fn a_track_that_ends_at_the_parent_ends_here_without_another_search() {
    let mut stage = Stage::new();
    let parent = stage.session(Role::Parent);
    let viewer = stage.client();
    stage.subscribe(viewer, 0, &audio());
    let asked = stage.asked();
    stage.answer(asked[0], subscribe_ok(4, priority(16)));
    stage.commands();
    stage.answer(asked[0], done(PublishDoneCode::TRACK_ENDED));
    stage.send(parent, 4, 9, b"tail");
    stage.settle();
    assert_eq!(stage.objects(viewer).len(), 1);
    stage.wait(2000 * MS);
    let commands = stage.responses();
    assert_eq!(commands.len(), 1);
    assert_eq!(done_code(&commands[0].2), PublishDoneCode::TRACK_ENDED);
    stage.ends_empty(&[parent, viewer]);
}

#[test]
fn another_publisher_of_an_ended_track_carries_on() {
    let mut stage = Stage::new();
    let a = stage.publisher(&audio(), priority(16));
    let b = stage.publisher(&audio(), priority(16));
    let viewer = stage.client();
    stage.subscribe(viewer, 0, &audio());
    stage.commands();
    stage.publish_done(a, 1, PublishDoneCode::TRACK_ENDED);
    stage.wait(120_000 * MS);
    stage.send(b, 1, 1, b"a");
    stage.settle();
    assert_eq!(stage.objects(viewer).len(), 1);
    assert_eq!(stage.responses(), []);
}

#[test]
fn a_viewer_that_leaves_has_its_streams_reset() {
    let mut stage = Stage::new();
    let publisher = stage.publisher(&video(), priority(160));
    let viewer = stage.client();
    stage.subscribe(viewer, 0, &video());
    let stream = stage.open(publisher);
    stage.feed(stream, Wire::group(1, 1).object(0, b"key").build());
    stage.settle();
    stage.unsubscribe(viewer, 0);
    stage.settle();
    assert!(matches!(stage.got(viewer)[0].end, Some(End::Reset(_))));
    let drops: u64 = stage.relay.counters().drops.iter().sum();
    assert_eq!(drops, 0, "it is no loss to who does not want it");
    assert_eq!(stage.relay.counters().dropped(DropReason::Stopped), 0);
    stage.ends_empty(&[publisher, viewer]);
}

#[test]
fn a_track_that_has_just_ended_may_begin_again_under_its_alias() {
    let mut stage = Stage::new();
    let publisher = stage.publisher(&audio(), priority(16));
    stage.publish_done(publisher, 1, PublishDoneCode::TRACK_ENDED);
    stage.publish(publisher, 1, &audio(), priority(16));
    let viewer = stage.client();
    stage.subscribe(viewer, 0, &audio());
    stage.wait(2500 * MS);
    let commands = stage.commands();
    let closes = commands
        .iter()
        .any(|c| matches!(c, meridian_relay::Command::Close { .. }));
    assert!(!closes, "{commands:?}");
    stage.send(publisher, 1, 1, b"a");
    stage.settle();
    assert_eq!(stage.objects(viewer).len(), 1);
    stage.ends_empty(&[publisher, viewer]);
}

#[test]
fn what_overtakes_the_answer_of_a_new_beginning_waits_for_it() {
    let config = Config {
        linger: 100 * MS,
        ..Config::default()
    };
    let mut stage = Stage::with(config);
    let parent = stage.session(Role::Parent);
    let viewer = stage.client();
    stage.subscribe(viewer, 0, &audio());
    let asked = stage.asked();
    stage.answer(asked[0], subscribe_ok(4, priority(16)));
    stage.commands();
    stage.answer(asked[0], done(PublishDoneCode::INTERNAL_ERROR));
    stage.unsubscribe(viewer, 0);
    stage.wait(100 * MS);
    assert_eq!(stage.relay.population()[1], 0, "the track is forgotten");
    stage.commands();
    stage.subscribe(viewer, 2, &audio());
    let asked = stage.asked();
    stage.send(parent, 4, 7, b"a");
    stage.answer(asked[0], subscribe_ok(4, priority(16)));
    stage.settle();
    assert_eq!(stage.objects(viewer), [(7, 0, b"a".to_vec())]);
    assert_eq!(stage.got(viewer)[0].end, Some(End::Finish(None)));
    stage.ends_empty(&[parent, viewer]);
}
