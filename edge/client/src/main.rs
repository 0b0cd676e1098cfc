//! `meridian`: the command line, the runtime, and the exit code.

use meridian_client::cli::{Cli, Command};
use meridian_client::{probe, publish, watch};
use meridian_process::exit::Failure;

fn main() {
    let cli = meridian_process::arguments();
    meridian_session::tls::install_default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("the system has descriptors for a runtime");
    meridian_process::end("meridian", runtime.block_on(run(cli)));
}

async fn run(cli: Cli) -> Result<(), Failure> {
    match cli.command {
        Command::Publish(args) => publish::run(args).await,
        Command::Watch(args) => watch::run(args).await,
        Command::Probe(args) => probe::run(args).await,
    }
}
