//! `cargo xtask bench`: the relay against its budgets, the bare fan-out that is the yardstick, and
//! peers. First the core's fan-out alone, then whole processes; `meridian-bench` does the latter.

mod peer;

use std::{path::PathBuf, process::Command};

use anyhow::Result;

use crate::{
    priority::in_real_time,
    setup::{self, Need},
    shell, workspace,
};

/// What to measure.
#[derive(clap::Args)]
pub struct Args {
    /// Install another relay and measure it in the same run; may be repeated.
    #[arg(long, value_enum)]
    peer: Vec<peer::Peer>,
    /// Measure the edge with so many workers too, all on one core; may be repeated.
    #[arg(long)]
    workers: Vec<usize>,
    /// Rounds of each scenario; the medians count.
    #[arg(long)]
    rounds: Option<usize>,
    /// Seconds to measure in each run.
    #[arg(long)]
    seconds: Option<u64>,
    /// One short round of the audience of 200.
    #[arg(long)]
    quick: bool,
    /// Measure the load tester instead: how much one core of it receives of a source with no relay in it.
    #[arg(long)]
    tester: bool,
    /// Only these processes' scenarios, such as `audio-streams-200` or `joins`; may be repeated.
    #[arg(long)]
    only: Vec<String>,
    /// Only the scenarios that goals are judged by.
    #[arg(long)]
    goals: bool,
    /// Write all figures to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Write the figures between the marks in this file, such as `docs/performance.md`.
    #[arg(long)]
    markdown: Option<PathBuf>,
}

/// Builds, measures and prints.
///
/// # Errors
/// If something does not build, cannot be installed, or cannot be measured.
pub fn run(args: &Args) -> Result<()> {
    setup::ensure(&[Need::Build])?;
    if args.tester {
        return tester(args);
    }
    let installed = args.peer.iter().map(|peer| peer::install(*peer));
    let peers = installed.collect::<Result<Vec<_>>>()?;
    shell::run(&mut shell::command(
        "cargo",
        [
            "build",
            "--profile=dist",
            "--package=meridian-edge",
            "--package=meridian-loadtest",
            "--bin=meridian-edge",
            "--bin=meridian-bench",
        ],
    ))?;
    if args.only.is_empty() && !args.goals {
        bench_core()?;
    }
    shell::run(&mut processes(args, &peers))
}

fn tester(args: &Args) -> Result<()> {
    let build = [
        "build",
        "--profile=dist",
        "--package=meridian-loadtest",
        "--bin=meridian-loadtest",
    ];
    shell::run(&mut shell::command("cargo", build))?;
    let built = workspace::target().join("dist");
    let mut command = undisturbed(built.join("meridian-loadtest"));
    command.arg("capacity");
    if let Some(seconds) = args.seconds {
        command.arg(format!("--seconds={seconds}"));
    }
    shell::run(&mut command)
}

fn bench_core() -> Result<()> {
    let bench = ["bench", "--package=meridian-relay", "--bench=fanout"];
    shell::run(&mut shell::command("cargo", bench))
}

fn processes(args: &Args, peers: &[String]) -> Command {
    let built = workspace::target().join("dist");
    let mut command = undisturbed(built.join("meridian-bench"));
    command.arg("run");
    command.arg("--edge").arg(built.join("meridian-edge"));
    let commit = ["rev-parse", "--short", "HEAD"];
    if let Ok(commit) = shell::read(&mut shell::command("git", commit)) {
        command.args(["--commit", commit.trim()]);
    }
    for peer in peers {
        command.args(["--peer", peer]);
    }
    for workers in &args.workers {
        command.arg(format!("--workers={workers}"));
    }
    if let Some(rounds) = args.rounds {
        command.arg(format!("--rounds={rounds}"));
    }
    if let Some(seconds) = args.seconds {
        command.arg(format!("--seconds={seconds}"));
    }
    if args.quick {
        command.arg("--quick");
    }
    if args.goals {
        command.arg("--goals");
    }
    for name in &args.only {
        command.args(["--only", name]);
    }
    if let Some(file) = &args.json {
        command.arg("--json").arg(file);
    }
    if let Some(file) = &args.markdown {
        command.arg("--markdown").arg(file);
    }
    command
}

/// In real time, as every target alike, and in the workspace's root.
fn undisturbed(program: PathBuf) -> Command {
    let mut words = in_real_time(program).into_iter();
    let mut command = Command::new(words.next().expect("it names a program"));
    command.args(words).current_dir(workspace::root());
    command
}
