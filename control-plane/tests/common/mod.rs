//! What the tests share.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test file uses its part"
)]

pub mod browser;
pub mod etcd;
pub mod provider;
pub mod stage;

use std::{future::Future, time::Duration};

use meridian_control_plane::store::{
    Change, Committed, Event, Guard, Lease, Store, StoreError, Transaction, Watch, Write,
};

/// Far beyond what anything here takes.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for it, but not for ever.
pub async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what)
        .await
        .expect("this takes far too long")
}

pub fn put(key: &str, value: &str) -> Write {
    Write::Put {
        key: key.into(),
        value: value.into(),
        lease: None,
    }
}

pub fn put_leased(key: &str, value: &str, lease: Lease) -> Write {
    Write::Put {
        key: key.into(),
        value: value.into(),
        lease: Some(lease),
    }
}

pub fn delete(key: &str) -> Write {
    Write::Delete(key.into())
}

pub fn unchanged(key: &str, revision: u64) -> Guard {
    Guard::Unchanged {
        key: key.into(),
        revision,
    }
}

/// Makes changes that must not be refused.
pub async fn write<const N: usize>(store: &dyn Store, writes: [Write; N]) -> u64 {
    match commit(store, [], writes).await.unwrap() {
        Committed::At(revision) => revision,
        Committed::Conflict => panic!("a conflict without a guard"),
    }
}

/// Makes changes, again and again while the store cannot tell whether it has: only for what may be done twice.
pub async fn insist<const N: usize>(store: &dyn Store, writes: [Write; N]) -> u64 {
    let made = async {
        loop {
            match commit(store, [], writes.clone()).await {
                Ok(Committed::At(revision)) => return revision,
                Err(StoreError::Unavailable(_)) => {}
                answer => panic!("{answer:?}"),
            }
        }
    };
    soon(made).await
}

pub async fn commit<const G: usize, const N: usize>(
    store: &dyn Store,
    guards: [Guard; G],
    writes: [Write; N],
) -> Result<Committed, StoreError> {
    let (guards, writes) = (guards.into(), writes.into());
    store.commit(Transaction { guards, writes }).await
}

/// The next event that is not about the connection.
pub async fn next(watch: &mut Box<dyn Watch>) -> Event {
    loop {
        match soon(watch.next()).await.unwrap() {
            Event::Interrupted(_) | Event::Resumed => {}
            event => return event,
        }
    }
}

/// An event's revision and its changes as `key=value` or `-key`.
pub fn told(event: &Event) -> (u64, Vec<String>) {
    let Event::Changed { revision, changes } = event else {
        panic!("not changes: {event:?}")
    };
    let text = changes.iter().map(|change| match change {
        Change::Put(entry) => {
            assert_eq!(entry.revision, *revision);
            format!("{}={}", entry.key, String::from_utf8_lossy(&entry.value))
        }
        Change::Deleted(key) => format!("-{key}"),
    });
    (*revision, text.collect())
}

/// A key's value as text, if it is there.
pub async fn value(store: &dyn Store, key: &str) -> Option<String> {
    let entry = store.get(key).await.unwrap()?;
    Some(String::from_utf8(entry.value).unwrap())
}
