//! A pace: so many in the long run, and a few at once after a quiet time.

use super::Rate;
use std::time::{Duration, Instant};

/// A bucket of turns that fills at a rate.
#[derive(Debug)]
pub(super) struct Bucket {
    rate: Rate,
    turns: f64,
    at: Instant,
}

impl Bucket {
    /// A full one.
    pub(super) fn new(rate: Rate, now: Instant) -> Self {
        let rate = Rate {
            per_second: rate.per_second.max(LEAST_RATE),
            burst: rate.burst.max(1),
        };
        Self {
            rate,
            turns: f64::from(rate.burst),
            at: now,
        }
    }

    pub(super) fn is_ready(&mut self, now: Instant) -> bool {
        self.fill(now);
        self.turns >= 1.0
    }

    /// Takes a turn that [`Self::is_ready`] has found.
    pub(super) fn take(&mut self, now: Instant) {
        self.fill(now);
        self.turns -= 1.0;
    }

    /// A turn was not used.
    pub(super) fn give_back(&mut self, now: Instant) {
        self.fill(now);
        self.turns = (self.turns + 1.0).min(f64::from(self.rate.burst));
    }

    /// When the next turn is there.
    pub(super) fn ready_at(&self) -> Instant {
        let missing = (1.0 - self.turns).max(0.0);
        // Rounded up, lest it be woken a moment too early.
        self.at + Duration::from_secs_f64(missing / self.rate.per_second) + Duration::from_micros(1)
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.turns = (self.turns + passed * self.rate.per_second).min(f64::from(self.rate.burst));
        self.at = self.at.max(now);
    }
}

/// One an hour: 0 would never end.
const LEAST_RATE: f64 = 1.0 / 3_600.0;
