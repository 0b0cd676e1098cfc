//! A watch that goes on by itself: a task follows one member after the other and hands over what they tell.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use etcd_client::{EventType, WatchOptions, WatchResponse, WatchStream};
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{self, Instant},
};

use super::{
    Cluster,
    members::{ATTEMPT, Connection},
    verdict::{Refusal, Verdict, judge},
    wire_revision,
};
use crate::store::{Change, Event, StoreError, Watch, leader::jittered};

pub(super) struct EtcdWatch {
    events: mpsc::Receiver<Result<Event, StoreError>>,
    task: JoinHandle<()>,
}

impl EtcdWatch {
    pub(super) fn start(cluster: Arc<Cluster>, prefix: &str, after: u64) -> Self {
        let (sender, events) = mpsc::channel(QUEUE);
        let follower = Follower {
            cluster,
            prefix: prefix.to_owned(),
            told: after,
            past: 0,
            events: sender,
            interrupted: false,
            denied: false,
        };
        let task = tokio::spawn(follower.run());
        Self { events, task }
    }
}

impl Drop for EtcdWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[async_trait]
impl Watch for EtcdWatch {
    async fn next(&mut self) -> Result<Event, StoreError> {
        let ended = || Err(StoreError::Unavailable("the watch has ended".into()));
        self.events.recv().await.unwrap_or_else(ended)
    }
}

struct Follower {
    cluster: Arc<Cluster>,
    prefix: String,
    /// Everything up to this revision has been told.
    told: u64,
    /// The revision the store had come to when this member was turned to: until then it tells from its history.
    past: u64,
    events: mpsc::Sender<Result<Event, StoreError>>,
    interrupted: bool,
    /// The last attempt was refused, which may have been an expired token.
    denied: bool,
}

/// Why a member is no longer followed.
enum End {
    /// Nobody listens any more.
    Unheard,
    /// It, or the way to it, failed.
    Lost(String),
    /// What comes next is forgotten, or the store has not come as far.
    Behind,
    /// No member would do better.
    Fatal(StoreError),
}

impl Follower {
    async fn run(mut self) {
        loop {
            let end = self.follow().await;
            let end = match end {
                End::Behind => self.reset().await,
                end => Err(end),
            };
            match end {
                Ok(()) => continue,
                Err(End::Unheard) => return,
                Err(End::Fatal(error)) => {
                    let _ = self.events.send(Err(error)).await;
                    return;
                }
                Err(End::Lost(why)) => {
                    if !std::mem::replace(&mut self.interrupted, true)
                        && self.tell(Event::Interrupted(why)).await.is_err()
                    {
                        return;
                    }
                }
                Err(End::Behind) => {}
            }
            time::sleep(jittered(PAUSE)).await;
        }
    }

    /// Follows one member for as long as that goes well.
    async fn follow(&mut self) -> End {
        match self.cluster.remembers(self.told).await {
            Ok(revision) => self.past = revision,
            Err(refusal) => return ended(refusal),
        }
        let members = &self.cluster.members;
        let connection = match members.connect(Instant::now() + ATTEMPT).await {
            Ok(connection) => connection,
            Err(verdict) => return weigh(verdict),
        };
        let end = match self.open(&connection).await {
            Ok(stream) => self.hear(stream).await,
            Err(end) => end,
        };
        if matches!(end, End::Lost(_)) {
            let members = &self.cluster.members;
            members.pass_on(connection.turn());
            members.discard(&connection).await;
        }
        end
    }

