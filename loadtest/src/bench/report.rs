//! Figures for people and for machines.

use super::figures::Figures;
use super::goals::Row;
use super::suite::Outcome;
use serde_json::{Value, json};

/// What the load itself is judged by: above this share of its core it may be the bottleneck.
const LOAD_LIMIT: f64 = 0.9;

/// Half of audio's period: what is published later than this comes in other bursts than it is meant to.
const LATE_MS: f64 = 10.0;

/// A scenario's figures, a column for each target; others as multiples of the edge's reference in brackets.
pub(super) fn print(outcome: &Outcome) {
    let (reference, first) = match outcome.by_target.first() {
        Some((name, figures)) => (name, figures),
        None => return,
    };
    println!("\n{}", outcome.scenario.name);
    print!("  {:<28}", "");
    for (name, _) in &outcome.by_target {
        print!("{name:>22}");
    }
    println!("   (in brackets: times {reference})");
    for key in keys(outcome) {
        print!("  {key:<28}");
        for (n, (_, figures)) in outcome.by_target.iter().enumerate() {
            print!("{:>22}", cell(&key, figures, (n > 0).then_some(first)));
        }
        println!();
    }
    for (name, figures) in &outcome.by_target {
        if figures
            .value("load_busy")
            .is_some_and(|busy| busy > LOAD_LIMIT)
        {
            println!("  the load was at its limit with {name}: lag and delivery may be its own");
        }
        if let Some(late) = figures
            .value("publisher_late_ms")
            .filter(|late| *late > LATE_MS)
        {
            println!(
                "  the publisher was up to {late:.0} ms late with {name}: somebody else used its core"
            );
        }
        judge_slow(name, figures);
    }
}

/// Says whether the slow ones among the audience were felt by the others: their p99 lag may move by 10 % or 2 ms.
fn judge_slow(name: &str, figures: &Figures) {
    for (of, what) in [("", "video"), ("second_", "audio")] {
        let value = |key: &str| figures.value(&format!("{of}{key}"));
        let (Some(moved), Some(without)) = (value("lag_p99_moved_ms"), value("lag_p99_ms_without"))
        else {
            continue;
        };
        let allowed = (without * 0.1).max(2.0);
        let verdict = if moved <= allowed { "kept" } else { "BROKEN" };
        println!(
            "  {name}: the others' {what} p99 moved by {moved:.2} ms, allowed {allowed:.2}: {verdict}"
        );
    }
}

/// The goals, a line for each.
pub(super) fn print_summary(rows: &[Row]) {
    println!("\nthe edge and its goals");
    for row in rows {
        println!("  {}", row.what);
        print!("    {}   ({})   {}", row.figure, row.goal, row.verdict);
        if let Some(times) = row.to_bare {
            print!("   {times:.2} × bare quinn");
        }
        if let Some((times, name)) = &row.to_peer {
            print!("   {times:.2} × {name}");
        }
        println!();
    }
}

/// All figures by scenario and target.
pub(super) fn json(outcomes: &[Outcome]) -> Value {
    let each = outcomes.iter().map(|outcome| {
        let targets = outcome.by_target.iter();
        let by_target: serde_json::Map<_, _> = targets
            .map(|(name, figures)| (name.clone(), json!(figures)))
            .collect();
        (outcome.scenario.name.clone(), Value::Object(by_target))
    });
    Value::Object(each.collect())
}

fn keys(outcome: &Outcome) -> Vec<String> {
    let mut keys: Vec<_> = outcome
        .by_target
        .iter()
        .flat_map(|(_, figures)| figures.0.keys().cloned())
        .collect();
    keys.sort();
    keys.dedup();
    keys
}

fn cell(key: &str, figures: &Figures, reference: Option<&Figures>) -> String {
    let Some(value) = figures.value(key) else {
        return "-".into();
    };
    let shown = match value.abs() {
        _ if key.ends_with("delivered") => format!("{:.2} %", value * 100.0),
        _ if key.ends_with("busy") => format!("{:.0} %", value * 100.0),
        size if size >= 1000.0 => format!("{value:.0}"),
        _ => format!("{value:.2}"),
    };
    let reference = reference.and_then(|figures| figures.value(key));
    // Ratios of shares, and of what may be negative, say nothing.
    let compares = !key.ends_with("delivered") && !key.starts_with("lag_beyond");
    match reference.filter(|reference| *reference != 0.0 && compares) {
        Some(reference) => format!("{shown} ({:.2})", value / reference),
        None => shown,
    }
}
