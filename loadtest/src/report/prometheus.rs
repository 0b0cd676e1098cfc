//! The record as Prometheus' text, for a textfile collector or a Pushgateway. Labels are bounded: who is counted together,
//! the network's processes, and reasons of which only so many are kept apart.

mod help;

use crate::outcome::{Cell, Count, Key, Latency, Outcome, Process, Sample, Spread};
use std::cmp::Reverse;
use std::fmt::{Display, Write as _};

/// All of it, in the text exposition format.
pub fn prometheus(outcome: &Outcome) -> String {
    let mut text = Exposition::default();
    whole(&mut text, outcome);
    counts(&mut text, outcome);
    times(&mut text, outcome);
    failures(&mut text, outcome);
    processes(&mut text, outcome);
    testers(&mut text, outcome);
    text.0
}

#[derive(Default)]
struct Exposition(String);

type Labels<'a> = Vec<(&'a str, String)>;

impl Exposition {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = write!(
            self.0,
            "# HELP {PREFIX}{name} {help}\n# TYPE {PREFIX}{name} {kind}\n"
        );
    }

    fn value(&mut self, name: &str, labels: &[(&str, String)], value: impl Display) {
        let _ = write!(self.0, "{PREFIX}{name}");
        if !labels.is_empty() {
            let pairs = labels
                .iter()
                .map(|(key, value)| format!("{key}=\"{}\"", quoted(value)));
            let _ = write!(self.0, "{{{}}}", pairs.collect::<Vec<_>>().join(","));
        }
        let _ = writeln!(self.0, " {value}");
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.head(name, "gauge", help);
        self.value(name, &[], value);
    }

    /// A summary in seconds.
    fn summary(&mut self, name: &str, labels: &Labels, spread: &Spread) {
        for quantile in QUANTILES {
            if let Some(ms) = spread.quantile_ms(quantile) {
                let mut labels = labels.clone();
                labels.push(("quantile", quantile.to_string()));
                self.value(name, &labels, ms / 1e3);
            }
        }
        let sum = spread.mean_ms().unwrap_or_default() / 1e3 * spread.count() as f64;
        self.value(&format!("{name}_sum"), labels, sum);
        self.value(&format!("{name}_count"), labels, spread.count());
    }
}

fn whole(text: &mut Exposition, outcome: &Outcome) {
    text.head("info", "gauge", "The rehearsal; always 1.");
    let labels = [
        ("scenario", outcome.scenario.clone()),
        ("seed", outcome.seed.to_string()),
    ];
    text.value("info", &labels, 1);
    let began = outcome.started_unix_ms as f64 / 1e3;
    text.gauge(
        "start_timestamp_seconds",
        "When the first was due, since the Unix epoch.",
        began,
    );
    let length = outcome.length_ms as f64 / 1e3;
    text.gauge(
        "length_seconds",
        "From the first arrival to the end.",
        length,
    );
    text.gauge("planned_people", "How many were to come.", outcome.planned);
    let holds = u8::from(outcome.holds());
    text.gauge(
        "holds",
        "Whether all that was expected held, and can be believed.",
        holds,
    );
    let valid = u8::from(outcome.is_valid());
    text.gauge("valid", "Whether what was measured can be believed.", valid);
    if let Some(ghosts) = outcome.ghosts {
        text.gauge(
            "ghosts",
            "Sessions the control plane still counted when everybody had gone.",
            ghosts,
        );
    }
    if !outcome.verdict.is_empty() {
        text.head("expectation_holds", "gauge", "Whether an expectation held.");
    }
    for one in &outcome.verdict {
        let labels = [("expected", one.expected.clone())];
        text.value("expectation_holds", &labels, u8::from(one.holds));
    }
}

