//! Start-up, in order: read the configuration, bind, run, drain.

use crate::access::Access;
use crate::cli::Cli;
use crate::clients::{self, Doors};
use crate::config::{Config, ConfigError};
use crate::neighbours;
use crate::report;
use crate::worker::Worker;
use anyhow::{Context, anyhow};
use meridian_session::tls::{self, Identity};
use std::net::SocketAddr;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::LocalSet;

/// The exit code of a wrong configuration (EX_USAGE).
pub const EXIT_CONFIG: u8 = 64;

/// What is to be run.
enum Plan {
    /// One office, from its file.
    Office(Box<Config>),
    /// A stand-alone edge.
    Dev(SocketAddr),
}

/// Runs an edge until it is told to stop. Everything that can be wrong is found before a port is bound.
pub fn run(cli: Cli) -> ExitCode {
    tls::install_default();
    let plan = match plan(&cli) {
        Ok(plan) => plan,
        Err(error) => {
            eprintln!("meridian-edge: {error}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    if cli.check_config {
        match &plan {
            Plan::Office(config) => println!("{}", config.describe()),
            Plan::Dev(address) => println!("dev: clients on {address}\n  open to everybody"),
        }
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let result = runtime
        .context("no runtime")
        .and_then(|runtime| LocalSet::new().block_on(&runtime, serve(plan, &cli)));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("meridian-edge: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn plan(cli: &Cli) -> Result<Plan, ConfigError> {
    match &cli.config {
        Some(path) => Config::load(path).map(Box::new).map(Plan::Office),
        None => Ok(Plan::Dev(cli.listen)),
    }
}

async fn serve(plan: Plan, cli: &Cli) -> anyhow::Result<()> {
    let office;
    let worker;
    match plan {
        Plan::Dev(address) => {
            let identity = Identity::ephemeral()?;
            let fingerprint = identity.fingerprint().context("a certificate has a hash")?;
            worker = Worker::start(meridian_relay::Config::default());
            let doors = Doors {
                address,
                identity,
                access: Access::Open,
                max_clients: clients::MAX_CLIENTS,
            };
            let address = clients::listen(&worker, doors).await?;
            println!("meridian-edge: listening on {address} (UDP and TCP), open to everybody");
            println!("meridian-edge: certificate SHA-256 {fingerprint}");
            office = "dev".to_owned();
        }
        Plan::Office(config) => {
            let access = config.access();
            let access = access.map_err(|(path, error)| anyhow!("{}: {error}", path.display()))?;
            let identity = Identity::load(&config.tls.certificate, &config.tls.key)?;
            worker = Worker::start(config.relay());
            let doors = Doors {
                address: config.listen.clients,
                identity,
                access,
                max_clients: config.limits.clients.unwrap_or(clients::MAX_CLIENTS),
            };
            let address = clients::listen(&worker, doors).await?;
            neighbours::start(&worker, &config)?;
            tracing::info!(office = config.office, %address, "listening");
            office = config.office;
        }
    }
    if let Some(period) = cli.report_every {
        tokio::task::spawn_local(report::print_every(worker.clone(), office, period));
    }
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminated.recv() => {}
    }
    tracing::info!("draining");
    worker.drain_sessions().await;
    Ok(())
}
