//! Two rehearsals side by side.

use super::words::{cores, number, time};
use crate::outcome::{Count, Latency, Outcome, Process, Role};
use crate::verdict::Judged;
use comfy_table::{CellAlignment, ContentArrangement, presets};
use std::collections::BTreeSet;

/// What has changed from `a` to `b`, as plain text: first what makes them hard to compare, then what was expected, then
/// figures. Where less or more is better, a change of five percent or more says which it is.
pub fn compare(a: &Outcome, b: &Outcome) -> String {
    let mut text = String::new();
    for caution in cautions(a, b) {
        text.push_str(&format!("note: {caution}\n"));
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(&verdicts(a, b));
    text.push('\n');
    text + &figures(a, b)
}

/// Why the two may differ for other reasons than the network.
fn cautions(a: &Outcome, b: &Outcome) -> Vec<String> {
    let mut cautions = Vec::new();
    let mut differ = |what: &str, one: &str, other: &str| {
        if one != other {
            cautions.push(format!("different {what}: {one} and {other}"));
        }
    };
    differ("scenarios", &a.scenario, &b.scenario);
    differ("seeds", &a.seed.to_string(), &b.seed.to_string());
    differ("numbers of people", &number(a.planned), &number(b.planned));
    differ("machines", &machines(a), &machines(b));
    if a.scenario == b.scenario && a.text != b.text {
        cautions.push("the scenario's text was changed between them".to_owned());
    }
    for (name, outcome) in [("A", a), ("B", b)] {
        for why in &outcome.health.invalid_because {
            cautions.push(format!("{name} is not valid: {why}"));
        }
    }
    cautions
}

fn machines(outcome: &Outcome) -> String {
    let each = outcome.machines.iter();
    let mut each: Vec<String> = each
        .map(|machine| {
            format!(
                "{} cores of {}, {}",
                machine.cores, machine.processor, machine.kernel
            )
        })
        .collect();
    // Agents' names and order say nothing of what they are.
    each.sort();
    match each.is_empty() {
        true => "unknown".to_owned(),
        false => each.join("; "),
    }
}

fn verdicts(a: &Outcome, b: &Outcome) -> String {
    let mut table = table(&["EXPECTED", "A", "B", ""]);
    let word = |outcome: &Outcome| match (outcome.is_valid(), outcome.holds()) {
        (false, _) => "not valid".to_owned(),
        (true, true) => "held".to_owned(),
        (true, false) => "broken".to_owned(),
    };
    table.add_row([
        "all".to_owned(),
        word(a),
        word(b),
        turned(Some(a.holds()), Some(b.holds())),
    ]);
    let texts = a.verdict.iter().chain(&b.verdict).map(|one| &one.expected);
    let mut seen = BTreeSet::new();
    for text in texts.filter(|text| seen.insert(text.as_str())) {
        let find = |outcome: &Outcome| {
            outcome
                .verdict
                .iter()
                .find(|one| one.expected == *text)
                .cloned()
        };
        let (one, other) = (find(a), find(b));
        let holds = |judged: &Option<Judged>| judged.as_ref().map(|judged| judged.holds);
        let said = |judged: &Option<Judged>| match judged {
            Some(judged) if judged.holds => format!("held: {}", judged.said),
            Some(judged) => format!("broke: {}", judged.said),
            None => "not expected".to_owned(),
        };
        let turned = turned(holds(&one), holds(&other));
        table.add_row([text.clone(), said(&one), said(&other), turned]);
    }
    lines(&table)
}

fn turned(a: Option<bool>, b: Option<bool>) -> String {
    match (a, b) {
        (Some(false), Some(true)) => "holds now",
        (Some(true), Some(false)) => "broke",
        _ => "",
    }
    .to_owned()
}

fn figures(a: &Outcome, b: &Outcome) -> String {
    let mut table = table(&["FIGURE", "A>", "B>", "CHANGE>", "PERCENT>", ""]);
    for row in rows(a, b) {
        table.add_row(row.cells());
    }
    lines(&table)
}

/// A figure of both.
struct Row {
    name: String,
    a: Option<f64>,
    b: Option<f64>,
    better: Better,
    say: fn(f64) -> String,
}

/// Which way is better.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Better {
    Less,
    More,
    Neither,
}

impl Row {
    fn cells(&self) -> [String; 6] {
        let say = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), self.say);
        let (change, percent, word) = match (self.a, self.b) {
            (Some(a), Some(b)) => (self.change(b - a), percent(a, b), self.word(a, b)),
            _ => (String::new(), String::new(), String::new()),
        };
        [
            self.name.clone(),
            say(self.a),
            say(self.b),
            change,
            percent,
            word,
        ]
    }

    fn change(&self, by: f64) -> String {
        let said = (self.say)(by.abs());
        match by {
            0.0 => "same".to_owned(),
            by if by > 0.0 => format!("+{said}"),
            _ => format!("-{said}"),
        }
    }

    fn word(&self, a: f64, b: f64) -> String {
        let is_small = (b - a).abs() < a.abs() * NOISE;
        if a == b || is_small || self.better == Better::Neither {
            return String::new();
        }
        match (b < a) == (self.better == Better::Less) {
            true => "better".to_owned(),
            false => "worse".to_owned(),
        }
    }
}

fn percent(a: f64, b: f64) -> String {
    if a == b {
        return String::new();
    }
    match a == 0.0 {
        // Nothing times anything is nothing.
        true => "–".to_owned(),
        false => format!("{:+.1} %", (b - a) / a * 100.0),
    }
}

