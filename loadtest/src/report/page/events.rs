//! Silences along time and around each event.

use super::super::axis::Axis;
use super::super::chart::{Chart, Look, Series};
use super::super::table::Table;
use super::super::timeline::{Bin, Timeline};
use super::super::words::{moment, number, time, time_if};
use super::Part;
use crate::outcome::{Happening, Latency, Outcome, Spread};
use std::time::Duration;

pub(super) fn part(outcome: &Outcome, timeline: &Timeline) -> Part {
    let content = [charts(timeline), around(outcome), times(outcome)].concat();
    Part {
        id: "events",
        title: "Silences and events",
        hint: HINT,
        content,
    }
}

fn charts(timeline: &Timeline) -> String {
    let longest = |bin: &Bin| gaps(bin).max_ms();
    let points: Vec<(f64, f64)> = timeline
        .bins()
        .filter_map(|bin| Some((bin.middle_s(), longest(&bin)?)))
        .collect();
    if points.is_empty() {
        return String::new();
    }
    let bars = Look::Bars(timeline.per_bin());
    let series = Series::broken("longest silence that began then", bars, vec![points], time);
    let longest = Chart {
        id: "gaps-longest",
        title: "The longest silence",
        hint: "of anybody, by when it began",
        x: Axis::moments(timeline.length_s),
        counts: "longest silence",
        y: Axis::times(20.0, series.highest().max(1_000.0)),
        marks: &timeline.marks,
        series: vec![series],
    };
    longest.html() + &how_many(timeline)
}

fn how_many(timeline: &Timeline) -> String {
    let line = |name: &str, look, limit_ms| {
        let limit = Duration::from_millis(limit_ms);
        let per_second = |bin: &Bin| gaps(bin).above(limit) as f64 / bin.ticks.len() as f64;
        Series::line(name, look, timeline.line(per_second), |v| format!("{v:.1}"))
    };
    let series = vec![
        line("over 40 ms", 0, 40),
        line("over 200 ms", 1, 200),
        line("over 1 s", 2, 1_000),
    ];
    Chart {
        id: "gaps-count",
        title: "How many silences began",
        hint: "each second, over everybody",
        x: Axis::moments(timeline.length_s),
        counts: "silences a second",
        y: Axis::counts(series.iter().map(Series::highest).fold(0.0, f64::max)),
        marks: &timeline.marks,
        series,
    }
    .html()
}

fn gaps(bin: &Bin) -> Spread {
    let mut all = Spread::default();
    bin.ticks.iter().for_each(|tick| all.add(&tick.gaps));
    all
}

fn around(outcome: &Outcome) -> String {
    let heads = [
        "event",
        "at>",
        "what",
        "took>",
        "longest silence>",
        "over 40\u{a0}ms>",
        "over 200\u{a0}ms>",
        "over 1\u{a0}s>",
    ];
    let mut table = Table::new(
        "What happened, and silences that began in the 10 s after it",
        &heads,
    );
    for (happening, number) in outcome.happenings.iter().zip(1..) {
        table.row(row(outcome, happening, number));
    }
    table.close()
}

fn row(outcome: &Outcome, happening: &Happening, n: usize) -> Vec<String> {
    let gaps = gaps_after(outcome, happening.at_ms);
    let above = |ms| number(gaps.above(Duration::from_millis(ms)));
    let what = match &happening.error {
        Some(error) => format!("{} — could not be done: {error}", happening.what),
        None => happening.what.clone(),
    };
    vec![
        n.to_string(),
        moment(happening.at_ms as f64 / 1e3),
        what,
        time(happening.took_ms as f64),
        gaps.max_ms().map_or_else(|| "none".to_owned(), time),
        above(40),
        above(200),
        above(1_000),
    ]
}

/// Those of every second the ten seconds touch: an outage begins with the last frame before it.
pub(super) fn gaps_after(outcome: &Outcome, at_ms: u64) -> Spread {
    let end = outcome.ticks.len();
    let from = usize::try_from(at_ms / 1_000).unwrap_or(end).min(end);
    let to = usize::try_from((at_ms + AFTER_MS).div_ceil(1_000)).unwrap_or(end);
    let mut all = Spread::default();
    let ticks = outcome.ticks[from..to.clamp(from, end)].iter();
    ticks.for_each(|tick| all.add(&tick.gaps));
    all
}

/// Times that belong to changes.
fn times(outcome: &Outcome) -> String {
    let heads = ["what", "how many>", "p50>", "p95>", "p99>", "longest>"];
    let mut table = Table::new("Silences and changes", &heads);
    for (latency, name) in CHANGES {
        let spread = outcome.timed(latency);
        if spread.count() > 0 {
            let mut cells = vec![name.to_owned(), number(spread.count())];
            cells.extend([0.5, 0.95, 0.99, 1.0].map(|of| time_if(spread.quantile_ms(of))));
            table.row(cells);
        }
    }
    table.close()
}

const AFTER_MS: u64 = 10_000;
const CHANGES: [(Latency, &str); 4] = [
    (Latency::Gap, "each person's longest silence"),
    (
        Latency::Reconnect,
        "from an edge's loss or goodbye to audio through another",
    ),
    (Latency::Switch, "from choosing a language to hearing it"),
    (
        Latency::Turn,
        "from a new speaker's first frame to hearing it",
    ),
];

const HINT: &str = "A silence is a time without audio beyond the 20 ms between frames. Over 40 ms can be heard as a click, over 200 ms as a lost syllable, over a second as an outage.";
