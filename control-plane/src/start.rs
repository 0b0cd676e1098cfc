//! Start-up, in order: read the configuration, open the store, read the state, listen, run, drain.

use crate::cli::{Cli, Command};
use crate::config::Config;
use crate::desk::Desk;
use crate::geography::Geography;
use crate::leader;
use crate::listener;
use crate::membership;
use crate::mirror::Mirror;
use crate::offices::Offices;
use crate::oidc::Oidc;
use crate::plane::{Clock, Plane};
use crate::services;
use crate::snapshot;
use crate::store::Store;
use crate::store::embedded::{EmbeddedStore, History};
use crate::store::etcd::EtcdStore;
use crate::tokens::Access;
use anyhow::Context;
use meridian_process::exit::{ExitCode, Failure};
use meridian_process::say;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long a start waits for the store, and says every now and then that it does.
const COMPLAIN_EVERY: Duration = Duration::from_secs(5);

/// Runs a replica until it is told to stop. Everything that can be wrong is found before a port is bound.
///
/// # Errors
/// The configuration is wrong, or the replica cannot go on.
pub fn run(cli: Cli) -> Result<(), Failure> {
    // A second installation finds the first, which is the same.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let config = Config::load(&cli.config);
    let config = config.map_err(|error| Failure::new(ExitCode::Usage, error))?;
    if cli.check_config {
        say(config.describe());
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let result = runtime
        .context("no runtime")
        .and_then(|runtime| runtime.block_on(act(config, cli.command)));
    result.map_err(|error| Failure::new(ExitCode::Failed, error))
}

async fn act(config: Config, command: Option<Command>) -> anyhow::Result<()> {
    match command {
        None => serve(config).await,
        Some(Command::Access {
            subject,
            operator,
            offices,
            hours,
        }) => {
            let plane = plane(config, Clock::default()).await?;
            let access = Access {
                generation: plane.generation(&subject),
                sub: subject,
                operator,
                offices,
                exp: plane.now_s() + hours * 3_600,
            };
            say(plane.rings().access.sign(&access)?);
            Ok(())
        }
    }
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let plane = plane(config, Clock::default()).await?;
    let running = Replica::start(plane).await?;
    say(format!(
        "meridian-control-plane: listening on {}",
        running.address()
    ));
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminated.recv() => {}
    }
    tracing::info!("stopping");
    running.stop().await;
    Ok(())
}

/// Opens the store, makes keys if there are none, and reads the state.
///
/// # Errors
/// The store cannot be used, or a file the configuration names is not what it should be.
pub async fn plane(config: Config, clock: Clock) -> anyhow::Result<Arc<Plane>> {
    let offices = Offices::load(config.geography.offices.as_deref())?;
    let geography = Geography::load(config.geography.maxmind.as_deref())?;
    let store = open(&config).await?;
    while let Err(error) = leader::prepare(&*store).await {
        tracing::warn!(%error, "waiting for the state store");
        tokio::time::sleep(COMPLAIN_EVERY).await;
    }
    if config.store.embedded.is_some() {
        membership::forget_others(&*store).await?;
    }
    let mirror = Mirror::start(store.clone(), "");
    mirror.synced().await;
    let replica = config.replica(rand::random());
    let desk = Desk::new(&config, &replica, offices);
    let plane = Plane::new(config, replica, store, mirror, desk, geography, clock)?;
    Ok(Arc::new(plane))
}

async fn open(config: &Config) -> anyhow::Result<Arc<dyn Store>> {
    if let Some(file) = &config.store.embedded {
        return Ok(Arc::new(
            EmbeddedStore::open(file, History::default()).await?,
        ));
    }
    let etcd = config.store.etcd.as_ref();
    let etcd = etcd.context("the configuration names a store")?;
    Ok(Arc::new(EtcdStore::new(etcd.settings()?)?))
}

/// A replica that runs.
pub struct Replica {
    plane: Arc<Plane>,
    address: SocketAddr,
    tasks: JoinSet<()>,
}

impl Replica {
    /// Listens, and begins to do what a replica does.
    ///
    /// # Errors
    /// The port is taken, or a certificate cannot be used.
    pub async fn start(plane: Arc<Plane>) -> anyhow::Result<Replica> {
        let config = &plane.config;
        let tls = listener::tls(&config.tls, &config.edges.ca)?;
        let oidc = Oidc::open(&plane)?;
        let bound = TcpListener::bind(config.listen).await;
        let bound = bound.with_context(|| {
            format!(
                "TCP {} cannot be bound; is another replica running?",
                config.listen
            )
        })?;
        let address = bound.local_addr()?;
        let stopped = plane.stopping.subscribe();
        let mut tasks = JoinSet::new();
        let app = services::routes(plane.clone(), oidc, stopped.clone()).await;
        tasks.spawn(listener::serve(
            bound,
            tls,
            app,
            plane.counters.clone(),
            stopped.clone(),
        ));
        tasks.spawn(until(stopped.clone(), snapshot::keep(plane.clone())));
        tasks.spawn(until(
            stopped.clone(),
            services::edge::keep_watch(plane.clone()),
        ));
        tasks.spawn(until(stopped.clone(), membership::keep(plane.clone())));
        tasks.spawn(leader::run(plane.clone(), stopped));
        Ok(Replica {
            plane,
            address,
            tasks,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it knows and decides with.
    pub fn plane(&self) -> &Arc<Plane> {
        &self.plane
    }

    /// Takes no connections any more, ends streams, lets other calls in progress end, hands leadership over, and waits until
    /// all is done.
    pub async fn stop(mut self) {
        self.plane.stopping.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
        membership::leave(&self.plane).await;
    }
}

/// Lets a task run until it is to stop.
async fn until(mut stop: watch::Receiver<bool>, task: impl Future<Output = ()>) {
    tokio::select! {
        () = task => {}
        // Whoever could stop it is gone: so it stops.
        _ = stop.wait_for(|stop| *stop) => {}
    }
}
