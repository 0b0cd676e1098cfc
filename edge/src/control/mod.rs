//! The edge's side of the control plane: registers at every replica, reports, and follows the snapshot.
//!
//! It has a thread of its own, so that media never waits for it: the workers are asked for little, and what they are told
//! they do as if somebody at the edge had said it. Without the control plane, everything stays as it was told last.

mod applying;
pub(crate) mod attendant;
mod backoff;
mod dialling;
pub(crate) mod figures;
mod kept;
mod link;
mod replica;
mod replicas;
mod roster;
pub mod settings;
pub mod snapshot;
pub mod status;
mod watching;

use crate::clients::MAX_CLIENTS;
use crate::config::Config;
use crate::control::applying::{Applier, InUse};
use crate::control::dialling::Dialler;
use crate::control::kept::Kept;
use crate::control::link::Shared;
use crate::control::status::Status;
use crate::edge::Edge;
use crate::neighbours::tree::Tree;
use crate::probing::Probing;
use anyhow::Context;
use meridian_proto::v1;
use meridian_session::tls::Identity;
use rand::RngExt;
use serde_json::Value;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::thread::{self, JoinHandle};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, LocalSet};

/// Questions that may wait for the first worker.
const ASKS: usize = 4;

/// The link to the control plane. Dropped, it ends; the edge goes on as it is.
#[must_use = "the link lasts as long as this"]
pub struct Control {
    status: watch::Receiver<Status>,
    attending: AbortHandle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Reads how the edge stands with the control plane.
#[derive(Clone)]
pub(crate) struct StatusReader(watch::Receiver<Status>);

impl StatusReader {
    pub(crate) fn report(&self) -> Value {
        self.0.borrow().report(Instant::now())
    }
}

impl Control {
    /// Follows the snapshot that was kept, if there is one; then the control plane, whenever it is there. Nothing if it is not
    /// configured. Must run inside a [`LocalSet`], on the thread of the first worker.
    ///
    /// # Errors
    /// A file cannot be read, or there is no folder for the snapshot.
    pub fn start(edge: &Edge, tree: &Rc<Tree>, config: &Config) -> anyhow::Result<Option<Control>> {
        let (Some(settings), Some(identity)) = (&config.control, &config.neighbour_tls) else {
            return Ok(None);
        };
        let dialler = Dialler {
            settings: settings.clone(),
            identity: identity.clone(),
        };
        dialler.check()?;
        let state = settings.state.display();
        let kept =
            Kept::open(&settings.state, &config.office).with_context(|| state.to_string())?;
        let register = introduction(config, edge.address())?;
        let (worker, asks) = mpsc::channel(ASKS);
        let (board, (keep, newest)) = (Status::begin(Instant::now()), watch::channel(None));
        let mut applier = Applier {
            office: config.office.clone(),
            access: edge.access().clone(),
            draining: edge.draining().clone(),
            worker: worker.clone(),
            board: board.clone(),
            keep,
            in_use: InUse::default(),
        };
        let probing = Probing::start(config.reach.clone())
            .context("no socket to measure round trips with")?;
        applier.begin_with(&kept, tree, &probing);
        let (sessions, draining) = (edge.sessions().clone(), edge.draining().clone());
        let status = board.subscribe();
        let (stop, stopped) = oneshot::channel();
        let work = move || {
            let shared = Shared {
                dialler,
                register,
                sessions,
                draining,
                worker,
                board: board.clone(),
                applier: applier.into(),
                roster: Default::default(),
                measured: Default::default(),
                connected: watch::Sender::default(),
            };
            run(shared, applying::keep(kept, newest, board), stopped);
        };
        let thread = thread::Builder::new().name("control".to_owned());
        let thread = thread
            .spawn(work)
            .context("no thread for the control plane")?;
        let attending = attendant::attend(edge.reporter(), tree.clone(), probing, asks);
        Ok(Some(Control {
            status,
            attending: tokio::task::spawn_local(attending).abort_handle(),
            stop: Some(stop),
            thread: Some(thread),
        }))
    }

    /// How the edge stands with the control plane, now and whenever that changes.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    pub(crate) fn reader(&self) -> StatusReader {
        StatusReader(self.status.clone())
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.attending.abort();
        // A thread that has ended by itself has been heard of by its panic.
        let _ = self.stop.take().map(|stop| stop.send(()));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Runs the link on this thread until it is stopped.
fn run(shared: Shared, keep: impl Future<Output = ()>, stopped: oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return tracing::error!(%error, "no control plane: its thread has no runtime"),
    };
    let shared = Rc::new(shared);
    LocalSet::new().block_on(&runtime, async {
        let tasks = async {
            tokio::join!(
                link::follow_sessions(shared.clone()),
                link::measure(shared.clone()),
                watching::watch(shared.clone()),
                replicas::keep(shared.clone()),
                keep,
            )
        };
        tokio::select! {
            _ = tasks => {}
            _ = stopped => {}
        }
    });
    // A name that is being looked up is not waited for.
    runtime.shutdown_background();
}

/// What the edge says of itself.
fn introduction(config: &Config, listens: SocketAddr) -> anyhow::Result<v1::RegisterRequest> {
    let settings = config
        .control
        .as_ref()
        .context("there is a [control] section")?;
    let (clients, neighbours) = settings.advertised(config, listens);
    let neighbours = neighbours.context("other edges dial this one")?;
    let certificate = match settings.publish_certificate {
        true => Identity::load(&config.tls.certificate, &config.tls.key)?.fingerprint(),
        false => None,
    };
    let certificate = certificate.map(|hash| hash.0.to_vec()).unwrap_or_default();
    let limit = config.limits.clients.map_or(MAX_CLIENTS, NonZeroUsize::get);
    let capacity = settings.capacity;
    let started = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let domain = settings.failure_domain.clone();
    Ok(v1::RegisterRequest {
        edge: Some(v1::Edge {
            office: config.office.clone(),
            neighbour_address: neighbours.to_string(),
            client_address: clients.to_string(),
            certificate_sha256: certificate.into(),
            failure_domain: domain.unwrap_or_else(|| config.office.clone()),
        }),
        instance: format!("{:016x}", rand::rng().random::<u64>()),
        started_at_ms: started.as_millis() as u64,
        capacity: Some(v1::Capacity {
            clients: capacity
                .clients
                .unwrap_or(u32::try_from(limit).unwrap_or(u32::MAX)),
            bits_per_second: capacity.bits_per_second.unwrap_or(0),
            children: capacity.children.unwrap_or(0),
        }),
        software: concat!("meridian-edge ", env!("CARGO_PKG_VERSION")).to_owned(),
    })
}
