//! The one who writes: takes whatever waits, has it made durable together, and answers. Ends leases whose time is over.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{self, Instant},
};

use super::{
    History,
    file::File,
    leases::Leases,
    table::{Answer, Request},
};
use crate::store::StoreError;

/// A request, and where its answer goes.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) request: Request,
    pub(super) reply: oneshot::Sender<Result<Answer, StoreError>>,
}

pub(super) struct Writer {
    file: Arc<File>,
    leases: Arc<Leases>,
    history: History,
    /// Told after each commit; closed when the writer ends, which ends the watches.
    revision: watch::Sender<u64>,
}

impl Writer {
    pub(super) fn new(
        file: Arc<File>,
        leases: Arc<Leases>,
        history: History,
        revision: watch::Sender<u64>,
    ) -> Self {
        Self {
            file,
            leases,
            history,
            revision,
        }
    }

    /// Until all who can send jobs are gone and the queue is empty.
    pub(super) async fn run(self, mut queue: mpsc::Receiver<Job>) {
        let writer = Arc::new(self);
        loop {
            let mut jobs = Vec::new();
            let look = writer.next_look();
            tokio::select! {
                taken = queue.recv_many(&mut jobs, BATCH) => if taken == 0 { return },
                () = time::sleep_until(look) => {}
            }
            let worker = writer.clone();
            // The disk must not hold up the runtime's threads.
            let turn = tokio::task::spawn_blocking(move || worker.turn(jobs));
            if let Err(error) = turn.await {
                tracing::error!(%error, "the state store's writer has failed");
                return;
            }
        }
    }

    fn next_look(&self) -> Instant {
        let now = Instant::now();
        if self.file.has_failed() {
            return now + REOPEN;
        }
        self.leases.next().map_or(now + IDLE, Instant::from_std)
    }

    fn turn(&self, jobs: Vec<Job>) {
        if self.file.has_failed() {
            self.reopen();
        }
        let mut lapsed = Vec::new();
        if !self.file.has_failed() {
            let leases = self.leases.lapsed(Instant::now().into_std());
            lapsed.extend(leases.into_iter().map(Request::Revoke));
        }
        self.write(jobs, lapsed);
    }

    fn write(&self, jobs: Vec<Job>, lapsed: Vec<Request>) {
        if jobs.is_empty() && lapsed.is_empty() {
            return;
        }
        let requests = lapsed.iter().chain(jobs.iter().map(|job| &job.request));
        match self.file.write(requests, self.history) {
            Ok(applied) => {
                self.revision.send_replace(applied.revision);
                let answers = applied.answers.into_iter().skip(lapsed.len());
                for (job, answer) in jobs.into_iter().zip(answers) {
                    self.answer(job, answer);
                }
            }
            Err(error) => {
                for job in jobs {
                    let answer = match &error {
                        StoreError::Damaged(text) => StoreError::Damaged(text.clone()),
                        StoreError::Unavailable(text) => StoreError::Unavailable(text.clone()),
                        other => StoreError::Unavailable(other.to_string()),
                    };
                    // Whoever has stopped waiting needs no answer.
                    let _ = job.reply.send(Err(answer));
                }
            }
        }
    }

    fn answer(&self, job: Job, answer: Result<Answer, StoreError>) {
        if answer.is_ok() {
            match job.request {
                Request::Grant(lease, ttl) => {
                    self.leases.grant(lease, ttl, Instant::now().into_std());
                }
                Request::Revoke(lease) => self.leases.revoke(lease),
                Request::Commit(_) => {}
            }
        }
        let _ = job.reply.send(answer);
    }

    fn reopen(&self) {
        match self.file.reopen() {
            Ok((revision, leases)) => {
                tracing::warn!("the state store's file is open again");
                self.leases.restart(leases, Instant::now().into_std());
                self.revision.send_replace(revision);
            }
            Err(error) => tracing::error!(%error, "the state store's file stays closed"),
        }
    }
}

/// The most requests that share a sync: so many that it is shared by all who wait, so few that its memory is bounded.
const BATCH: usize = 256;
/// How often a failed file is tried again.
const REOPEN: Duration = Duration::from_secs(1);
/// When there is no lease, nothing is due.
const IDLE: Duration = Duration::from_secs(3600);
