//! An edge: its workers, and what is said between them and whoever runs the edge.
//!
//! The first worker runs on the caller's thread and has the neighbours; each further one has a thread of its own. What
//! they share for clients' packets is in `steering`, how they share tracks in `siblings`.

use crate::access_control::AccessControl;
use crate::clients::{self, Doors, Doorway};
use crate::control::figures::Share;
use crate::crowd::Crowd;
use crate::draining::{Draining, Targets};
use crate::entries::Entries;
use crate::gate::Gates;
use crate::report::{self, Snapshot};
use crate::sessions::Sessions;
use crate::siblings;
use crate::steering::Switch;
use crate::worker::Worker;
use anyhow::{Context, anyhow};
use meridian_relay::Role;
use meridian_session::transport::InProcess;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::LocalSet;

/// Orders that may wait for a worker.
const ORDERS: usize = 8;
/// How long all of them may take to drain: each bounds its own part to three seconds.
const DRAIN: Duration = Duration::from_secs(5);

/// A running edge. Dropped, its other workers end without a word to their peers.
pub struct Edge {
    address: SocketAddr,
    first: Worker,
    others: Vec<mpsc::Sender<Order>>,
    endings: mpsc::Receiver<Ending>,
    switch: Option<Arc<Switch>>,
    gates: Gates,
    draining: Arc<Draining>,
    crowd: Arc<Crowd>,
    office: Option<String>,
}

/// What a worker on a thread of its own is told.
pub(crate) enum Order {
    /// Here is a link to the first worker. Clients are let in as soon as there is one.
    Join(InProcess),
    Report(oneshot::Sender<Snapshot>),
    /// For the control plane; with talks, which cost more.
    Share(bool, oneshot::Sender<Share>),
    /// Have the peers leave, then end.
    Drain,
}

/// A worker's thread has ended: which, and how.
struct Ending(usize, anyhow::Result<()>);

impl Edge {
    /// Binds the doors and starts this many workers (from 1) behind them. Must run inside a [`LocalSet`], as the first
    /// worker's tasks stay on this thread. The cache is shared out evenly.
    ///
    /// # Errors
    /// The address is taken, or a thread or the certificate cannot be had.
    pub async fn start(
        config: meridian_relay::Config,
        doors: Doors,
        workers: usize,
    ) -> anyhow::Result<Edge> {
        let switch = (workers > 1).then(|| Switch::new(workers));
        let mut doorways = clients::bind(doors, workers, switch.as_ref())?.into_iter();
        let own = doorways.next().context("an edge has a worker")?;
        let (gates, draining, crowd) = (own.gates(), own.draining(), own.crowd());
        let office = config.office.clone();
        let config = meridian_relay::Config {
            cache_bytes: config.cache_bytes / workers,
            ..config
        };
        let (ended, endings) = mpsc::channel(workers);
        let edge = Edge {
            address: own.address()?,
            first: Worker::start(config.clone()),
            others: doorways
                .enumerate()
                .map(|(n, doorway)| start_other(n + 1, config.clone(), doorway, ended.clone()))
                .collect::<Result<_, _>>()?,
            endings,
            switch,
            gates,
            draining,
            crowd,
            office,
        };
        for (n, orders) in edge.others.iter().enumerate() {
            let (first, orders) = (edge.first.clone(), orders.downgrade());
            let joined = siblings::keep_joined(first, orders, n + 1, edge.office.clone());
            tokio::task::spawn_local(joined);
        }
        own.open(&edge.first)?;
        Ok(edge)
    }

    /// Where clients come in, UDP and TCP.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The worker that has the neighbours.
    pub fn first(&self) -> &Worker {
        &self.first
    }

    /// The offices from this edge up to its root; empty without an office.
    pub fn root_path(&self) -> Vec<String> {
        self.first.look(|state| state.relay.root_path().to_vec())
    }

    /// How clients fared at the doors.
    pub fn entries(&self) -> &Entries {
        &self.gates.entries
    }

