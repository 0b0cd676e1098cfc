//! Delay variation as a property of the path at a time, not of a datagram.
//!
//! The offset moves in straight lines between random knots. Independent draws per datagram would
//! pile up behind the latest one once order is kept, and at a high rate turn into constant delay.

use std::time::{Duration, Instant};

/// A wandering offset in seconds, the same for the same seed and clock.
#[derive(Clone, Debug)]
pub(super) struct Jitter {
    seed: u64,
    epoch: Instant,
}

impl Jitter {
    pub(super) fn new(seed: u64, epoch: Instant) -> Self {
        Self { seed, epoch }
    }

    /// `delay` shifted by an offset within `± jitter`, never below zero.
    pub(super) fn shift(&self, delay: Duration, jitter: Duration, at: Instant) -> Duration {
        if jitter.is_zero() {
            return delay;
        }
        let shifted = delay.as_secs_f64() + self.offset(jitter, at) * jitter.as_secs_f64();
        Duration::try_from_secs_f64(shifted).unwrap_or(Duration::ZERO)
    }

    /// The offset at a time, -1 to 1.
    fn offset(&self, jitter: Duration, at: Instant) -> f64 {
        let spacing = knot_spacing(jitter).as_secs_f64();
        let position = at.saturating_duration_since(self.epoch).as_secs_f64() / spacing;
        let knot = position.floor();
        let (left, right) = (self.knot(knot as u64), self.knot(knot as u64 + 1));
        left + (right - left) * (position - knot)
    }

    fn knot(&self, index: u64) -> f64 {
        let bits = mix(self.seed ^ index.wrapping_mul(GOLDEN)) >> 11;
        bits as f64 / (1u64 << 52) as f64 - 1.0
    }
}

/// At twice the range the offset never falls faster than time passes: no datagram overtakes.
fn knot_spacing(jitter: Duration) -> Duration {
    MIN_KNOT_SPACING.max(jitter * 2)
}

/// The finaliser of splitmix64: every input bit reaches every output bit.
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// One audio frame: neighbouring frames then see offsets that differ by up to the whole range.
const MIN_KNOT_SPACING: Duration = Duration::from_millis(20);

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::*;

    fn delays(seed: u64, delay: Duration, jitter: Duration) -> Vec<(Duration, Duration)> {
        let epoch = Instant::now();
        let path = Jitter::new(seed, epoch);
        (0..100_000u64)
            .map(|i| Duration::from_micros(i * 250))
            .map(|at| (at, path.shift(delay, jitter, epoch + at)))
            .collect()
    }

    #[test]
    fn the_delay_stays_within_its_range_and_fills_most_of_it() {
        let ms = Duration::from_millis;
        for seed in 0..5 {
            let seen = delays(seed, ms(79), ms(10));
            let low = seen.iter().map(|(_, delay)| *delay).min().unwrap();
            let high = seen.iter().map(|(_, delay)| *delay).max().unwrap();
            assert!(low >= ms(69) && low < ms(70), "seed {seed}: {low:?}");
            assert!(high <= ms(89) && high > ms(88), "seed {seed}: {high:?}");
            let mean = seen
                .iter()
                .map(|(_, delay)| delay.as_secs_f64())
                .sum::<f64>()
                / 1e5;
            assert!((mean - 0.079).abs() < 0.001, "seed {seed}: {mean}");
        }
    }

    #[test]
    fn the_delay_never_falls_faster_than_time_passes() {
        for (delay, jitter) in [(79, 10), (79, 79), (5, 40)] {
            let (delay, jitter) = (Duration::from_millis(delay), Duration::from_millis(jitter));
            for seed in 0..5 {
                let seen = delays(seed, delay, jitter);
                for pair in seen.windows(2) {
                    let (first, second) = (pair[0].0 + pair[0].1, pair[1].0 + pair[1].1);
                    let slack = Duration::from_nanos(2);
                    assert!(second + slack >= first, "seed {seed}: {first:?} {second:?}");
                }
            }
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_path() {
        let ms = Duration::from_millis;
        let (first, again) = (delays(3, ms(20), ms(5)), delays(3, ms(20), ms(5)));
        assert_eq!(first, again);
        assert_ne!(first, delays(4, ms(20), ms(5)));
    }
}
