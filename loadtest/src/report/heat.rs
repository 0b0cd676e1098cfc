//! Lag of each region along time, as a map of colours.

use super::axis::Axis;
use super::chart::{LEFT, RIGHT, TOP, WIDTH, draw_marks, draw_moments, place_x};
use super::timeline::Timeline;
use super::words::{escape, moment, region, time};
use crate::outcome::Spread;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// The map with its key; nothing if nobody heard anything.
pub(super) fn html(timeline: &Timeline) -> String {
    let regions: BTreeSet<&str> = timeline
        .bins()
        .flat_map(|bin| bin.ticks)
        .flat_map(|tick| tick.lag.keys().map(String::as_str))
        .collect();
    if regions.is_empty() {
        return String::new();
    }
    let rows: Vec<Row> = regions.iter().map(|of| Row::of(timeline, of)).collect();
    format!(
        "<figure><figcaption><b>{TITLE}</b> Each stripe is a region, the colour is how old 95 of 100 audio frames at most were when they arrived. More than 400 ms is late.</figcaption>{}<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"{TITLE}\">{}</div></figure>\n",
        key(),
        svg(timeline, &rows)
    )
}

/// A region along time.
struct Row {
    region: String,
    runs: Vec<Run>,
}

/// Time in which the colour was the same.
struct Run {
    from_s: f64,
    to_s: f64,
    lowest: f64,
    highest: f64,
}

impl Row {
    fn of(timeline: &Timeline, code: &str) -> Row {
        let mut runs: Vec<Run> = Vec::new();
        for bin in timeline.bins() {
            let mut lag = Spread::default();
            let each = bin.ticks.iter().filter_map(|tick| tick.lag.get(code));
            each.for_each(|one| lag.add(one));
            let Some(p95) = lag.quantile_ms(0.95) else {
                continue;
            };
            match runs.last_mut() {
                Some(run) if run.to_s == bin.from_s && step(run.highest) == step(p95) => {
                    run.to_s = bin.to_s;
                    run.lowest = run.lowest.min(p95);
                    run.highest = run.highest.max(p95);
                }
                _ => runs.push(Run {
                    from_s: bin.from_s,
                    to_s: bin.to_s,
                    lowest: p95,
                    highest: p95,
                }),
            }
        }
        Row {
            region: region(code),
            runs,
        }
    }

    fn said(&self) -> String {
        let lowest = self.runs.iter().map(|run| run.lowest);
        let lowest = lowest.fold(f64::INFINITY, f64::min);
        let highest = self.runs.iter().map(|run| run.highest).fold(0.0, f64::max);
        format!("{}: {} to {}", self.region, time(lowest), time(highest))
    }
}

fn svg(timeline: &Timeline, rows: &[Row]) -> String {
    let bottom = TOP + rows.len() as f64 * ROW;
    let said: Vec<String> = rows.iter().map(Row::said).collect();
    let mut svg = format!(
        "<svg class=\"chart\" viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-labelledby=\"heat-t heat-d\"><title id=\"heat-t\">{TITLE}</title><desc id=\"heat-d\">{}.</desc>",
        bottom + 26.0,
        escape(&said.join(". "))
    );
    let axis = Axis::moments(timeline.length_s);
    for (row, n) in rows.iter().zip(0u32..) {
        let top = TOP + f64::from(n) * ROW;
        let _ = write!(
            svg,
            "<rect class=\"none\" x=\"{LEFT}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\"/>",
            top + NAME,
            RIGHT - LEFT,
            ROW - NAME - 4.0
        );
        for run in &row.runs {
            draw_run(&mut svg, &axis, row, run, top + NAME);
        }
        let _ = write!(
            svg,
            "<text x=\"{LEFT}\" y=\"{:.1}\">{}</text>",
            top + NAME - 4.0,
            escape(&row.region)
        );
    }
    draw_marks(&mut svg, &axis, &timeline.marks, bottom);
    draw_moments(&mut svg, &axis, bottom);
    svg.push_str("</svg>");
    svg
}

fn draw_run(svg: &mut String, axis: &Axis, row: &Row, run: &Run, top: f64) {
    let (from, to) = (place_x(axis, run.from_s), place_x(axis, run.to_s));
    let range = match time(run.lowest) == time(run.highest) {
        true => time(run.highest),
        false => format!("{} to {}", time(run.lowest), time(run.highest)),
    };
    let _ = write!(
        svg,
        "<rect class=\"h{}\" x=\"{from:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\"><title>{}, {}–{}: {range}</title></rect>",
        step(run.highest),
        to - from,
        ROW - NAME - 4.0,
        escape(&row.region),
        moment(run.from_s),
        moment(run.to_s),
    );
}

fn key() -> String {
    let mut items = String::new();
    for (n, limit) in STEPS.iter().enumerate() {
        let _ = write!(
            items,
            "<li><span class=\"swatch h{n}\"></span>up to {limit:.0} ms</li>"
        );
    }
    let _ = write!(
        items,
        "<li><span class=\"swatch h{}\"></span>more</li><li><span class=\"swatch none\"></span>nothing heard</li>",
        STEPS.len()
    );
    format!("<ul class=\"key\">{items}</ul>")
}

fn step(ms: f64) -> usize {
    let beyond = STEPS.iter().position(|limit| ms <= *limit);
    beyond.unwrap_or(STEPS.len())
}

const TITLE: &str = "Lag by region";
/// Milliseconds at which the colour changes.
const STEPS: [f64; 7] = [50.0, 100.0, 150.0, 200.0, 300.0, 400.0, 1_000.0];
const ROW: f64 = 42.0;
/// Above each stripe stands its region.
const NAME: f64 = 18.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{Outcome, Tick};
    use std::time::Duration;

    #[test]
    fn seconds_of_one_colour_are_one_stripe_and_silence_is_none() {
        let tick = |ms: u64| {
            let mut tick = Tick::default();
            if ms > 0 {
                let lag = tick.lag.entry("AFR".to_owned()).or_default();
                lag.record(Duration::from_millis(ms));
            }
            tick
        };
        let outcome = Outcome {
            ticks: [60, 70, 80, 90, 0, 0, 900, 900].map(tick).to_vec(),
            ..Outcome::default()
        };
        let html = html(&Timeline::of(&outcome));
        assert_eq!(html.matches("<rect class=\"h").count(), 2, "{html}");
        for part in [
            "Africa (AFR), 0:00–0:04: ",
            "Africa (AFR), 0:06–0:08: ",
            "class=\"h6\"",
        ] {
            assert!(html.contains(part), "{part}: {html}");
        }
    }
}
