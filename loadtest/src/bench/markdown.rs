//! The figures as Markdown, written between two marks in a file that says the rest: no figure is copied by hand.

use super::figures::Figures;
use super::goals::Row;
use super::scenario::Act;
use super::shape::Shape;
use super::suite::Outcome;
use anyhow::{Context, Result};
use serde_json::Value;
use std::fmt::Write;
use std::fs;
use std::path::Path;

const BEGIN: &str = "<!-- figures: written by `cargo xtask bench --markdown` -->";
const END: &str = "<!-- end of the figures -->";

/// Whether a file can be written to.
///
/// # Errors
/// It cannot be read, or has not both marks, in order.
pub(super) fn check(path: &Path) -> Result<()> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    replace(&text, "")
        .map(|_| ())
        .with_context(|| unmarked(path))
}

/// Writes `figures` between the marks.
///
/// # Errors
/// As [`check`], or the file cannot be written.
pub(super) fn put(path: &Path, figures: &str) -> Result<()> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let text = replace(&text, figures).with_context(|| unmarked(path))?;
    fs::write(path, text).with_context(|| path.display().to_string())
}

fn unmarked(path: &Path) -> String {
    let path = path.display();
    format!("{path} has no place for figures: a line «{BEGIN}» and one «{END}»")
}

fn replace(text: &str, figures: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{figures}\n{END}{after}"))
}

/// What a run measured: on what, what was compared, the goals, and the figures of each scenario.
pub(super) fn render(
    machine: &Value,
    run: &[String],
    rows: &[Row],
    outcomes: &[Outcome],
) -> String {
    let field = |name: &str| match &machine[name] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut out = String::new();
    let (cpu, cores, kernel) = (field("cpu"), field("cores"), field("kernel"));
    let _ = writeln!(out, "{cores} × {cpu}, Linux {kernel}. {}.", run.join("; "));
    out.push_str(&goals(rows));
    let steady = |one: &&Outcome| one.scenario.act == Act::Steady;
    let joins = |one: &&Outcome| one.scenario.act == Act::Joins;
    out.push_str(&table(
        "CPU per object (video: per GB); lag p50, p99; memory per subscriber; delivered, if not everything",
        outcomes.iter().filter(steady),
        steady_cell,
    ));
    out.push_str(&table(
        "to the first audio p50, p99; CPU per join, with the media sent meanwhile; failed, if any",
        outcomes.iter().filter(joins),
        joins_cell,
    ));
    out
}

fn goals(rows: &[Row]) -> String {
    let mut out = "\n| | to reach | edge | | × bare quinn | × best peer |\n".to_owned();
    out.push_str("|---|---|---|---|---|---|\n");
    for row in rows {
        let bare = row.to_bare.map(|times| format!("{times:.2}"));
        let peer = row.to_peer.as_ref();
        let peer = peer.map(|(times, name)| format!("{times:.2} ({name})"));
        let (bare, peer) = (bare.unwrap_or_default(), peer.unwrap_or_default());
        let Row {
            what,
            goal,
            figure,
            verdict,
            ..
        } = row;
        let _ = writeln!(
            out,
            "| {what} | {goal} | {figure} | {verdict} | {bare} | {peer} |"
        );
    }
    out
}

fn table<'a>(
    head: &str,
    outcomes: impl Iterator<Item = &'a Outcome>,
    cell: impl Fn(&Outcome, &Figures) -> String,
) -> String {
    let outcomes: Vec<_> = outcomes.collect();
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in outcomes.iter().flat_map(|outcome| &outcome.by_target) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    if outcomes.is_empty() {
        return String::new();
    }
    let mut out = format!("\n{head}:\n\n| | {} |\n|---|", names.join(" | "));
    out.push_str(&"---|".repeat(names.len()));
    out.push('\n');
    for outcome in outcomes {
        let cells = names.iter().map(|name| {
            let figures = outcome.of(name).filter(|figures| !figures.0.is_empty());
            figures.map_or(String::new(), |figures| cell(outcome, figures))
        });
        let cells: Vec<_> = cells.collect();
        let _ = writeln!(out, "| {} | {} |", outcome.scenario.name, cells.join(" | "));
    }
    out
}

fn steady_cell(outcome: &Outcome, figures: &Figures) -> String {
    let value = |key: &str| figures.value(key).unwrap_or(f64::NAN);
    let cpu = match outcome.scenario.shapes.as_slice() {
        [Shape::Video] => format!("{:.2} s", value("cpu_s_per_gb")),
        _ => format!("{:.1} µs", value("cpu_us_per_object")),
    };
    let (p50, p99) = (value("lag_p50_ms"), value("lag_p99_ms"));
    let mut cell = format!("{cpu}; {p50:.1}, {p99:.1} ms");
    if let Some(memory) = figures.value("memory_kib_per_subscriber") {
        let _ = write!(cell, "; {memory:.0} KiB");
    }
    let delivered = value("delivered");
    if delivered < 0.99995 {
        let _ = write!(cell, "; {:.2} %", delivered * 100.0);
    }
    cell
}

fn joins_cell(_: &Outcome, figures: &Figures) -> String {
    let value = |key: &str| figures.value(key).unwrap_or(f64::NAN);
    let (p50, p99) = (value("join_p50_ms"), value("join_p99_ms"));
    let cpu = value("cpu_ms_per_join_with_media");
    let mut cell = format!("{p50:.0}, {p99:.0} ms; {cpu:.2} ms");
    if value("failed") > 0.0 {
        let _ = write!(cell, "; {} failed", value("failed"));
    }
    cell
}

#[cfg(test)]
mod tests {
    use super::super::{goals, scenario};
    use super::*;

    #[test]
    fn figures_replace_what_is_between_the_marks_and_nothing_else() {
        let text = format!("before\n{BEGIN}\nold\n{END}\nafter\n");
        let new = replace(&text, "new\n").expect("has both marks");
        assert_eq!(new, format!("before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"));
        assert_eq!(replace(&new, "new\n").as_ref(), Some(&new));
        assert_eq!(replace("no marks", "new"), None);
    }

    #[test]
    fn a_target_that_did_not_take_part_has_an_empty_cell() {
        let figures = |pairs: &[(&str, f64)]| {
            Figures(pairs.iter().map(|(k, v)| ((*k).to_owned(), *v)).collect())
        };
        let video = [
            ("cpu_s_per_gb", 3.0),
            ("lag_p50_ms", 1.0),
            ("lag_p99_ms", 2.0),
            ("delivered", 0.5),
        ];
        let scenarios = scenario::all(&[200], true);
        let find = |name: &str| scenarios.iter().find(|one| one.name == name).cloned();
        let outcomes = [
            Outcome {
                scenario: find("video-200").expect("one"),
                by_target: vec![("edge".into(), figures(&video))],
            },
            Outcome {
                scenario: find("audio-datagrams-200").expect("one"),
                by_target: vec![("other".into(), Figures::default())],
            },
        ];
        let text = render(&Value::Null, &[], &goals::judge(&outcomes), &outcomes);
        assert!(
            text.contains("| | edge | other |\n|---|---|---|\n"),
            "{text}"
        );
        let row = "| video-200 | 3.00 s; 1.0, 2.0 ms; 50.00 % |  |\n";
        assert!(text.contains(row), "{text}");
        assert!(text.contains("| audio-datagrams-200 |  |  |\n"), "{text}");
    }
}
