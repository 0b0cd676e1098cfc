//! Election of one among replicas, on any store: whoever holds the key leads, and the key hangs on a lease.
//!
//! A leader stops leading, by its own monotonic clock, before its lease can have lapsed at the store: it counts from the
//! moment it *asked* for the lease, and stops a tenth of the time early. Still a process can be frozen between looking
//! whether it leads and writing, so what only a leader may write carries [`Term::guard`].

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
    time,
};

use super::{Change, Committed, Event, Guard, Lease, Store, StoreError, Transaction, Write};

/// One stretch of leading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    key: String,
    revision: u64,
    until: Instant,
}

impl Term {
    /// Holds as long as this term does: a transaction with it fails once somebody else leads.
    pub fn guard(&self) -> Guard {
        Guard::Unchanged {
            key: self.key.clone(),
            revision: self.revision,
        }
    }

    /// A later leader's is greater.
    pub fn revision(&self) -> u64 {
        self.revision
    }
}

/// A place in the race. Dropped, it leads no more, and its lease lapses; [`resign`](Self::resign) is quicker.
#[derive(Debug)]
pub struct Leadership {
    term: watch::Receiver<Option<Term>>,
    resign: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Leadership {
    /// The term, if this candidate leads at this moment.
    pub fn term(&self) -> Option<Term> {
        let term = self.term.borrow();
        // The task that would take it back may not have run since.
        let valid = term.as_ref().filter(|term| Instant::now() < term.until);
        valid.cloned()
    }

    /// Tells when it changes whether this candidate leads.
    pub fn changes(&self) -> watch::Receiver<Option<Term>> {
        self.term.clone()
    }

    /// Leaves the race; another leads at once if the store can be reached.
    pub async fn resign(mut self) {
        if let Some(resign) = self.resign.take() {
            let _ = resign.send(());
        }
        // It ends by itself now; a panic in it has been printed.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Leadership {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Enters the race for `name`; `candidate` tells people who leads. Somebody else leads at most about one `ttl` (1 s to a
/// day) after a leader has gone without a word.
pub fn campaign(store: Arc<dyn Store>, name: &str, candidate: &str, ttl: Duration) -> Leadership {
    let (post, term) = watch::channel(None);
    let (resign, resigned) = oneshot::channel();
    let candidate = Candidate {
        store,
        key: format!("leader/{name}"),
        name: candidate.to_owned(),
        ttl,
        post: Post(post),
    };
    let task = tokio::spawn(async move {
        let mut held = None;
        tokio::select! {
            never = candidate.run(&mut held) => match never {},
            // Also if whoever could resign is gone.
            _ = resigned => {}
        }
        candidate.post.clear();
        if let Some(lease) = held {
            candidate.give_back(lease).await;
        }
    });
    Leadership {
        term,
        resign: Some(resign),
        task,
    }
}

struct Candidate {
    store: Arc<dyn Store>,
    key: String,
    name: String,
    ttl: Duration,
    post: Post,
}

/// Where the term is posted; taken down whatever ends the task.
struct Post(watch::Sender<Option<Term>>);

impl Post {
    fn clear(&self) {
        self.0.send_if_modified(|term| term.take().is_some());
    }
}

impl Drop for Post {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Candidate {
    /// `held` is the lease to give back when this is stopped.
    async fn run(&self, held: &mut Option<Lease>) -> std::convert::Infallible {
        loop {
            match self.try_lead(held).await {
                Ok(Some(term)) => {
                    tracing::info!(key = self.key, term = term.revision, "leading");
                    self.lead(term, *held).await;
                    self.post.clear();
                    tracing::info!(key = self.key, "no longer leading");
                }
                Ok(None) => {}
                Err(error) => tracing::debug!(key = self.key, %error, "cannot become leader"),
            }
            if let Some(lease) = held.take() {
                self.give_back(lease).await;
            }
            time::sleep(jittered(self.ttl / 10)).await;
        }
    }

    /// Waits until nobody leads and tries to. None if somebody was quicker.
    async fn try_lead(&self, held: &mut Option<Lease>) -> Result<Option<Term>, StoreError> {
        if let Some(entry) = self.store.get(&self.key).await? {
            self.replaced(entry.revision).await?;
            return Ok(None);
        }
        let asked = Instant::now();
        let lease = self.store.grant(self.ttl).await?;
        *held = Some(lease);
        let transaction = Transaction {
            guards: vec![Guard::Absent(self.key.clone())],
            writes: vec![Write::Put {
                key: self.key.clone(),
                value: self.name.clone().into_bytes(),
                lease: Some(lease),
            }],
        };
        let committed = self.store.commit(transaction).await?;
        Ok(match committed {
            Committed::Conflict => None,
            Committed::At(revision) => Some(Term {
                key: self.key.clone(),
                revision,
                until: self.until(asked),
            }),
        })
    }

    /// Leads for as long as the lease is kept and the key is ours.
    async fn lead(&self, term: Term, lease: Option<Lease>) {
        let Some(lease) = lease else { return };
        let revision = term.revision;
        let first = term.until;
        self.post.0.send_replace(Some(term));
        tokio::select! {
            () = self.keep(lease, first) => {}
            _ = self.replaced(revision) => {}
        }
    }

    /// Until the lease can no longer be counted on.
    async fn keep(&self, lease: Lease, mut until: Instant) {
        let mut pause = self.ttl / 3;
        loop {
            let due = Instant::now() + jittered(pause);
            time::sleep_until(due.min(until).into()).await;
            let asked = Instant::now();
            let keeping = self.store.keep_alive(lease);
            match time::timeout_at(until.into(), keeping).await {
                Ok(Ok(())) => {
                    until = self.until(asked);
                    pause = self.ttl / 3;
                    self.prolong(until);
                }
                Ok(Err(StoreError::LeaseLapsed)) | Err(_) => return,
                Ok(Err(error)) => {
                    tracing::debug!(key = self.key, %error, "cannot renew");
                    pause = self.ttl / 10;
                }
            }
        }
    }

    /// Nobody needs to be told of that.
    fn prolong(&self, until: Instant) {
        self.post.0.send_if_modified(|term| {
            if let Some(term) = term {
                term.until = until;
            }
            false
        });
    }

    /// Until the key is no longer as it was at this revision. Waits through whatever happens to the store.
    async fn replaced(&self, revision: u64) -> Result<(), StoreError> {
        let mut watch = self.store.watch(&self.key, revision).await?;
        loop {
            let over = match watch.next().await? {
                Event::Changed { changes, .. } => changes.iter().any(|change| match change {
                    Change::Put(entry) => entry.key == self.key,
                    Change::Deleted(key) => *key == self.key,
                }),
                Event::Reset(listing) => !listing
                    .entries
                    .iter()
                    .any(|entry| entry.key == self.key && entry.revision == revision),
                Event::Interrupted(_) | Event::Resumed => false,
            };
            if over {
                return Ok(());
            }
        }
    }

    async fn give_back(&self, lease: Lease) {
        // If this fails, it lapses.
        let _ = time::timeout(self.ttl, self.store.revoke(lease)).await;
    }

    /// How long a lease can be counted on that was asked for at `asked`: clocks differ in speed, and stopping takes time.
    fn until(&self, asked: Instant) -> Instant {
        asked + self.ttl * 9 / 10
    }
}

/// Half of it to all of it, so that replicas do not act in step.
pub(crate) fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(rand::random_range(0.5..1.0))
}