    async fn open(&self, connection: &Connection) -> Result<WatchStream, End> {
        let (from, to) = self.cluster.keys.range(&self.prefix);
        let options = WatchOptions::new()
            .with_range(to)
            .with_start_revision(wire_revision(self.told + 1));
        let mut client = connection.watch();
        match time::timeout(ATTEMPT, client.watch(from, Some(options))).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(weigh(judge(&error))),
            Err(_) => Err(End::Lost(SILENT.into())),
        }
    }

    async fn hear(&mut self, mut stream: WatchStream) -> End {
        let mut asked = false;
        loop {
            let response = match time::timeout(SILENCE, stream.message()).await {
                Ok(Ok(Some(response))) => response,
                Ok(Ok(None)) => return End::Lost("a member of etcd has ended the watch".into()),
                Ok(Err(error)) => return weigh(judge(&error)),
                // Nothing may have changed, or the member may be gone: it answers if it is not.
                Err(_) if asked || stream.request_progress().await.is_err() => {
                    return End::Lost(SILENT.into());
                }
                Err(_) => {
                    asked = true;
                    continue;
                }
            };
            asked = false;
            if response.canceled() {
                return self.cancelled(&response);
            }
            self.denied = false;
            if let Err(end) = self.hand_over(&response).await {
                return end;
            }
        }
    }

    fn cancelled(&mut self, response: &WatchResponse) -> End {
        if response.compact_revision() > 0 {
            return End::Behind;
        }
        let why = response.cancel_reason().to_owned();
        // Of an expired token, too, etcd 3.4 says no more than this. The next attempt has a fresh one.
        if why.contains("permission denied") && std::mem::replace(&mut self.denied, true) {
            return End::Fatal(StoreError::Denied(why));
        }
        End::Lost(why)
    }

    async fn hand_over(&mut self, response: &WatchResponse) -> Result<(), End> {
        if std::mem::take(&mut self.interrupted) {
            self.tell(Event::Resumed).await?;
        }
        let keys = &self.cluster.keys;
        let mut events: Vec<(u64, Vec<Change>)> = Vec::new();
        for event in response.events() {
            let Some(row) = event.kv() else { continue };
            let entry = keys.entry(row);
            let revision = entry.revision;
            let change = match event.event_type() {
                EventType::Put => Change::Put(entry),
                EventType::Delete => Change::Deleted(entry.key),
            };
            match events.last_mut() {
                Some((last, changes)) if *last == revision => changes.push(change),
                _ => events.push((revision, vec![change])),
            }
        }
        if !events.is_empty() && self.told < self.past {
            // The history may have been cut where it was just read.
            self.cluster.remembers(self.told).await.map_err(ended)?;
        }
        for (revision, mut changes) in events {
            if revision > self.told {
                changes.sort_unstable_by(|one, other| one.key().cmp(other.key()));
                self.told = revision;
                self.tell(Event::Changed { revision, changes }).await?;
            }
        }
        Ok(())
    }

    async fn reset(&mut self) -> Result<(), End> {
        let listing = self.cluster.list(&self.prefix).await;
        let listing = listing.map_err(|error| ended(error.into()))?;
        self.told = listing.revision;
        self.tell(Event::Reset(listing)).await
    }

    async fn tell(&self, event: Event) -> Result<(), End> {
        self.events.send(Ok(event)).await.map_err(|_| End::Unheard)
    }
}

fn weigh(verdict: Verdict) -> End {
    match verdict {
        Verdict::Final(refusal) => ended(refusal),
        Verdict::NotDone(error) | Verdict::Unknown(error) | Verdict::LogIn(error) => {
            End::Lost(error.to_string())
        }
    }
}

fn ended(refusal: Refusal) -> End {
    match refusal {
        Refusal::Revision => End::Behind,
        Refusal::Error(StoreError::Unavailable(why)) => End::Lost(why),
        Refusal::Error(error) => End::Fatal(error),
    }
}

const SILENT: &str = "a member of etcd does not answer";
/// A member that has said nothing for this long is asked whether it is there, and given up after as long again.
const SILENCE: Duration = Duration::from_secs(2);
/// Before the next member is followed.
const PAUSE: Duration = Duration::from_millis(200);
/// Events that wait for whoever watches; etcd keeps the rest.
const QUEUE: usize = 64;
