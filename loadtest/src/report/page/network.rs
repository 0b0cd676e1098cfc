//! What the network's processes used.

use super::super::axis::Axis;
use super::super::chart::{Chart, LINES, Look, Series};
use super::super::table::Table;
use super::super::timeline::Timeline;
use super::super::words::{cores, memory, number, some};
use super::Part;
use crate::outcome::{Outcome, Process, Role, Sample};
use std::cmp::Reverse;

pub(super) fn part(outcome: &Outcome, timeline: &Timeline) -> Part {
    let chosen = |is_edge: bool| -> Vec<&Process> {
        let of = outcome.processes.iter().filter(move |process| {
            (process.role == Role::Edge) == is_edge && process.role != Role::Tester
        });
        let mut of: Vec<&Process> = of.collect();
        of.sort_by_key(|process| Reverse(cpu_ms(process)));
        of
    };
    let (edges, others) = (chosen(true), chosen(false));
    let content = [
        cpu(timeline, &edges, "edges-cpu", "CPU of each edge"),
        resident(timeline, &edges),
        cpu(timeline, &others, "others-cpu", "CPU of everything else"),
        table(outcome),
    ];
    Part {
        id: "network",
        title: "CPU and memory",
        hint: HINT,
        content: content.concat(),
    }
}

fn cpu(timeline: &Timeline, of: &[&Process], id: &str, title: &str) -> String {
    let series = series(of, |process| shares(process, step_ms(timeline)), cores);
    let highest = series.iter().map(Series::highest).fold(0.1, f64::max);
    let y = Axis::linear(highest, cores);
    chart(timeline, id, title, ("cores", y), series)
}

fn resident(timeline: &Timeline, edges: &[&Process]) -> String {
    let mib = |value: f64| format!("{} MiB", number(value.round() as u64));
    let series = series(edges, |process| memories(process, step_ms(timeline)), mib);
    let highest = series.iter().map(Series::highest).fold(1.0, f64::max);
    let y = Axis::linear(highest, |value| number(value.round() as u64));
    chart(
        timeline,
        "edges-memory",
        "Memory of each edge",
        ("MiB resident", y),
        series,
    )
}

fn chart(
    timeline: &Timeline,
    id: &str,
    title: &str,
    (counts, y): (&str, Axis),
    series: Vec<Series>,
) -> String {
    if series.iter().all(|one| one.stretches.is_empty()) {
        return String::new();
    }
    Chart {
        id,
        title,
        hint: "",
        x: Axis::moments(timeline.length_s),
        counts,
        y,
        marks: &timeline.marks,
        series,
    }
    .html()
}

type Stretches = Vec<Vec<(f64, f64)>>;

/// A line for each of the busiest, and faint ones for the rest together.
fn series(
    of: &[&Process],
    values: impl Fn(&Process) -> Stretches,
    say: impl Fn(f64) -> String,
) -> Vec<Series> {
    let (shown, rest) = of.split_at(of.len().min(LINES));
    let mut series: Vec<Series> = shown
        .iter()
        .enumerate()
        .map(|(n, process)| Series::broken(&process.name, Look::Line(n), values(process), &say))
        .collect();
    if !rest.is_empty() {
        let name = some(
            rest.len() as u64,
            "other that used less",
            "others that used less",
        );
        let all = rest.iter().flat_map(|process| values(process)).collect();
        series.push(Series::broken(&name, Look::Faint, all, &say));
    }
    series
}

/// Share of a core between samples that are at least so far apart, at their middle.
fn shares(process: &Process, step_ms: i64) -> Stretches {
    stretches(process)
        .filter_map(|samples| {
            let (mut points, mut from) = (Vec::new(), samples.first()?);
            for to in samples {
                let ms = to.at_ms - from.at_ms;
                if ms >= step_ms {
                    let share = (to.cpu_ms - from.cpu_ms) as f64 / ms as f64;
                    points.push(((from.at_ms + ms / 2) as f64 / 1e3, share));
                    from = to;
                }
            }
            (!points.is_empty()).then_some(points)
        })
        .collect()
}

/// MiB, at most one value in so many milliseconds.
fn memories(process: &Process, step_ms: i64) -> Stretches {
    let thin = |samples: &[Sample]| {
        let mut points: Vec<(f64, f64)> = Vec::new();
        let mut next = i64::MIN;
        for sample in samples {
            if sample.at_ms >= next {
                points.push((sample.at_ms as f64 / 1e3, sample.memory_kib as f64 / 1024.0));
                next = sample.at_ms + step_ms;
            }
        }
        points
    };
    stretches(process).map(thin).collect()
}