fn counts(text: &mut Exposition, outcome: &Outcome) {
    for count in Count::all() {
        // Silences are one metric: how long is a label.
        if limit(*count).is_some() {
            continue;
        }
        let name = format!("{}_total", count.name());
        text.head(&name, "counter", help::counted(*count));
        for Cell { key, figures } in &outcome.cells {
            text.value(&name, &who(key), figures.counted(*count));
        }
    }
    text.head(
        "gaps_total",
        "counter",
        "Times without audio longer than so many seconds; longer ones are among the shorter.",
    );
    for Cell { key, figures } in &outcome.cells {
        for (count, limit) in Count::all()
            .iter()
            .filter_map(|count| Some((count, limit(*count)?)))
        {
            let mut labels = who(key);
            labels.push(("longer_than", limit.to_owned()));
            text.value("gaps_total", &labels, figures.counted(*count));
        }
    }
}

fn times(text: &mut Exposition, outcome: &Outcome) {
    for latency in Latency::all() {
        let timed = outcome.cells.iter();
        let mut timed = timed
            .filter_map(|cell| Some((&cell.key, cell.figures.timed(*latency)?)))
            .peekable();
        if timed.peek().is_none() {
            continue;
        }
        let name = format!("{}_seconds", latency.name());
        text.head(&name, "summary", help::timed(*latency));
        for (key, spread) in timed {
            text.summary(&name, &who(key), spread);
        }
    }
}

fn failures(text: &mut Exposition, outcome: &Outcome) {
    let mut all: Vec<_> = outcome.failures.iter().collect();
    all.sort_by_key(|(_, count)| Reverse(**count));
    let (named, rest) = all.split_at(all.len().min(REASONS));
    text.head(
        "failures_total",
        "counter",
        "People who did not get in or were turned away, by why.",
    );
    for (why, count) in named {
        text.value("failures_total", &[("why", (*why).clone())], count);
    }
    if !rest.is_empty() {
        let count: u64 = rest.iter().map(|(_, count)| **count).sum();
        text.value("failures_total", &[("why", "all others".to_owned())], count);
    }
}

fn processes(text: &mut Exposition, outcome: &Outcome) {
    let last = |process: &Process| {
        let last = process.samples.last();
        last.map_or(0.0, |sample| sample.cpu_ms as f64 / 1e3)
    };
    let most = |process: &Process, of: fn(&Sample) -> u64| {
        process.samples.iter().map(of).max().unwrap_or_default()
    };
    let mut each = |name: &str, kind: &str, help: &str, of: &dyn Fn(&Process) -> f64| {
        text.head(name, kind, help);
        for process in &outcome.processes {
            let labels = [
                ("process", process.name.clone()),
                ("role", help::role(process.role).to_owned()),
            ];
            text.value(name, &labels, of(process));
        }
    };
    each(
        "process_cpu_seconds_total",
        "counter",
        "CPU time of a process since it was started last.",
        &last,
    );
    each(
        "process_memory_peak_bytes",
        "gauge",
        "Resident memory of a process at its highest.",
        &|process| (most(process, |sample| sample.memory_kib) * 1024) as f64,
    );
    each(
        "process_sockets_peak",
        "gauge",
        "Open sockets of a process at their most.",
        &|process| most(process, |sample| sample.sockets) as f64,
    );
}

fn testers(text: &mut Exposition, outcome: &Outcome) {
    let labels = |name: &str| vec![("tester", name.to_owned())];
    text.head(
        "tester_behind_seconds",
        "summary",
        "How late the tester was itself to do what was due.",
    );
    for tester in &outcome.testers {
        text.summary(
            "tester_behind_seconds",
            &labels(&tester.name),
            &tester.behind,
        );
    }
    text.head(
        "tester_behind_worst_seconds",
        "gauge",
        "What one in ten was late by in the worst ten seconds of a thread.",
    );
    for tester in &outcome.testers {
        let (labels, worst) = (labels(&tester.name), tester.worst_ms / 1e3);
        text.value("tester_behind_worst_seconds", &labels, worst);
    }
    text.head(
        "tester_arrivals_behind_seconds",
        "summary",
        "How late arrivals were started.",
    );
    for tester in &outcome.testers {
        let behind = &tester.arrivals_behind;
        text.summary(
            "tester_arrivals_behind_seconds",
            &labels(&tester.name),
            behind,
        );
    }
    text.head(
        "tester_cpu_seconds_total",
        "counter",
        "CPU time of the tester during the rehearsal.",
    );
    for tester in &outcome.testers {
        let seconds = tester.cpu_ms as f64 / 1e3;
        text.value("tester_cpu_seconds_total", &labels(&tester.name), seconds);
    }
    text.head(
        "tester_busiest_thread_ratio",
        "gauge",
        "CPU time of its busiest thread as a share of that thread's busiest ten seconds.",
    );
    for tester in &outcome.testers {
        text.value(
            "tester_busiest_thread_ratio",
            &labels(&tester.name),
            tester.busiest,
        );
    }
}

