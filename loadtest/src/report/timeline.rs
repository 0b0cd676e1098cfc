//! A rehearsal's seconds, several taken together where there are more than can be drawn, and the events among them.

use crate::outcome::{Outcome, Tick};

/// The time charts have in common.
#[derive(Debug)]
pub(super) struct Timeline<'a> {
    ticks: &'a [Tick],
    per_bin: usize,
    /// From the first arrival to the end, in seconds.
    pub(super) length_s: f64,
    /// What happened.
    pub(super) marks: Vec<Mark>,
}

/// Something that happened.
#[derive(Clone, Debug)]
pub(super) struct Mark {
    /// As it is called in charts and tables, from 1.
    pub(super) number: usize,
    /// Seconds from the first arrival.
    pub(super) at_s: f64,
    /// What.
    pub(super) what: String,
}

/// Seconds that are drawn as one.
#[derive(Debug)]
pub(super) struct Bin<'a> {
    /// Seconds from the first arrival to its first.
    pub(super) from_s: f64,
    /// And to the end of its last.
    pub(super) to_s: f64,
    /// Its seconds.
    pub(super) ticks: &'a [Tick],
}

impl<'a> Timeline<'a> {
    /// Of a rehearsal.
    pub(super) fn of(outcome: &'a Outcome) -> Timeline<'a> {
        let marks = outcome.happenings.iter().zip(1..);
        Timeline {
            ticks: &outcome.ticks,
            per_bin: outcome.ticks.len().div_ceil(BINS).max(1),
            length_s: (outcome.length_ms as f64 / 1e3).max(outcome.ticks.len().max(1) as f64),
            marks: marks
                .map(|(one, number)| Mark {
                    number,
                    at_s: one.at_ms as f64 / 1e3,
                    what: one.what.clone(),
                })
                .collect(),
        }
    }

    /// Its seconds, in order.
    pub(super) fn bins(&self) -> impl Iterator<Item = Bin<'a>> {
        let width = self.per_bin;
        self.ticks
            .chunks(width)
            .enumerate()
            .map(move |(n, ticks)| Bin {
                from_s: (n * width) as f64,
                to_s: (n * width + ticks.len()) as f64,
                ticks,
            })
    }

    /// How many seconds one value of a chart stands for.
    pub(super) fn per_bin(&self) -> usize {
        self.per_bin
    }

    /// A value for each bin, at its middle.
    pub(super) fn line(&self, of: impl Fn(&Bin) -> f64) -> Vec<(f64, f64)> {
        self.bins().map(|bin| (bin.middle_s(), of(&bin))).collect()
    }
}

impl Bin<'_> {
    /// In seconds from the first arrival.
    pub(super) fn middle_s(&self) -> f64 {
        (self.from_s + self.to_s) / 2.0
    }

    /// A count per second.
    pub(super) fn per_second(&self, of: impl Fn(&Tick) -> u64) -> f64 {
        self.sum(of) as f64 / self.ticks.len().max(1) as f64
    }

    /// A count.
    pub(super) fn sum(&self, of: impl Fn(&Tick) -> u64) -> u64 {
        self.ticks.iter().map(of).sum()
    }
}

/// Values along a chart: more would lie on top of each other.
const BINS: usize = 240;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_out_of_a_long_rehearsal() {
        let tick = |n| Tick {
            came: n,
            ..Tick::default()
        };
        let outcome = Outcome {
            ticks: (0..7_203).map(tick).collect(),
            ..Outcome::default()
        };
        let timeline = Timeline::of(&outcome);
        let bins: Vec<_> = timeline.bins().collect();
        assert!(bins.len() <= BINS);
        let came: u64 = bins.iter().map(|bin| bin.sum(|tick| tick.came)).sum();
        assert_eq!(came, (0..7_203).sum::<u64>());
        assert_eq!(bins.last().map(|bin| bin.to_s), Some(7_203.0));
    }
}
