//! `cargo xtask up`: a talk across offices joined by emulated wide-area links.
//!
//! The plan, a module each: certificates and the talk are made (`certs`, `talk`); `process` starts
//! edges, links and clients and reads the JSON lines they print; `link` places an emulated path,
//! with the delays `offices` reads, between two edges; `table` prints lag, loss and CPU hop by hop
//! beside the speed-of-light floor; `verify` judges what was received.

mod figures;
pub mod interrupt;
pub(crate) mod judge;
pub mod link;
pub mod office;
pub mod offices;
pub mod process;
mod stage;
pub mod table;
pub mod verify;
pub mod world;

use std::{
    io::{IsTerminal, Write},
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

use self::{figures::Figures, interrupt::Interrupt, process::Event, stage::Stage};
use crate::{
    certs::Authority,
    setup::{self, Need},
    talk::{self, TalkSpec},
    workspace,
};

/// How to run the talk.
#[derive(clap::Args)]
pub struct Args {
    /// End after this many seconds, as in `20s`; without it the talk goes on until Ctrl-C.
    #[arg(long = "for", value_name = "TIME", value_parser = seconds)]
    length: Option<Duration>,
    /// Check at the end that the files written at the far offices are whole; exit with 1 if not.
    #[arg(long, requires = "length")]
    verify: bool,
    /// Share of packets that each wide-area link loses, as in `1%`.
    #[arg(long, default_value = "0%", value_parser = percent)]
    loss: f64,
    /// How much the delay of each wide-area link varies, in milliseconds.
    #[arg(long, default_value_t = 0)]
    jitter: u64,
    /// Only make the certificates and the talk.
    #[arg(long)]
    prepare: bool,
}

/// Runs the talk across three offices.
///
/// # Errors
/// If a program is missing or fails, or `--verify` finds a file that is not what was sent.
pub fn run(args: &Args) -> Result<()> {
    setup::ensure(&[Need::Build, Need::Media, Need::Certificates])?;
    let authority = Authority::ensure(&workspace::made("certs")?)?;
    let talk = talk::ensure(&workspace::made("talk")?, &TalkSpec::default())?;
    if args.prepare {
        say!("certificates: {}", authority.certificate().display());
        say!("talk: {}", talk.video.display());
        return Ok(());
    }
    world::build()?;
    let interrupt = Interrupt::listen()?;
    let mut stage = Stage::set(&authority, args.loss, Duration::from_millis(args.jitter))?;
    stage.play(&talk.video, args.length)?;
    say!("Publishing at Bangkok; watching at Geneva and at Addis Ababa.");
    say!("Recordings and logs: {}", stage.world.folder.display());
    let figures = follow(&mut stage, args.length, &interrupt)?;
    show(&figures, false);
    if args.verify {
        judge::recordings(&stage, &figures)?;
    }
    Ok(())
}

/// Shows how the talk goes until it has ended.
fn follow(stage: &mut Stage, length: Option<Duration>, interrupt: &Interrupt) -> Result<Figures> {
    let mut figures = Figures::default();
    let mut next_table = Instant::now() + FIRST_TABLE;
    let patience = length.map(|length| Instant::now() + length + LATEST_END);
    loop {
        if interrupt.asked() {
            stage.stop_clients();
            return Ok(figures);
        }
        match stage
            .world
            .supervisor
            .next_event(Duration::from_millis(200))
        {
            Some(Event::Said(who, line)) => figures.heard(who, line),
            Some(Event::Ended(who)) if stage::CLIENTS.contains(&who.as_str()) => figures.ended(who),
            Some(Event::Ended(who)) => {
                bail!(
                    "{who} has ended by itself; see {}",
                    stage.world.supervisor.log(&who).display()
                );
            }
            None => {}
        }
        if stage::CLIENTS.iter().all(|who| figures.has_ended(who)) {
            return Ok(figures);
        }
        if patience.is_some_and(|at| Instant::now() > at) {
            bail!(
                "the talk does not end; see {}",
                stage.world.folder.display()
            );
        }
        if Instant::now() >= next_table {
            next_table += TABLE_EVERY;
            figures.measure(stage);
            show(&figures, true);
        }
    }
}

/// Prints the table; on a terminal the next one takes its place.
fn show(figures: &Figures, more_follows: bool) {
    let table = figures.table().to_string();
    let mut out = std::io::stdout();
    // A closed standard output shows nothing, and that is all it does.
    let _ = write!(out, "\n{table}");
    if more_follows && out.is_terminal() {
        let _ = write!(out, "\x1b[{}A", table.lines().count() + 1);
    }
    let _ = out.flush();
}

/// `20s` or `20`.
fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.strip_suffix('s').unwrap_or(text);
    let seconds = number
        .parse()
        .map_err(|_| format!("'{text}' is no time; try 20s"))?;
    Ok(Duration::from_secs(seconds))
}

/// `1%` or `0.5%`, at most 50.
pub(crate) fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).parse::<f64>();
    match number {
        Ok(number) if (0.0..=50.0).contains(&number) => Ok(number / 100.0),
        _ => Err(format!("'{text}' is no share between 0% and 50%")),
    }
}

/// By then everybody has said something.
const FIRST_TABLE: Duration = Duration::from_secs(3);

const TABLE_EVERY: Duration = Duration::from_secs(2);

/// How long after its time the talk may take to start, and its files to be finished.
const LATEST_END: Duration = Duration::from_secs(30);