    /// Who may come in, which may change.
    pub fn access(&self) -> &Arc<AccessControl> {
        &self.gates.access
    }

    /// The sessions of those who came with a token.
    pub fn sessions(&self) -> &Arc<Sessions> {
        &self.gates.sessions
    }

    /// Waits until a worker has ended that was not told to: the edge cannot go on. For ever if there is but one.
    pub async fn failed(&mut self) -> anyhow::Error {
        if self.others.is_empty() {
            return std::future::pending().await;
        }
        match self.endings.recv().await {
            Some(Ending(worker, Err(error))) => error.context(format!("worker {worker} failed")),
            Some(Ending(worker, Ok(()))) => anyhow!("worker {worker} has ended"),
            None => anyhow!("all workers have ended"),
        }
    }

    /// Clients there are now.
    pub fn clients(&self) -> usize {
        self.crowd.clients()
    }

    /// Sends the clients of all workers to other edges, within this time (a day at most). They are told one after another
    /// over the first 60 % of it, and those still here when it is over are closed. Newcomers are sent on meanwhile, and until
    /// [`undrain`](Self::undrain); if there are no targets they are served until the time is over. An order given anew
    /// replaces the one before; who was told by that is not told again.
    pub fn drain_clients(&self, targets: impl Into<Targets>, within: Duration) {
        self.draining.begin(targets.into(), within);
    }

    /// Lets clients in again. Those that were told to go and have not gone stay as long as they like.
    pub fn undrain(&self) {
        self.draining.end();
    }

    /// The order to send clients elsewhere, if there is one.
    pub(crate) fn draining(&self) -> &Arc<Draining> {
        &self.draining
    }

    /// Whether clients are sent elsewhere.
    pub fn is_draining(&self) -> bool {
        self.draining.now().is_some()
    }

    /// What the edge has done, as `--report-every` prints it: summed over the workers, with each one's share. Nothing if
    /// a worker has ended.
    pub async fn report(&self) -> Option<serde_json::Value> {
        self.reporter().report().await
    }

    /// What makes reports.
    pub(crate) fn reporter(&self) -> Reporter {
        Reporter {
            first: self.first.clone(),
            others: self.others.clone(),
            switch: self.switch.clone(),
            entries: self.gates.entries.clone(),
            draining: self.draining.clone(),
            crowd: self.crowd.clone(),
            office: self.office.clone(),
        }
    }

    /// Tells every peer of every worker to leave, closes what is left, and waits for the workers' end.
    ///
    /// # Errors
    /// A worker has failed meanwhile, or does not end.
    pub async fn drain(self) -> anyhow::Result<()> {
        let drained = tokio::time::timeout(DRAIN, self.drain_all()).await;
        drained.context("a worker does not end")?
    }

    async fn drain_all(mut self) -> anyhow::Result<()> {
        for orders in &self.others {
            // One that has ended is heard of below.
            let _ = orders.send(Order::Drain).await;
        }
        self.first.drain_sessions().await;
        for _ in 0..self.others.len() {
            if let Some(Ending(worker, result)) = self.endings.recv().await {
                result.with_context(|| format!("worker {worker} failed"))?;
            }
        }
        Ok(())
    }
}

/// Asks the workers for their figures.
pub(crate) struct Reporter {
    first: Worker,
    others: Vec<mpsc::Sender<Order>>,
    switch: Option<Arc<Switch>>,
    entries: Arc<Entries>,
    draining: Arc<Draining>,
    crowd: Arc<Crowd>,
    office: Option<String>,
}

impl Reporter {
    pub(crate) fn first(&self) -> &Worker {
        &self.first
    }

    pub(crate) fn clients(&self) -> usize {
        self.crowd.clients()
    }

    /// Each worker's figures for the control plane.
    pub(crate) async fn shares(&self, with_talks: bool) -> Option<Vec<Share>> {
        let mut shares = vec![Share::of(&self.first, with_talks)];
        for orders in &self.others {
            let (answer, answered) = oneshot::channel();
            orders.send(Order::Share(with_talks, answer)).await.ok()?;
            shares.push(answered.await.ok()?);
        }
        Some(shares)
    }

