//! Spans of time by their frequency.

use hdrhistogram::Histogram;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::time::Duration;

/// How long something took, each time: a histogram of microseconds to two digits, from 1 µs to an hour. Written as pairs of
/// microseconds and how often.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spread(Option<Box<Histogram<u64>>>);

impl Spread {
    /// One more.
    pub fn record(&mut self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(LONGEST_US);
        self.histogram()
            .record(us.clamp(1, LONGEST_US))
            .expect(BOUNDS);
    }

    /// Those of another, too.
    pub fn add(&mut self, other: &Spread) {
        if let Some(other) = &other.0 {
            self.histogram().add(other.as_ref()).expect(BOUNDS);
        }
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.0.as_ref().map_or(0, |all| all.len())
    }

    /// Milliseconds that this share of them stayed below, 0 to 1; none of none.
    pub fn quantile_ms(&self, quantile: f64) -> Option<f64> {
        let all = self.0.as_ref().filter(|all| !all.is_empty())?;
        Some(all.value_at_quantile(quantile).min(all.max()) as f64 / 1e3)
    }

    /// The longest, in milliseconds.
    pub fn max_ms(&self) -> Option<f64> {
        self.quantile_ms(1.0)
    }

    /// The mean, in milliseconds.
    pub fn mean_ms(&self) -> Option<f64> {
        let all = self.0.as_ref().filter(|all| !all.is_empty())?;
        Some(all.mean() / 1e3)
    }

    /// How many took longer than this.
    pub fn above(&self, limit: Duration) -> u64 {
        let us = u64::try_from(limit.as_micros()).unwrap_or(LONGEST_US);
        let all = self.0.as_ref();
        all.map_or(0, |all| all.len() - all.count_between(0, us))
    }

    /// Values in milliseconds with how many there are of each, for drawing.
    pub fn steps_ms(&self) -> Vec<(f64, u64)> {
        let all = self.0.iter().flat_map(|all| all.iter_recorded());
        all.map(|step| {
            let middle = step.value_iterated_to() as f64 / 1e3;
            (middle, step.count_at_value())
        })
        .collect()
    }

    fn histogram(&mut self) -> &mut Histogram<u64> {
        self.0.get_or_insert_with(|| {
            let mut empty = Histogram::new_with_bounds(1, 2, DIGITS).expect(BOUNDS);
            empty.auto(true);
            Box::new(empty)
        })
    }
}

impl Serialize for Spread {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let recorded = self.0.iter().flat_map(|all| all.iter_recorded());
        to.collect_seq(recorded.map(|step| (step.value_iterated_to(), step.count_at_value())))
    }
}

impl<'de> Deserialize<'de> for Spread {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Spread, D::Error> {
        let steps = Vec::<(u64, u64)>::deserialize(from)?;
        let mut spread = Spread::default();
        for (us, count) in steps.into_iter().filter(|(_, count)| *count > 0) {
            // The middle of a step may lie beyond the longest time by its own width.
            let us = us.clamp(1, LONGEST_US);
            spread.histogram().record_n(us, count).expect(BOUNDS);
        }
        Ok(spread)
    }
}

const DIGITS: u8 = 2;
/// An hour.
const LONGEST_US: u64 = 3_600_000_000;
const BOUNDS: &str = "a histogram that grows by itself takes any value";

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[u64]) -> Spread {
        let mut spread = Spread::default();
        for ms in values {
            spread.record(Duration::from_millis(*ms));
        }
        spread
    }

    #[test]
    fn parts_add_up_to_the_whole_exactly() {
        let (mut odd, even) = (of(&[1, 3, 900]), of(&[2, 4, 60_000]));
        odd.add(&even);
        assert_eq!(odd, of(&[1, 2, 3, 4, 900, 60_000]));
    }

    #[test]
    fn what_is_written_is_read_again() {
        for spread in [of(&[]), of(&[1, 20, 20, 7_000])] {
            let text = serde_json::to_string(&spread).expect("written");
            let read: Spread = serde_json::from_str(&text).expect("read");
            assert_eq!(read, spread);
            assert_eq!(read.count(), spread.count());
        }
    }

    #[test]
    fn shares_are_right_to_one_percent() {
        let spread = of(&(1..=1000).collect::<Vec<_>>());
        for (quantile, is) in [(0.5, 500.0), (0.95, 950.0), (1.0, 1000.0)] {
            let said = spread.quantile_ms(quantile).expect("not empty");
            assert!((said / is - 1.0).abs() < 0.01, "{quantile}: {said} of {is}");
        }
        let above = spread.above(Duration::from_millis(900));
        assert!((92..=101).contains(&above), "{above}");
    }

    #[test]
    fn garbage_is_refused_and_does_not_panic() {
        for text in ["\"x\"", "7", "[[1]]", "[[-1, 2]]"] {
            assert!(serde_json::from_str::<Spread>(text).is_err(), "{text}");
        }
        let endless = format!("[[{0}, {0}], [{0}, {0}]]", u64::MAX);
        assert!(serde_json::from_str::<Spread>(&endless).is_ok());
    }
}
