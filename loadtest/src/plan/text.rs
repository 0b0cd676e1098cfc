//! An answer for people.

use super::answer::{Answer, Country, Link, Office};
use super::check::Compared;
use comfy_table::{CellAlignment, Table, presets::NOTHING};
use std::fmt::Write as _;

/// All of it, as tables.
pub(super) fn answer(answer: &Answer, title: &str) -> String {
    let mut text = String::new();
    let people = grouped(answer.people);
    let (p50, p95) = (answer.lag_p50_ms, answer.lag_p95_ms);
    let title = if title.is_empty() { "A meeting" } else { title };
    let _ = writeln!(
        text,
        "{title}: {people} people. Half of them hear within {p50:.0} ms of the speaker, 95 of 100 within {p95:.0} ms.\n"
    );
    let _ = writeln!(text, "At each office:\n{}\n", offices(&answer.offices));
    let _ = writeln!(text, "Between offices:\n{}\n", links(&answer.links));
    let _ = writeln!(
        text,
        "Countries with the most people:\n{}\n",
        countries(&answer.countries)
    );
    if answer.extrapolated.is_empty() {
        text += "Every size here is within what was measured.\n";
    } else {
        text += "EXTRAPOLATED, beyond what was measured:\n";
        for line in &answer.extrapolated {
            let _ = writeln!(text, "  {line}");
        }
    }
    text
}

/// What was worked out beside what was measured.
pub(super) fn compared(rows: &[Compared]) -> String {
    let mut table = table(&[
        "office",
        "people",
        "cores worked out",
        "measured",
        "ratio",
        "MiB worked out",
        "measured",
    ]);
    for row in rows {
        table.add_row([
            row.office.clone(),
            row.people.to_string(),
            format!("{:.3}", row.cores),
            format!("{:.3}", row.measured_cores),
            format!("{:.2}", row.measured_cores / row.cores),
            format!("{:.0}", row.memory_mib),
            format!("{:.0}", row.measured_mib),
        ]);
    }
    align(table)
}

fn offices(all: &[Office]) -> String {
    let mut table = table(&[
        "office",
        "people",
        "cores",
        "MiB",
        "Mbit/s out",
        "machines",
        "limited by",
        "burst ms",
    ]);
    for office in all {
        table.add_row([
            office.office.clone(),
            grouped(office.people),
            format!("{:.2}", office.cores),
            format!("{:.0}", office.memory_mib),
            format!("{:.1}", office.out_bps / 1e6),
            office.machines.to_string(),
            office.limited_by.to_owned(),
            format!("{:.1}", office.burst_ms),
        ]);
    }
    align(table)
}

fn links(all: &[Link]) -> String {
    let mut table = table(&["from", "to", "audio tracks", "video tracks", "Mbit/s", ""]);
    for link in all {
        table.add_row([
            link.from.clone(),
            link.to.clone(),
            link.audio.to_string(),
            link.video.to_string(),
            format!("{:.2}", link.bps / 1e6),
            if link.is_backup {
                "backup, audio too"
            } else {
                ""
            }
            .to_owned(),
        ]);
    }
    align(table)
}

fn countries(all: &[Country]) -> String {
    let mut table = table(&["country", "people", "sent to", "lag ms"]);
    for country in all.iter().take(SHOWN) {
        table.add_row([
            country.name.clone(),
            grouped(country.people),
            country.office.clone(),
            format!("{:.0}", country.lag_ms),
        ]);
    }
    align(table)
}

fn table(head: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(head);
    table
}

/// Numbers to the right, except in the first column.
fn align(mut table: Table) -> String {
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let lines: Vec<_> = table
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect();
    lines.join("\n")
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Countries that are shown; the JSON has all.
const SHOWN: usize = 12;
