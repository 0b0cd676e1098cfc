//! The command line of `meridian-bench`.

use super::bare;
use super::conference;
use super::load;
use super::suite;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Measures a relay process: CPU per object and per byte, lag, memory, joins.
#[derive(Debug, Parser)]
#[command(name = "meridian-bench", version)]
struct Cli {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Measure an edge against the yardstick, and peers if any are given.
    Run(suite::Args),
    /// Be the yardstick: a server that fans bytes out with no relay in it.
    Bare(bare::Args),
    /// Be the load of one scenario and print its figures as a line of JSON.
    Load(load::Args),
    /// Speak at one edge, listen at another, and print as a line of JSON what became of every frame.
    Conference(conference::Args),
}

/// Runs the command and tells how it went.
pub fn main() -> ExitCode {
    meridian_session::tls::install_default();
    let result = match Cli::parse().what {
        What::Run(args) => suite::run(&args),
        What::Bare(args) => bare::run(&args),
        What::Load(args) => load::run(&args),
        What::Conference(args) => conference::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("meridian-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
