//! Who went through what: by region, language, transport and last mile.

use super::super::table::Table;
use super::super::words::{number, or_not_said, region, share, time_if};
use super::Part;
use crate::outcome::{Count, Figures, Key, Latency, Outcome, Spread};

pub(super) fn part(outcome: &Outcome) -> Part {
    let tables = [
        table(outcome, "By region", "region", |key| region(&key.region)),
        table(outcome, "By what they listened to", "language", |key| {
            or_not_said(&key.language)
        }),
        table(outcome, "By transport", "transport", |key| {
            or_not_said(&key.transport)
        }),
        table(outcome, "By last mile", "last mile", |key| {
            or_not_said(&key.profile)
        }),
    ];
    Part {
        id: "groups",
        title: "Who fared how",
        hint: HINT,
        content: tables.concat(),
    }
}

fn table(outcome: &Outcome, caption: &str, what: &str, of: impl Fn(&Key) -> String) -> String {
    let heads = [
        what,
        "came>",
        "heard>",
        "failed>",
        "first audio p50>",
        "p95>",
        "p99>",
        "lag p50>",
        "p95>",
        "p99>",
        "lost>",
        "longest silence>",
    ];
    let mut table = Table::new(caption, &heads);
    for (name, figures) in outcome.by(of) {
        table.row(row(name, &figures));
    }
    table.close()
}

fn row(name: String, figures: &Figures) -> Vec<String> {
    let count = |of| number(figures.counted(of));
    let due = figures.counted(Count::Objects) + figures.counted(Count::Lost);
    let mut cells = vec![
        name,
        count(Count::Came),
        count(Count::Joined),
        count(Count::Failed),
    ];
    cells.extend(tails(figures.timed(Latency::FirstAudio)));
    cells.extend(tails(figures.timed(Latency::Lag)));
    cells.push(share(figures.counted(Count::Lost), due));
    cells.push(time_if(
        figures.timed(Latency::Gap).and_then(Spread::max_ms),
    ));
    cells
}

fn tails(spread: Option<&Spread>) -> [String; 3] {
    [0.5, 0.95, 0.99].map(|of| time_if(spread.and_then(|spread| spread.quantile_ms(of))))
}

const HINT: &str = "Whether some fared worse than others. Silences and losses of few people weigh little in the figures above, and show here.";
