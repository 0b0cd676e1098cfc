//! One replica, as its services share it: the store and its copy in memory, keys, and what edges have told it.

use crate::config::Config;
use crate::counters::Counters;
use crate::desk::{Desk, End};
use crate::geography::Geography;
use crate::mirror::Mirror;
use crate::records::{AccessRecord, Record, key};
use crate::store::{Entry, Store, StoreError};
use crate::tokens::keys::Keys;
use crate::tokens::ring::Ring;
use meridian_control_core::ids::{Office, Replica};
use meridian_proto::v1::{EndSession, ReportResponse, Snapshot};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;
use tonic::Status;

/// A replica.
pub struct Plane {
    /// What it was told.
    pub config: Config,
    /// Its name among the others.
    pub replica: Replica,
    /// The state.
    pub store: Arc<dyn Store>,
    /// The state, in memory.
    pub mirror: Mirror,
    /// What it has counted.
    pub counters: Arc<Counters>,
    /// What every edge is told. Empty, and without a version, until the store was read.
    pub snapshot: watch::Sender<Arc<Snapshot>>,
    /// Rises once a second, for who watches what changes all the time.
    pub beat: watch::Sender<u64>,
    /// Whether it is to stop: calls that would last end then.
    pub stopping: watch::Sender<bool>,
    /// Where addresses are.
    pub geography: Geography,
    desk: Mutex<Desk>,
    rings: RwLock<Arc<Rings>>,
    clock: Clock,
}

/// Keys, by what they sign.
pub struct Rings {
    /// Media tokens.
    pub media: Keys,
    /// Invitations and tickets.
    pub invitation: Keys,
    /// Organisers' and operators' tokens.
    pub access: Keys,
    /// The media ring's public keys, for edges.
    pub media_ring: Ring,
    stored: [Arc<Entry>; RINGS.len()],
}

/// What time it is: the system's clock, set off by as much as a test wants.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    /// Seconds ahead of the system's clock; negative: behind.
    pub ahead_s: i64,
}

/// The three rings' names.
pub const RINGS: [&str; 3] = ["media", "invitation", "access"];

/// How long a caller waits until it can read what it has written.
const READ_OWN_WRITES: Duration = Duration::from_secs(2);

