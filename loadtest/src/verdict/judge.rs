//! Whether an expectation held.

use super::expectation::{Expectation, Measure, Statistic};
use crate::outcome::{Count, Figures, Outcome, Process, Role};
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
            value: value.as_ref().ok().copied(),
            holds: value.as_ref().is_ok_and(|value| holds(*value)),
            said: match value {
                Ok(value) => in_words(expectation.measure, value),
                Err(why) => why,
            },
        }
    };
    expect.iter().map(one).collect()
}

/// What was measured, or why nothing was.
fn value(expectation: &Expectation, outcome: &Outcome) -> Result<f64, String> {
    let nothing = || NOTHING.to_owned();
    match expectation.measure {
        Measure::Time(latency, statistic) => {
            let figures = figures(expectation, outcome)?;
            let spread = figures.timed(latency).ok_or_else(nothing)?;
            let value = match statistic {
                Statistic::Quantile(quantile) => spread.quantile_ms(quantile),
                Statistic::Mean => spread.mean_ms(),
            };
            value.ok_or_else(nothing)
        }
        Measure::Number(count) => {
            let figures = figures(expectation, outcome)?;
            let value = figures.counted(count);
            if value == 0 && !is_amount(count) {
                whole(count, &figures).size_or_why()?;
            }
            Ok(value as f64)
        }
        Measure::Share(count) => {
            let figures = figures(expectation, outcome)?;
            let size = whole(count, &figures).size_or_why()?;
            Ok(figures.counted(count) as f64 / size as f64)
        }
        Measure::Ghosts => outcome
            .ghosts
            .map(|ghosts| ghosts as f64)
            .ok_or_else(nothing),
        Measure::EdgeCpu => largest(outcome, Process::busiest).ok_or_else(nothing),
        Measure::EdgeMemory => largest(outcome, |edge| {
            let kib = edge.samples.iter().map(|sample| sample.memory_kib).max()?;
            Some(kib as f64 / 1024.0)
        })
        .ok_or_else(nothing),
    }
}

/// What those went through whom it is about; nobody else's figures say anything of them.
fn figures(expectation: &Expectation, outcome: &Outcome) -> Result<Figures, String> {
    let mut cells = outcome.cells.iter();
    if cells.any(|cell| expectation.is_about(&cell.key)) {
        return Ok(outcome.sum(|key| expectation.is_about(key)));
    }
    let pair = |(field, value): &(String, String)| format!("{field}={value}");
    let of: Vec<_> = expectation.of.iter().map(pair).collect();
    Err(match of.is_empty() {
        true => format!("{NOTHING}: nobody came"),
        false => format!("{NOTHING}: nobody came of {}", of.join(", ")),
    })
}

/// All that a count could have been at most.
struct Whole {
    size: u64,
    /// What there is none of, where there is none.
    what: &'static str,
}

impl Whole {
    fn people(figures: &Figures) -> Whole {
        Whole {
            size: figures.counted(Count::Came),
            what: "nobody came",
        }
    }

    fn frames(figures: &Figures) -> Whole {
        Whole {
            size: figures.counted(Count::Objects) + figures.counted(Count::Lost),
            what: "no audio frame came or was to come",
        }
    }

    fn pictures(figures: &Figures) -> Whole {
        Whole {
            size: figures.counted(Count::VideoObjects) + figures.counted(Count::VideoLost),
            what: "no video frame came or was to come",
        }
    }

    fn all_frames(figures: &Figures) -> Whole {
        Whole {
            size: Whole::frames(figures).size + Whole::pictures(figures).size,
            what: "no frame came or was to come",
        }
    }

    fn size_or_why(&self) -> Result<u64, String> {
        match self.size {
            0 => Err(format!("{NOTHING}: {}", self.what)),
            size => Ok(size),
        }
    }
}

/// What a count is a part of: people of those who came, faults of the frames that were to come.
fn whole(count: Count, figures: &Figures) -> Whole {
    use Count::*;
    match count {
        Came | Queued | Joined | Failed | Moved | Switched | Missed => Whole::people(figures),
        VideoObjects | VideoLost => Whole::pictures(figures),
        Altered => Whole::all_frames(figures),
        _ => Whole::frames(figures),
    }
}

/// Whether a count says by itself how much there was: 0 is then something that was measured.
fn is_amount(count: Count) -> bool {
    matches!(
        count,
        Count::Came | Count::Objects | Count::VideoObjects | Count::Bytes
    )
}

fn largest(outcome: &Outcome, of: impl Fn(&Process) -> Option<f64>) -> Option<f64> {
    let edges = outcome.processes.iter();
    let edges = edges.filter(|process| process.role == Role::Edge);
    edges.filter_map(of).max_by(f64::total_cmp)
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

const NOTHING: &str = "nothing to measure";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{Cell, Key, Latency, Sample};
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
    fn an_expectation_of_people_of_whom_nobody_came_has_not_held() {
        let outcome = outcome();
        for (text, of) in [
            ("lost{profile=no-such} == 0", "profile=no-such"),
            ("failed{region=NOWHERE} == 0", "region=NOWHERE"),
            (
                "objects{region=AFR, transport=quick} >= 0",
                "region=AFR, transport=quick",
            ),
            ("lost{region=NOWHERE} < 1%", "region=NOWHERE"),
        ] {
            let judged = judged(text, &outcome);
            assert_eq!((judged.value, judged.holds), (None, false), "{text}");
            let said = format!("nothing to measure: nobody came of {of}");
            assert_eq!(judged.said, said, "{text}");
        }
        let empty = judged("failed == 0", &Outcome::default());
        assert!(!empty.holds && empty.said.ends_with("nobody came"));
    }

    #[test]
    fn faults_of_frames_have_not_held_where_no_frame_was_to_come() {
        let mut outcome = outcome();
        let video = judged("video_lost == 0", &outcome);
        let words = "nothing to measure: no video frame came or was to come";
        assert_eq!((video.said.as_str(), video.holds), (words, false));
        assert!(judged("altered == 0", &outcome).holds);
        for cell in &mut outcome.cells {
            cell.figures.counts.retain(|of, _| *of == Count::Came);
        }
        for fault in ["lost", "late", "duplicated", "reordered", "altered"] {
            let judged = judged(&format!("{fault} == 0"), &outcome);
            assert_eq!((judged.value, judged.holds), (None, false), "{fault}");
            assert!(judged.said.contains("frame came or was to come"));
        }
        assert!(judged("failed == 0", &outcome).holds);
        assert!(judged("objects == 0", &outcome).holds);
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
