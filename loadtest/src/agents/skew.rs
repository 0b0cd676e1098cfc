//! How far another machine's clock is ahead, from pings it echoes with its time; and how wrong that has become.

use std::time::Duration;

/// What pings have told of late: the quickest one says most (as in NTP, RFC 5905 §8, with one clock reading at the far end).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Skew {
    /// Those of late: how long they were on their way, and how far the other clock was ahead.
    told: [Option<(Duration, i64)>; LATE],
    next: usize,
}

/// What has become, over a rehearsal, of the difference it began with: clocks do not run alike.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drift {
    used: Skew,
    window: Skew,
    worst_us: u64,
    /// How often it was asked in this window.
    asked: usize,
    /// Windows that have told enough, and those that have not.
    told: usize,
    untold: usize,
}

impl Skew {
    /// A ping was sent at `sent_us` and its echo was here at `back_us`, by this clock; the other's said `theirs_us` in
    /// between. All in microseconds since the Unix epoch. An echo from before its ping tells nothing.
    pub(super) fn note(&mut self, sent_us: u64, back_us: u64, theirs_us: u64) {
        let Some(there_and_back) = back_us.checked_sub(sent_us) else {
            return;
        };
        let middle = sent_us + there_and_back / 2;
        let there_and_back = Duration::from_micros(there_and_back);
        let ahead = theirs_us.wrapping_sub(middle).cast_signed();
        self.told[self.next] = Some((there_and_back, ahead));
        self.next = (self.next + 1) % LATE;
    }

    /// How many pings have told something.
    pub(super) fn pings(&self) -> usize {
        self.told.iter().flatten().count()
    }

    /// How far the other clock is ahead, in microseconds.
    pub(super) fn ahead_us(&self) -> i64 {
        self.best().map_or(0, |(_, ahead)| ahead)
    }

    /// How far that may be wrong, in microseconds: the way there and the way back need not take as long.
    pub(super) fn error_us(&self) -> u64 {
        let half = |best: Duration| u64::try_from(best.as_micros()).unwrap_or(u64::MAX) / 2;
        self.best().map_or(u64::MAX, |(best, _)| half(best))
    }

    fn best(&self) -> Option<(Duration, i64)> {
        self.told.iter().flatten().copied().min()
    }

    /// A time of this clock, by the other.
    pub(super) fn theirs_us(&self, ours_us: u64) -> u64 {
        ours_us.saturating_add_signed(self.ahead_us())
    }
}

impl Drift {
    /// From when this was relied on.
    pub(super) fn from(used: Skew) -> Drift {
        Drift {
            used,
            window: Skew::default(),
            worst_us: used.error_us(),
            asked: 0,
            told: 0,
            untold: 0,
        }
    }

    /// It is asked once more, whether or not that comes through.
    pub(super) fn ask(&mut self) {
        if self.asked == WINDOW {
            self.worst_us = self.error_us();
            match self.window.pings() >= FEWEST {
                true => self.told += 1,
                false => self.untold += 1,
            }
            (self.window, self.asked) = (Skew::default(), 0);
        }
        self.asked += 1;
    }

    /// As with [`Skew::note`].
    pub(super) fn note(&mut self, sent_us: u64, back_us: u64, theirs_us: u64) {
        self.window.note(sent_us, back_us, theirs_us);
    }

    /// Whether it was asked for long without telling enough: then nothing bounds how wrong it has become.
    pub(super) fn is_lost(&self) -> bool {
        let is_short = self.told == 0 && self.asked >= 2 * FEWEST;
        self.untold > 0 || (is_short && self.window.pings() < FEWEST)
    }

    /// What was relied on.
    pub(super) fn used(&self) -> Skew {
        self.used
    }

    /// How wrong it may have been at any time, in microseconds.
    pub(super) fn error_us(&self) -> u64 {
        match self.window.pings() >= FEWEST {
            true => self.worst_us.max(self.wrong_us()),
            false => self.worst_us,
        }
    }

