//! `cargo xtask up`: a network of offices joined by emulated wide-area paths, and a talk in it.
//!
//! The plan, a module each: certificates and the talk are made (`certs`, `talk`); `network` starts the control plane
//! (`control`, `etcd`), an edge for each office and the paths between every two (`wide`), as processes (`process`) at
//! addresses of their own (`addresses`); `meeting` invites a delegate at each office, and `stage` has one of them speak
//! and others watch; `figures` shows who was sent where, lag and load, `judge` what was received. `world` is the
//! smaller one of the other tasks: edges whose neighbours are written down.

pub mod addresses;
pub mod control;
pub mod etcd;
mod figures;
pub mod interrupt;
pub(crate) mod judge;
pub mod link;
pub mod meeting;
pub mod network;
pub mod office;
pub mod offices;
pub mod process;
mod stage;
pub mod table;
pub mod tree;
pub mod verify;
pub mod wide;
pub mod world;

use std::{
    io::{IsTerminal, Write},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Result, bail, ensure};

use self::{
    control::Store,
    figures::Figures,
    interrupt::Interrupt,
    network::Plan,
    offices::Site,
    process::Event,
    stage::{Cast, Stage},
};
use crate::{
    certs::Authority,
    priority::{Priority, go_first},
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
    /// Check at the end that people were sent to their own office, and that what they recorded is whole; exit with 1 if
    /// not.
    #[arg(long, requires = "length")]
    verify: bool,
    /// After the talk, leave the network running until Ctrl-C.
    #[arg(long)]
    keep: bool,
    /// Which offices, as in `geneva,bangkok,cairo`, the root first; all fifteen if not said.
    #[arg(long, value_delimiter = ',')]
    offices: Vec<String>,
    /// Where the talk is given.
    #[arg(long, value_name = "OFFICE", default_value = "bangkok")]
    speaker: String,
    /// Where it is watched; at some offices near and far if not said.
    #[arg(long, value_name = "OFFICES", value_delimiter = ',')]
    watchers: Vec<String>,
    /// Where the control plane keeps its state.
    #[arg(long, value_enum, default_value_t)]
    store: Store,
    /// How many replicas of the control plane; 1, and 3 with etcd, if not said.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=9))]
    replicas: Option<u8>,
    /// Share of packets that each path between offices loses, as in `1%`.
    #[arg(long, default_value = "0%", value_parser = percent)]
    loss: f64,
    /// How much the delay of each path between offices varies, in milliseconds.
    #[arg(long, default_value_t = 0)]
    jitter: u64,
    /// Only make the certificates and the talk.
    #[arg(long)]
    prepare: bool,
}

/// Runs the network and the talk.
///
/// # Errors
/// If a program is missing or fails, or `--verify` finds something that is not as it should be.
pub fn run(args: &Args) -> Result<()> {
    let (plan, cast) = args.plan()?;
    setup::ensure(&[Need::Build, Need::Protobuf, Need::Media, Need::Certificates])?;
    if args.store == Store::Etcd {
        setup::ensure(&[Need::Etcd])?;
    }
    let authority = Authority::ensure(&workspace::made("certs")?)?;
    let talk = talk::ensure(&workspace::made("talk")?, &TalkSpec::default())?;
    if args.prepare {
        say!("certificates: {}", authority.certificate().display());
        say!("talk: {}", talk.video.display());
        return Ok(());
    }
    world::build()?;
    // Half a second's silence is a failure to edges and clients: they must not wait for a compiler next door.
    go_first(Priority::RealTime);
    let interrupt = Interrupt::listen()?;
    let begun = Instant::now();
    let mut stage = Stage::set(&authority, &plan, cast, &interrupt)?;
    say!(
        "\n{}",
        stage
            .network
            .control
            .show(&["topology", "show", "--no-colour"])?
            .trim_end()
    );
    say!(
        "\nAll of it runs after {:.1} s.",
        begun.elapsed().as_secs_f64()
    );
    introduce(&stage);
    let figures = perform(&mut stage, &talk.video, args.length, &interrupt)?;
    if args.verify {
        judge::placements(&stage, &figures, &interrupt)?;
        judge::recordings(&stage, &figures)?;
    }
    if args.keep && !interrupt.asked() {
        say!("The talk is over. The network runs on until Ctrl-C.");
        stay(&mut stage, &interrupt)?;
    }
    Ok(())
}

