//! What one replica does for all: it decides the tree, rotates keys, divides capacity among replicas, and tidies up.
//!
//! Whoever leads may do so late or twice without harm: each change is guarded by the leader's term and by what it was
//! decided from.

mod chores;
mod tree;

use crate::plane::{Plane, RINGS};
use crate::records::{Record, key};
use crate::store::leader::{Term, campaign};
use crate::store::{Guard, Store, StoreError, Transaction, Write};
use crate::tokens::ring::Ring;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// How often the leader looks. Edges re-parent alone: this is for what may take seconds.
const ROUND: Duration = Duration::from_millis(500);

/// Makes the rings of keys that are not there yet. Whoever is first makes them.
///
/// # Errors
/// The store cannot be used.
pub async fn prepare(store: &dyn Store) -> Result<(), StoreError> {
    for name in RINGS {
        let key = format!("{}{name}", key::KEYS);
        if store.get(&key).await?.is_some() {
            continue;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let ring = Ring::new(now.unwrap_or_default().as_secs());
        let ring = ring.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let made = Transaction {
            guards: vec![Guard::Absent(key.clone())],
            writes: vec![Write::Put {
                key,
                value: ring.to_bytes(),
                lease: None,
            }],
        };
        // A conflict: another replica has made it.
        store.commit(made).await?;
    }
    Ok(())
}

/// Runs for leadership, and leads while it has it, until it is to stop.
pub async fn run(plane: Arc<Plane>, mut stop: watch::Receiver<bool>) {
    let ttl = plane.config.timing.replica();
    let leadership = campaign(plane.store.clone(), "control", plane.replica.as_str(), ttl);
    let mut rounds = tokio::time::interval(ROUND);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut trees = None;
    loop {
        tokio::select! {
            _ = rounds.tick() => {}
            _ = stop.wait_for(|stop| *stop) => break,
        }
        let ends = plane.desk().handle_time(std::time::Instant::now());
        plane.send_ends(ends);
        plane.beat.send_modify(|beat| *beat += 1);
        let Some(term) = leadership.term() else {
            trees = None;
            continue;
        };
        let trees = trees.get_or_insert_with(|| {
            tracing::info!(replica = %plane.replica, "leads");
            tree::Trees::resume(&plane)
        });
        if let Err(error) = lead(&plane, &term, trees).await {
            tracing::warn!(%error, "a round of leading was cut short");
        }
    }
    leadership.resign().await;
}

async fn lead(plane: &Plane, term: &Term, trees: &mut tree::Trees) -> Result<(), StoreError> {
    trees.round(plane, term).await?;
    chores::rotate(plane, term).await?;
    chores::divide(plane, term).await?;
    chores::tidy(plane, term).await
}

/// Writes something only the leader may. A conflict is no error: it looks again in the next round.
async fn write(
    plane: &Plane,
    term: &Term,
    guards: Vec<Guard>,
    writes: Vec<Write>,
) -> Result<bool, StoreError> {
    let guards = guards.into_iter().chain([term.guard()]).collect();
    let committed = plane.store.commit(Transaction { guards, writes }).await?;
    match committed {
        crate::store::Committed::At(revision) => {
            plane.caught_up(revision).await;
            Ok(true)
        }
        crate::store::Committed::Conflict => {
            plane.counters.conflicts.add();
            Ok(false)
        }
    }
}

/// Holds as long as a key is as the copy in memory has it.
fn unchanged(plane: &Plane, key: &str) -> Guard {
    match plane.mirror.get(key) {
        Some(entry) => Guard::Unchanged {
            key: key.to_owned(),
            revision: entry.revision,
        },
        None => Guard::Absent(key.to_owned()),
    }
}

fn put(key: &str, record: &impl Record) -> Write {
    Write::Put {
        key: key.to_owned(),
        value: record.to_bytes(),
        lease: None,
    }
}
