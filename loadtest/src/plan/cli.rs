//! `meridian-loadtest plan`.

use super::answer::answer;
use super::check::compare;
use super::costs::Costs;
use super::question::Question;
use super::text;
use super::world::World;
use crate::outcome::Outcome;
use crate::scenario::{Places, Scenario};
use anyhow::{Context, Result, anyhow};
use meridian_process::say;
use std::fs;
use std::path::{Path, PathBuf};

/// Works out how many edges of which size are needed where, what the links between them carry, and how late people hear:
/// from what was measured. Whatever is beyond measured sizes is said to be extrapolated.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Who comes, from where, and what they take (TOML; docs/load-testing.md).
    #[arg(value_name = "PLAN.toml", required_unless_present = "check")]
    question: Option<PathBuf>,
    /// So many people in all, in the file's proportions.
    #[arg(long, value_name = "PEOPLE", value_parser = clap::value_parser!(u64).range(1..=MOST_PEOPLE))]
    scale: Option<u64>,
    /// Offices: id,country,itu_region,kind,lat,lon; the ITU's if absent.
    #[arg(long, value_name = "CSV")]
    offices: Option<PathBuf>,
    /// Paths between them: from,to,planning_rtt_ms; the ITU's if absent.
    #[arg(long, value_name = "CSV")]
    rtts: Option<PathBuf>,
    /// What things cost on your machines (TOML), where that is not what was measured on ours.
    #[arg(long, value_name = "TOML")]
    costs: Option<PathBuf>,
    /// Beside a rehearsal: its outcome.json, and its scenario. Says what the model had said of each edge.
    #[arg(long, num_args = 2, value_names = ["OUTCOME.json", "SCENARIO.toml"])]
    check: Option<Vec<PathBuf>>,
    /// JSON instead of tables.
    #[arg(long)]
    json: bool,
}

/// Answers on standard output.
///
/// # Errors
/// What is wrong with a file, in words.
pub fn run(args: &Args) -> Result<()> {
    let costs = match &args.costs {
        Some(file) => toml::from_str(&read(file)?).with_context(|| file.display().to_string())?,
        None => Costs::default(),
    };
    let offices = args
        .offices
        .as_deref()
        .map_or(Ok(OFFICES.to_owned()), read)?;
    let rtts = args.rtts.as_deref().map_or(Ok(RTTS.to_owned()), read)?;
    if let Some([outcome, scenario]) = args.check.as_deref() {
        let outcome: Outcome =
            serde_json::from_str(&read(outcome)?).with_context(|| outcome.display().to_string())?;
        let scenario = Scenario::parse(&read(scenario)?, scenario)?;
        let places = places(&offices);
        let known = places.offices.keys().map(String::as_str);
        scenario
            .check_offices(known)
            .map_err(|error| anyhow!(error))?;
        let rows = compare(&scenario, &places, &outcome, &costs);
        return show(args.json, &rows, || text::compared(&rows));
    }
    let file = args.question.as_deref().context("PLAN.toml is missing")?;
    let mut question = Question::parse(&read(file)?, file).map_err(|error| anyhow!(error))?;
    if let Some(total) = args.scale {
        question = question.scaled(total);
    }
    let world = World::new(&offices, &rtts, &question.offices).map_err(|error| anyhow!(error))?;
    let found = answer(&question, &world, &costs).map_err(|error| anyhow!(error))?;
    show(args.json, &found, || text::answer(&found, &question.title))
}

fn show<T: serde::Serialize>(json: bool, value: &T, text: impl Fn() -> String) -> Result<()> {
    match json {
        true => say(serde_json::to_string_pretty(value)?),
        false => say(text().trim_end()),
    }
    Ok(())
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| file.display().to_string())
}

/// For the cast only the ids count: who lives near which office.
fn places(offices: &str) -> Places {
    let ids = offices
        .lines()
        .skip(1)
        .filter_map(|line| line.split(',').next());
    Places {
        offices: ids.map(|id| (id.to_owned(), Default::default())).collect(),
        ..Places::default()
    }
}

/// More than this nobody plans for.
const MOST_PEOPLE: u64 = 1_000_000_000;
const OFFICES: &str = include_str!("../../../data/offices.csv");
const RTTS: &str = include_str!("../../../data/rtt_ms.csv");
