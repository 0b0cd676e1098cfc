//! What one core of this tester can play: delegates as a rehearsal's, before a source with no edge in it, each process on a
//! core of its own.

mod door;
pub mod replay;
mod search;
mod table;

use crate::bench::process::{LOAD_CORE, RELAY_CORE, cpu, stay_on};
use crate::rehearsal::{Trial, Tried};
use crate::scenario::{Profile, Scenario};
use anyhow::{Context as _, Result};
use clap::builder::PossibleValuesParser;
use meridian_process::exit::{ExitCode, Failure};
use meridian_process::say;
use replay::Opening;
use search::Search;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use table::Row;

/// What to measure.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A source that runs elsewhere: the line that `meridian-loadtest replay` has printed, in a file. If not given, one is
    /// started on a core of its own.
    #[arg(long, value_name = "FILE")]
    source: Option<PathBuf>,
    /// Play so many delegates, once; if not given, the most there is room for are searched.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=i64::from(search::MOST)))]
    delegates: Option<u32>,
    /// Last miles as scenarios name them, one after another; `perfect` has nothing to emulate. May be repeated.
    #[arg(long = "profile", value_name = "NAME", default_values = ["perfect", "fibre"], value_parser = profiles())]
    profiles: Vec<String>,
    /// Seconds to measure when everybody is in.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
}

/// Every last mile that needs no scenario of its own, and the one that is made here.
fn profiles() -> PossibleValuesParser {
    PossibleValuesParser::new(["perfect"].into_iter().chain(Profile::KNOWN))
}

/// Measures and prints.
///
/// # Errors
/// There are no two cores, or no source; or nobody could be played as they should be, over one of the last miles.
pub fn run(args: &Args) -> Result<(), Failure> {
    let source = match &args.source {
        Some(file) => Source::told(file).map_err(|error| Failure::new(ExitCode::Usage, error))?,
        None => Source::start().map_err(failed)?,
    };
    let empty = each(args, &source).map_err(failed)?;
    match empty.is_empty() {
        true => Ok(()),
        false => Err(Failure::said(ExitCode::Failed, empty.join("; "))),
    }
}

fn failed(error: anyhow::Error) -> Failure {
    Failure::new(ExitCode::Failed, error)
}

/// Over each last mile; returned are those over which no audience held, and why.
fn each(args: &Args, source: &Source) -> Result<Vec<String>> {
    stay_on(LOAD_CORE)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    say(table::HEAD);
    let mut empty = Vec::new();
    for profile in &args.profiles {
        match runtime.block_on(measure(args, source, profile))? {
            Ok(best) => say(format_args!("{}\n", best.summary())),
            Err(why) => empty.push(format!(
                "{profile}: no audience was played as it should be: {why}"
            )),
        }
    }
    Ok(empty)
}

/// Tries audiences: the largest that held, or why the last of them did not.
async fn measure(args: &Args, source: &Source, profile: &str) -> Result<Result<Row, String>> {
    if let Some(delegates) = args.delegates {
        let (row, why) = one(args.seconds, source, profile, delegates).await?;
        return Ok(if row.holds() { Ok(row) } else { Err(why) });
    }
    let mut search = Search::from(FIRST);
    let mut best = Err("nobody was tried".to_owned());
    while let Some(delegates) = search.next() {
        let (row, why) = one(args.seconds, source, profile, delegates).await?;
        search.note(delegates, row.holds(), row.load());
        best = match best {
            Ok(best) if !row.holds() || !row.is_larger(&best) => Ok(best),
            Err(_) if !row.holds() => Err(why),
            _ => Ok(row),
        };
    }
    Ok(best)
}

