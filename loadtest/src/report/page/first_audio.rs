//! How long joining took, and where the time went.

use super::super::axis::Axis;
use super::super::chart::{Chart, Series};
use super::super::table::Table;
use super::super::words::{number, time, time_if};
use super::Part;
use crate::outcome::{Latency, Outcome, Spread};

pub(super) fn part(outcome: &Outcome) -> Part {
    let phases: Vec<Phase> = PHASES
        .iter()
        .map(|phase| Phase::of(outcome, phase))
        .collect();
    let phases: Vec<Phase> = phases
        .into_iter()
        .filter(|one| one.spread.count() > 0)
        .collect();
    let content = match phases.is_empty() {
        true => String::new(),
        false => curves(&phases) + &table(&phases),
    };
    Part {
        id: "first-audio",
        title: "Time to first audio",
        hint: HINT,
        content,
    }
}

struct Phase {
    name: &'static str,
    what: &'static str,
    look: usize,
    spread: Spread,
}

impl Phase {
    fn of(
        outcome: &Outcome,
        (latency, name, what, look): &(Latency, &'static str, &'static str, usize),
    ) -> Phase {
        Phase {
            name,
            what,
            look: *look,
            spread: outcome.timed(*latency),
        }
    }

    /// What share of all was done after so many milliseconds, in percent.
    fn curve(&self) -> Vec<(f64, f64)> {
        let all = self.spread.count() as f64;
        let (mut points, mut done) = (Vec::new(), 0);
        for (ms, count) in self.spread.steps_ms() {
            let before = done as f64 / all * 100.0;
            done += count;
            let now = done as f64 / all * 100.0;
            let last = points.last().map_or(-100.0, |(_, percent)| *percent);
            // The last few in a hundred are what matters: they are drawn one by one.
            if points.is_empty() {
                points.push((ms, before));
            }
            if now - last >= 0.25 || now > 99.0 {
                points.push((ms, now));
            }
        }
        points
    }
}

fn curves(phases: &[Phase]) -> String {
    let series = phases.iter().map(|phase| {
        let mut series = Series::line(phase.name, phase.look, phase.curve(), |v| {
            format!("{v:.0} %")
        });
        series.said = format!(
            "{}: half after {}, 95 % after {}, all after {}",
            phase.name,
            time_if(phase.spread.quantile_ms(0.5)),
            time_if(phase.spread.quantile_ms(0.95)),
            time_if(phase.spread.max_ms())
        );
        series
    });
    let ends =
        |of: fn(&Spread) -> Option<f64>| phases.iter().filter_map(move |one| of(&one.spread));
    let lowest = ends(|spread| spread.quantile_ms(0.0)).fold(f64::INFINITY, f64::min);
    let highest = ends(Spread::max_ms).fold(0.0, f64::max);
    Chart {
        id: "phases",
        title: "How many were that far after how long",
        hint: "The further left a curve rises, the better; a long tail to the right is people who waited.",
        x: Axis::times(lowest, highest),
        counts: "share of people",
        y: Axis::percent(),
        marks: &[],
        series: series.collect(),
    }
    .html()
}

fn table(phases: &[Phase]) -> String {
    let heads = [
        "until", "people>", "p50>", "p95>", "p99>", "longest>", "counted",
    ];
    let mut table = Table::new("Phases of joining", &heads);
    for Phase {
        name, what, spread, ..
    } in phases
    {
        table.row([
            (*name).to_owned(),
            number(spread.count()),
            time_if(spread.quantile_ms(0.5)),
            time_if(spread.quantile_ms(0.95)),
            time_if(spread.quantile_ms(0.99)),
            spread.max_ms().map_or_else(String::new, time),
            (*what).to_owned(),
        ]);
    }
    table.close()
}

/// Which, what it is called, from when to when, and its line.
const PHASES: [(Latency, &str, &str, usize); 5] = [
    (
        Latency::FirstAudio,
        "first audio",
        "from when they were due",
        0,
    ),
    (
        Latency::Ticket,
        "ticket",
        "from when they were due to the control plane's first answer",
        1,
    ),
    (
        Latency::Token,
        "token",
        "from when they were due to being let in",
        2,
    ),
    (
        Latency::Connect,
        "connection",
        "from dialling to the session with an edge",
        3,
    ),
    (
        Latency::FirstPicture,
        "first picture",
        "from when they were due",
        4,
    ),
];

const HINT: &str = "From the moment somebody wanted to come, not from when the network was ready for them. Connecting alone counts from dialling.";
