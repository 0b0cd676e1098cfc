//! `cargo xtask bench`: the relay against its budgets, the bare fan-out that is the yardstick, and a
//! peer. First the core's fan-out alone, then whole processes; `meridian-bench` does the latter.

mod peer;

use std::{path::PathBuf, process::Command};

use anyhow::Result;

use crate::{
    setup::{self, Need},
    shell, workspace,
};

/// What to measure.
#[derive(clap::Args)]
pub struct Args {
    /// Install another relay and measure it in the same run.
    #[arg(long, value_enum)]
    peer: Option<peer::Peer>,
    /// One short round of the audience of 200.
    #[arg(long)]
    quick: bool,
    /// Only these processes' scenarios, such as `audio-streams-200` or `joins`; may be repeated.
    #[arg(long)]
    only: Vec<String>,
    /// Write all figures to this file.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// Builds, measures and prints.
///
/// # Errors
/// If something does not build, cannot be installed, or cannot be measured.
pub fn run(args: &Args) -> Result<()> {
    setup::ensure(&[Need::Build])?;
    let peer = args.peer.map(peer::install).transpose()?;
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
    if args.only.is_empty() {
        bench_core()?;
    }
    shell::run(&mut processes(args, peer))
}

fn bench_core() -> Result<()> {
    let bench = ["bench", "--package=meridian-relay", "--bench=fanout"];
    shell::run(&mut shell::command("cargo", bench))
}

fn processes(args: &Args, peer: Option<PathBuf>) -> Command {
    let built = workspace::target().join("dist");
    let mut command = undisturbed(built.join("meridian-bench"));
    command.arg("run");
    command.arg("--edge").arg(built.join("meridian-edge"));
    if let Some(program) = peer {
        command.arg("--moq-relay").arg(program);
    }
    if args.quick {
        command.arg("--quick");
    }
    for name in &args.only {
        command.args(["--only", name]);
    }
    if let Some(file) = &args.json {
        command.arg("--json").arg(file);
    }
    command
}

/// Where the system allows it, what is measured goes before everything else on the machine: lag is
/// then the relay's and not a compiler's next door. It applies to every target alike.
fn undisturbed(program: PathBuf) -> Command {
    const ROUND_ROBIN: [&str; 2] = ["--rr", "5"];
    let may = shell::has("chrt")
        && shell::output(&mut shell::command(
            "chrt",
            ROUND_ROBIN.into_iter().chain(["true"]),
        ))
        .is_ok_and(|output| output.status.success());
    if !may {
        eprintln!("no real-time priority here: lag includes whatever else this machine does");
        let mut command = Command::new(program);
        command.current_dir(workspace::root());
        return command;
    }
    let mut command = shell::command("chrt", ROUND_ROBIN);
    command.arg(program);
    command
}
