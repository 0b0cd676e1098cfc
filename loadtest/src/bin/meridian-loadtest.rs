//! `meridian-loadtest`: rehearses a meeting against a network, and says whether it would hold.

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use meridian_loadtest::agents::cli::{AgentArgs, CoordinatorArgs};
use meridian_loadtest::agents::{self, AgentsError, Lobby};
use meridian_loadtest::capacity::{self, replay};
use meridian_loadtest::outcome::Outcome;
use meridian_loadtest::plan;
use meridian_loadtest::rehearsal::{self, Given, Plan, Players, RehearsalError, Target};
use meridian_loadtest::report::{self, CompareArgs, live::Screen};
use meridian_loadtest::scenario::Scenario;
use meridian_process::exit::{self, Failure};
use meridian_process::say;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tokio::sync::watch;
use url::Url;

/// Rehearses meetings: simulated delegates who do what clients do, against a real network.
#[derive(Debug, Parser)]
#[command(name = "meridian-loadtest", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Plays a scenario, judges it and writes a report. Exits with 0 if all that was expected held, with 1 if not, or if
    /// this tester was too slow to say; with 64 if the scenario or a flag is wrong, with 69 if nobody answers.
    Run(Box<Run>),
    /// Plays its part of a rehearsal that `run --agents` holds, perhaps on another machine. Exits with 0 once what it has
    /// measured is delivered; with 64 if a flag is wrong or it is not let in, with 69 if no coordinator answers or it has gone,
    /// with 1 if it was dismissed or interrupted, or cannot play.
    Agent(AgentArgs),
    /// Lays two reports beside each other: what has changed from the first to the second.
    Compare(CompareArgs),
    /// Works out what a meeting needs: edges, machines, lines, and how late people will hear.
    Plan(plan::cli::Args),
    /// Measures this tester itself: how much one core of it receives of a source with no edge in it.
    Capacity(capacity::Args),
    /// Be that source: play audio to anybody who subscribes.
    Replay(replay::Args),
}

#[derive(Debug, Args)]
struct Run {
    /// What to play.
    scenario: PathBuf,
    /// Who describes the network and does things to it, as `cargo xtask loadtest` does.
    #[arg(long, value_name = "IP:PORT")]
    stage: Option<SocketAddr>,
    /// The control plane's replicas, as in https://10.0.0.1:8443; several with commas between.
    #[arg(long, value_delimiter = ',')]
    control: Vec<Url>,
    /// The authorities of its certificate (PEM).
    #[arg(long, value_name = "FILE")]
    control_ca: Option<PathBuf>,
    /// The authorities of edges' certificates, where the control plane names none (PEM).
    #[arg(long, value_name = "FILE")]
    edge_ca: Option<PathBuf>,
    /// An organiser's or operator's token.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Where offices are, as in data/offices.csv.
    #[arg(long, value_name = "FILE")]
    offices: Option<PathBuf>,
    /// How far from each other, as in data/rtt_ms.csv.
    #[arg(long, value_name = "FILE")]
    rtts: Option<PathBuf>,
    /// Threads that play delegates; 0: one for each core. Agents have their own.
    #[arg(long, default_value_t = 0, conflicts_with = "agents")]
    threads: usize,
    /// Where the report goes; target/meridian/loadtest/NAME-TIME if not given.
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    #[command(flatten)]
    agents: CoordinatorArgs,
}

fn main() -> ExitCode {
    meridian_session::tls::install_default();
    let cli: Cli = meridian_process::arguments();
    match cli.command {
        Command::Run(args) => run(&args),
        Command::Agent(args) => agent(&args),
        Command::Compare(args) => compare(&args),
        Command::Plan(args) => plan(&args),
        Command::Capacity(args) => meridian_process::end(NAME, capacity::run(&args)),
        Command::Replay(args) => {
            let failed = |error| Failure::new(exit::ExitCode::Failed, error);
            meridian_process::end(NAME, replay::run(&args).map_err(failed))
        }
    }
}

fn run(args: &Run) -> ExitCode {
    match on_a_runtime(rehearse(args)) {
        Ok(outcome) if outcome.holds() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(failed) => told(&failed),
    }
}

fn agent(args: &AgentArgs) -> ExitCode {
    match on_a_runtime(play(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => told(&failed),
    }
}

fn on_a_runtime<T>(work: impl Future<Output = Result<T, Failed>>) -> Result<T, Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.context("no runtime").map_err(|error| (1, error))?;
    let done = runtime.block_on(work);
    // Delegates that do not end are not waited for.
    runtime.shutdown_background();
    done
}

