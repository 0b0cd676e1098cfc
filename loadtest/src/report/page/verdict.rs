//! Whether it held, in words and expectation by expectation.

use super::super::table::Table;
use super::super::words::{escape, number, some, time};
use crate::outcome::{Count, Latency, Outcome};
use std::fmt::Write as _;

/// One word for all of it.
pub(super) fn word(outcome: &Outcome) -> &'static str {
    match (outcome.is_valid(), outcome.holds()) {
        (false, _) => "Not valid",
        (true, true) => "Held",
        (true, false) => "Broken",
    }
}

pub(super) fn section(outcome: &Outcome) -> String {
    let (class, sign) = match word(outcome) {
        "Held" => ("held", "✓"),
        "Broken" => ("broken", "✗"),
        _ => ("invalid", "?"),
    };
    format!(
        "<section class=\"verdict {class}\" aria-labelledby=\"verdict-h\"><h2 id=\"verdict-h\"><span aria-hidden=\"true\">{sign}</span> {}</h2><p>{}</p>{}<p>{}</p>\n{}</section>\n",
        word(outcome),
        escape(&why(outcome)),
        reasons(outcome),
        escape(&went(outcome)),
        table(outcome)
    )
}

fn why(outcome: &Outcome) -> String {
    let all = outcome.verdict.len() as u64;
    let broke = outcome.verdict.iter().filter(|one| !one.holds).count() as u64;
    if !outcome.is_valid() {
        return "What was measured cannot be believed: repeat the rehearsal. Read nothing below as a result.".to_owned();
    }
    match (all, broke) {
        (0, _) => "The scenario expects nothing, so nothing was judged.".to_owned(),
        (1, 0) => "What was expected came.".to_owned(),
        (_, 0) => format!("All {all} expectations held."),
        (_, broke) => format!(
            "{} of {all} did not hold.",
            some(broke, "expectation", "expectations")
        ),
    }
}

/// Why it is not valid, and what was to happen but could not.
fn reasons(outcome: &Outcome) -> String {
    let mut reasons: Vec<String> = outcome.health.invalid_because.clone();
    for happening in &outcome.happenings {
        if let Some(error) = &happening.error {
            reasons.push(format!("{} could not be done: {error}", happening.what));
        }
    }
    if reasons.is_empty() {
        return String::new();
    }
    let mut list = "<ul>".to_owned();
    for reason in reasons {
        let _ = write!(list, "<li>{}</li>", escape(&reason));
    }
    list + "</ul>"
}

/// How it went, in two or three sentences.
fn went(outcome: &Outcome) -> String {
    let count = |of| outcome.counted(of);
    let came = count(Count::Came);
    let mut said = format!(
        "{} of {} came, {} of them heard something, {}.",
        number(came),
        some(outcome.planned, "planned person", "planned people"),
        number(count(Count::Joined)),
        match count(Count::Failed) {
            0 => "nobody failed".to_owned(),
            failed => format!("{} failed", number(failed)),
        }
    );
    let first = outcome.timed(Latency::FirstAudio);
    if let (Some(half), Some(most)) = (first.quantile_ms(0.5), first.quantile_ms(0.95)) {
        let _ = write!(
            said,
            " Half heard the first sound within {} of wanting to come, 95 of 100 within {}.",
            time(half),
            time(most)
        );
    }
    let gaps = outcome.timed(Latency::Gap).max_ms();
    if let Some(longest) = gaps {
        let _ = write!(
            said,
            " The longest silence anybody had was {}.",
            time(longest)
        );
    }
    said
}

fn table(outcome: &Outcome) -> String {
    let mut table = Table::new("What was expected", &["expected", "came", "held"]);
    for one in &outcome.verdict {
        let (class, held) = match one.holds {
            true => ("held", "✓ held"),
            false => ("broken", "✗ broke"),
        };
        let cells = [one.expected.clone(), one.said.clone(), held.to_owned()];
        table.row_of(class, cells);
    }
    table.close()
}
