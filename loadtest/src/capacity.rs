//! What one core of this tester can play: delegates as a rehearsal's, before a source with no edge in it, each process on a
//! core of its own.

mod door;
pub mod replay;
mod search;
mod table;

use crate::bench::process::{LOAD_CORE, RELAY_CORE, cpu, stay_on};
use crate::rehearsal::{Trial, Tried};
use crate::scenario::Scenario;
use anyhow::{Context as _, Result};
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
    #[arg(long)]
    delegates: Option<u32>,
    /// Last miles as scenarios name them, one after another; `perfect` has nothing to emulate. May be repeated.
    #[arg(long = "profile", value_name = "NAME", default_values = ["perfect", "fibre"])]
    profiles: Vec<String>,
    /// Seconds to measure when everybody is in.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
}

/// Measures and prints.
///
/// # Errors
/// There are no two cores, or no source.
pub fn run(args: &Args) -> Result<()> {
    let source = match &args.source {
        Some(file) => Source::told(file)?,
        None => Source::start()?,
    };
    stay_on(LOAD_CORE)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    println!("{}", table::HEAD);
    for profile in &args.profiles {
        let best = runtime.block_on(measure(args, &source, profile))?;
        match best {
            Some(best) => println!("{}\n", best.summary()),
            None => println!("{profile}: no audience was played as it should be\n"),
        }
    }
    Ok(())
}

/// Tries audiences; the largest that held.
async fn measure(args: &Args, source: &Source, profile: &str) -> Result<Option<Row>> {
    let mut search = Search::from(args.delegates.unwrap_or(FIRST));
    let mut best: Option<Row> = None;
    while let Some(delegates) = search.next() {
        let row = one(args.seconds, source, profile, delegates).await?;
        println!("{row}");
        search.note(delegates, row.holds(), row.load());
        if row.holds() && best.as_ref().is_none_or(|best| row.is_larger(best)) {
            best = Some(row);
        }
        if args.delegates.is_some() {
            break;
        }
    }
    Ok(best)
}

async fn one(seconds: u64, source: &Source, profile: &str, delegates: u32) -> Result<Row> {
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
    Ok(Row::new(profile, seconds, tried))
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