/// What to exit with, and why.
type Failed = (u8, anyhow::Error);

fn told((code, error): &Failed) -> ExitCode {
    eprintln!("meridian-loadtest: {error:#}");
    ExitCode::from(*code)
}

fn compare(args: &CompareArgs) -> ExitCode {
    match report::compare_files(args) {
        Ok(text) => {
            say(text.trim_end());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("meridian-loadtest: {error}");
            ExitCode::from(USAGE)
        }
    }
}

fn plan(args: &plan::cli::Args) -> ExitCode {
    match plan::cli::run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("meridian-loadtest: {error:#}");
            ExitCode::from(USAGE)
        }
    }
}

async fn rehearse(args: &Run) -> Result<Outcome, Failed> {
    let usage = |error| (USAGE, error);
    let file = &args.scenario;
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string());
    let text = text.map_err(usage)?;
    let scenario = Scenario::parse(&text, file).map_err(|error| usage(error.into()))?;
    let plan = Plan { scenario, text };
    let told = |error: RehearsalError| (error.exit_code(), error.into());
    let target = Target::open(&given(args)).await.map_err(told)?;
    let over = asked_to_end();
    let players = players(args, &plan, &target, over.clone()).await;
    let players = players.map_err(told)?;
    let mut screen = Screen::open();
    let show = |progress| screen.show(&progress);
    let outcome = rehearsal::run(&plan, &target, players, show, over).await;
    screen.close();
    let outcome = outcome.map_err(told)?;
    let folder = folder(args, &outcome);
    let written = report::write(&folder, &outcome);
    written
        .with_context(|| folder.display().to_string())
        .map_err(|error| (1, error))?;
    tell(&folder, &outcome);
    Ok(outcome)
}

/// This process, or agents once all are there.
async fn players(
    args: &Run,
    plan: &Plan,
    target: &Target,
    over: watch::Receiver<bool>,
) -> Result<Players, RehearsalError> {
    let Some(terms) = args.agents.terms()? else {
        return Ok(Players::Here(args.threads));
    };
    // Before anybody waits; without agents that is soon enough when it begins.
    target.check(&plan.scenario).await?;
    agents::check(&plan.text, target)?;
    let lobby = Lobby::open(terms).await?;
    let gathered = lobby.gather(|who| say(who), over).await;
    Ok(Players::Agents(gathered?))
}

async fn play(args: &AgentArgs) -> Result<(), Failed> {
    let told = |error: AgentsError| (error.exit_code(), error.into());
    let visit = args.visit().map_err(told)?;
    let attended = agents::attend(&visit, |how| say(how), asked_to_end());
    attended.await.map_err(told)
}

/// True once the user, or whoever started the program, wants it to end.
fn asked_to_end() -> watch::Receiver<bool> {
    let (end, over) = watch::channel(false);
    tokio::spawn(async move {
        meridian_client::link::stopped().await;
        end.send_replace(true);
        // Whoever asks twice does not want to wait.
        meridian_client::link::stopped().await;
        std::process::exit(130);
    });
    over
}

fn given(args: &Run) -> Given {
    Given {
        stage: args.stage,
        control: args.control.clone(),
        control_ca: args.control_ca.clone(),
        edge_ca: args.edge_ca.clone(),
        token_file: args.token_file.clone(),
        offices: args.offices.clone(),
        rtts: args.rtts.clone(),
    }
}

fn folder(args: &Run, outcome: &Outcome) -> PathBuf {
    let name = || format!("{}-{}", outcome.scenario, outcome.started_unix_ms / 1_000);
    let made = || Path::new("target/meridian/loadtest").join(name());
    args.out.clone().unwrap_or_else(made)
}

fn tell(folder: &Path, outcome: &Outcome) {
    for reason in &outcome.health.invalid_because {
        say(format_args!("invalid: {reason}"));
    }
    for judged in &outcome.verdict {
        let held = if judged.holds { "held" } else { "BROKEN" };
        say(format_args!(
            "{held:>6}  {}: {}",
            judged.expected, judged.said
        ));
    }
    for (why, count) in &outcome.failures {
        say(format_args!("failed {count}: {why}"));
    }
    say(folder.display());
}

const NAME: &str = "meridian-loadtest";
const USAGE: u8 = 64;
