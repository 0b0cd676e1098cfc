//! Stories of delegates, and what the book says of them.

use super::*;
use crate::account::Clock;
use crate::outcome::{Figures, Outcome};

const START_US: u64 = 1_700_000_000_000_000;
const MS: Duration = Duration::from_millis(1);

struct Story {
    start: Instant,
    book: Book,
    listener: Listener,
}

impl Story {
    fn begin() -> Story {
        let start = Instant::now();
        let clock = Clock {
            start,
            start_unix_us: START_US,
        };
        let mut book = Book::new(clock);
        let key = Key {
            region: "AFR".to_owned(),
            language: "floor".to_owned(),
            ..Key::default()
        };
        let listener = Listener::come(key, start, &mut book);
        Story {
            start,
            book,
            listener,
        }
    }

    /// One who is in, over a first session, by 100 ms.
    fn listening() -> Story {
        let mut story = Story::begin();
        let now = story.at(100);
        story.listener.admitted(now, &mut story.book);
        story.listener.connected(30 * MS, &mut story.book);
        story
    }

    fn at(&self, ms: u64) -> Instant {
        self.start + Duration::from_millis(ms)
    }

    /// The frame captured at `ms` comes `lag` later, over the newest session.
    fn frame(&mut self, source: u32, ms: u64, lag: u64) -> bool {
        let frame = self.captured(source, ms, self.listener.session);
        let now = self.at(ms + lag);
        self.listener.hear(frame, now, &mut self.book)
    }

    fn captured(&self, source: u32, ms: u64, session: u32) -> AudioFrame {
        AudioFrame {
            source,
            session,
            group: (START_US + ms * 1_000) / 20_000,
            capture_us: START_US + ms * 1_000,
            bytes: 160,
            fits: true,
        }
    }

    fn frames(&mut self, source: u32, from: u64, to: u64) {
        for ms in (from..to).step_by(20) {
            self.frame(source, ms, 50);
        }
    }

    fn end(mut self, ms: u64) -> Outcome {
        let now = self.at(ms);
        let last = (START_US + (ms - 100) * 1_000) / 20_000;
        for source in 0..4 {
            self.listener.drop_source(source, last, &mut self.book);
        }
        self.listener.leave(now, &mut self.book);
        self.book.close()
    }
}

/// That the longest is this many milliseconds, to the histogram's one percent.
#[track_caller]
fn assert_took(figures: &Figures, latency: Latency, ms: f64) {
    let spread = figures.timed(latency).expect("timed");
    let said = spread.max_ms().expect("not empty");
    assert!(
        (said / ms - 1.0).abs() < 0.01,
        "{latency:?}: {said}, not {ms}"
    );
}

#[test]
fn each_phase_of_joining_counts_from_when_somebody_was_due() {
    let mut story = Story::begin();
    let (ticket, token) = (story.at(40), story.at(900));
    story.listener.answered(true, ticket, &mut story.book);
    story.listener.admitted(token, &mut story.book);
    story.listener.connected(60 * MS, &mut story.book);
    story.frames(1, 1_000, 3_000);
    let figures = story.end(3_050).total();
    for (latency, is) in [
        (Latency::Ticket, 40.0),
        (Latency::Token, 900.0),
        (Latency::Connect, 60.0),
        (Latency::FirstAudio, 1_050.0),
        (Latency::Lag, 50.0),
    ] {
        assert_took(&figures, latency, is);
    }
    for (count, is) in [
        (Count::Came, 1),
        (Count::Queued, 1),
        (Count::Joined, 1),
        (Count::Failed, 0),
        (Count::Objects, 100),
        (Count::Bytes, 16_000),
        (Count::Lost, 0),
        (Count::Gaps40ms, 0),
    ] {
        assert_eq!(figures.counted(count), is, "{count:?}");
    }
}