impl Args {
    fn plan(&self) -> Result<(Plan, Cast)> {
        let all = Site::all()?;
        let known = |id: &String| {
            let site = all.iter().find(|site| site.id == *id);
            site.cloned().ok_or_else(|| {
                let ids: Vec<_> = all.iter().map(|site| site.id.as_str()).collect();
                anyhow::anyhow!("there is no office `{id}`; there are {}", ids.join(", "))
            })
        };
        let sites = match self.offices.is_empty() {
            true => all.clone(),
            false => self.offices.iter().map(known).collect::<Result<Vec<_>>>()?,
        };
        ensure!(sites.len() >= 2, "a network has at least two offices");
        for (n, site) in sites.iter().enumerate() {
            ensure!(!sites[..n].contains(site), "{} is there twice", site.id);
        }
        let replicas = match (self.store, self.replicas) {
            (Store::Embedded, Some(2..)) => {
                bail!("one replica alone can use the embedded store; add --store etcd")
            }
            (Store::Embedded, _) => 1,
            (Store::Etcd, asked) => asked.unwrap_or(3),
        };
        let cast = self.cast(&sites)?;
        let jitter = Duration::from_millis(self.jitter);
        let (store, loss, seed) = (self.store, self.loss, 1);
        let plan = Plan {
            sites,
            store,
            replicas,
            pace: None,
            clients: None,
            loss,
            jitter,
            seed,
        };
        Ok((plan, cast))
    }

    fn cast(&self, sites: &[Site]) -> Result<Cast> {
        let is_there = |office: &str| sites.iter().any(|site| site.id == office);
        let speaker = self.speaker.clone();
        ensure!(
            is_there(&speaker),
            "the talk is to be given at {speaker}, which is not among the offices: choose another with --speaker"
        );
        let mut watchers = self.watchers.clone();
        if watchers.is_empty() {
            let usual = WATCHERS.into_iter().filter(|office| is_there(office));
            watchers = usual.map(str::to_owned).collect();
        }
        if watchers.is_empty() {
            let others = sites.iter().map(|site| site.id.clone());
            watchers = others.filter(|office| *office != speaker).take(1).collect();
        }
        for (n, office) in watchers.iter().enumerate() {
            ensure!(
                is_there(office),
                "{office} is not among the offices: it has no watcher"
            );
            ensure!(
                !watchers[..n].contains(office),
                "one delegate watches at {office}"
            );
            ensure!(
                *office != speaker,
                "the delegate at {office} speaks and does not watch"
            );
        }
        Ok(Cast { speaker, watchers })
    }
}

/// Says what runs, and how to look at it from another terminal.
fn introduce(stage: &Stage) {
    let (network, built) = (&stage.network, workspace::target().join("release"));
    let watchers = stage.cast.watchers.iter().map(|office| stage.city(office));
    let watchers: Vec<_> = watchers.collect();
    say!(
        "The delegate at {} speaks; those at {} watch.",
        stage.city(&stage.cast.speaker),
        watchers.join(", ")
    );
    say!("\nControl plane: {}", network.control.urls.join(" "));
    say!(
        "Logs, configurations, recordings: {}",
        network.folder.display()
    );
    say!("To look around, in another terminal:\n");
    say!("  export PATH={}:$PATH", built.display());
    say!(
        "  export MERIDIAN_CTL_CONFIG={}",
        network.control.settings.display()
    );
    say!("  meridianctl status");
    say!("  meridianctl topology show --watch");
    say!("  meridianctl roster {}", meeting::ID);
    for office in stage.cast.watchers.iter().take(1) {
        say!(
            "  meridianctl why {} {}",
            meeting::ID,
            meeting::delegate(office)
        );
        say!("  meridianctl edges drain {office}");
    }
    say!("  meridianctl delegates invite {}", meeting::ID);
}

/// Plays the talk, shows how it goes, and shows the end.
fn perform(
    stage: &mut Stage,
    talk: &Path,
    length: Option<Duration>,
    interrupt: &Interrupt,
) -> Result<Figures> {
    stage.play(talk, length)?;
    let figures = follow(stage, length, interrupt)?;
    show(stage, &figures, false);
    for who in stage.clients() {
        ensure!(
            figures.summary(&who).is_some() || interrupt.asked(),
            "{who} has ended too early{}",
            stage.network.supervisor.last_words(&who)
        );
    }
    Ok(figures)
}

