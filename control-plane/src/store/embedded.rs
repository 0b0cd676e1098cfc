//! The state store for a single process: one durable file (redb).
//!
//! - **Commits.** A writer takes whatever waits for it, judges each transaction in turn, and makes them durable together
//!   with one sync: a transaction never waits for another's disk write, only for the disk. Nothing is seen, by readers or
//!   watches, before it is durable.
//! - **Watches** read from a history of changes that is in the file too, bounded by [`History`]; so they resume over a
//!   restart of the process. Behind it they are reset.
//! - **Leases** are in the file, the times until they lapse are not: a process that starts gives every lease its whole
//!   time again, as etcd does when its leader changes. So a holder is never robbed of its lease by a restart, and a
//!   holder that is gone for good is found out at most one ttl after it. Likewise, if the process or its disk did not
//!   run for a while (stopped, swapped out), that time is on nobody's account.
//! - **A failing disk** makes calls fail with what is wrong; the file is opened again until it works, without a restart.

mod file;
mod leases;
mod table;
mod watch;
mod writer;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time,
};

use self::{
    file::File,
    leases::Leases,
    table::{Answer, Request},
    writer::{Job, Writer},
};
use super::{
    Committed, Entry, Lease, Listing, Store, StoreError, Transaction, Watch,
    limits::{check_key, check_transaction, check_ttl},
};

/// How many changes the file keeps for watches to resume from. The older go first, whole transactions at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History {
    /// At most this many changed keys.
    pub changes: u64,
    /// At most about this many bytes.
    pub bytes: u64,
}

impl Default for History {
    /// Minutes of the busiest storm, at the price of a modest file.
    fn default() -> Self {
        Self {
            changes: 100_000,
            bytes: 64 << 20,
        }
    }
}

/// The store in one file. Dropped, it finishes what it has taken; [`close`](Self::close) waits for that.
#[derive(Debug)]
pub struct EmbeddedStore {
    file: Arc<File>,
    leases: Arc<Leases>,
    jobs: mpsc::Sender<Job>,
    revision: tokio::sync::watch::Receiver<u64>,
    writer: JoinHandle<()>,
}

impl EmbeddedStore {
    /// Opens the file, or makes it (readable by its owner alone), in a runtime of tokio with time enabled.
    ///
    /// # Errors
    /// If the path is no place for a file, another process has it open, or what is there is damaged or something else.
    pub async fn open(path: &Path, history: History) -> Result<Self, OpenError> {
        let path = path.to_owned();
        let opened = tokio::task::spawn_blocking(move || {
            let file = File::open(path)?;
            let (revision, leases) = file.start()?;
            Ok((file, revision, leases))
        });
        let (file, revision, leases) = opened.await.map_err(|_| OpenError::Ended)??;
        Ok(Self::start(file, revision, leases, history))
    }

    fn start(file: File, revision: u64, held: Vec<(Lease, Duration)>, history: History) -> Self {
        let (file, leases) = (Arc::new(file), Arc::new(Leases::default()));
        leases.restart(held, Instant::now());
        let (jobs, queue) = mpsc::channel(QUEUE);
        let (published, revision) = tokio::sync::watch::channel(revision);
        let writer = Writer::new(file.clone(), leases.clone(), history, published);
        Self {
            file,
            leases,
            jobs,
            revision,
            writer: tokio::spawn(writer.run(queue)),
        }
    }

    /// Finishes what was taken and lets go of the file. Watches end with an error.
    pub async fn close(self) {
        let Self {
            jobs, writer, file, ..
        } = self;
        drop(jobs);
        // It ends when its queue does; a panic in it has been printed.
        let _ = writer.await;
        file.close();
    }

    async fn ask(&self, request: Request) -> Result<Answer, StoreError> {
        let (reply, answer) = oneshot::channel();
        let asked = async {
            let job = Job { request, reply };
            self.jobs.send(job).await.map_err(|_| closed())?;
            answer.await.map_err(|_| closed())?
        };
        in_time(asked).await
    }
}

#[async_trait]
impl Store for EmbeddedStore {
    async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        check_key(key)?;
        let key = key.to_owned();
        in_time(self.file.read(move |file| table::get(file, key))).await
    }

    async fn list(&self, prefix: &str) -> Result<Listing, StoreError> {
        let prefix = prefix.to_owned();
        in_time(self.file.read(move |file| table::list(file, &prefix))).await
    }

    async fn commit(&self, transaction: Transaction) -> Result<Committed, StoreError> {
        check_transaction(&transaction)?;
        match self.ask(Request::Commit(transaction)).await? {
            Answer::Committed(committed) => Ok(committed),
            Answer::Done => unreachable!("a transaction is committed or not"),
        }
    }

    async fn watch(&self, prefix: &str, after: u64) -> Result<Box<dyn Watch>, StoreError> {
        let (file, revision) = (self.file.clone(), self.revision.clone());
        let watch = watch::EmbeddedWatch::new(file, revision, prefix, after);
        Ok(Box::new(watch))
    }

    async fn grant(&self, ttl: Duration) -> Result<Lease, StoreError> {
        check_ttl(ttl)?;
        // By chance, so that no lease of a store made anew is taken for one of the old store's.
        let lease = Lease(rand::random_range(1..i64::MAX));
        self.ask(Request::Grant(lease, ttl)).await?;
        Ok(lease)
    }

    async fn keep_alive(&self, lease: Lease) -> Result<(), StoreError> {
        self.leases.keep_alive(lease, Instant::now())
    }

    async fn revoke(&self, lease: Lease) -> Result<(), StoreError> {
        self.ask(Request::Revoke(lease)).await?;
        Ok(())
    }
}

/// Why the file could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process works with it.
    #[error("{0} is in use by another process: stop it, or give this one a file of its own")]
    InUse(PathBuf),
    /// The path is wrong, or the process may not use it.
    #[error("cannot open {0}: {1}; name a file in a folder that exists and may be written to")]
    Path(PathBuf, std::io::Error),
    /// There is no room to make it or to mend it.
    #[error("cannot open {0}: its disk is full; free some space")]
    Full(PathBuf),
    /// It was a state store, and cannot be read any more.
    #[error("{0} is damaged ({1}): move it away and bring back a copy, or start without it")]
    Damaged(PathBuf, String),
    /// It is something else.
    #[error("{0} is not a state store of this version ({1}): name another file")]
    Foreign(PathBuf, String),
    /// The process is ending.
    #[error("the process is ending")]
    Ended,
}

/// How many requests wait for the writer; more wait in their callers.
const QUEUE: usize = 1024;
/// No call takes longer. A healthy disk takes milliseconds.
const LIMIT: Duration = Duration::from_secs(5);

async fn in_time<T>(
    call: impl Future<Output = Result<T, StoreError>> + Send,
) -> Result<T, StoreError> {
    let late = || StoreError::Unavailable(format!("the disk took longer than {LIMIT:?}"));
    time::timeout(LIMIT, call).await.map_err(|_| late())?
}

fn closed() -> StoreError {
    StoreError::Unavailable("it is closed".into())
}

#[cfg(test)]
mod tests;
