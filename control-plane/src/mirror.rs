//! A copy in memory of everything under a prefix of the state store, kept up to date, and read without waiting.
//!
//! While the store is away the copy stays as it was and tells since when it may be out of date.

use std::{
    collections::BTreeMap,
    sync::{Arc, RwLock, RwLockReadGuard},
    time::{Duration, Instant},
};

use tokio::{sync::watch, task::JoinHandle, time};

use crate::store::{Change, Entry, Event, Listing, Store, StoreError, leader::jittered};

/// The copy. Dropped, it is no longer kept up to date.
#[derive(Debug)]
pub struct Mirror {
    copy: Arc<Copy>,
    task: JoinHandle<()>,
}

impl Mirror {
    /// Begins to copy `prefix`; [`synced`](Self::synced) tells when it has.
    pub fn start(store: Arc<dyn Store>, prefix: &str) -> Self {
        let copy = Arc::new(Copy {
            held: RwLock::new(Held {
                stale_since: Some(Instant::now()),
                ..Held::default()
            }),
            changed: watch::Sender::new(0),
        });
        let task = tokio::spawn(follow(store, prefix.to_owned(), copy.clone()));
        Self { copy, task }
    }

    /// Waits until the store has been read for the first time.
    pub async fn synced(&self) {
        let mut changed = self.changed();
        // The sender is ours, so this only ends when it is true.
        let _ = changed.wait_for(|revision| *revision > 0).await;
    }

    /// One key's value.
    pub fn get(&self, key: &str) -> Option<Arc<Entry>> {
        self.copy.held().entries.get(key).cloned()
    }

    /// All keys that begin with `prefix`, in order, as they stood together at one revision.
    pub fn range(&self, prefix: &str) -> Vec<Arc<Entry>> {
        let held = self.copy.held();
        let from = held.entries.range(prefix.to_owned()..);
        from.take_while(|(key, _)| key.starts_with(prefix))
            .map(|(_, entry)| entry.clone())
            .collect()
    }

    /// The last revision that changed anything here, or at which it was read anew; 0 before it was read at all.
    pub fn revision(&self) -> u64 {
        self.copy.held().revision
    }

    /// The store's [epoch](Store::epoch); none before it was read.
    pub fn epoch(&self) -> Option<u64> {
        self.copy.held().epoch
    }

    /// Since when the copy may lack changes: none while it follows the store.
    pub fn stale_since(&self) -> Option<Instant> {
        self.copy.held().stale_since
    }

    /// The revision, anew whenever an entry here has changed.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.copy.changed.subscribe()
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Debug)]
struct Copy {
    held: RwLock<Held>,
    changed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Held {
    entries: BTreeMap<String, Arc<Entry>>,
    revision: u64,
    epoch: Option<u64>,
    stale_since: Option<Instant>,
}

impl Copy {
    fn held(&self) -> RwLockReadGuard<'_, Held> {
        self.held.read().expect("nothing panics while holding it")
    }

    fn change(&self, change: impl FnOnce(&mut Held) -> bool) {
        let mut held = self.held.write().expect("nothing panics while holding it");
        let first = held.revision == 0;
        let changed = change(&mut held);
        let revision = held.revision;
        drop(held);
        if changed || first {
            self.changed.send_replace(revision);
        }
    }

    fn apply(&self, event: Event) {
        self.change(|held| match event {
            Event::Changed { revision, changes } => held.make(revision, changes),
            Event::Reset(listing) => held.replace(listing),
            Event::Interrupted(_) => held.mark_stale(),
            Event::Resumed => held.mark_fresh(),
        });
    }
}

impl Held {
    fn make(&mut self, revision: u64, changes: Vec<Change>) -> bool {
        self.revision = revision;
        for change in changes {
            match change {
                Change::Put(entry) => drop(self.entries.insert(entry.key.clone(), entry.into())),
                Change::Deleted(key) => drop(self.entries.remove(&key)),
            }
        }
        true
    }

    /// Entries that are the same stay the very same, and if all are, nobody is woken.
    fn replace(&mut self, listing: Listing) -> bool {
        let old = std::mem::take(&mut self.entries);
        let count = listing.entries.len();
        let mut kept = 0;
        for entry in listing.entries {
            let same = old.get(&entry.key).filter(|held| ***held == entry);
            kept += usize::from(same.is_some());
            let entry = same.cloned().unwrap_or_else(|| Arc::new(entry));
            self.entries.insert(entry.key.clone(), entry);
        }
        self.revision = listing.revision;
        kept != count || old.len() != count
    }

    fn mark_stale(&mut self) -> bool {
        self.stale_since.get_or_insert_with(Instant::now);
        false
    }

    fn mark_fresh(&mut self) -> bool {
        self.stale_since = None;
        false
    }
}

/// For ever: reads, follows, and reads anew when that cannot go on.
async fn follow(store: Arc<dyn Store>, prefix: String, copy: Arc<Copy>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let Err(error) = follow_once(&*store, &prefix, &copy, &mut pause).await;
        tracing::warn!(prefix, %error, "cannot follow the state store");
        copy.change(Held::mark_stale);
        time::sleep(jittered(pause)).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

async fn follow_once(
    store: &dyn Store,
    prefix: &str,
    copy: &Copy,
    pause: &mut Duration,
) -> Result<std::convert::Infallible, StoreError> {
    let epoch = store.epoch().await?;
    let listing = store.list(prefix).await?;
    let mut watch = store.watch(prefix, listing.revision).await?;
    copy.change(|held| {
        held.epoch = Some(epoch);
        held.mark_fresh();
        held.replace(listing)
    });
    *pause = FIRST_PAUSE;
    loop {
        let event = watch.next().await?;
        if matches!(event, Event::Reset(_)) {
            let epoch = store.epoch().await?;
            copy.change(|held| {
                held.epoch = Some(epoch);
                false
            });
        }
        copy.apply(event);
    }
}

/// Pauses between attempts grow from the first to the last, and are jittered.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LAST_PAUSE: Duration = Duration::from_secs(5);