#[test]
fn a_frame_lost_late_doubled_altered_or_overtaken_is_found() {
    let mut story = Story::listening();
    story.frames(1, 200, 400);
    // 400 never comes; 420 is doubled; 440 comes after 460; 480 is late; 500 is altered.
    story.frame(1, 420, 50);
    story.frame(1, 420, 55);
    story.frame(1, 460, 30);
    story.frame(1, 440, 55);
    story.frame(1, 480, 450);
    let altered = AudioFrame {
        source: 1,
        session: 1,
        group: (START_US + 500_000) / 20_000,
        capture_us: START_US + 500_000,
        bytes: 160,
        fits: false,
    };
    let now = story.at(931);
    story.listener.hear(altered, now, &mut story.book);
    let figures = story.end(601).total();
    for (count, is) in [
        (Count::Lost, 1),
        (Count::Duplicated, 1),
        (Count::Reordered, 1),
        (Count::Late, 2),
        (Count::Altered, 1),
        (Count::Gaps200ms, 1),
    ] {
        assert_eq!(figures.counted(count), is, "{count:?}");
    }
}

#[test]
fn silence_counts_in_the_second_it_began_and_until_the_end() {
    let mut story = Story::listening();
    story.frames(1, 200, 1_000);
    story.frames(1, 1_300, 2_000);
    let outcome = story.end(3_230);
    let figures = outcome.total();
    assert_eq!(figures.counted(Count::Gaps40ms), 2);
    assert_eq!(figures.counted(Count::Gaps200ms), 2);
    assert_eq!(figures.counted(Count::Gaps1000ms), 1);
    assert_took(&figures, Latency::Gap, 1_180.0);
    let gaps: Vec<u64> = outcome.ticks.iter().map(|tick| tick.gaps.count()).collect();
    assert_eq!(gaps, [0, 1, 1, 0]);
    assert_eq!(
        figures.counted(Count::Lost),
        15 + 57,
        "the tail was published too"
    );
}

#[test]
fn a_move_is_over_when_the_new_edge_is_heard() {
    let mut story = Story::listening();
    story.frames(1, 200, 1_000);
    let lost = story.at(1_500);
    story.listener.lost_edge(lost);
    story.listener.lost_edge(lost + 100 * MS);
    story.frame(1, 1_540, 10);
    story.listener.connected(40 * MS, &mut story.book);
    story.frame(1, 1_800, 50);
    let figures = story.end(1_860).total();
    assert_eq!(figures.counted(Count::Moved), 1);
    let spread = figures.timed(Latency::Reconnect).expect("timed");
    assert_eq!(spread.count(), 1);
}

#[test]
fn what_still_comes_over_the_former_session_is_no_arrival_at_the_new_one() {
    let mut story = Story::listening();
    story.frames(1, 200, 400);
    let goodbye = story.at(450);
    story.listener.lost_edge(goodbye);
    story.frame(1, 400, 55);
    story.listener.connected(40 * MS, &mut story.book);
    let over_the_former = story.captured(1, 420, 1);
    let now = story.at(490);
    story.listener.hear(over_the_former, now, &mut story.book);
    story.frame(1, 440, 110);
    let figures = story.end(600).total();
    assert_took(&figures, Latency::Reconnect, 100.0);
}

#[test]
fn a_new_edge_is_there_even_if_the_former_brings_everything_first() {
    let mut story = Story::listening();
    story.frames(1, 200, 400);
    let goodbye = story.at(450);
    story.listener.lost_edge(goodbye);
    story.listener.connected(40 * MS, &mut story.book);
    let (former, twin) = (story.captured(1, 400, 1), story.captured(1, 400, 2));
    let now = story.at(490);
    story.listener.hear(former, now, &mut story.book);
    story.listener.hear(twin, now + 10 * MS, &mut story.book);
    let spoiled = AudioFrame {
        fits: false,
        ..twin
    };
    story.listener.hear(spoiled, now + 20 * MS, &mut story.book);
    let figures = story.end(600).total();
    assert_took(&figures, Latency::Reconnect, 50.0);
    let faults = [Count::Duplicated, Count::Altered].map(|count| figures.counted(count));
    assert_eq!(faults, [1, 1], "the third, over the session of the second");
}