fn who(key: &Key) -> Labels<'static> {
    vec![
        ("region", key.region.clone()),
        ("language", key.language.clone()),
        ("transport", key.transport.clone()),
        ("profile", key.profile.clone()),
    ]
}

/// As it stands between quotes.
fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

/// What kind of silence is counted, in seconds.
fn limit(count: Count) -> Option<&'static str> {
    match count {
        Count::Gaps40ms => Some("0.04"),
        Count::Gaps200ms => Some("0.2"),
        Count::Gaps1000ms => Some("1"),
        _ => None,
    }
}

const PREFIX: &str = "meridian_loadtest_";
const QUANTILES: [f64; 5] = [0.5, 0.95, 0.99, 0.999, 1.0];
/// Reasons with a label of their own.
const REASONS: usize = 20;

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::*;
    use std::collections::BTreeSet;

    /// Name, labels and value of a sample's line.
    fn sample(line: &str) -> (&str, &str, f64) {
        let (series, value) = line.rsplit_once(' ').expect("a value");
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        (name, labels, value.parse().expect("a number"))
    }

    #[test]
    fn every_sample_belongs_to_the_metric_above_it_and_is_there_once() {
        for outcome in [fixtures::held(), fixtures::broken(), Outcome::default()] {
            let text = prometheus(&outcome);
            let (mut metric, mut metrics, mut series) =
                (String::new(), BTreeSet::new(), BTreeSet::new());
            for line in text.lines() {
                if let Some(rest) = line.strip_prefix("# TYPE ") {
                    metric = rest.split(' ').next().expect("a name").to_owned();
                    assert!(metrics.insert(metric.clone()), "{metric} is there twice");
                } else if !line.starts_with("# HELP ") {
                    let (name, labels, _) = sample(line);
                    let suffix = name.strip_prefix(metric.as_str());
                    assert!(matches!(suffix, Some("" | "_sum" | "_count")), "{line}");
                    assert!(series.insert((name, labels)), "{line} is there twice");
                }
            }
            assert!(text.ends_with('\n'));
        }
    }

    #[test]
    fn what_was_counted_and_timed_is_said_in_seconds() {
        let outcome = fixtures::held();
        let text = prometheus(&outcome);
        let sum = |prefix: &str| {
            let lines = text.lines().filter(|line| line.starts_with(prefix));
            lines.map(|line| sample(line).2).sum::<f64>()
        };
        assert_eq!(sum("meridian_loadtest_joined_total{"), 800.0);
        assert_eq!(sum("meridian_loadtest_first_audio_seconds_count{"), 800.0);
        let mean = sum("meridian_loadtest_first_audio_seconds_sum{") / 800.0;
        let is = outcome.timed(Latency::FirstAudio).mean_ms().expect("timed") / 1e3;
        assert!((mean / is - 1.0).abs() < 0.01, "{mean} for {is}");
    }

    #[test]
    fn reasons_are_quoted_and_bounded() {
        let mut outcome = Outcome::default();
        for n in 0..100 {
            outcome
                .failures
                .insert(format!("a \"reason\" \\ {n}\nmore"), n);
        }
        let text = prometheus(&outcome);
        let lines: Vec<_> = text
            .lines()
            .filter(|line| line.starts_with("meridian_loadtest_failures_total{"))
            .collect();
        assert_eq!(lines.len(), REASONS + 1);
        assert!(
            lines[0].contains(r#"why="a \"reason\" \\ 99\nmore""#),
            "{}",
            lines[0]
        );
        let sum: f64 = lines.iter().map(|line| sample(line).2).sum();
        assert_eq!(sum, f64::from((0..100).sum::<i32>()));
    }
}
