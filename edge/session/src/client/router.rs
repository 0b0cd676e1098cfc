//! Takes the session's data streams and datagrams and finds whose they are, by track alias or request.

use super::object::Object;
use super::reader;
use super::shared::{Shared, lock};
use crate::session::{DataStream, SessionError};
use meridian_wire::FullTrackName;
use meridian_wire::data::ObjectDatagram;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, Semaphore, mpsc};

/// Where objects of one subscription go.
#[derive(Debug)]
pub(super) struct Sink {
    pub(super) track: FullTrackName,
    pub(super) objects: mpsc::Sender<Object>,
    pub(super) counters: Arc<Counters>,
    /// Wakes whoever waits for the last streams.
    pub(super) stream_ended: Notify,
}

/// What went well and what did not.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) objects: AtomicU64,
    pub(super) overflowed: AtomicU64,
    pub(super) cut_off: AtomicU64,
    pub(super) too_large: AtomicU64,
    pub(super) streams_ended: AtomicU64,
    pub(super) streams_reset: AtomicU64,
}

/// Where the items of one fetch or fill go.
pub(super) type FetchSink = mpsc::Sender<super::fetch::FetchItem>;

/// Subscriptions by track alias, fetches by request ID.
#[derive(Debug)]
pub(super) struct Router {
    sinks_by_alias: Mutex<HashMap<u64, Vec<Arc<Sink>>>>,
    fetches_by_request: Mutex<HashMap<u64, Fetching>>,
    changed: Notify,
    /// Streams that wait for the answer which tells their alias.
    waiting: Semaphore,
}

/// A fetch whose stream is awaited.
#[derive(Debug)]
pub(super) struct Fetching {
    pub(super) order: meridian_wire::GroupOrder,
    pub(super) sink: FetchSink,
}

/// Streams overtake the SUBSCRIBE_OK by a reordering of packets, hence briefly and in small number.
const MAX_WAITING: usize = 64;
const PATIENCE: Duration = Duration::from_secs(5);

impl Default for Router {
    fn default() -> Router {
        Router {
            sinks_by_alias: Mutex::default(),
            fetches_by_request: Mutex::default(),
            changed: Notify::new(),
            waiting: Semaphore::new(MAX_WAITING),
        }
    }
}

/// An alias stands for another track already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DuplicateAlias;

impl Router {
    /// Sends the objects under `alias` to `sink` too.
    pub(super) fn add(&self, alias: u64, sink: Arc<Sink>) -> Result<(), DuplicateAlias> {
        let mut sinks_by_alias = lock(&self.sinks_by_alias);
        let sinks = sinks_by_alias.entry(alias).or_default();
        if sinks.iter().any(|other| other.track != sink.track) {
            return Err(DuplicateAlias);
        }
        sinks.push(sink);
        drop(sinks_by_alias);
        self.changed.notify_waiters();
        Ok(())
    }

    pub(super) fn remove(&self, alias: u64, sink: &Arc<Sink>) {
        let mut sinks_by_alias = lock(&self.sinks_by_alias);
        if let Some(sinks) = sinks_by_alias.get_mut(&alias) {
            sinks.retain(|other| !Arc::ptr_eq(other, sink));
            if sinks.is_empty() {
                sinks_by_alias.remove(&alias);
            }
        }
    }

    pub(super) fn add_fetch(&self, request: u64, fetching: Fetching) {
        lock(&self.fetches_by_request).insert(request, fetching);
        self.changed.notify_waiters();
    }

    pub(super) fn remove_fetch(&self, request: u64) -> Option<Fetching> {
        lock(&self.fetches_by_request).remove(&request)
    }

    /// Those who want the objects under `alias`.
    pub(super) fn sinks(&self, alias: u64) -> Vec<Arc<Sink>> {
        let sinks = lock(&self.sinks_by_alias);
        sinks.get(&alias).cloned().unwrap_or_default()
    }

    /// As `sinks`, but waits a while for an answer on its way.
    pub(super) async fn sinks_soon(&self, alias: u64) -> Vec<Arc<Sink>> {
        let find = || Some(self.sinks(alias)).filter(|sinks| !sinks.is_empty());
        self.soon(find).await.unwrap_or_default()
    }

    /// Who waits for the stream of `request`.
    pub(super) async fn fetch_soon(&self, request: u64) -> Option<Fetching> {
        self.soon(|| self.remove_fetch(request)).await
    }

    async fn soon<T>(&self, find: impl Fn() -> Option<T>) -> Option<T> {
        if let Some(found) = find() {
            return Some(found);
        }
        let _permit = self.waiting.try_acquire().ok()?;
        let search = async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                // From here on no change is missed.
                changed.as_mut().enable();
                if let Some(found) = find() {
                    return found;
                }
                changed.await;
            }
        };
        tokio::time::timeout(PATIENCE, search).await.ok()
    }
}

impl Sink {
    /// Hands over an object, or drops and counts it.
    pub(super) fn deliver(&self, object: Object) {
        let counter = match self.objects.try_send(object) {
            Ok(()) => &self.counters.objects,
            Err(_) => &self.counters.overflowed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

pub(super) fn start(shared: &Arc<Shared>) {
    shared.tasks.spawn(take_streams(shared.clone()));
    shared.tasks.spawn(take_datagrams(shared.clone()));
}

async fn take_streams(shared: Arc<Shared>) {
    loop {
        match shared.session.accept_data().await {
            Ok(DataStream::Subgroup { first, stream }) => {
                reader::subgroup(&shared, first, stream);
            }
            Ok(DataStream::Fetch { first, stream }) => reader::fetch(&shared, first, stream),
            Err(error) => return log_end(&error),
        }
    }
}

async fn take_datagrams(shared: Arc<Shared>) {
    loop {
        match shared.session.accept_datagram().await {
            Ok(datagram) => deliver_datagram(&shared, datagram),
            Err(_) => return,
        }
    }
}

fn deliver_datagram(shared: &Shared, datagram: ObjectDatagram) {
    let object = Object {
        group: datagram.group,
        subgroup: None,
        id: datagram.object,
        priority: datagram.priority,
        properties: datagram.properties.unwrap_or_default(),
        payload: datagram.payload,
        status: datagram.status,
        arrival: Instant::now(),
    };
    // Datagrams may get lost, and so may those that overtake their SUBSCRIBE_OK.
    for sink in shared.router.sinks(datagram.track_alias) {
        sink.deliver(object.clone());
    }
}

fn log_end(error: &SessionError) {
    tracing::debug!(%error, "the session ended");
}
