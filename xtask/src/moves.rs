//! `cargo xtask moves`: people whose edge is killed, frozen, cut off or drained, and people elsewhere who should not
//! notice; the same with the origin, and with the origin and the control plane at once.
//!
//! A whole network runs as with `cargo xtask up`: a control plane, edges, emulated paths between every two of them, and
//! now also between delegates and edges. Somebody speaks at Bangkok; half of the delegates listen at the edge that
//! something happens to, the other half at another one.

mod account;
mod crowd;
mod outage;
mod rehearsal;
mod scenario;

use anyhow::{Result, ensure};

use self::{account::Account, scenario::Scenario};
use crate::{
    certs::Authority,
    priority::{Priority, go_first},
    setup::{self, Need},
    talk::{self, TalkSpec},
    up::{interrupt::Interrupt, table::Table, world},
    workspace,
};

/// What to rehearse.
#[derive(clap::Args)]
pub struct Args {
    /// Only scenarios whose names begin so, such as `edge` or `origin-killed`; may be repeated.
    #[arg(long)]
    only: Vec<String>,
    /// How often to play each of them, each time with a fresh network.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// How many delegates listen, half of them at the edge that something happens to.
    #[arg(long, default_value_t = 50)]
    delegates: u32,
    /// Instead: freeze etcd for so many seconds during a talk, then kill all replicas and an edge, then let all come back.
    #[arg(long, value_name = "SECONDS", conflicts_with_all = ["only", "rounds"])]
    outage: Option<u64>,
}

/// Plays the scenarios and prints a table.
///
/// # Errors
/// If something does not start, or audio was away for longer than allowed.
pub fn run(args: &Args) -> Result<()> {
    setup::ensure(&[Need::Build, Need::Protobuf, Need::Media, Need::Certificates])?;
    let authority = Authority::ensure(&workspace::made("certs")?)?;
    let talk = talk::ensure(&workspace::made("talk")?, &TalkSpec::default())?;
    world::build()?;
    go_first(Priority::RealTime);
    let interrupt = Interrupt::listen()?;
    if let Some(seconds) = args.outage {
        setup::ensure(&[Need::Etcd])?;
        let length = std::time::Duration::from_secs(seconds);
        return outage::play(&authority, &talk.video, args.delegates, length, &interrupt);
    }
    let is_wanted = |scenario: &&Scenario| {
        args.only.is_empty() || args.only.iter().any(|name| scenario.name.starts_with(name))
    };
    let wanted: Vec<_> = scenario::ALL.iter().filter(is_wanted).collect();
    ensure!(!wanted.is_empty(), "no scenario is called so");
    let mut table = Table::new(HEADING);
    let mut broken = Vec::new();
    for scenario in wanted {
        let mut account = Account::default();
        for round in 1..=args.rounds {
            eprintln!("{} {round}/{} …", scenario.name, args.rounds);
            let heard = rehearsal::play(
                scenario,
                &authority,
                &talk.video,
                args.delegates,
                &interrupt,
            )?;
            account.add(heard);
        }
        enter(&mut table, scenario, &account);
        broken.extend(account.broken(scenario));
    }
    say!("\n{}", table.to_string().trim_end());
    ensure!(broken.is_empty(), "{}", broken.join("; "));
    Ok(())
}

const HEADING: [&str; 10] = [
    "scenario",
    "delegates moved",
    "audio back ms p50",
    "p95",
    "worst",
    "allowed",
    "not back",
    "elsewhere: worst gap ms",
    "allowed",
    "publisher's own",
];

fn enter(table: &mut Table, scenario: &Scenario, account: &Account) {
    let ms = |value: Option<f64>| value.map_or("–".to_owned(), |ms| format!("{ms:.0}"));
    let moved = account.moved();
    table.row([
        scenario.name.to_owned(),
        moved.len().to_string(),
        ms(moved.at(0.5)),
        ms(moved.at(0.95)),
        ms(moved.at(1.0)),
        format!("{:.0}", scenario.allowed_ms()),
        account.lost().to_string(),
        ms(account.elsewhere().at(1.0)),
        ms(Some(account.allowed_elsewhere_ms())),
        ms(Some(account.publisher_ms())),
    ]);
}