impl Plane {
    /// A replica over a store whose keys are there (`leader::prepare`) and whose copy has been read.
    ///
    /// # Errors
    /// A ring of keys is missing or cannot be read.
    #[allow(
        clippy::too_many_arguments,
        reason = "each is one of its parts, made by its start"
    )]
    pub fn new(
        config: Config,
        replica: Replica,
        store: Arc<dyn Store>,
        mirror: Mirror,
        desk: Desk,
        geography: Geography,
        clock: Clock,
    ) -> Result<Plane, StoreError> {
        let rings = Arc::new(rings(stored(&mirror)?)?);
        Ok(Plane {
            replica,
            config,
            store,
            mirror,
            counters: Arc::default(),
            snapshot: watch::Sender::new(Arc::default()),
            beat: watch::Sender::new(0),
            stopping: watch::Sender::new(false),
            geography,
            desk: Mutex::new(desk),
            rings: RwLock::new(rings),
            clock,
        })
    }

    /// What edges have told it, and what it keeps for delegates. Not to be held across a wait.
    pub fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().expect("nothing panics while holding it")
    }

    /// The keys now.
    pub fn rings(&self) -> Arc<Rings> {
        let rings = self.rings.read();
        rings.expect("nothing panics while holding it").clone()
    }

    /// Takes over keys that have changed in the store. Most changes there are of something else, and deriving keys takes
    /// longer than looking.
    pub fn reload_rings(&self) {
        let fresh = match stored(&self.mirror) {
            Ok(stored) if stored == self.rings().stored => return,
            stored => stored.and_then(rings),
        };
        match fresh {
            Ok(fresh) => {
                let mut rings = self.rings.write().expect("nothing panics while holding it");
                *rings = Arc::new(fresh);
            }
            Err(error) => tracing::error!(%error, "the old signing keys stay in use"),
        }
    }

    /// A value in the store, as last heard.
    pub fn record<R: Record>(&self, key: &str) -> Option<R> {
        let entry = self.mirror.get(key)?;
        R::from_bytes(key, &entry.value)
    }

    /// All values under a prefix, by the rest of their keys, with their revisions.
    pub fn records<R: Record>(&self, prefix: &str) -> Vec<(String, R, u64)> {
        let entries = self.mirror.range(prefix);
        let read = entries.iter().filter_map(|entry| {
            let record = R::from_bytes(&entry.key, &entry.value)?;
            Some((entry.key[prefix.len()..].to_owned(), record, entry.revision))
        });
        read.collect()
    }

    /// Waits until the copy in memory has a revision, so that a caller finds what it has just written.
    pub(crate) async fn caught_up(&self, revision: u64) {
        let mut changed = self.mirror.changed();
        let has_it = changed.wait_for(|now| *now >= revision);
        // If it takes longer the caller may read old state, which every answer can be.
        let _ = tokio::time::timeout(READ_OWN_WRITES, has_it).await;
    }

    /// Has edges end sessions. One whose queue is full hears it with its next report: what is to end is judged anew then.
    pub(crate) fn send_ends(&self, ends: Vec<End>) {
        let mut by_edge: BTreeMap<Office, Vec<EndSession>> = BTreeMap::new();
        for (office, end) in ends {
            by_edge.entry(office).or_default().push(end);
        }
        for (office, ends) in by_edge {
            let Some(outlet) = self.desk().outlet(&office) else {
                continue;
            };
            let count = ends.len();
            if outlet.try_send(ReportResponse { ends }).is_ok() {
                (0..count).for_each(|_| self.counters.sessions_displaced.add());
            }
        }
    }

    /// Counts what an organiser or operator was not allowed to do.
    pub(crate) fn held<T>(&self, allowed: Result<T, Status>) -> Result<T, Status> {
        if let Err(status) = &allowed {
            self.counters.people_denied.add();
            tracing::warn!("denied: {}", status.message());
        }
        allowed
    }

    /// The generation of an organiser's or operator's tokens.
    pub fn generation(&self, subject: &str) -> u64 {
        let revoked: Option<AccessRecord> = self.record(&key::access(subject));
        revoked.map_or(0, |revoked| revoked.generation)
    }

    /// Seconds since the Unix epoch.
    pub fn now_s(&self) -> u64 {
        self.now_ms() / 1_000
    }

    /// Milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default().as_millis() as u64;
        now.saturating_add_signed(self.clock.ahead_s * 1_000)
    }
}

/// The rings as they stand in the store, in the order of [`RINGS`].
fn stored(mirror: &Mirror) -> Result<[Arc<Entry>; RINGS.len()], StoreError> {
    let entry = |name| mirror.get(&format!("{}{name}", key::KEYS));
    let [Some(media), Some(invitation), Some(access)] = RINGS.map(entry) else {
        return Err(StoreError::Damaged("a ring of signing keys is gone".into()));
    };
    Ok([media, invitation, access])
}

fn rings(stored: [Arc<Entry>; RINGS.len()]) -> Result<Rings, StoreError> {
    let ring = |entry: &Entry| {
        let ring = Ring::from_bytes(&entry.key, &entry.value);
        let damaged = || StoreError::Damaged(format!("`{}` holds no signing keys", entry.key));
        ring.ok_or_else(damaged)
    };
    let [media, invitation, access] = &stored;
    let media_ring = ring(media)?;
    Ok(Rings {
        media: Keys::of(&media_ring),
        invitation: Keys::of(&ring(invitation)?),
        access: Keys::of(&ring(access)?),
        media_ring,
        stored,
    })
}

/// A store's error as a caller hears it.
pub fn unavailable(error: StoreError) -> Status {
    match error {
        StoreError::Invalid(what) => Status::invalid_argument(what),
        error => Status::unavailable(format!("{error}; look what is there, then try again")),
    }
}
