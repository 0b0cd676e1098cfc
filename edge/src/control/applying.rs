//! Takes snapshots, one at a time: checks them, has the edge follow them, and has the last good one kept.

use crate::access_control::AccessControl;
use crate::control::attendant::Ask;
use crate::control::kept::Kept;
use crate::control::snapshot::{Checked, DrainOrder, SnapshotError, Version};
use crate::control::status::Board;
use crate::draining::Draining;
use crate::neighbours::tables::Tables;
use crate::neighbours::tree::Tree;
use crate::probing::Probing;
use meridian_proto::v1::Snapshot;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::{mpsc, oneshot, watch};

/// What follows snapshots.
pub(super) struct Applier {
    pub(super) office: String,
    pub(super) access: Arc<AccessControl>,
    pub(super) draining: Arc<Draining>,
    pub(super) worker: mpsc::Sender<Ask>,
    pub(super) board: Board,
    /// The one to be kept.
    pub(super) keep: watch::Sender<Option<Arc<Snapshot>>>,
    pub(super) in_use: InUse,
}

/// What is in force.
#[derive(Default)]
pub(super) struct InUse {
    version: Option<Version>,
    tables: Option<Tables>,
    drain: Option<DrainOrder>,
}

/// The edge ends: there is nobody to follow a snapshot.
#[derive(Debug)]
pub(super) struct Ending;

impl Applier {
    /// Follows what was kept, if it is still good. Before the control plane is asked for the first time.
    pub(super) fn begin_with(&mut self, kept: &Kept, tree: &Tree, probing: &Probing) {
        let (path, now) = (kept.path().display(), SystemTime::now());
        let snapshot = match kept.load() {
            Ok(None) => return,
            Ok(Some(snapshot)) => snapshot,
            Err(error) => return tracing::error!("{path}: {error}; waiting for the control plane"),
        };
        let checked = match Checked::try_from(snapshot) {
            Ok(checked) => checked,
            Err(error) => return tracing::error!("{path}: {error}; waiting for the control plane"),
        };
        let tables = checked.tables(&self.office).cloned();
        if let Some(tables) = &tables
            && let Err(error) = tree.adopt(tables.clone())
        {
            return tracing::error!("{path}: {error}; waiting for the control plane");
        }
        tracing::info!(version = %checked.version(), "following the snapshot that was kept");
        probing.set_targets(checked.others(&self.office));
        self.follow(&checked, tables, now);
        let version = Some(checked.version());
        self.board.send_modify(|status| status.kept = version);
    }

    /// Follows a snapshot if it is good and new.
    ///
    /// # Errors
    /// It was refused, and that was told; or the edge ends.
    pub(super) async fn offer(
        &mut self,
        snapshot: Snapshot,
    ) -> Result<Result<(), SnapshotError>, Ending> {
        let checked = match self.check(snapshot) {
            Ok(None) => {
                self.board
                    .send_if_modified(|status| status.refused.take().is_some());
                return Ok(Ok(()));
            }
            Ok(Some(checked)) => checked,
            Err(error) => return Ok(Err(self.refuse(error))),
        };
        // An edge that is in no tree yet stays where it is; one whose tree is as before is left alone.
        let tables = checked.tables(&self.office).cloned();
        if let Some(tables) = &tables
            && self.in_use.tables.as_ref() != Some(tables)
        {
            let (answer, answered) = oneshot::channel();
            let asked = self.worker.send(Ask::Adopt(tables.clone(), answer)).await;
            asked.map_err(|_| Ending)?;
            if let Err(error) = answered.await.map_err(|_| Ending)? {
                return Ok(Err(self.refuse(SnapshotError::Unfit(error.to_string()))));
            }
        }
        let probe = Ask::Probe(checked.others(&self.office));
        self.worker.send(probe).await.map_err(|_| Ending)?;
        tracing::info!(version = %checked.version(), "following a snapshot");
        self.follow(&checked, tables, SystemTime::now());
        self.keep
            .send_replace(Some(Arc::new(checked.message().clone())));
        Ok(Ok(()))
    }

    /// What is known to be in force.
    pub(super) fn version(&self) -> Option<Version> {
        self.in_use.version
    }

    /// `None`: it is the one in use.
    fn check(&self, snapshot: Snapshot) -> Result<Option<Checked>, SnapshotError> {
        let checked = Checked::try_from(snapshot)?;
        let is_new = checked.follows(self.in_use.version)?;
        Ok(is_new.then_some(checked))
    }

    /// All but the tree, which the first worker follows.
    fn follow(&mut self, checked: &Checked, tables: Option<Tables>, now: SystemTime) {
        self.access.replace_revocations(checked.revocations(now));
        self.access.replace_keys(checked.keys(now));
        let drain = checked.drain(&self.office);
        if drain != self.in_use.drain {
            match &drain {
                Some(order) => self
                    .draining
                    .begin(order.targets.clone(), order.within(now)),
                None => self.draining.end(),
            }
        }
        let version = checked.version();
        self.in_use = InUse {
            version: Some(version),
            tables: tables.or(self.in_use.tables.take()),
            drain,
        };
        self.board.send_modify(|status| {
            status.version = Some(version);
            status.applied += 1;
            status.refused = None;
        });
    }

    /// Says so, once for each reason in a row.
    fn refuse(&mut self, error: SnapshotError) -> SnapshotError {
        let why = error.to_string();
        self.board.send_modify(|status| {
            status.refusals += 1;
            if status.refused.as_ref() != Some(&why) {
                tracing::error!("a snapshot is refused, and the last good one stays: {why}");
                status.refused = Some(why);
            }
        });
        error
    }
}

/// Keeps the newest for as long as there may be another. The disk may be slow: nothing waits for it.
pub(super) async fn keep(
    kept: Kept,
    mut newest: watch::Receiver<Option<Arc<Snapshot>>>,
    board: Board,
) {
    while newest.changed().await.is_ok() {
        let Some(snapshot) = newest.borrow_and_update().clone() else {
            continue;
        };
        let version = snapshot.version.map(Version::from);
        let file = kept.clone();
        match tokio::task::spawn_blocking(move || file.save(&snapshot)).await {
            Ok(Ok(())) => board.send_modify(|status| status.kept = version),
            Ok(Err(error)) => {
                tracing::error!(
                    "{}: {error}; a restart without the control plane would find an older snapshot",
                    kept.path().display()
                );
            }
            // The thread is ending.
            Err(_) => return,
        }
    }
}