    pub(crate) async fn report(&self) -> Option<serde_json::Value> {
        let mut snapshots = vec![Snapshot::of(&self.first)];
        for orders in &self.others {
            let (answer, answered) = oneshot::channel();
            orders.send(Order::Report(answer)).await.ok()?;
            snapshots.push(answered.await.ok()?);
        }
        Some(report::line(
            self.office.as_deref(),
            &snapshots,
            self.switch.as_deref(),
            (&self.entries, &self.crowd),
            self.draining.now().is_some(),
        ))
    }
}

/// Starts a worker on a thread of its own. Whatever ends it is told in `ended`.
fn start_other(
    number: usize,
    config: meridian_relay::Config,
    doorway: Doorway,
    ended: mpsc::Sender<Ending>,
) -> anyhow::Result<mpsc::Sender<Order>> {
    let (orders, receiver) = mpsc::channel(ORDERS);
    let work = move || work(number, config, doorway, receiver);
    on_a_thread(number, work, ended)?;
    Ok(orders)
}

fn on_a_thread(
    number: usize,
    work: impl FnOnce() -> anyhow::Result<()> + Send + 'static,
    ended: mpsc::Sender<Ending>,
) -> anyhow::Result<()> {
    let run = move || {
        let result = catch_unwind(AssertUnwindSafe(work));
        let result = result.unwrap_or_else(|_| Err(anyhow!("it has panicked")));
        // There is room for every worker's. If nobody listens, the edge has ended.
        let _ = ended.try_send(Ending(number, result));
    };
    let thread = thread::Builder::new().name(format!("worker-{number}"));
    thread.spawn(run).context("no thread for a worker")?;
    Ok(())
}

fn work(
    number: usize,
    mut config: meridian_relay::Config,
    doorway: Doorway,
    orders: mpsc::Receiver<Order>,
) -> anyhow::Result<()> {
    let parent = config.office.clone();
    config.office = parent.as_ref().map(|office| siblings::name(office, number));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no runtime")?;
    LocalSet::new().block_on(&runtime, async {
        let worker = Worker::start(config);
        take_orders(worker, parent, doorway, orders).await
    })
}

/// Does what a worker is told, until it is to end or there is nobody left to tell it.
async fn take_orders(
    worker: Worker,
    parent: Option<String>,
    doorway: Doorway,
    mut orders: mpsc::Receiver<Order>,
) -> anyhow::Result<()> {
    let mut doorway = Some(doorway);
    while let Some(order) = orders.recv().await {
        match order {
            Order::Join(end) => {
                // If the other end is gone, the next order is to join again.
                let Ok(session) = siblings::above(end).await else {
                    continue;
                };
                let serving =
                    siblings::serve(worker.clone(), session, Role::Parent, parent.clone());
                tokio::task::spawn_local(serving);
                if let Some(doorway) = doorway.take() {
                    doorway.open(&worker)?;
                }
            }
            Order::Report(to) => {
                // Who asked may have given up.
                let _ = to.send(Snapshot::of(&worker));
            }
            Order::Share(with_talks, to) => {
                let _ = to.send(Share::of(&worker, with_talks));
            }
            Order::Drain => {
                worker.drain_sessions().await;
                return Ok(());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_worker_that_panics_is_heard_of_with_its_number() {
        let (ended, mut endings) = mpsc::channel(2);
        on_a_thread(3, || panic!("as the test wants"), ended.clone()).expect("a thread starts");
        let Ending(number, result) = endings.recv().await.expect("it ends");
        assert_eq!(number, 3);
        assert!(result.is_err_and(|error| error.to_string().contains("panicked")));
        on_a_thread(4, || Ok(()), ended).expect("a thread starts");
        let Ending(number, result) = endings.recv().await.expect("it ends");
        assert!(number == 4 && result.is_ok());
    }
}