fn rows(a: &Outcome, b: &Outcome) -> Vec<Row> {
    let mut rows = Vec::new();
    for count in Count::all() {
        rows.push(Row {
            name: count.name(),
            a: Some(a.counted(*count) as f64),
            b: Some(b.counted(*count) as f64),
            better: better(*count),
            say: whole,
        });
    }
    rows.push(Row {
        name: "ghosts".to_owned(),
        a: a.ghosts.map(|ghosts| ghosts as f64),
        b: b.ghosts.map(|ghosts| ghosts as f64),
        better: Better::Less,
        say: whole,
    });
    for latency in Latency::all() {
        let (one, other) = (a.timed(*latency), b.timed(*latency));
        if one.count() + other.count() > 0 {
            for (word, quantile) in QUANTILES {
                rows.push(Row {
                    name: format!("{}.{word}", latency.name()),
                    a: one.quantile_ms(quantile),
                    b: other.quantile_ms(quantile),
                    better: Better::Less,
                    say: time,
                });
            }
        }
    }
    rows.extend(edges(a, b));
    rows
}

/// CPU of the busiest ten seconds of each edge.
fn edges(a: &Outcome, b: &Outcome) -> Vec<Row> {
    let edges = |outcome: &Outcome| -> Vec<Process> {
        let edges = outcome.processes.iter();
        edges
            .filter(|one| one.role == Role::Edge)
            .cloned()
            .collect()
    };
    let (one, other) = (edges(a), edges(b));
    let names: BTreeSet<&str> = one
        .iter()
        .chain(&other)
        .map(|edge| edge.name.as_str())
        .collect();
    let share =
        |edges: &[Process], name: &str| edges.iter().find(|edge| edge.name == name)?.busiest();
    names
        .into_iter()
        .map(|name| Row {
            name: format!("CPU of {name}"),
            a: share(&one, name),
            b: share(&other, name),
            better: Better::Less,
            say: cores,
        })
        .collect()
}

fn better(count: Count) -> Better {
    use Count::*;
    match count {
        Joined => Better::More,
        Queued | Failed | Lost | Missed | Late | Duplicated | Reordered | Altered | VideoLost => {
            Better::Less
        }
        Gaps40ms | Gaps200ms | Gaps1000ms => Better::Less,
        Came | Moved | Switched | Objects | Bytes | VideoObjects => Better::Neither,
    }
}

fn whole(value: f64) -> String {
    number(value.round() as u64)
}

/// Heads that end in `>` have their column's contents at the right.
fn table(heads: &[&str]) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_style(presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(heads.iter().map(|head| head.trim_end_matches('>')));
    for (column, head) in table.column_iter_mut().zip(heads) {
        column.set_padding((0, 2));
        if head.ends_with('>') {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn lines(table: &comfy_table::Table) -> String {
    let lines = table.lines();
    lines.map(|line| format!("{}\n", line.trim_end())).collect()
}

const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0)];
/// Runs of the same differ by as much; what is smaller is not called better or worse.
const NOISE: f64 = 0.05;

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::*;

    /// The cells of a figure's line, or of what was expected.
    fn line<'a>(text: &'a str, table: &str, name: &str) -> Vec<&'a str> {
        let table = text.find(table).expect("the table");
        let mut lines = text[table..].lines().map(|line| {
            let cells = line.split("  ").map(str::trim);
            cells.filter(|cell| !cell.is_empty()).collect::<Vec<_>>()
        });
        lines
            .find(|cells| cells.first() == Some(&name))
            .expect(name)
    }

    #[test]
    fn what_got_worse_is_worse_and_the_other_way_round_better() {
        let (held, broken) = (fixtures::held(), fixtures::broken());
        let there = compare(&held, &broken);
        let back = compare(&broken, &held);
        assert_eq!(
            line(&there, "EXPECTED", "all"),
            ["all", "held", "broken", "broke"]
        );
        assert_eq!(
            line(&back, "EXPECTED", "all"),
            ["all", "broken", "held", "holds now"]
        );
        let (worse, better) = (
            line(&there, "FIGURE", "first_audio.p95"),
            line(&back, "FIGURE", "first_audio.p95"),
        );
        assert_eq!(
            (worse.last(), better.last()),
            (Some(&"worse"), Some(&"better"))
        );
        assert_eq!((worse[1], worse[2]), (better[2], better[1]));
        assert!(
            worse[3].starts_with('+') && better[3].starts_with('-'),
            "{worse:?} {better:?}"
        );
    }

    #[test]
    fn a_run_beside_itself_has_not_changed() {
        let held = fixtures::held();
        let text = compare(&held, &held);
        assert!(!text.contains("note:"), "{text}");
        for word in ["better", "worse", "holds now", " +", "broke"] {
            assert!(!text.contains(word), "{word}: {text}");
        }
        assert_eq!(
            line(&text, "FIGURE", "came"),
            ["came", "800", "800", "same"]
        );
    }

    #[test]
    fn what_cannot_be_compared_is_said_first() {
        let held = fixtures::held();
        let mut other = fixtures::invalid();
        other.seed = 7;
        other.scenario = "council".to_owned();
        other.machines[0].cores = 64;
        let text = compare(&held, &other);
        let notes: Vec<&str> = text
            .lines()
            .take_while(|line| line.starts_with("note: "))
            .collect();
        for says in [
            "scenarios: plenary-storm and council",
            "seeds: 1 and 7",
            "64 cores",
            "B is not valid: ",
        ] {
            assert!(
                notes.iter().any(|note| note.contains(says)),
                "{says}: {notes:?}"
            );
        }
    }

    #[test]
    fn what_was_not_measured_before_is_no_change() {
        let (mut before, after) = (fixtures::held(), fixtures::held());
        before.ghosts = None;
        let text = compare(&before, &after);
        assert_eq!(line(&text, "FIGURE", "ghosts"), ["ghosts", "–", "0"]);
    }
}
