//! Scales of charts: where a value is between two ends, and which values are written beside.

use super::words;

/// A scale.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    from: f64,
    to: f64,
    is_log: bool,
    /// Values that are written, and how.
    pub(super) ticks: Vec<(f64, String)>,
}

impl Axis {
    /// From 0 to something round beyond this.
    pub(super) fn linear(highest: f64, say: impl Fn(f64) -> String) -> Axis {
        let step = round_step(highest.max(1e-9) / 4.0);
        let steps = (highest / step).ceil().max(1.0) as u32;
        let ticks = (0..=steps).map(|n| f64::from(n) * step);
        Axis {
            from: 0.0,
            to: f64::from(steps) * step,
            is_log: false,
            ticks: ticks.map(|value| (value, say(value))).collect(),
        }
    }

    /// Counts of things: from 0, without halves.
    pub(super) fn counts(highest: f64) -> Axis {
        Axis::linear(highest.max(4.0), |value| words::number(value as u64))
    }

    /// Time in a rehearsal, in seconds, to exactly this.
    pub(super) fn moments(length_s: f64) -> Axis {
        let step = MOMENTS.iter().find(|step| length_s / **step <= 9.0);
        let step = step.copied().unwrap_or(length_s / 8.0);
        let steps = (length_s / step).floor() as u32;
        let ticks = (0..=steps).map(|n| f64::from(n) * step);
        Axis {
            from: 0.0,
            to: length_s,
            is_log: false,
            ticks: ticks.map(|value| (value, words::moment(value))).collect(),
        }
    }

    /// Milliseconds, each power of ten as wide as the next; the ends are made round.
    pub(super) fn times(lowest: f64, highest: f64) -> Axis {
        let steps = || {
            let decades = (-2..=7).map(|power| 10f64.powi(power));
            decades.flat_map(|one| [one, one * 2.0, one * 5.0])
        };
        let lowest = lowest.max(0.01);
        let from = steps().take_while(|step| *step <= lowest).last();
        let from = from.unwrap_or(0.01);
        let to = steps().find(|step| *step >= highest && *step > from);
        let to = to.unwrap_or(highest);
        let within = steps().filter(|step| (from..=to).contains(step));
        let mut ticks: Vec<f64> = within.collect();
        if ticks.len() > 8 {
            ticks.retain(|tick| {
                let power = tick.log10();
                (power - power.round()).abs() < 1e-9
            });
        }
        Axis {
            from,
            to,
            is_log: true,
            ticks: ticks.into_iter().map(|ms| (ms, short(ms))).collect(),
        }
    }

    /// Shares of all, in percent.
    pub(super) fn percent() -> Axis {
        let ticks = [0.0, 25.0, 50.0, 75.0, 90.0, 100.0];
        Axis {
            from: 0.0,
            to: 100.0,
            is_log: false,
            ticks: ticks.iter().map(|v| (*v, format!("{v:.0} %"))).collect(),
        }
    }

    /// Where a value is, 0 to 1; what is beyond an end is at it.
    pub(super) fn place(&self, value: f64) -> f64 {
        let place = match self.is_log {
            true => (value.max(self.from) / self.from).ln() / (self.to / self.from).ln(),
            false => (value - self.from) / (self.to - self.from),
        };
        place.clamp(0.0, 1.0)
    }
}

/// 1, 2 or 5 times a power of ten, and no less than this.
fn round_step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|n| n * power);
    let step = steps.into_iter().find(|step| *step >= least * 0.999_999);
    step.unwrap_or(10.0 * power)
}

/// Round milliseconds without digits that say nothing.
fn short(ms: f64) -> String {
    match ms {
        ms if ms < 1.0 => format!("{} µs", (ms * 1e3).round()),
        ms if ms < 1e3 => format!("{ms:.0} ms"),
        ms => format!("{:.0} s", ms / 1e3),
    }
}

/// Seconds between moments that are written.
const MOMENTS: [f64; 14] = [
    1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1_800.0, 3_600.0, 7_200.0,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_value_has_room_below_a_round_end() {
        for highest in [0.0, 0.03, 1.0, 7.3, 99.0, 1_000.0, 48_123.0] {
            let axis = Axis::linear(highest, |v| v.to_string());
            assert!(axis.place(highest) <= 1.0 && axis.to >= highest, "{axis:?}");
            assert!((2..=6).contains(&axis.ticks.len()), "{axis:?}");
        }
    }

    #[test]
    fn each_power_of_ten_is_as_wide_as_the_next() {
        let axis = Axis::times(1.2, 900.0);
        let places = [1.0, 10.0, 100.0, 1_000.0].map(|ms| axis.place(ms));
        for (place, third) in places.iter().zip([0.0, 1.0 / 3.0, 2.0 / 3.0, 1.0]) {
            assert!((place - third).abs() < 1e-9, "{places:?}");
        }
        assert_eq!(axis.place(0.0), 0.0);
    }

    #[test]
    fn no_scale_has_more_to_read_than_there_is_room_for() {
        for length in [1.0, 5.0, 60.0, 300.0, 7_200.0, 86_400.0] {
            let ticks = Axis::moments(length).ticks;
            assert!((2..=10).contains(&ticks.len()), "{ticks:?}");
        }
        for (lowest, highest) in [(0.0, 0.0), (0.01, 3_600_000.0), (5.0, 5.0), (40.0, 900.0)] {
            let ticks = Axis::times(lowest, highest).ticks;
            assert!((2..=9).contains(&ticks.len()), "{ticks:?}");
        }
    }
}
