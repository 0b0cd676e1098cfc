//! `cargo xtask`: the command line of every developer task. The tasks are in the library.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use xtask::{bench, check, faults, links, loadtest, moves, setup, test, up};

/// Every developer task in one place.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what this machine lacks for building, testing and running.
    Setup,
    /// Run every test, from a machine with nothing but the toolchain.
    Test(test::Args),
    /// Format, lints, docs, licences, unused dependencies, layering, budgets.
    Check(check::Args),
    /// A talk across three offices joined by emulated wide-area links.
    Up(up::Args),
    /// Kill, freeze and cut off Geneva during a talk, and judge what is heard elsewhere.
    Faults(faults::Args),
    /// Kill, freeze, cut off and drain edges with people at them, and judge how long they hear nothing.
    Moves(moves::Args),
    /// Ten audio tracks and two videos over far, lossy and narrow links, by each congestion controller.
    Links(links::Args),
    /// Rehearse a meeting on a network of this machine's own, and judge what was measured.
    Loadtest(loadtest::Args),
    /// Measure the relay against its budgets and its peers.
    Bench(bench::Args),
}

fn main() -> ExitCode {
    match run(Cli::parse().task) {
        Ok(code) => code,
        Err(error) => {
            // On one line and without a backtrace: what failed has been printed above it.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<ExitCode> {
    match task {
        Task::Setup => setup::run(),
        Task::Test(args) => test::run(&args),
        Task::Check(args) => check::run(&args),
        Task::Up(args) => up::run(&args),
        Task::Faults(args) => faults::run(&args),
        Task::Moves(args) => moves::run(&args),
        Task::Links(args) => links::run(&args),
        Task::Loadtest(args) => return loadtest::run(&args),
        Task::Bench(args) => bench::run(&args),
    }?;
    Ok(ExitCode::SUCCESS)
}