/// Shows how the talk goes until it has ended.
fn follow(stage: &mut Stage, length: Option<Duration>, interrupt: &Interrupt) -> Result<Figures> {
    let mut figures = Figures::default();
    let clients = stage.clients();
    let mut next_table = Instant::now() + FIRST_TABLE;
    let patience = length.map(|length| Instant::now() + length + LATEST_END);
    loop {
        if interrupt.asked() {
            stage.stop_clients();
            return Ok(figures);
        }
        match stage.network.supervisor.next_event(A_MOMENT) {
            Some(Event::Said(who, line)) => figures.heard(who, line),
            Some(Event::Ended(who)) if clients.contains(&who) => figures.ended(who),
            Some(Event::Ended(who)) => return Err(ended_by_itself(stage, &who)),
            None => {}
        }
        if clients.iter().all(|who| figures.has_ended(who)) {
            return Ok(figures);
        }
        if patience.is_some_and(|at| Instant::now() > at) {
            bail!(
                "the talk does not end; see {}",
                stage.network.folder.display()
            );
        }
        if Instant::now() >= next_table {
            next_table = Instant::now() + TABLE_EVERY;
            figures.measure(stage);
            show(stage, &figures, true);
        }
    }
}

/// Waits for Ctrl-C.
fn stay(stage: &mut Stage, interrupt: &Interrupt) -> Result<()> {
    while !interrupt.asked() {
        if let Some(Event::Ended(who)) = stage.network.supervisor.next_event(A_MOMENT) {
            return Err(ended_by_itself(stage, &who));
        }
    }
    Ok(())
}

fn ended_by_itself(stage: &Stage, who: &str) -> anyhow::Error {
    let log = stage.network.supervisor.log(who);
    anyhow::anyhow!("{who} has ended by itself; see {}", log.display())
}

/// Prints the tables; on a terminal that has room for them the next ones take their place.
fn show(stage: &Stage, figures: &Figures, more_follows: bool) {
    let (edges, watchers) = (figures.edges(stage), figures.watchers(stage));
    let page = format!("\n{edges}{}\n\n{watchers}", figures.load(stage));
    let mut out = std::io::stdout();
    let height = page.lines().count();
    let has_room =
        rustix::termios::tcgetwinsize(&out).is_ok_and(|size| usize::from(size.ws_row) > height);
    // A closed standard output shows nothing, and that is all it does.
    let _ = write!(out, "{page}");
    if more_follows && out.is_terminal() && has_room {
        let _ = write!(out, "\x1b[{height}A");
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

const A_MOMENT: Duration = Duration::from_millis(200);

/// Who watches if nothing is said: at the root, beyond it, beside the speaker, and across an ocean.
const WATCHERS: [&str; 4] = ["geneva", "addis-ababa", "jakarta", "brasilia"];

/// How long after its time the talk may take to start, and its files to be finished.
const LATEST_END: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn plan(line: &str) -> Result<(Plan, Cast)> {
        let words = ["up"].into_iter().chain(line.split_whitespace());
        Line::try_parse_from(words)?.args.plan()
    }

    #[test]
    fn all_offices_take_part_and_some_watch_if_nothing_is_said() {
        let (plan, cast) = plan("").unwrap();
        assert_eq!((plan.sites.len(), plan.replicas), (15, 1));
        assert_eq!(plan.sites[0].id, "geneva");
        assert_eq!(
            (cast.speaker.as_str(), cast.watchers.len()),
            ("bangkok", WATCHERS.len())
        );
    }

    #[test]
    fn who_watches_is_at_an_office_that_is_there() {
        let watchers = |line: &str| plan(line).unwrap().1.watchers;
        assert_eq!(watchers("--offices geneva,bangkok,cairo"), ["geneva"]);
        assert_eq!(watchers("--offices cairo,bangkok,dakar"), ["cairo"]);
        assert_eq!(
            watchers("--watchers moscow,santiago"),
            ["moscow", "santiago"]
        );
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_to_do() {
        let refused = |line: &str| plan(line).map(drop).unwrap_err().to_string();
        assert!(refused("--offices geneva,atlantis").contains("new-delhi"));
        assert!(refused("--offices geneva,cairo").contains("--speaker"));
        assert!(refused("--offices geneva").contains("at least two"));
        assert!(refused("--offices geneva,bangkok,geneva").contains("twice"));
        assert!(refused("--watchers bangkok").contains("speaks"));
        assert!(refused("--replicas 3").contains("--store etcd"));
        assert_eq!(plan("--store etcd").unwrap().0.replicas, 3);
    }
}
