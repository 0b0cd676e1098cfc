//! A line of JSON with what the edge has done, for machines that watch it.

use crate::worker::Worker;
use meridian_relay::DropReason;
use serde_json::json;
use std::time::Duration;

/// Prints a line every `period`, for as long as the worker runs.
pub(crate) async fn print_every(worker: Worker, office: String, period: Duration) {
    let mut ticks = tokio::time::interval(period);
    loop {
        ticks.tick().await;
        println!("{}", line(&worker, &office));
    }
}

fn line(worker: &Worker, office: &str) -> serde_json::Value {
    let entries = worker.entries().report();
    worker.state(|state| {
        let counters = state.relay.counters();
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
        ] = state.relay.population();
        json!({
            "kind": "report",
            "office": office,
            "objects_in": counters.objects_in,
            "objects_out": counters.objects_out,
            "bytes_in": counters.bytes_in,
            "bytes_out": counters.bytes_out,
            "duplicates": counters.duplicates,
            "root_path": state.relay.root_path(),
            "looped_parents": counters.looped_parents,
            "drops": drops,
            "entries": entries,
            "sessions": sessions,
            "tracks": tracks,
            "upstreams": upstreams,
            "subscriptions": subscriptions,
            "in_streams": in_streams,
            "out_streams": out_streams,
            "requests": requests,
            "cached_bytes": state.relay.cached_bytes(),
            "hop_us": state.stats.hop(),
            "lag_ms": state.stats.lag(),
            "neighbours": state.stats.neighbours(),
        })
    })
}
