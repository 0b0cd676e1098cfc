//! Whether what was measured can be believed.

use crate::outcome::{Happening, Health, Outcome, Spread, Tester};

/// What the rehearsal was, beside what delegates went through.
#[derive(Clone, Debug)]
pub(super) struct Course<'a> {
    /// How late frames were published.
    pub(super) published: &'a Spread,
    /// How busy the thread that publishes was, as a share of a core.
    pub(super) sources: f64,
    /// It was ended before its time.
    pub(super) is_interrupted: bool,
    /// Whose figures are missing, and why.
    pub(super) lost: &'a [String],
}

/// Why not to believe it; nothing if there is no reason.
pub(super) fn of(outcome: &Outcome, course: &Course<'_>) -> Health {
    let mut reasons = Vec::new();
    if course.is_interrupted {
        reasons.push("it was ended before its time".to_owned());
    }
    reasons.extend(course.lost.iter().cloned());
    let events = outcome.happenings.iter().filter_map(failed);
    reasons.extend(events);
    outcome
        .testers
        .iter()
        .for_each(|tester| lagging(tester, &mut reasons));
    let late = course.published.max_ms().unwrap_or(0.0);
    if late > PUBLISHED_LATE_MS {
        reasons.push(format!(
            "a frame was published {late:.0} ms late, more than {PUBLISHED_LATE_MS:.0} ms"
        ));
    }
    if course.sources > BUSIEST {
        let share = course.sources * 100.0;
        reasons.push(format!("the thread that publishes was {share:.0} % busy"));
    }
    Health {
        invalid_because: reasons,
    }
}

fn failed(happening: &Happening) -> Option<String> {
    let error = happening.error.as_ref()?;
    Some(format!("{} could not be done: {error}", happening.what))
}

fn lagging(tester: &Tester, reasons: &mut Vec<String>) {
    let name = &tester.name;
    if tester.broken > 0 {
        let broken = tester.broken;
        reasons.push(format!("{name}: {broken} threads of delegates broke down"));
    }
    if tester.overflow > 0 {
        let lost = tester.overflow;
        reasons.push(format!(
            "{name}: its kernel had no room for {lost} packets of delegates"
        ));
    }
    let mut above = |what: &str, ms: Option<f64>, limit: f64| {
        if ms.is_some_and(|ms| ms > limit) {
            let ms = ms.unwrap_or_default();
            reasons.push(format!(
                "{name}: {what} {ms:.0} ms late, more than {limit:.0} ms"
            ));
        }
    };
    above(
        "a tenth was, over ten seconds,",
        Some(tester.worst_ms),
        WORST_MS,
    );
    let behind = &tester.behind;
    above(
        "a thread was, at p99,",
        behind.quantile_ms(0.99),
        BEHIND_P99_MS,
    );
    above("a thread was, at worst,", behind.max_ms(), BEHIND_MAX_MS);
    above(
        "an arrival was",
        tester.arrivals_behind.max_ms(),
        ARRIVAL_MS,
    );
    clock(tester, reasons);
    if tester.busiest > BUSIEST {
        let share = tester.busiest * 100.0;
        reasons.push(format!("{name}: a thread was {share:.0} % busy"));
    }
}

fn clock(tester: &Tester, reasons: &mut Vec<String>) {
    let (name, ms) = (&tester.name, tester.clock_error_us as f64 / 1e3);
    if ms > CLOCK_MS {
        reasons.push(format!(
            "{name}: its clock may have been {ms:.0} ms wrong, more than {CLOCK_MS:.0} ms"
        ));
    }
    if tester.clock_lost {
        reasons.push(format!(
            "{name}: it told its time too seldom to know how wrong its clock was"
        ));
    }
}

/// All that is said of lag may be wrong by so much; as long as objects may wait where the tester's capacity is measured.
pub(crate) const BEHIND_P99_MS: f64 = 50.0;
/// A bad time counts however long the rehearsal: beyond that, people would notice.
const WORST_MS: f64 = 100.0;
/// Once in a while a shared machine stands still; longer, and gaps of a quarter of a second are its own.
const BEHIND_MAX_MS: f64 = 250.0;
/// Lag may be wrong by so much: half of the longest round trip to another office, and some drift.
const CLOCK_MS: f64 = 200.0;
/// A storm whose arrivals wait is another storm.
const ARRIVAL_MS: f64 = 100.0;
/// Beyond that queues grow without a bound.
const BUSIEST: f64 = 0.95;
/// A gap of five frames that no network has made.
const PUBLISHED_LATE_MS: f64 = 100.0;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn spread(ms: &[u64]) -> Spread {
        let mut spread = Spread::default();
        ms.iter()
            .for_each(|ms| spread.record(Duration::from_millis(*ms)));
        spread
    }

    fn outcome(tester: Tester) -> Outcome {
        Outcome {
            testers: vec![tester],
            ..Outcome::default()
        }
    }

    fn reasons(outcome: &Outcome, published: &Spread) -> Vec<String> {
        let course = Course {
            published,
            sources: 0.0,
            is_interrupted: false,
            lost: &[],
        };
        of(outcome, &course).invalid_because
    }

    #[test]
    fn a_tester_that_keeps_up_is_believed() {
        let well = Tester {
            behind: spread(&[1, 2, 15]),
            arrivals_behind: spread(&[3]),
            busiest: 0.8,
            clock_ahead_us: 5_000_000,
            clock_error_us: 199_000,
            ..Tester::default()
        };
        assert!(reasons(&outcome(well), &spread(&[2, 30])).is_empty());
    }

    #[test]
    fn a_tester_that_lags_is_not_believed_and_says_why() {
        let late = Tester {
            name: "local".to_owned(),
            behind: spread(&[300]),
            arrivals_behind: spread(&[150]),
            worst_ms: 120.0,
            busiest: 0.99,
            broken: 1,
            overflow: 7,
            clock_error_us: 201_000,
            clock_lost: true,
            ..Tester::default()
        };
        let mut outcome = outcome(late);
        outcome.happenings.push(Happening {
            what: "edge-kill bangkok".to_owned(),
            error: Some("no such edge".to_owned()),
            ..Happening::default()
        });
        let reasons = reasons(&outcome, &spread(&[200]));
        assert_eq!(reasons.len(), 11, "{reasons:?}");
        assert!(reasons[0].contains("edge-kill bangkok"));
    }
}
