//! What one delegate hears, and for how long nothing. Pure: time is an argument.

use serde::Serialize;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// What one delegate has heard.
#[derive(Debug)]
pub struct Hearing {
    /// Frames of late, by group: what comes again is known by it.
    recent: BTreeSet<u64>,
    /// The first frame's group, and the highest.
    span: Option<(u64, u64)>,
    last: Option<Instant>,
    objects: u64,
    doubled: u64,
    moves: u64,
    office: String,
    mark: Mark,
    /// Why it listens no more, if it does not.
    ended: Option<String>,
}

/// Since when gaps are counted.
#[derive(Debug)]
struct Mark {
    at: Instant,
    office: String,
    longest: Duration,
}

/// What is told of a delegate.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Heard {
    /// Where it was when the mark was set; empty: nowhere.
    pub office_at_mark: String,
    /// Where it is.
    pub office: String,
    /// Edges after the first.
    pub moves: u64,
    /// Frames, each once.
    pub objects: u64,
    /// Frames that have not come, of all between the first and the newest: a publisher numbers them without a hole.
    pub missing: u64,
    /// Frames that came again.
    pub doubled: u64,
    /// The longest time since the mark without a frame, beyond the 20 ms between frames; none if it never heard one.
    pub gap_ms: Option<f64>,
    /// Since when nothing came.
    pub silent_ms: Option<f64>,
    /// Why it listens no more.
    pub ended: Option<String>,
}

/// Frames remembered: five seconds, longer than two edges are heard at a time.
const REMEMBERED: usize = 256;
/// Between two frames of audio.
const FRAME: Duration = Duration::from_millis(20);

impl Hearing {
    /// Nothing yet.
    pub fn new(now: Instant) -> Hearing {
        Hearing {
            recent: BTreeSet::new(),
            span: None,
            last: None,
            objects: 0,
            doubled: 0,
            moves: 0,
            office: String::new(),
            mark: Mark {
                at: now,
                office: String::new(),
                longest: Duration::ZERO,
            },
            ended: None,
        }
    }

    /// It is at an edge.
    pub fn arrived_at(&mut self, office: &str) {
        self.moves += u64::from(!self.office.is_empty());
        office.clone_into(&mut self.office);
    }

    /// A frame has come. Whether it is new.
    pub fn frame(&mut self, group: u64, at: Instant) -> bool {
        if !self.recent.insert(group) {
            self.doubled += 1;
            return false;
        }
        if self.recent.len() > REMEMBERED {
            self.recent.pop_first();
        }
        self.objects += 1;
        let (first, newest) = self.span.unwrap_or((group, group));
        self.span = Some((first.min(group), newest.max(group)));
        if self.last.is_some() {
            self.mark.longest = self.mark.longest.max(self.silence(at));
        }
        self.last = Some(self.last.map_or(at, |last| last.max(at)));
        true
    }

    /// It listens no more.
    pub fn ended(&mut self, why: String) {
        self.ended = Some(why);
    }

    /// Gaps count from now on.
    pub fn mark(&mut self, now: Instant) {
        self.mark = Mark {
            at: now,
            office: self.office.clone(),
            longest: Duration::ZERO,
        };
    }

    /// What there is to tell. A gap that still lasts counts as far as it goes.
    pub fn heard(&self, now: Instant) -> Heard {
        let ms = |span: Duration| span.as_secs_f64() * 1e3;
        let longest = self.mark.longest.max(self.silence(now));
        Heard {
            office_at_mark: self.mark.office.clone(),
            office: self.office.clone(),
            moves: self.moves,
            objects: self.objects,
            missing: self.span.map_or(0, |(first, newest)| {
                (newest - first + 1).saturating_sub(self.objects)
            }),
            doubled: self.doubled,
            gap_ms: self.last.map(|_| ms(longest.saturating_sub(FRAME))),
            silent_ms: self
                .last
                .map(|last| ms(now.saturating_duration_since(last))),
            ended: self.ended.clone(),
        }
    }

    /// For how long nothing has come: what was before the mark does not count.
    fn silence(&self, now: Instant) -> Duration {
        let since = self
            .last
            .map_or(self.mark.at, |last| last.max(self.mark.at));
        now.saturating_duration_since(since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn steady(hearing: &mut Hearing, groups: std::ops::Range<u64>, from: Instant) -> Instant {
        let mut at = from;
        for group in groups {
            at += FRAME;
            assert!(hearing.frame(group, at));
        }
        at
    }

    #[test]
    fn steady_audio_has_no_gap_and_what_comes_again_is_no_frame() {
        let start = Instant::now();
        let mut hearing = Hearing::new(start);
        let at = steady(&mut hearing, 1..100, start);
        assert!(!hearing.frame(99, at + MS));
        let heard = hearing.heard(at + 20 * MS);
        assert_eq!(
            (heard.objects, heard.doubled, heard.gap_ms),
            (99, 1, Some(0.0))
        );
    }

    #[test]
    fn a_gap_is_counted_from_the_mark_and_while_it_lasts() {
        let start = Instant::now();
        let mut hearing = Hearing::new(start);
        hearing.arrived_at("dakar");
        let at = steady(&mut hearing, 1..10, start);
        hearing.frame(20, at + 500 * MS);
        hearing.mark(at + 510 * MS);
        hearing.arrived_at("cairo");
        let heard = hearing.heard(at + 530 * MS);
        assert_eq!(
            (heard.gap_ms, heard.office_at_mark.as_str()),
            (Some(0.0), "dakar")
        );
        let heard = hearing.heard(at + 830 * MS);
        assert_eq!((heard.gap_ms, heard.silent_ms), (Some(300.0), Some(330.0)));
        hearing.frame(21, at + 910 * MS);
        assert_eq!(hearing.heard(at + 920 * MS).gap_ms, Some(380.0));
        assert_eq!(hearing.heard(at + 920 * MS).moves, 1);
    }

    #[test]
    fn a_frame_that_does_not_come_is_missing_until_it_does() {
        let start = Instant::now();
        let mut hearing = Hearing::new(start);
        let at = steady(&mut hearing, 1..10, start);
        hearing.frame(11, at + 40 * MS);
        assert_eq!(hearing.heard(at + 40 * MS).missing, 1);
        hearing.frame(10, at + 41 * MS);
        assert_eq!(hearing.heard(at + 41 * MS).missing, 0);
    }

    #[test]
    fn what_is_remembered_of_frames_is_bounded() {
        let start = Instant::now();
        let mut hearing = Hearing::new(start);
        steady(&mut hearing, 1..2_000, start);
        assert_eq!(hearing.recent.len(), REMEMBERED);
    }
}
