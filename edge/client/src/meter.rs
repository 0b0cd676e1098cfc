//! Figures of one track: rates, lag, gaps. Time is an argument; the report takes what is here.

use hdrhistogram::Histogram;
use serde::Serialize;
use std::time::{Duration, Instant};

/// Counts one track's objects as they are sent or arrive.
#[derive(Debug)]
pub struct Meter {
    began: Instant,
    objects: u64,
    bytes: u64,
    /// Objects not sent, or received and not used, by whoever counts.
    dropped: u64,
    lag: Lag,
    recent: Recent,
    first: Option<Duration>,
    last: Option<Instant>,
    largest_gap: Duration,
}

#[derive(Debug)]
struct Recent {
    since: Instant,
    objects: u64,
    bytes: u64,
    lag: Lag,
}

/// Microseconds between an event and now.
#[derive(Debug)]
struct Lag {
    histogram: Histogram<u64>,
    max_us: u64,
}

/// A track's figures, as printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct TrackFigures {
    /// Objects since the start.
    pub objects: u64,
    /// Payload bytes since the start.
    pub bytes: u64,
    /// Objects a second: lately in a line, on average in a summary.
    pub objects_per_s: f64,
    /// Payload kbit/s: lately in a line, on average in a summary.
    pub kbit_s: f64,
    /// Half of the objects lagged no more than this.
    pub lag_p50_ms: f64,
    /// 99 % of the objects lagged no more than this.
    pub lag_p99_ms: f64,
    /// The most that any object lagged.
    pub lag_max_ms: f64,
    /// From connecting to the first object.
    pub first_ms: Option<f64>,
    /// The longest time between two objects in a row.
    pub largest_gap_ms: f64,
    /// Objects left out here.
    pub dropped: u64,
}

impl Meter {
    /// Starts counting.
    pub fn new(now: Instant) -> Meter {
        Meter {
            began: now,
            objects: 0,
            bytes: 0,
            dropped: 0,
            lag: Lag::new(),
            recent: Recent {
                since: now,
                objects: 0,
                bytes: 0,
                lag: Lag::new(),
            },
            first: None,
            last: None,
            largest_gap: Duration::ZERO,
        }
    }

    /// Counts an object. A lag below zero (clocks apart) counts as none.
    pub fn object(&mut self, now: Instant, bytes: usize, lag_us: Option<i64>) {
        self.objects += 1;
        self.bytes += bytes as u64;
        self.recent.objects += 1;
        self.recent.bytes += bytes as u64;
        if let Some(lag_us) = lag_us {
            let lag_us = u64::try_from(lag_us).unwrap_or(0);
            self.lag.add(lag_us);
            self.recent.lag.add(lag_us);
        }
        self.first.get_or_insert(now - self.began);
        if let Some(last) = self.last.replace(now) {
            self.largest_gap = self.largest_gap.max(now - last);
        }
    }

    /// Counts an object that was left out.
    pub fn drop_one(&mut self) {
        self.dropped += 1;
    }

    /// The figures since the last call.
    pub fn lately(&mut self, now: Instant) -> TrackFigures {
        let fresh = Recent {
            since: now,
            objects: 0,
            bytes: 0,
            lag: Lag::new(),
        };
        let recent = std::mem::replace(&mut self.recent, fresh);
        let over = now - recent.since;
        self.figures(over, recent.objects, recent.bytes, &recent.lag)
    }

    /// The figures since the start, rates from the first to the last object.
    pub fn overall(&self) -> TrackFigures {
        let first = self.began + self.first.unwrap_or_default();
        let over = self.last.map_or(Duration::ZERO, |last| last - first);
        self.figures(over, self.objects, self.bytes, &self.lag)
    }

    fn figures(&self, over: Duration, objects: u64, bytes: u64, lag: &Lag) -> TrackFigures {
        let seconds = over.as_secs_f64().max(1e-3);
        TrackFigures {
            objects: self.objects,
            bytes: self.bytes,
            objects_per_s: round(objects as f64 / seconds),
            kbit_s: round(bytes as f64 * 8e-3 / seconds),
            lag_p50_ms: lag.quantile_ms(0.5),
            lag_p99_ms: lag.quantile_ms(0.99),
            lag_max_ms: round(lag.max_us as f64 / 1e3),
            first_ms: self.first.map(|first| round(first.as_secs_f64() * 1e3)),
            largest_gap_ms: round(self.largest_gap.as_secs_f64() * 1e3),
            dropped: self.dropped,
        }
    }
}

impl Lag {
    fn new() -> Lag {
        let histogram = Histogram::new_with_max(MAX_LAG_US, 3).expect("the bounds are valid");
        Lag {
            histogram,
            max_us: 0,
        }
    }

    fn add(&mut self, us: u64) {
        self.histogram.saturating_record(us);
        self.max_us = self.max_us.max(us);
    }

    fn quantile_ms(&self, quantile: f64) -> f64 {
        round(self.histogram.value_at_quantile(quantile) as f64 / 1e3)
    }
}

/// Ten minutes: beyond that clocks are wrong, not links slow.
const MAX_LAG_US: u64 = 600_000_000;

/// To a hundredth, enough for milliseconds and rates.
fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn rates_lag_and_gaps_come_out() {
        let start = Instant::now();
        let mut meter = Meter::new(start);
        for index in 0..50 {
            meter.object(
                start + MS * (100 + index * 20),
                160,
                Some(i64::from(index) * 1_000),
            );
        }
        meter.object(start + MS * 1_400, 160, Some(-5));
        let now = start + MS * 2_000;
        let lately = meter.lately(now);
        assert_eq!((lately.objects, lately.objects_per_s), (51, 25.5));
        assert_eq!(lately.kbit_s, 32.64);
        assert_eq!((lately.lag_max_ms, lately.first_ms), (49.0, Some(100.0)));
        assert!(
            (lately.lag_p50_ms - 24.0).abs() < 0.5,
            "{}",
            lately.lag_p50_ms
        );
        assert_eq!(lately.largest_gap_ms, 320.0);
        assert_eq!(meter.lately(now + MS * 1_000).objects_per_s, 0.0);
        assert_eq!(meter.overall().objects_per_s, 39.23);
    }

    #[test]
    fn a_track_without_objects_has_figures_too() {
        let start = Instant::now();
        let mut meter = Meter::new(start);
        meter.drop_one();
        let figures = meter.overall();
        assert_eq!(
            (figures.objects, figures.dropped, figures.first_ms),
            (0, 1, None)
        );
    }
}