/// Samples of one life each, without long holes. Those before the first arrival are not drawn.
fn stretches(process: &Process) -> impl Iterator<Item = &[Sample]> {
    let from = process.samples.partition_point(|sample| sample.at_ms < 0);
    process.samples[from..].chunk_by(|one, next| {
        next.cpu_ms >= one.cpu_ms && next.at_ms > one.at_ms && next.at_ms - one.at_ms < HOLE_MS
    })
}

fn step_ms(timeline: &Timeline) -> i64 {
    // A little less than what samples are apart, which is never exact.
    timeline.per_bin() as i64 * 1_000 - 300
}

/// CPU time over all its lives.
fn cpu_ms(process: &Process) -> u64 {
    let pairs = process.samples.windows(2);
    let more = pairs.map(|two| match two[1].cpu_ms.checked_sub(two[0].cpu_ms) {
        Some(more) => more,
        // It was started again.
        None => two[1].cpu_ms,
    });
    more.sum()
}

fn table(outcome: &Outcome) -> String {
    let heads = [
        "process",
        "kind",
        "CPU mean>",
        "busiest 10 s>",
        "memory at most>",
        "sockets at most>",
        "starts again>",
    ];
    let mut table = Table::new("Processes", &heads);
    for process in &outcome.processes {
        table.row(row(process));
    }
    table.close()
}

fn row(process: &Process) -> Vec<String> {
    let samples = &process.samples;
    let lasted = samples.first().zip(samples.last());
    let lasted = lasted.map_or(0, |(first, last)| last.at_ms - first.at_ms);
    let most = |of: fn(&Sample) -> u64| samples.iter().map(of).max().unwrap_or_default();
    let again = samples
        .windows(2)
        .filter(|two| two[1].cpu_ms < two[0].cpu_ms);
    let none = || "–".to_owned();
    vec![
        process.name.clone(),
        kind(process.role).to_owned(),
        match lasted {
            0 => none(),
            ms => cores(cpu_ms(process) as f64 / ms as f64),
        },
        process.busiest().map_or_else(none, cores),
        memory(most(|sample| sample.memory_kib)),
        number(most(|sample| sample.sockets)),
        again.count().to_string(),
    ]
}

fn kind(role: Role) -> &'static str {
    match role {
        Role::Edge => "edge",
        Role::ControlPlane => "control plane",
        Role::Store => "etcd",
        Role::Paths => "emulated paths",
        Role::Tester => "load tester",
        Role::Other => "other",
    }
}

/// Without a sample for so long, a process was not there.
const HOLE_MS: i64 = 5_000;

const HINT: &str = "CPU as a share of one core: 1.00 is a core that does nothing else.";

#[cfg(test)]
mod tests {
    use super::*;

    fn process(samples: &[(i64, u64)]) -> Process {
        let sample = |(s, cpu_ms): &(i64, u64)| Sample {
            at_ms: s * 1_000,
            cpu_ms: *cpu_ms,
            ..Sample::default()
        };
        Process {
            samples: samples.iter().map(sample).collect(),
            ..Process::default()
        }
    }

    #[test]
    fn a_process_that_was_started_again_has_two_lines_and_both_their_cpu() {
        let process = process(&[(0, 0), (1, 500), (2, 1_000), (9, 100), (10, 300)]);
        let lines = shares(&process, 700);
        let shares: Vec<Vec<f64>> = lines
            .iter()
            .map(|line| line.iter().map(|(_, share)| *share).collect())
            .collect();
        assert_eq!(shares, [vec![0.5, 0.5], vec![0.2]]);
        assert_eq!(cpu_ms(&process), 1_300);
    }

    #[test]
    fn those_who_used_most_are_told_apart_and_the_rest_is_there() {
        let all: Vec<Process> = (1..=9).map(|n| process(&[(0, 0), (1, n)])).collect();
        let all: Vec<&Process> = all.iter().collect();
        let series = series(&all, |process| shares(process, 700), cores);
        assert_eq!(series.len(), LINES + 1);
        assert_eq!(series[LINES].stretches.len(), 9 - LINES);
    }
}
