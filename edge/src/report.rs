//! A line of JSON with what the edge has done, for machines that watch it.

use crate::control::StatusReader;
use crate::crowd::Crowd;
use crate::edge::Reporter;
use crate::entries::Entries;
use crate::siblings;
use crate::stats::Times;
use crate::steering::Switch;
use crate::worker::Worker;
use meridian_relay::{Counters, DropReason};
use serde_json::{Value, json};
use std::io::{self, Write};
use std::time::Duration;

/// Prints a line every `period`, for as long as all workers run.
pub(crate) async fn print_every(
    reporter: Reporter,
    control: Option<StatusReader>,
    period: Duration,
) {
    let mut ticks = tokio::time::interval(period);
    loop {
        ticks.tick().await;
        let Some(mut line) = reporter.report().await else {
            return;
        };
        if let Some(control) = &control {
            line["control"] = control.report();
        }
        // Who listened may have gone; the edge goes on.
        if writeln!(io::stdout(), "{line}").is_err() {
            return;
        }
    }
}

/// What one worker has done and holds.
pub(crate) struct Snapshot {
    counters: Counters,
    /// Of these, given to other workers.
    bytes_within: u64,
    /// As [`meridian_relay::Relay::population`] orders it, without the sessions between workers.
    population: [usize; 7],
    cached_bytes: usize,
    times: Times,
    root_path: Vec<String>,
    neighbours: Value,
}

impl Snapshot {
    pub(crate) fn of(worker: &Worker) -> Snapshot {
        worker.state(|state| {
            let mut population = state.relay.population();
            let links = state.links.values();
            population[0] -= links
                .filter(|link| siblings::is_inner(&link.session))
                .count();
            Snapshot {
                counters: state.relay.counters().clone(),
                bytes_within: state.stats.bytes_within(),
                population,
                cached_bytes: state.relay.cached_bytes(),
                times: state.stats.times(),
                root_path: state.relay.root_path().to_vec(),
                neighbours: state.stats.neighbours(),
            }
        })
    }

    fn share(&self) -> Value {
        json!({
            "sessions": self.population[0],
            "subscriptions": self.population[3],
            "objects_in": self.counters.objects_in,
            "objects_out": self.counters.objects_out,
            "bytes_in": self.counters.bytes_in,
            "bytes_out": self.counters.bytes_out,
            "bytes_within": self.bytes_within,
            "hop_us": self.times.hop(),
        })
    }
}

/// Sums over the workers, the first of which has the neighbours. What crosses from one to another counts at both.
pub(crate) fn line(
    office: Option<&str>,
    workers: &[Snapshot],
    switch: Option<&Switch>,
    (entries, crowd): (&Entries, &Crowd),
    is_draining: bool,
) -> Value {
    let (mut counters, mut times) = (Counters::default(), Times::default());
    let mut population = [0; 7];
    for worker in workers {
        counters += &worker.counters;
        times.add(&worker.times);
        for (sum, count) in population.iter_mut().zip(worker.population) {
            *sum += count;
        }
    }
    let drops: serde_json::Map<_, _> = DropReason::ALL
        .into_iter()
        .map(|reason| (reason.label().to_owned(), counters.dropped(reason).into()))
        .collect();
    let [
        sessions,
        tracks,
        upstreams,
        subscriptions,
        in_streams,
        out_streams,
        requests,
    ] = population;
    let first = workers.first();
    json!({
        "kind": "report",
        "office": office.unwrap_or("dev"),
        "objects_in": counters.objects_in,
        "objects_out": counters.objects_out,
        "bytes_in": counters.bytes_in,
        "bytes_out": counters.bytes_out,
        "duplicates": counters.duplicates,
        "root_path": first.map(|first| &first.root_path),
        "looped_parents": counters.looped_parents,
        "drops": drops,
        "entries": entries.report(),
        "draining": is_draining,
        "handshakes": crowd.handshakes(),
        "sessions": sessions,
        "tracks": tracks,
        "upstreams": upstreams,
        "subscriptions": subscriptions,
        "in_streams": in_streams,
        "out_streams": out_streams,
        "requests": requests,
        "cached_bytes": workers.iter().map(|worker| worker.cached_bytes).sum::<usize>(),
        "hop_us": times.hop(),
        "lag_ms": times.lag(),
        "neighbours": first.map(|first| &first.neighbours),
        "workers": workers.iter().map(Snapshot::share).collect::<Vec<_>>(),
        "packets": {
            "handed_over": switch.map_or(0, Switch::handed_over),
            "dropped": { "worker_busy": switch.map_or(0, Switch::dropped) },
        },
    })
}