/// Plays one audience and prints what came of it; with what was wrong with it, if anything was.
async fn one(
    seconds: u64,
    source: &Source,
    profile: &str,
    delegates: u32,
) -> Result<(Row, String)> {
    let joins = u64::from(delegates.div_ceil(JOINS_A_SECOND)).max(1);
    let window = (joins + REST_S, joins + REST_S + seconds);
    let text = scenario(profile, delegates, joins, window.1 + 1);
    let scenario = Scenario::parse(&text, Path::new("--profile"))?;
    let door = (
        source.opening.door.parse()?,
        source.opening.certificate.clone().into(),
    );
    let trial = Trial {
        scenario: &scenario,
        door,
        window,
    };
    let tried: Tried = trial.play(|| source.cpu()).await?;
    let why = faults(&tried);
    let row = Row::new(profile, seconds, tried);
    say(&row);
    Ok((row, why))
}

/// What was wrong, in words.
fn faults(tried: &Tried) -> String {
    let mut faults = Vec::new();
    let absent = tried.delegates - tried.joined;
    if absent > 0 {
        faults.push(format!("{absent} of {} heard nothing", tried.delegates));
    }
    if tried.lost + tried.wrong > 0 {
        let (lost, wrong) = (tried.lost, tried.wrong);
        faults.push(format!(
            "{lost} objects were lost, {wrong} came altered or again"
        ));
    }
    faults.extend(tried.invalid_because.iter().cloned());
    match faults.is_empty() {
        true => "objects waited for their turn in the tester, or none came".to_owned(),
        false => faults.join(", "),
    }
}

fn scenario(profile: &str, delegates: u32, joins_s: u64, length_s: u64) -> String {
    format!(
        r#"
        name = "capacity"
        title = "What the load tester can play"
        length = "{length_s}s"
        [[crowd]]
        name = "hall"
        count = {delegates}
        arrive = {{ kind = "ramp", over = "{joins_s}s" }}
        profile = {{ {profile} = 1 }}
        [profile.perfect]
        "#
    )
}

/// A source, and its process if it is ours.
struct Source {
    opening: Opening,
    process: Option<Running>,
}

impl Source {
    fn told(file: &Path) -> Result<Source> {
        let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
        let opening = serde_json::from_str(&text).with_context(|| file.display().to_string())?;
        Ok(Source {
            opening,
            process: None,
        })
    }

    fn start() -> Result<Source> {
        let program = std::env::current_exe().context("this program's own file")?;
        // A child starts where its parent's thread is.
        stay_on(RELAY_CORE)?;
        let mut process = Command::new(program)
            .args(["replay", "--listen", "127.0.0.1:0", "--tracks", "1"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("the source")?;
        let out = process.stdout.take();
        let process = Running(process);
        let mut line = String::new();
        if let Some(out) = out {
            BufReader::new(out).read_line(&mut line)?;
        }
        Ok(Source {
            opening: serde_json::from_str(&line).context("the source did not begin")?,
            process: Some(process),
        })
    }

    fn cpu(&self) -> Option<std::time::Duration> {
        cpu(self.process.as_ref()?.0.id()).ok()
    }
}

/// A process; killed when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // If it has ended already there is nothing to kill.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Delegates that every machine can play.
const FIRST: u32 = 200;
/// Few enough that those who are in do not notice.
const JOINS_A_SECOND: u32 = 100;
/// After the last was due, before it is measured.
const REST_S: u64 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_audience_that_did_not_hold_is_said_to_be_wrong_in_words() {
        let tried = Tried {
            delegates: 5,
            joined: 3,
            lost: 7,
            wrong: 1,
            invalid_because: vec!["the tester was late".to_owned()],
            ..Tried::default()
        };
        let said = faults(&tried);
        let says = "2 of 5 heard nothing, 7 objects were lost, 1 came altered or again, the tester was late";
        assert_eq!(said, says);
        assert!(faults(&Tried::default()).contains("waited for their turn"));
    }

    #[test]
    fn every_last_mile_that_may_be_named_is_one_that_is_known() {
        for name in Profile::KNOWN {
            assert!(Profile::known(name).is_some(), "{name}");
        }
        for name in ["perfect"].into_iter().chain(Profile::KNOWN) {
            let text = scenario(name, 1, 1, 5);
            Scenario::parse(&text, Path::new("capacity.toml")).expect(name);
        }
    }
}