#[test]
fn a_switch_goes_to_the_new_language_and_a_turn_is_no_gap() {
    let mut story = Story::listening();
    story.frames(1, 200, 1_000);
    let chosen = story.at(1_000);
    story.listener.switch("fr", 2, chosen, &mut story.book);
    assert!(story.frame(2, 1_040, 60), "the first of its source");
    assert!(!story.frame(2, 1_060, 60));
    let turn = story.at(1_100);
    story.listener.turn(3, turn);
    story.frame(3, 1_300, 100);
    let outcome = story.end(1_420);
    let in_french = outcome.sum(|key| key.language == "fr");
    assert_took(&in_french, Latency::Switch, 100.0);
    assert_took(&in_french, Latency::Turn, 300.0);
    assert_eq!(outcome.counted(Count::Gaps200ms), 0);
    assert_eq!(
        outcome
            .sum(|key| key.language == "floor")
            .counted(Count::Objects),
        40
    );
}

#[test]
fn a_speaker_who_was_not_heard_at_all_leaves_a_gap_and_is_missed() {
    let mut story = Story::listening();
    story.frames(1, 200, 1_000);
    let (second, third) = (story.at(1_000), story.at(5_000));
    story.listener.turn(2, second);
    let first = (START_US + 980_000) / 20_000;
    story.listener.drop_source(1, first, &mut story.book);
    story.listener.turn(3, third);
    story.listener.missed(200, &mut story.book);
    story.frames(3, 5_000, 6_000);
    let figures = story.end(6_050).total();
    assert_eq!(figures.counted(Count::Missed), 1);
    assert_eq!(figures.counted(Count::Lost), 200);
    assert_eq!(figures.counted(Count::Gaps1000ms), 1);
    assert_took(&figures, Latency::Gap, 4_050.0);
}

#[test]
fn silence_in_which_somebody_leaves_counts_unless_it_is_the_beginning_of_a_turn() {
    for (ms, gaps) in [(2_500, 0), (3_500, 1)] {
        let mut story = Story::listening();
        story.frames(1, 200, 1_000);
        let turn = story.at(1_000);
        story.listener.turn(2, turn);
        let outcome = story.end(ms);
        assert_eq!(outcome.counted(Count::Gaps1000ms), gaps, "at {ms}");
    }
}

#[test]
fn who_hears_nothing_has_failed_and_is_counted_once() {
    let story = Story::begin();
    let outcome = story.end(5_000);
    assert_eq!(outcome.counted(Count::Failed), 1);
    assert_eq!(outcome.failures.values().sum::<u64>(), 1);
    let mut story = Story::listening();
    story.frames(1, 200, 1_000);
    let now = story.at(1_100);
    story.listener.fail("turned away", now, &mut story.book);
    let outcome = story.end(5_000);
    assert_eq!(outcome.counted(Count::Failed), 1);
    assert_eq!(outcome.failures.get("turned away"), Some(&1));
}

#[test]
fn a_picture_is_there_with_its_first_keyframe() {
    let mut story = Story::listening();
    let frame = |group, object, capture_ms: u64| VideoFrame {
        source: 1,
        session: 1,
        group,
        object,
        capture_us: START_US + capture_ms * 1_000,
        bytes: 4_000,
        fits: true,
    };
    for (object, at) in [(5, 300), (0, 350), (0, 360), (1, 370)] {
        let now = story.at(at);
        story
            .listener
            .see(frame(7, object, at - 40), now, &mut story.book);
    }
    story.frames(1, 400, 500);
    let figures = story.end(560).total();
    assert_eq!(figures.counted(Count::VideoObjects), 3);
    assert_eq!(figures.counted(Count::Duplicated), 1);
    assert_took(&figures, Latency::FirstPicture, 350.0);
}

#[test]
fn a_picture_that_two_edges_bring_is_a_picture_and_a_spoiled_one_is_found() {
    let mut story = Story::listening();
    let frame = |session, object, fits| VideoFrame {
        source: 1,
        session,
        group: 7,
        object,
        capture_us: START_US + 300_000,
        bytes: 4_000,
        fits,
    };
    let frames = [(1, 0, true), (2, 0, true), (2, 1, true), (1, 1, false)];
    for (session, object, fits) in frames {
        let now = story.at(350);
        let frame = frame(session, object, fits);
        story.listener.see(frame, now, &mut story.book);
    }
    story.frames(1, 400, 500);
    let figures = story.end(560).total();
    let counts = [Count::VideoObjects, Count::Duplicated, Count::Altered];
    assert_eq!(counts.map(|count| figures.counted(count)), [2, 0, 1]);
}
