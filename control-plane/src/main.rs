//! The `meridian-control-plane` command.

use clap::Parser;
use meridian_control_plane::cli::Cli;
use meridian_control_plane::start;
use std::io::IsTerminal;
use std::process::ExitCode;

fn main() -> ExitCode {
    // A command line that makes no sense is a wrong configuration too.
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nothing is left to say if even stderr is gone.
            let _ = error.print();
            return if error.use_stderr() {
                ExitCode::from(start::EXIT_CONFIG)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()),
        )
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    start::run(cli)
}
