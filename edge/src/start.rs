//! Start-up, in order: read the configuration, bind, run, drain.

use crate::access::Access;
use crate::cli::Cli;
use crate::clients::{self, Doors};
use crate::config::{Config, workers};
use crate::control::Control;
use crate::edge::Edge;
use crate::neighbours::Neighbours;
use crate::neighbours::tree::Tree;
use crate::report;
use anyhow::{Context, anyhow};
use meridian_process::config::ConfigError;
use meridian_process::exit::{ExitCode, Failure};
use meridian_process::say;
use meridian_session::tls::{self, Identity};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::rc::Rc;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::LocalSet;

/// What is to be run.
enum Plan {
    /// One office, from its file.
    Office(Box<Config>),
    /// A stand-alone edge.
    Dev { address: SocketAddr, workers: usize },
}

/// Runs an edge until it is told to stop. Everything that can be wrong is found before a port is bound.
///
/// # Errors
/// The configuration is wrong, or the edge cannot go on.
pub fn run(cli: Cli) -> Result<(), Failure> {
    tls::install_default();
    let plan = plan(&cli).map_err(|error| Failure::new(ExitCode::Usage, error))?;
    if cli.check_config {
        match &plan {
            Plan::Office(config) => say(config.describe()),
            Plan::Dev { address, workers } => {
                say(format!(
                    "dev: clients on {address}, workers: {workers}\n  open to everybody"
                ));
            }
        }
        return Ok(());
    }
    end_with_a_panic();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let result = runtime
        .context("no runtime")
        .and_then(|runtime| LocalSet::new().block_on(&runtime, serve(plan, &cli)));
    result.map_err(|error| Failure::new(ExitCode::Failed, error))
}

fn plan(cli: &Cli) -> Result<Plan, ConfigError> {
    match &cli.config {
        Some(path) => Config::load(path).map(Box::new).map(Plan::Office),
        None => Ok(Plan::Dev {
            address: cli.listen,
            workers: workers(Some(cli.workers)),
        }),
    }
}

async fn serve(plan: Plan, cli: &Cli) -> anyhow::Result<()> {
    let (mut edge, _tree, control) = match plan {
        Plan::Dev { address, workers } => {
            let identity = Identity::ephemeral()?;
            let fingerprint = identity.fingerprint().context("a certificate has a hash")?;
            let doors = Doors {
                address,
                identity,
                access: Access::Open,
                max_clients: clients::MAX_CLIENTS,
                congestion: Default::default(),
            };
            let edge = Edge::start(meridian_relay::Config::default(), doors, workers).await?;
            let address = edge.address();
            say(format!(
                "meridian-edge: listening on {address} (UDP and TCP), open to everybody"
            ));
            say(format!("meridian-edge: certificate SHA-256 {fingerprint}"));
            (edge, None, None)
        }
        Plan::Office(config) => {
            let access = config.access();
            let access = access.map_err(|(path, error)| anyhow!("{}: {error}", path.display()))?;
            let doors = Doors {
                address: config.listen.clients,
                identity: Identity::load(&config.tls.certificate, &config.tls.key)?,
                access,
                max_clients: config
                    .limits
                    .clients
                    .map_or(clients::MAX_CLIENTS, NonZeroUsize::get),
                congestion: config.congestion.clients,
            };
            let edge = Edge::start(config.relay(), doors, workers(config.workers)).await?;
            let neighbours = Neighbours::start(edge.first(), &config)?;
            let tree = Rc::new(Tree::follow(neighbours));
            let control = Control::start(&edge, &tree, &config)?;
            tracing::info!(office = config.office, address = %edge.address(), "listening");
            (edge, Some(tree), control)
        }
    };
    if let Some(period) = cli.report_every {
        let control = control.as_ref().map(Control::reader);
        tokio::task::spawn_local(report::print_every(edge.reporter(), control, period));
    }
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminated.recv() => {}
        error = edge.failed() => return Err(error),
    }
    tracing::info!("draining");
    edge.drain().await
}

/// A worker that has panicked may hold anything half done: rather no edge than half of one. Tasks would keep a panic to
/// themselves.
fn end_with_a_panic() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        tell(panic);
        eprintln!("meridian-edge: a worker has panicked; the edge cannot go on");
        std::process::exit(1);
    }));
}
