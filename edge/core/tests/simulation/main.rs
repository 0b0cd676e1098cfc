//! A seeded simulation: trees of relays with delay, lost links, restarts, mixed snapshots and slow viewers.
//!
//! Checked against a simple model: objects in order within a stream, none twice, none altered, every gap with a counted
//! reason, no loop, everything alive again when the storm is over, and nothing left behind at the end.
//! `SIMULATION_SEEDS` says how many seeds are run, `SIMULATION_FIRST` from which on, `SIMULATION_TRACE` (`messages` or
//! `data`) that they tell what happens.

#[path = "../common/mod.rs"]
#[allow(dead_code)]
mod common;

mod clients;
mod network;
mod node;
mod truth;
mod world;

use std::panic::catch_unwind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// So many seeds take less than a minute of one core in the dev profile.
const SEEDS: u64 = 1500;

#[test]
fn trees_of_relays_keep_their_promises_whatever_befalls_them() {
    let first = number("SIMULATION_FIRST").unwrap_or(0);
    let seeds = number("SIMULATION_SEEDS").unwrap_or(SEEDS);
    let next = AtomicU64::new(first);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + seeds {
                return;
            }
            if catch_unwind(|| world::run(seed)).is_err() {
                next.store(u64::MAX / 2, Ordering::Relaxed);
                panic!("seed {seed} fails: SIMULATION_FIRST={seed} SIMULATION_SEEDS=1");
            }
        }
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..cores.min(seeds as usize) {
            scope.spawn(work);
        }
    });
}

fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().expect("a number of seeds"))
}
