//! Where the control plane keeps its state: one trait, and stores that behave alike behind it.
//!
//! Keys are paths such as `meetings/council`, without the prefix a store puts before them. Values are opaque bytes. A
//! revision counts the store's changes: each committed transaction has the next one, and every key knows the revision
//! that last changed it.

pub mod embedded;
pub mod etcd;
pub mod leader;
mod limits;

use std::time::{Duration, SystemTime};

use async_trait::async_trait;

pub use limits::{MAX_KEY, MAX_OPERATIONS, MAX_TRANSACTION, MAX_VALUE};

/// A state store. Clones of the process share one behind an `Arc`.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// When this store's state began, in seconds since the Unix epoch: kept under the key [`EPOCH`], and written there
    /// by the first who asks. A store that was made anew has a later one, so that its revisions are not taken for the
    /// old store's.
    async fn epoch(&self) -> Result<u64, StoreError> {
        loop {
            if let Some(entry) = self.get(EPOCH).await? {
                let text = std::str::from_utf8(&entry.value).unwrap_or_default();
                let seconds = text.parse();
                return seconds.map_err(|_| StoreError::Damaged(format!("`{EPOCH}` is no number")));
            }
            // Whoever comes first writes it, and everyone reads that.
            self.commit(first_epoch()).await?;
        }
    }

    /// One key's value. Linearizable: sees every change committed before the call.
    async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError>;

    /// All keys that begin with `prefix`, in order, at one revision.
    async fn list(&self, prefix: &str) -> Result<Listing, StoreError>;

    /// Makes all the changes, if every guard holds; none otherwise. One that changes nothing (without writes, or that
    /// deletes what is not there) takes no revision of its own and is at the present one.
    ///
    /// # Errors
    /// After [`StoreError::Unavailable`] it may have been made or not: a store never repeats it by itself. Read the keys
    /// it concerns and decide again; with guards on what was read, a repetition cannot be made twice.
    /// [`StoreError::LeaseLapsed`] if the guards hold but a lease in it is no more: nothing was changed.
    async fn commit(&self, transaction: Transaction) -> Result<Committed, StoreError>;

    /// Every change to keys that begin with `prefix`, from the revision after `after` on, without a gap or a repetition,
    /// also across lost connections and a restarted member. If the store has forgotten changes since then (compaction),
    /// or has not come as far (it was made anew, or from a backup), there is an [`Event::Reset`] with a listing that
    /// stands in for them.
    async fn watch(&self, prefix: &str, after: u64) -> Result<Box<dyn Watch>, StoreError>;

    /// A lease that lapses `ttl` (1 s to a day) after it was last kept alive; its keys go with it. It never lapses
    /// sooner; a store that restarts or changes its leader gives every lease its whole time again.
    async fn grant(&self, ttl: Duration) -> Result<Lease, StoreError>;

    /// Starts the lease's time anew.
    ///
    /// # Errors
    /// [`StoreError::LeaseLapsed`] if it has lapsed: get a fresh one and write its keys again.
    async fn keep_alive(&self, lease: Lease) -> Result<(), StoreError>;

    /// Ends a lease at once, and its keys with it. If it is no more, that is no error.
    async fn revoke(&self, lease: Lease) -> Result<(), StoreError>;
}

/// A running watch. Dropped, it ends.
#[async_trait]
pub trait Watch: Send {
    /// Waits for the next event. An error is one the watch cannot go on from; lost connections are mended inside.
    /// Whoever stops waiting (in a `select!`) loses no event.
    async fn next(&mut self) -> Result<Event, StoreError>;
}

/// A key's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its path.
    pub key: String,
    /// Its bytes.
    pub value: Vec<u8>,
    /// The revision that last changed it.
    pub revision: u64,
}

/// Keys at one revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// In the order of their keys.
    pub entries: Vec<Entry>,
    /// The store's revision when this was true.
    pub revision: u64,
}

/// What a watch tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// One transaction's changes under the prefix, whole.
    Changed {
        /// Its revision.
        revision: u64,
        /// In the order of their keys; each key once.
        changes: Vec<Change>,
    },
    /// Changes were forgotten before they could be told: this is how things stand.
    Reset(Listing),
    /// The store is away, for the reason given. Changes from now on are told once it is back.
    Interrupted(String),
    /// The store is back, and changes are told again.
    Resumed,
}

/// One key after a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It has this value now.
    Put(Entry),
    /// It is gone.
    Deleted(String),
}

impl Change {
    /// The key that changed.
    pub fn key(&self) -> &str {
        match self {
            Self::Put(entry) => &entry.key,
            Self::Deleted(key) => key,
        }
    }
}

/// Changes made together, under conditions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    /// What must hold. A decision names the revision of each key it was made from, and no other.
    pub guards: Vec<Guard>,
    /// What is done if it does. Each key once.
    pub writes: Vec<Write>,
}

/// A condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guard {
    /// The key was last changed at this revision.
    Unchanged {
        /// The key.
        key: String,
        /// As [`Entry::revision`].
        revision: u64,
    },
    /// There is no such key.
    Absent(String),
    /// There is such a key, whatever its value.
    Present(String),
}

impl Guard {
    /// The key it is about.
    pub fn key(&self) -> &str {
        match self {
            Self::Unchanged { key, .. } | Self::Absent(key) | Self::Present(key) => key,
        }
    }
}

/// A change to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Set a key.
    Put {
        /// Its path.
        key: String,
        /// Its bytes, 1 MiB at most.
        value: Vec<u8>,
        /// It goes when this lapses.
        lease: Option<Lease>,
    },
    /// Remove a key; none is no error.
    Delete(String),
}

impl Write {
    /// The key it changes.
    pub fn key(&self) -> &str {
        match self {
            Self::Put { key, .. } | Self::Delete(key) => key,
        }
    }
}

/// What became of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    /// It was made, at this revision.
    At(u64),
    /// A guard did not hold; nothing was changed. Read again and decide again.
    Conflict,
}

/// A lease's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lease(pub i64);

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached, or has no quorum. What was asked may or may not have been done.
    #[error("the state store cannot be reached: {0}")]
    Unavailable(String),
    /// It does not let this process in.
    #[error("the state store refuses access: {0}; check user, password and certificates")]
    Denied(String),
    /// The lease is no more.
    #[error("the lease has lapsed")]
    LeaseLapsed,
    /// Something asked for is beyond what stores take.
    #[error("not a request for a store: {0}")]
    Invalid(String),
    /// What it holds cannot be read.
    #[error("the state store is damaged: {0}")]
    Damaged(String),
}

/// Where a store keeps its [`Store::epoch`].
pub const EPOCH: &str = "epoch";

fn first_epoch() -> Transaction {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let seconds = now.map_or(0, |since| since.as_secs());
    Transaction {
        guards: vec![Guard::Absent(EPOCH.into())],
        writes: vec![Write::Put {
            key: EPOCH.into(),
            value: seconds.to_string().into_bytes(),
            lease: None,
        }],
    }
}
