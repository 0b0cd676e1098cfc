//! `meridian`: the command line, the runtime, and the exit code.

use clap::Parser;
use meridian_client::cli::{Cli, Command};
use meridian_client::exit::{ExitCode, Failure};
use meridian_client::{probe, publish, watch};

fn main() {
    let cli = Cli::try_parse().unwrap_or_else(|error| {
        let _ = error.print();
        std::process::exit(if error.use_stderr() {
            ExitCode::Usage as i32
        } else {
            0
        });
    });
    meridian_session::tls::install_default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("the system has descriptors for a runtime");
    if let Err(failure) = runtime.block_on(run(cli)) {
        eprintln!("meridian: {failure}");
        std::process::exit(failure.code as i32);
    }
}

async fn run(cli: Cli) -> Result<(), Failure> {
    match cli.command {
        Command::Publish(args) => publish::run(args).await,
        Command::Watch(args) => watch::run(args).await,
        Command::Probe(args) => probe::run(args).await,
    }
}
