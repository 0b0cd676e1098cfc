//! A record of every object heard, and the account of it: what is missing, doubled, altered or late.

use super::shape::{Shape, Stamp, now};
use serde::Serialize;
use std::cell::RefCell;
use std::collections::HashSet;
use std::ops::Range;

/// Keeps the record.
pub(super) struct Witness {
    shapes: Vec<Shape>,
    heard: RefCell<Vec<Heard>>,
}

/// One object, when its last byte was there.
#[derive(Clone, Copy, Debug)]
struct Heard {
    stamp: Stamp,
    group: u64,
    object: u64,
    at: u64,
    is_altered: bool,
}

/// What became of the objects of some tracks. Times are milliseconds from publishing to the last byte.
#[derive(Debug, Serialize)]
pub(super) struct Account {
    sent: u64,
    /// Never came.
    lost: u64,
    doubled: u64,
    altered: u64,
    p50_ms: f64,
    p99_ms: f64,
    p999_ms: f64,
    max_ms: f64,
    /// For each limit asked for: which share of what was sent came within it.
    within: Vec<f64>,
    /// The longest time in which nothing came on a track, beyond its period.
    gap_ms: f64,
}

impl Witness {
    /// For tracks of these shapes. The record grows with what is heard: it is for runs of a known length.
    pub(super) fn new(shapes: &[Shape]) -> Witness {
        Witness {
            shapes: shapes.to_vec(),
            heard: RefCell::default(),
        }
    }

    /// Notes an object with its payload's length and whether the payload was seen to be altered.
    pub(super) fn hear(
        &self,
        stamp: Stamp,
        group: u64,
        object: u64,
        (length, is_altered): (usize, bool),
    ) {
        let shape = self.shapes.get(usize::from(stamp.track));
        let fits = shape.is_some_and(|shape| shape.payload_len(object) == length);
        self.heard.borrow_mut().push(Heard {
            stamp,
            group,
            object,
            at: now(),
            is_altered: is_altered || !fits,
        });
    }

    /// The account of what was published within `window` on tracks of one shape; `sent` is how much that was.
    pub(super) fn account(
        &self,
        shape: Shape,
        window: &Range<u64>,
        sent: u64,
        limits_ms: &[f64],
    ) -> Account {
        let record = self.heard.borrow();
        let is_meant = |heard: &&Heard| {
            window.contains(&heard.stamp.sent)
                && self.shapes.get(usize::from(heard.stamp.track)) == Some(&shape)
        };
        let all: Vec<_> = record.iter().filter(is_meant).copied().collect();
        let mut known = HashSet::new();
        let first: Vec<_> = all
            .iter()
            .filter(|heard| known.insert((heard.stamp.track, heard.group, heard.object)))
            .collect();
        let lag_ms = |heard: &&Heard| (heard.at - heard.stamp.sent) as f64 / 1e6;
        let mut lags: Vec<_> = first.iter().map(lag_ms).collect();
        lags.sort_by(f64::total_cmp);
        let share = |limit: &f64| lags.partition_point(|lag| lag <= limit) as f64 / sent as f64;
        Account {
            sent,
            lost: sent.saturating_sub(first.len() as u64),
            doubled: (all.len() - first.len()) as u64,
            altered: all.iter().filter(|heard| heard.is_altered).count() as u64,
            p50_ms: quantile(&lags, 0.5),
            p99_ms: quantile(&lags, 0.99),
            p999_ms: quantile(&lags, 0.999),
            max_ms: quantile(&lags, 1.0),
            within: limits_ms.iter().map(share).collect(),
            gap_ms: self.longest_gap_ms(&all, shape),
        }
    }

    /// Over tracks of one shape; what was heard is in the order of its coming.
    fn longest_gap_ms(&self, heard: &[Heard], shape: Shape) -> f64 {
        let mut last = vec![None; self.shapes.len()];
        let mut longest = 0;
        for one in heard {
            if let Some(before) = last[usize::from(one.stamp.track)].replace(one.at) {
                longest = longest.max(one.at - before);
            }
        }
        (longest as f64 - shape.period().as_nanos() as f64).max(0.0) / 1e6
    }
}

/// Of sorted values, nearest rank; zero if there are none.
fn quantile(sorted: &[f64], quantile: f64) -> f64 {
    let rank = (sorted.len() as f64 * quantile).ceil() as usize;
    sorted
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPES: [Shape; 2] = [Shape::AudioStreams, Shape::Video];

    fn hear(witness: &Witness, track: u8, group: u64, length: usize) {
        witness.hear(Stamp::now(track), group, 0, (length, false));
    }

    #[test]
    fn what_is_missing_doubled_and_altered_is_told() {
        let witness = Witness::new(&SHAPES);
        for (group, length) in [(1, 160), (2, 160), (2, 160), (4, 159)] {
            hear(&witness, 0, group, length);
        }
        hear(&witness, 1, 1, 40_000);
        let audio = witness.account(Shape::AudioStreams, &(0..u64::MAX), 4, &[1e6, -1.0]);
        assert_eq!((audio.lost, audio.doubled, audio.altered), (1, 1, 1));
        assert_eq!(audio.within, [0.75, 0.0]);
        let video = witness.account(Shape::Video, &(0..u64::MAX), 1, &[]);
        assert_eq!((video.lost, video.doubled, video.altered), (0, 0, 0));
    }

    #[test]
    fn only_what_was_published_in_the_window_counts() {
        let witness = Witness::new(&SHAPES);
        hear(&witness, 0, 1, 160);
        let start = now();
        hear(&witness, 0, 2, 160);
        let account = witness.account(Shape::AudioStreams, &(start..u64::MAX), 1, &[1e6]);
        assert_eq!((account.lost, account.within[0]), (0, 1.0));
    }
}
