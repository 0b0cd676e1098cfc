//! A whole run: every scenario against every target, in interleaved rounds.

use super::figures::Figures;
use super::machine;
use super::process::{self, LOAD_CORE, Server};
use super::report;
use super::scenario::{self, Act, Scenario};
use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde_json::json;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What to measure.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The edge's program.
    #[arg(long)]
    edge: PathBuf,
    /// A second edge's program, to compare two builds in one run.
    #[arg(long)]
    other_edge: Option<PathBuf>,
    /// The program of moq-relay, to compare with.
    #[arg(long)]
    moq_relay: Option<PathBuf>,
    /// One short round of the audience of 200.
    #[arg(long)]
    quick: bool,
    /// Only the scenario of this name, or those whose name begins with it; may be repeated.
    #[arg(long)]
    only: Vec<String>,
    /// Rounds of each scenario; the medians count.
    #[arg(long)]
    rounds: Option<usize>,
    /// Seconds to measure in each run.
    #[arg(long)]
    seconds: Option<u64>,
    /// Write all figures there.
    #[arg(long)]
    json: Option<PathBuf>,
    /// How the yardstick fans out.
    #[arg(long, default_value = "loop")]
    bare_mode: String,
}

/// Something that is measured.
#[derive(Clone, Debug)]
enum Target {
    Bare { mode: String },
    Edge(PathBuf),
    OtherEdge(PathBuf),
    MoqRelay(PathBuf),
}

/// Figures of one scenario: by target, the medians of its rounds.
pub(super) struct Outcome {
    pub(super) scenario: String,
    pub(super) by_target: Vec<(&'static str, Figures)>,
}

/// Measures and prints.
pub(super) fn run(args: &Args) -> Result<()> {
    process::stay_on(LOAD_CORE)?;
    let sizes: &[usize] = if args.quick { &[200] } else { &[50, 200, 500] };
    let chosen =
        |one: &Scenario| args.only.is_empty() || args.only.iter().any(|text| one.is_called(text));
    let scenarios: Vec<_> = scenario::all(sizes, args.quick)
        .into_iter()
        .filter(chosen)
        .collect();
    if scenarios.is_empty() {
        bail!("no scenario has such a name");
    }
    let machine = machine::describe();
    println!("{machine}");
    let mut outcomes = Vec::new();
    for scenario in scenarios {
        let outcome = measure(args, &scenario)?;
        report::print(&outcome);
        outcomes.push(outcome);
    }
    report::print_summary(&outcomes);
    if let Some(path) = &args.json {
        let all = json!({ "machine": machine, "scenarios": report::json(&outcomes) });
        std::fs::write(path, format!("{all:#}\n"))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn measure(args: &Args, scenario: &Scenario) -> Result<Outcome> {
    let targets = targets(args, scenario);
    let rounds = match (args.rounds, args.quick, scenario.act) {
        (Some(rounds), ..) => rounds,
        (None, true, _) | (None, _, Act::Throttled) => 1,
        (None, _, Act::Slow) => 5,
        (None, ..) => 3,
    };
    let seconds = args.seconds.unwrap_or(if args.quick { 4 } else { 6 });
    let mut runs = vec![Vec::new(); targets.len()];
    for round in 1..=rounds {
        for (target, runs) in targets.iter().zip(&mut runs) {
            eprintln!(
                "{} on {}, round {round} of {rounds}",
                scenario.name,
                target.name()
            );
            match load(target, scenario, seconds) {
                Ok(figures) => runs.push(figures),
                Err(error) => eprintln!("  no figures: {error:#}"),
            }
        }
    }
    let by_target = targets.iter().zip(&runs);
    Ok(Outcome {
        scenario: scenario.name.clone(),
        by_target: by_target
            .map(|(target, runs)| (target.name(), Figures::medians(runs)))
            .collect(),
    })
}

fn targets(args: &Args, scenario: &Scenario) -> Vec<Target> {
    let mut targets = Vec::new();
    if scenario.suits_bare() {
        let mode = args.bare_mode.clone();
        targets.push(Target::Bare { mode });
    }
    targets.push(Target::Edge(args.edge.clone()));
    targets.extend(args.other_edge.clone().map(Target::OtherEdge));
    targets.extend(args.moq_relay.clone().map(Target::MoqRelay));
    targets
}

impl Target {
    fn name(&self) -> &'static str {
        match self {
            Target::Bare { .. } => "bare quinn",
            Target::Edge(_) => "edge",
            Target::OtherEdge(_) => "other edge",
            Target::MoqRelay(_) => "moq-relay",
        }
    }

    fn dialect(&self) -> &'static str {
        match self {
            Target::Bare { .. } => "bare",
            _ => "moqt",
        }
    }

    fn start(&self) -> Result<Server> {
        let itself = std::env::current_exe()?;
        match self {
            Target::Bare { mode } => Server::start(&itself, |address| {
                words(&["bare", "--mode", mode, "--listen", &address.to_string()])
            }),
            Target::Edge(program) | Target::OtherEdge(program) => {
                Server::start(program, |address| {
                    words(&["--dev", "--listen", &address.to_string()])
                })
            }
            Target::MoqRelay(program) => Server::start(program, moq_relay),
        }
    }
}

/// Draft 22 on raw QUIC, open to everybody.
fn moq_relay(address: SocketAddr) -> Vec<String> {
    let address = address.to_string();
    words(&[
        "--listen-version",
        "moq-transport-22",
        "--auth-public",
        "**",
        "--listen-tls-generate",
        "localhost",
        "--listen",
        &address,
    ])
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// One run: a fresh target and a fresh load.
fn load(target: &Target, scenario: &Scenario, seconds: u64) -> Result<Figures> {
    let mut server = target.start()?;
    let itself = std::env::current_exe()?;
    let mut command = Command::new(Path::new(&itself));
    command.args(["load", "--dialect", target.dialect()]);
    command.args(["--target", &server.address.to_string()]);
    command.args(["--pid", &server.pid().to_string()]);
    command.args(["--subscribers", &scenario.subscribers.to_string()]);
    command.args(["--seconds", &seconds.to_string()]);
    command.args(["--act", &value_name(&scenario.act)]);
    for shape in &scenario.shapes {
        command.args(["--shape", shape.name()]);
    }
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    if !server.lives() {
        bail!("{} did not live through it", target.name());
    }
    if !output.status.success() {
        bail!("the load ended with {}", output.status);
    }
    serde_json::from_slice(&output.stdout).context("the load printed no figures")
}

fn value_name(value: &impl ValueEnum) -> String {
    let name = value.to_possible_value().expect("no value is hidden");
    name.get_name().to_owned()
}
