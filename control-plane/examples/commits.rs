//! How many transactions a second a store commits, for writers who wait for each of their own.
//!
//! `cargo run --release -p meridian-control-plane --example commits -- FILE-OR-URL[,URL…] [WRITERS] [SECONDS]`
//!
//! With a path it measures the embedded store in that file, with URLs the etcd cluster there.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use meridian_control_plane::store::{
    Committed, Guard, Store, Transaction, Write,
    embedded::{EmbeddedStore, History},
    etcd::{EtcdConfig, EtcdStore},
};

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let place = args.next().context("name a file, or URLs of etcd")?;
    let writers: usize = args.next().map_or(Ok(64), |text| text.parse())?;
    let seconds: u64 = args.next().map_or(Ok(10), |text| text.parse())?;
    let until = Instant::now() + Duration::from_secs(seconds);
    let store = open(&place).await?;
    let tasks: Vec<_> = (0..writers)
        .map(|writer| tokio::spawn(write(store.clone(), writer, until)))
        .collect();
    let mut waits = Vec::new();
    for task in tasks {
        waits.extend(task.await??);
    }
    waits.sort_unstable();
    let rate = waits.len() as f64 / seconds as f64;
    let at = |share: usize| waits[(waits.len() - 1) * share / 100].as_secs_f64() * 1e3;
    println!(
        "{writers} writers: {rate:.0} commits/s, each waited {:.2} ms (p50), {:.2} ms (p99)",
        at(50),
        at(99)
    );
    Ok(())
}

async fn open(place: &str) -> Result<Arc<dyn Store>> {
    if place.contains("://") {
        let config = EtcdConfig::new(place.split(','));
        return Ok(Arc::new(EtcdStore::new(config)?));
    }
    let store = EmbeddedStore::open(Path::new(place), History::default()).await?;
    Ok(Arc::new(store))
}

/// Replaces its key's value of 200 bytes again and again, from the revision it knows.
async fn write(store: Arc<dyn Store>, writer: usize, until: Instant) -> Result<Vec<Duration>> {
    let key = format!("commits/{writer}");
    let mut guard = match store.get(&key).await? {
        None => Guard::Absent(key.clone()),
        Some(entry) => Guard::Unchanged {
            key: key.clone(),
            revision: entry.revision,
        },
    };
    let mut waits = Vec::new();
    while Instant::now() < until {
        let asked = Instant::now();
        let transaction = Transaction {
            guards: vec![guard],
            writes: vec![Write::Put {
                key: key.clone(),
                value: vec![b'x'; 200],
                lease: None,
            }],
        };
        let Committed::At(revision) = store.commit(transaction).await? else {
            bail!("somebody else writes {key}");
        };
        waits.push(asked.elapsed());
        let key = key.clone();
        guard = Guard::Unchanged { key, revision };
    }
    Ok(waits)
}
