//! Who came, got in and was there, along time.

use super::super::axis::Axis;
use super::super::chart::{Chart, Series};
use super::super::timeline::{Bin, Timeline};
use super::super::words::number;
use super::Part;
use crate::outcome::{Outcome, Tick};

pub(super) fn part(outcome: &Outcome, timeline: &Timeline) -> Part {
    let content = match outcome.ticks.is_empty() {
        true => String::new(),
        false => rates(timeline) + &people(timeline),
    };
    Part {
        id: "joins",
        title: "Joins over time",
        hint: HINT,
        content,
    }
}

fn rates(timeline: &Timeline) -> String {
    let line = |name: &str, look, of: fn(&Tick) -> u64| {
        let points = timeline.line(|bin| bin.per_second(of));
        Series::line(name, look, points, say)
    };
    let series = vec![
        line("came to the door", 0, |tick| tick.came),
        line("heard the first sound", 1, |tick| tick.joined),
        line("failed", 2, |tick| tick.failed),
    ];
    chart(
        timeline,
        "joins-rate",
        "Each second",
        "people a second",
        series,
    )
}

fn people(timeline: &Timeline) -> String {
    let mut sum = Tick::default();
    let (mut came, mut present, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    for bin in timeline.bins() {
        let more = |of: fn(&Tick) -> u64| bin.sum(of);
        sum.came += more(|tick| tick.came);
        sum.joined += more(|tick| tick.joined);
        sum.failed += more(|tick| tick.failed);
        sum.left += more(|tick| tick.left);
        came.push(at_end(&bin, sum.came));
        present.push(at_end(&bin, here(&sum)));
        failed.push(at_end(&bin, sum.failed));
    }
    let series = vec![
        Series::line("have come so far", 0, came, say),
        Series::line("are present", 3, present, say),
        Series::line("have failed so far", 2, failed, say),
    ];
    chart(timeline, "joins-people", "Altogether", "people", series)
}

/// Those who heard something and have not gone. Whoever failed beyond those who never heard anything was in before.
fn here(sum: &Tick) -> u64 {
    let turned_away = (sum.joined + sum.failed).saturating_sub(sum.came);
    sum.joined.saturating_sub(sum.left + turned_away)
}

fn at_end(bin: &Bin, value: u64) -> (f64, f64) {
    (bin.to_s, value as f64)
}

fn chart(timeline: &Timeline, id: &str, title: &str, counts: &str, series: Vec<Series>) -> String {
    let highest = series.iter().map(Series::highest).fold(0.0, f64::max);
    Chart {
        id,
        title,
        hint: "",
        x: Axis::moments(timeline.length_s),
        counts,
        y: Axis::counts(highest),
        marks: &timeline.marks,
        series,
    }
    .html()
}

fn say(value: f64) -> String {
    number(value.round() as u64)
}

const HINT: &str = "People come when they are due, however slow the answer is. Where “heard” follows “came” closely, nobody waited.";