    fn wrong_us(&self) -> u64 {
        let moved = self.window.ahead_us().abs_diff(self.used.ahead_us());
        moved.saturating_add(self.window.error_us())
    }
}

/// A quick one is among so many, and clocks move little meanwhile.
const WINDOW: usize = 16;
/// Fewer may all have been slow ones.
const FEWEST: usize = 4;
/// Somebody may wait for minutes until all are there: what was told before these is out of date.
const LATE: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

    #[test]
    fn a_clock_is_known_to_half_of_the_quickest_way_there_and_back() {
        let mut dice = StdRng::seed_from_u64(11);
        for _ in 0..200 {
            let ahead: i64 = dice.random_range(-5_000_000..5_000_000);
            let mut skew = Skew::default();
            let mut now = 1_700_000_000_000_000_u64;
            for _ in 0..16 {
                let (there, back) = (dice.random_range(50..90_000), dice.random_range(50..90_000));
                let theirs = (now + there).saturating_add_signed(ahead);
                skew.note(now, now + there + back, theirs);
                now += 200_000;
            }
            let wrong = (skew.ahead_us() - ahead).unsigned_abs();
            assert!(
                wrong <= skew.error_us() + 1,
                "{wrong} of {}",
                skew.error_us()
            );
            assert_eq!(
                skew.theirs_us(now),
                now.saturating_add_signed(skew.ahead_us())
            );
        }
    }

    #[test]
    fn an_echo_from_before_its_ping_tells_nothing() {
        let mut skew = Skew::default();
        skew.note(100, 90, 95);
        assert_eq!(skew, Skew::default());
        assert_eq!((skew.ahead_us(), skew.error_us()), (0, u64::MAX));
    }

    #[test]
    fn a_clock_that_runs_faster_is_noticed_and_the_bound_says_how_wrong_it_has_become() {
        let mut used = Skew::default();
        used.note(1_000_000, 1_000_400, 6_000_200);
        assert_eq!((used.ahead_us(), used.error_us()), (5_000_000, 200));
        let mut drift = Drift::from(used);
        // It gains 50 µs each second.
        for second in 1..=100u64 {
            let sent = 1_000_000 + second * 1_000_000;
            let ahead = 5_000_000 + second * 50;
            drift.ask();
            drift.note(sent, sent + 600, sent + 300 + ahead);
            let wrong = second * 50;
            // Over a window clocks count as standing still.
            let untold = (WINDOW + FEWEST) as u64 * 50;
            assert!(drift.error_us() + untold >= wrong, "after {second} s");
        }
        assert!(drift.error_us() <= 100 * 50 + 300);
        assert!(!drift.is_lost());
        assert_eq!(drift.used().ahead_us(), 5_000_000);
    }

    #[test]
    fn a_clock_that_tells_too_little_for_long_is_lost_and_one_that_was_hardly_asked_is_not() {
        let mut used = Skew::default();
        used.note(1_000_000, 1_000_400, 1_000_200);
        let asked = |times: usize, echoed: fn(usize) -> bool| {
            let mut drift = Drift::from(used);
            for n in 0..times {
                drift.ask();
                if echoed(n) {
                    drift.note(2_000_000, 2_000_400, 2_000_200);
                }
            }
            drift.is_lost()
        };
        assert!(!asked(2 * FEWEST - 1, |_| false));
        assert!(asked(2 * FEWEST, |_| false));
        assert!(!asked(2 * FEWEST, |n| n % 2 == 0));
        assert!(!asked(100, |n| n % 3 == 0));
        // It was silent in the middle alone.
        assert!(asked(100, |n| !(2 * WINDOW..3 * WINDOW).contains(&n)));
        // What it does not tell at the very end may be on its way.
        assert!(!asked(2 * WINDOW, |n| n < WINDOW));
    }
}
