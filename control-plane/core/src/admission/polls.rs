//! When those who wait ask again: a calendar that gives out no more times per second than the replica wants to answer.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How many have been told to ask in each slot from now on.
#[derive(Debug)]
pub(super) struct Polls {
    per_slot: u32,
    /// When the first slot begins.
    start: Instant,
    told: VecDeque<u32>,
}

impl Polls {
    pub(super) fn new(per_second: u32, now: Instant) -> Self {
        let per_slot = (per_second / SLOTS_PER_SECOND).max(1);
        Self {
            per_slot,
            start: now,
            told: VecDeque::new(),
        }
    }

    /// A time to ask again, at least `least` from now, up to a quarter or a second later at random, in the next slot that
    /// is not taken up. The last slot takes all who find no other.
    pub(super) fn slot(&mut self, now: Instant, least: Duration, random: u64) -> Instant {
        self.forget(now);
        let permille = (random >> 32) % 250;
        let late = least
            .mul_f64(permille as f64 / 1_000.0)
            .min(MOST_LATE.mul_f64(permille as f64 / 250.0));
        let wanted = now + least + late;
        let first = self.index(wanted).min(MAX_SLOTS - 1);
        let free = (first..MAX_SLOTS).find(|index| self.told(*index) < self.per_slot);
        let index = free.unwrap_or(MAX_SLOTS - 1);
        if self.told.len() <= index {
            self.told.resize(index + 1, 0);
        }
        self.told[index] += 1;
        let within = SLOT.mul_f64((random % 1_000) as f64 / 1_000.0);
        // In the wanted slot nobody is sent earlier than wanted.
        (self.start + SLOT * index as u32 + within)
            .max(wanted.min(self.start + SLOT * (index as u32 + 1)))
    }

    fn told(&self, index: usize) -> u32 {
        self.told.get(index).copied().unwrap_or(0)
    }

    fn index(&self, at: Instant) -> usize {
        (at.saturating_duration_since(self.start).as_nanos() / SLOT.as_nanos()) as usize
    }

    fn forget(&mut self, now: Instant) {
        let past = self.index(now);
        self.told.drain(..past.min(self.told.len()));
        self.start += SLOT * u32::try_from(past).unwrap_or(u32::MAX);
    }
}

const SLOTS_PER_SECOND: u32 = 10;
const SLOT: Duration = Duration::from_millis(100);
/// Whoever is expected to have a turn by then should not leave it unused for longer.
const MOST_LATE: Duration = Duration::from_secs(1);
/// A minute: nobody is told to wait for longer before they ask again.
const MAX_SLOTS: usize = 600;
