//! Whether an expectation held.

use super::expectation::{Expectation, Measure, Statistic};
use crate::outcome::{Count, Figures, Outcome, Process, Role, Sample};
use serde::{Deserialize, Serialize};

/// An expectation, and what came of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// As it was written.
    pub expected: String,
    /// What was measured: milliseconds, a number or a share; none if there was nothing to measure.
    pub value: Option<f64>,
    /// The same with its unit, for people.
    pub said: String,
    /// Whether it held. What could not be measured has not.
    pub holds: bool,
}

/// Judges a rehearsal.
pub fn judge(expect: &[Expectation], outcome: &Outcome) -> Vec<Judged> {
    let one = |expectation: &Expectation| {
        let value = value(expectation, outcome);
        let holds = |value| expectation.relation.holds(value, expectation.limit);
        Judged {
            expected: expectation.text.clone(),
            value,
            said: value.map_or_else(
                || "nothing to measure".to_owned(),
                |value| in_words(expectation.measure, value),
            ),
            holds: value.is_some_and(holds),
        }
    };
    expect.iter().map(one).collect()
}

fn value(expectation: &Expectation, outcome: &Outcome) -> Option<f64> {
    let figures = || outcome.sum(|key| expectation.is_about(key));
    match expectation.measure {
        Measure::Time(latency, statistic) => {
            let figures = figures();
            let spread = figures.timed(latency)?;
            match statistic {
                Statistic::Quantile(quantile) => spread.quantile_ms(quantile),
                Statistic::Mean => spread.mean_ms(),
            }
        }
        Measure::Number(count) => Some(figures().counted(count) as f64),
        Measure::Share(count) => share(count, &figures()),
        Measure::Ghosts => outcome.ghosts.map(|ghosts| ghosts as f64),
        Measure::EdgeCpu => largest(outcome, busiest),
        Measure::EdgeMemory => largest(outcome, |edge| {
            let kib = edge.samples.iter().map(|sample| sample.memory_kib).max()?;
            Some(kib as f64 / 1024.0)
        }),
    }
}

/// A count beside all it could have been: people of those who came, frames of those that were to come.
fn share(count: Count, figures: &Figures) -> Option<f64> {
    use Count::*;
    let of = match count {
        Came | Queued | Joined | Failed | Moved | Switched | Missed => figures.counted(Came),
        VideoObjects | VideoLost => figures.counted(VideoObjects) + figures.counted(VideoLost),
        _ => figures.counted(Objects) + figures.counted(Lost),
    };
    (of > 0).then(|| figures.counted(count) as f64 / of as f64)
}

fn largest(outcome: &Outcome, of: impl Fn(&Process) -> Option<f64>) -> Option<f64> {
    let edges = outcome.processes.iter();
    let edges = edges.filter(|process| process.role == Role::Edge);
    edges.filter_map(of).max_by(f64::total_cmp)
}

/// The share of a core over the busiest ten seconds; none if it was not watched for so long.
pub(crate) fn busiest(edge: &Process) -> Option<f64> {
    let over = |from: &Sample, to: &Sample| {
        let ms = to.at_ms - from.at_ms;
        // A process that was started again begins at 0.
        let cpu = to.cpu_ms.checked_sub(from.cpu_ms)?;
        (ms >= WINDOW_MS).then(|| cpu as f64 / ms as f64)
    };
    let windows = edge.samples.iter().enumerate().filter_map(|(n, from)| {
        let end = edge.samples[n..]
            .iter()
            .find(|to| to.at_ms - from.at_ms >= WINDOW_MS)?;
        over(from, end)
    });
    windows.max_by(f64::total_cmp)
}

fn in_words(measure: Measure, value: f64) -> String {
    match measure {
        Measure::Time(..) if value >= 10_000.0 => format!("{:.1} s", value / 1e3),
        Measure::Time(..) if value >= 100.0 => format!("{value:.0} ms"),
        Measure::Time(..) => format!("{value:.1} ms"),
        Measure::Number(_) | Measure::Ghosts => format!("{value:.0}"),
        Measure::Share(_) => format!("{:.3} %", value * 100.0),
        Measure::EdgeCpu => format!("{value:.2} cores"),
        Measure::EdgeMemory => format!("{value:.0} MiB"),
    }
}

const WINDOW_MS: i64 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{Cell, Key, Latency};
    use std::time::Duration;

    fn judged(text: &str, outcome: &Outcome) -> Judged {
        let expectation = text.parse().expect(text);
        judge(&[expectation], outcome).remove(0)
    }

    fn outcome() -> Outcome {
        let cell = |region: &str, ms: u64, lost: u64| {
            let mut figures = Figures::default();
            figures.time(Latency::FirstAudio, Duration::from_millis(ms));
            figures.count(Count::Came, 1);
            figures.count(Count::Objects, 999);
            figures.count(Count::Lost, lost);
            let region = region.to_owned();
            Cell {
                key: Key {
                    region,
                    ..Key::default()
                },
                figures,
            }
        };
        Outcome {
            cells: vec![cell("AFR", 1000, 1), cell("EUR", 10, 0)],
            ..Outcome::default()
        }
    }

    #[test]
    fn an_expectation_is_judged_over_those_it_is_about() {
        let outcome = outcome();
        assert!(judged("first_audio.max{region=EUR} < 11ms", &outcome).holds);
        assert!(!judged("first_audio.max < 11ms", &outcome).holds);
        assert_eq!(judged("lost == 1", &outcome).value, Some(1.0));
        assert_eq!(
            judged("lost{region=AFR} <= 0.1%", &outcome).value,
            Some(0.001)
        );
    }

    #[test]
    fn what_was_not_measured_has_not_held() {
        let outcome = outcome();
        for text in ["ghosts == 0", "first_picture.p95 < 1s", "edge_cpu < 1"] {
            let judged = judged(text, &outcome);
            assert_eq!((judged.value, judged.holds), (None, false), "{text}");
        }
    }

    #[test]
    fn the_busiest_ten_seconds_count() {
        let sample = |s: i64, cpu_ms| Sample {
            at_ms: s * 1000,
            cpu_ms,
            ..Sample::default()
        };
        let samples = vec![
            sample(0, 0),
            sample(10, 1_000),
            sample(20, 9_000),
            sample(30, 9_100),
        ];
        let edge = Process {
            name: "geneva".to_owned(),
            role: Role::Edge,
            samples,
        };
        let outcome = Outcome {
            processes: vec![edge],
            ..Outcome::default()
        };
        assert_eq!(judged("edge_cpu < 0.9", &outcome).value, Some(0.8));
    }
}
