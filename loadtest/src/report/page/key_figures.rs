//! The figures that are asked for first.

use super::super::table::Table;
use super::super::words::{escape, number, rate, share, time, time_if};
use super::Part;
use crate::outcome::{Count, Latency, Outcome, Spread};
use std::fmt::Write as _;
use std::time::Duration;

pub(super) fn part(outcome: &Outcome) -> Part {
    let content = tiles(outcome) + &failures(outcome);
    Part {
        id: "figures",
        title: "Key figures",
        hint: "",
        content,
    }
}

fn tiles(outcome: &Outcome) -> String {
    let count = |of| outcome.counted(of);
    let (first, lag, gap) = (
        outcome.timed(Latency::FirstAudio),
        outcome.timed(Latency::Lag),
        outcome.timed(Latency::Gap),
    );
    let due = count(Count::Objects) + count(Count::Lost);
    let came = count(Count::Came);
    let ghosts = outcome.ghosts.map_or("not asked".to_owned(), number);
    let tiles = [
        (
            "came",
            number(came),
            format!("of {} planned", number(outcome.planned)),
        ),
        (
            "heard something",
            number(count(Count::Joined)),
            share(count(Count::Joined), came),
        ),
        (
            "failed",
            number(count(Count::Failed)),
            share(count(Count::Failed), came),
        ),
        (
            "first audio, p95",
            time_if(first.quantile_ms(0.95)),
            tails(&first),
        ),
        ("lag, p95", time_if(lag.quantile_ms(0.95)), tails(&lag)),
        ("longest silence", time_if(gap.max_ms()), silences(&gap)),
        (
            "audio lost",
            share(count(Count::Lost), due),
            format!("{} frames", number(count(Count::Lost))),
        ),
        ("ghosts", ghosts, "sessions left over at the end".to_owned()),
        (
            "busiest second",
            peak(outcome),
            "audio and video that arrived".to_owned(),
        ),
    ];
    let mut html = "<dl class=\"tiles\">".to_owned();
    for (name, value, more) in tiles {
        let _ = write!(
            html,
            "<div><dt>{}</dt><dd><b>{}</b><br>{}</dd></div>",
            escape(name),
            escape(&value),
            escape(&more)
        );
    }
    html + "</dl>\n"
}

fn tails(spread: &Spread) -> String {
    let quantile = |of| time_if(spread.quantile_ms(of));
    format!("p50 {} · p99 {}", quantile(0.5), quantile(0.99))
}

fn silences(gap: &Spread) -> String {
    let limit = Duration::from_millis(200);
    format!("{} had one over {}", number(gap.above(limit)), time(200.0))
}

fn peak(outcome: &Outcome) -> String {
    let bytes = outcome.ticks.iter().map(|tick| tick.bytes).max();
    rate(bytes.unwrap_or_default() as f64)
}

fn failures(outcome: &Outcome) -> String {
    let mut table = Table::new("Why people failed", &["why", "people>"]);
    let mut failures: Vec<_> = outcome.failures.iter().collect();
    failures.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    for (why, count) in failures {
        table.row([why.clone(), number(*count)]);
    }
    table.close()
}
