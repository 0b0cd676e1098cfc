//! How old audio was when it arrived.

use super::super::heat;
use super::super::table::Table;
use super::super::timeline::Timeline;
use super::super::words::{number, region, time_if};
use super::Part;
use crate::outcome::{Latency, Outcome};

pub(super) fn part(outcome: &Outcome, timeline: &Timeline) -> Part {
    let content = heat::html(timeline) + &table(outcome);
    Part {
        id: "lag",
        title: "Lag",
        hint: HINT,
        content,
    }
}

fn table(outcome: &Outcome) -> String {
    let heads = [
        "region", "frames>", "p50>", "p95>", "p99>", "p99.9>", "longest>",
    ];
    let mut table = Table::new("Lag by region", &heads);
    for (code, figures) in outcome.by(|key| key.region.clone()) {
        if let Some(lag) = figures.timed(Latency::Lag) {
            let quantile = |of| time_if(lag.quantile_ms(of));
            let mut cells = vec![region(&code), number(lag.count())];
            cells.extend([0.5, 0.95, 0.99, 0.999, 1.0].map(quantile));
            table.row(cells);
        }
    }
    table.close()
}

const HINT: &str = "From a frame's capture at the speaker to its arrival, with every path between.";
