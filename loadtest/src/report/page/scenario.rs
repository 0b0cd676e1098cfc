//! What was rehearsed, and on which machines.

use super::super::table::Table;
use super::super::words::{escape, number};
use super::Part;
use crate::outcome::Outcome;
use time::OffsetDateTime;

pub(super) fn part(outcome: &Outcome) -> Part {
    let mut content = facts(outcome) + &machines(outcome);
    if !outcome.text.is_empty() {
        let text = escape(&outcome.text);
        content.push_str(&format!(
            "<details><summary>The scenario, word for word</summary><pre tabindex=\"0\">{text}</pre></details>\n"
        ));
    }
    Part {
        id: "scenario",
        title: "Scenario and machines",
        hint: "",
        content,
    }
}

/// As in `2026-05-08 09:30 UTC`.
pub(super) fn date(unix_ms: u64) -> String {
    let seconds = i64::try_from(unix_ms / 1_000).unwrap_or(i64::MAX);
    match OffsetDateTime::from_unix_timestamp(seconds) {
        Ok(at) => format!(
            "{}-{:02}-{:02} {:02}:{:02} UTC",
            at.year(),
            u8::from(at.month()),
            at.day(),
            at.hour(),
            at.minute()
        ),
        Err(_) => "at no time there is".to_owned(),
    }
}

fn facts(outcome: &Outcome) -> String {
    let mut table = Table::new("What was rehearsed", &["what", "value"]);
    for (name, value) in [
        ("scenario", outcome.scenario.clone()),
        ("seed", outcome.seed.to_string()),
        ("people planned", number(outcome.planned)),
        ("began", date(outcome.started_unix_ms)),
        ("lasted", format!("{:.1} s", outcome.length_ms as f64 / 1e3)),
    ] {
        table.row([name.to_owned(), value]);
    }
    table.close()
}

fn machines(outcome: &Outcome) -> String {
    let mut table = Table::new(
        "Machines of the tester",
        &["machine", "cores>", "processor", "kernel"],
    );
    for machine in &outcome.machines {
        table.row([
            machine.name.clone(),
            machine.cores.to_string(),
            machine.processor.clone(),
            machine.kernel.clone(),
        ]);
    }
    table.close()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_in_the_zone_everybody_can_reckon_from() {
        assert_eq!(date(1_588_930_200_000), "2020-05-08 09:30 UTC");
        assert_eq!(date(u64::MAX), "at no time there is");
    }
}
