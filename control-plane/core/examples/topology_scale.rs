//! How long a tree of many edges takes: `cargo run --release -p meridian-control-core --example topology_scale -- 200`.

use meridian_control_core::topology::{Edge, Inputs, Planner, Rtts};
use std::collections::BTreeSet;
use std::error::Error;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let count: usize = std::env::args()
        .nth(1)
        .ok_or("usage: topology_scale EDGES")?
        .parse()?;
    let start = Instant::now();
    let rtts = rtts(count, start);
    for max_children in [count, 8, 2] {
        let edges: Vec<Edge> = (0..count).map(|at| edge(at, max_children)).collect();
        let inputs = Inputs {
            edges: &edges,
            origin: "office-0",
            rtts: &rtts,
            demand_bps: None,
            allowed_countries: &BTreeSet::new(),
        };
        let mut planner = Planner::new();
        let began = Instant::now();
        planner.plan(&inputs, start)?;
        let first = began.elapsed();
        let began = Instant::now();
        planner.plan(&inputs, start)?;
        let tree = planner.tree().ok_or("no tree")?;
        let depth = tree.places.keys().map(|edge| tree.depth(edge)).max();
        println!(
            "{count} edges, {max_children} children at most: {:.0} ms with {} failure tables ({} changes), depth {}; kept in {:.0} ms",
            first.as_secs_f64() * 1e3,
            tree.failures.len(),
            tree.failures
                .values()
                .map(|failure| failure.changes.len())
                .sum::<usize>(),
            depth.unwrap_or(0),
            began.elapsed().as_secs_f64() * 1e3,
        );
    }
    Ok(())
}

fn edge(at: usize, max_children: usize) -> Edge {
    Edge {
        id: format!("office-{at}"),
        failure_domain: format!("site-{}", at / 2),
        country: "CH".to_owned(),
        is_hub_candidate: at.is_multiple_of(10),
        max_children,
        uplink_bps: None,
        is_usable: true,
    }
}

/// Offices strewn over a globe by a spiral; 1 ms there and back for each degree between them, and 10 ms.
fn rtts(count: usize, now: Instant) -> Rtts {
    let mut rtts = Rtts::new();
    let place = |at: usize| {
        let height = 1.0 - 2.0 * (at as f64 + 0.5) / count as f64;
        let (turn, ring) = (2.399963 * at as f64, (1.0 - height * height).sqrt());
        [ring * turn.cos(), ring * turn.sin(), height]
    };
    for a in 0..count {
        for b in 0..count {
            let cosine: f64 = place(a).iter().zip(place(b)).map(|(a, b)| a * b).sum();
            let degrees = cosine.clamp(-1.0, 1.0).acos().to_degrees();
            let rtt_us = 10_000.0 + 1000.0 * degrees;
            rtts.record(
                &format!("office-{a}"),
                &format!("office-{b}"),
                rtt_us as u32,
                now,
            );
        }
    }
    rtts
}
