//! A whole run: every scenario against every target, in interleaved rounds.

use super::figures::Figures;
use super::goals;
use super::machine;
use super::markdown;
use super::peer::Peer;
use super::process::{self, LOAD_CORE};
use super::report;
use super::scenario::{self, Act, Scenario};
use super::target::{self, Target};
use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde_json::json;
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
    /// Another relay to compare with, as KIND@VERSION=PROGRAM; may be repeated.
    #[arg(long)]
    peer: Vec<Peer>,
    /// The edge with so many workers too, all on the same core; may be repeated.
    #[arg(long)]
    workers: Vec<usize>,
    /// One short round of the audience of 200.
    #[arg(long)]
    quick: bool,
    /// Only the scenario of this name, or those whose name begins with it; may be repeated.
    #[arg(long)]
    only: Vec<String>,
    /// Only the scenarios that goals are judged by.
    #[arg(long)]
    goals: bool,
    /// Rounds of each scenario; the medians count.
    #[arg(long)]
    rounds: Option<usize>,
    /// Seconds to measure in each run.
    #[arg(long)]
    seconds: Option<u64>,
    /// Write all figures there.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Write the figures, and whether the goals are held, between the marks in this Markdown file.
    #[arg(long)]
    markdown: Option<PathBuf>,
    /// What to say the edge was built from.
    #[arg(long, default_value = "an unknown commit")]
    commit: String,
    /// How the yardstick fans out.
    #[arg(long, default_value = "loop")]
    bare_mode: String,
}

/// Figures of one scenario: by target, the medians of its rounds.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) scenario: Scenario,
    pub(super) by_target: Vec<(String, Figures)>,
}

impl Outcome {
    /// A target's figures, if it was measured.
    pub(super) fn of(&self, target: &str) -> Option<&Figures> {
        let mut found = self.by_target.iter().filter(|(name, _)| name == target);
        found.next().map(|(_, figures)| figures)
    }
}

/// Measures and prints.
pub(super) fn run(args: &Args) -> Result<()> {
    process::stay_on(LOAD_CORE)?;
    let sizes: &[usize] = if args.quick { &[200] } else { &[50, 200, 500] };
    let chosen = |one: &Scenario| {
        (args.only.is_empty() || args.only.iter().any(|text| one.is_called(text)))
            && (!args.goals || goals::need(one))
    };
    let scenarios: Vec<_> = scenario::all(sizes, args.quick)
        .into_iter()
        .filter(chosen)
        .collect();
    if scenarios.is_empty() {
        bail!("no scenario has such a name");
    }
    if let Some(path) = &args.markdown {
        // Before hours of measuring, not after.
        markdown::check(path)?;
    }
    let machine = machine::describe();
    println!("{machine}");
    let mut outcomes = Vec::new();
    for scenario in scenarios {
        let outcome = measure(args, &scenario)?;
        report::print(&outcome);
        outcomes.push(outcome);
    }
    let rows = goals::judge(&outcomes);
    report::print_summary(&rows);
    if let Some(path) = &args.json {
        let all = json!({ "machine": machine, "run": described(args), "scenarios": report::json(&outcomes) });
        std::fs::write(path, format!("{all:#}\n"))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    if let Some(path) = &args.markdown {
        let text = markdown::render(&machine, &described(args), &rows, &outcomes);
        markdown::put(path, &text)?;
    }
    Ok(())
}

/// What was compared, and how often.
fn described(args: &Args) -> Vec<String> {
    let edge = format!("Meridian at {}", args.commit);
    let yardstick = "bare quinn 0.11".to_owned();
    let peers = args.peer.iter().map(Peer::describe);
    let rounds = args.rounds.map_or("as usual".into(), |n| n.to_string());
    let how = format!("medians; rounds: {rounds}, of {} s each", seconds(args));
    [edge, yardstick]
        .into_iter()
        .chain(peers)
        .chain([how])
        .collect()
}

fn seconds(args: &Args) -> u64 {
    args.seconds.unwrap_or(if args.quick { 4 } else { 6 })
}

fn measure(args: &Args, scenario: &Scenario) -> Result<Outcome> {
    let targets = targets(args, scenario);
    let rounds = match (args.rounds, args.quick, scenario.act) {
        (Some(rounds), ..) => rounds,
        (None, true, _) | (None, _, Act::Throttled) => 1,
        (None, _, Act::Slow) => 5,
        (None, ..) => 3,
    };
    let mut runs = vec![Vec::new(); targets.len()];
    for round in 1..=rounds {
        for (target, runs) in targets.iter().zip(&mut runs) {
            eprintln!(
                "{} on {}, round {round} of {rounds}",
                scenario.name,
                target.name()
            );
            match load(target, scenario, seconds(args)) {
                Ok(figures) => runs.push(figures),
                Err(error) => eprintln!("  no figures: {error:#}"),
            }
        }
    }
    let by_target = targets.iter().zip(&runs);
    Ok(Outcome {
        scenario: scenario.clone(),
        by_target: by_target
            .map(|(target, runs)| (target.name(), Figures::medians(runs)))
            .collect(),
    })
}

fn targets(args: &Args, scenario: &Scenario) -> Vec<Target> {
    let bare = Target::Bare {
        mode: args.bare_mode.clone(),
    };
    let edge = |name: &str, program: &Path, workers| Target::Edge {
        name: name.to_owned(),
        program: program.to_owned(),
        workers,
    };
    let mut targets = vec![bare, edge(target::EDGE, &args.edge, None)];
    let more = |count: &usize| edge(&target::edge_with(*count), &args.edge, Some(*count));
    targets.extend(args.workers.iter().map(more));
    let other = args.other_edge.iter();
    targets.extend(other.map(|program| edge("other edge", program, None)));
    targets.extend(args.peer.iter().cloned().map(Target::Peer));
    targets.retain(|target| target.suits(scenario));
    targets
}

/// One run: a fresh target and a fresh load.
fn load(target: &Target, scenario: &Scenario, seconds: u64) -> Result<Figures> {
    let mut server = target.start()?;
    let itself = std::env::current_exe()?;
    let mut command = Command::new(Path::new(&itself));
    command.args(["load", "--dialect", &value_name(&target.dialect())]);
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
