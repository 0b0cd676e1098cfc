//! `cargo xtask faults`: Geneva killed, frozen and cut off while a talk crosses the world, with and without a standby.
//!
//! Bangkok speaks; Addis Ababa and Cairo listen, through Geneva and, with a standby, through New York as well. All are
//! processes of this machine; the paths between them are emulated with the delays of `data/rtt_ms.csv`.

pub(crate) mod account;
mod rehearsal;
mod scenario;

use anyhow::{Result, ensure};

use self::{
    account::{Heard, Outcome},
    scenario::Scenario,
};
use crate::{
    certs::Authority,
    priority::{Priority, go_first},
    setup::{self, Need},
    talk::{self, TalkSpec},
    up::{percent, table::Table, world},
    workspace,
};

/// What to rehearse.
#[derive(clap::Args)]
pub struct Args {
    /// Only scenarios whose names begin so, such as `killed` or `alone`; may be repeated.
    #[arg(long)]
    only: Vec<String>,
    /// How often to play each of them.
    #[arg(long, default_value_t = 1)]
    rounds: u32,
    /// Share of packets that each path between offices loses, as in `1%`.
    #[arg(long, default_value = "0%", value_parser = percent)]
    loss: f64,
    /// Fixes what the emulated paths do.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Plays the scenarios and prints a table.
///
/// # Errors
/// If something does not start, or audio was away for longer than allowed, or anything was lost that need not be,
/// doubled, altered or left behind.
pub fn run(args: &Args) -> Result<()> {
    setup::ensure(&[Need::Build, Need::Protobuf, Need::Media, Need::Certificates])?;
    let authority = Authority::ensure(&workspace::made("certs")?)?;
    let talk = talk::ensure(&workspace::made("talk")?, &TalkSpec::default())?;
    world::build()?;
    go_first(Priority::RealTime);
    let is_wanted = |scenario: &&Scenario| {
        args.only.is_empty() || args.only.iter().any(|name| scenario.name.starts_with(name))
    };
    let wanted: Vec<_> = scenario::ALL.iter().filter(is_wanted).collect();
    ensure!(!wanted.is_empty(), "no scenario is called so");
    say!("seed {}", args.seed);
    let mut table = Table::new(HEADING);
    let mut faults = Vec::new();
    for scenario in (0..args.rounds).flat_map(|_| &wanted) {
        eprintln!("{scenario} …");
        let outcome = rehearsal::play(scenario, &authority, &talk.video, (args.loss, args.seed))?;
        enter(&mut table, scenario, &outcome);
        faults.extend(judge(scenario, &outcome));
    }
    say!("\n{}", table.to_string().trim_end());
    ensure!(faults.is_empty(), "{}", faults.join("; "));
    Ok(())
}

const HEADING: [&str; 12] = [
    "scenario",
    "heard at",
    "audio gap ms",
    "allowed",
    "publisher's own",
    "audio lost",
    "video gap ms",
    "video lost",
    "doubled",
    "altered",
    "memory MiB",
    "left behind",
];

fn enter(table: &mut Table, scenario: &Scenario, outcome: &Outcome) {
    let (before, after) = outcome.left.memory;
    for heard in &outcome.heard {
        let bound = heard.bound_ms.map(|bound| format!("{bound:.0}"));
        table.row([
            scenario.name.to_owned(),
            heard.office.to_owned(),
            format!("{:.0}", heard.gap_ms),
            bound.unwrap_or_else(|| "measured".to_owned()),
            format!("{:.0}", outcome.publisher_gap_ms),
            heard.lost.to_string(),
            format!("{:.0}", heard.video_gap_ms),
            heard.video_lost.to_string(),
            heard.doubled.to_string(),
            heard.altered.to_string(),
            format!("{before:.1} → {after:.1}"),
            outcome.left.leftovers.len().to_string(),
        ]);
    }
}

/// What should not have happened.
fn judge(scenario: &Scenario, outcome: &Outcome) -> Vec<String> {
    let of_watcher = |heard: &Heard| {
        let at = format!("{scenario} at {}", heard.office);
        let mut faults = Vec::new();
        if let Some(bound) = heard.bound_ms {
            // What the publisher was late itself no path can make good.
            let (gap, own) = (heard.gap_ms, outcome.publisher_gap_ms);
            if gap - own > bound {
                faults.push(format!(
                    "{at}: no audio for {gap:.0} ms, {own:.0} of them the publisher's own, allowed {bound:.0}"
                ));
            }
            if heard.lost > 0 {
                faults.push(format!("{at}: {} audio frames lost", heard.lost));
            }
        }
        if heard.doubled + heard.altered > 0 {
            let (doubled, altered) = (heard.doubled, heard.altered);
            faults.push(format!("{at}: {doubled} doubled, {altered} altered"));
        }
        faults
    };
    let left = &outcome.left.leftovers;
    let left = left.iter().map(|what| format!("{scenario} left {what}"));
    outcome
        .heard
        .iter()
        .flat_map(of_watcher)
        .chain(left)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{account::Left, *};

    fn outcome(gap_ms: f64, bound_ms: Option<f64>, lost: u64) -> Outcome {
        Outcome {
            heard: vec![Heard {
                office: "cairo",
                gap_ms,
                bound_ms,
                video_gap_ms: 900.0,
                lost,
                video_lost: 20,
                doubled: 0,
                altered: 0,
            }],
            left: Left {
                leftovers: Vec::new(),
                memory: (9.0, 10.0),
            },
            publisher_gap_ms: 1.0,
        }
    }

    #[test]
    fn a_gap_counts_only_where_another_way_was_open() {
        let scenario = &scenario::ALL[1];
        assert!(judge(scenario, &outcome(100.0, Some(120.0), 0)).is_empty());
        assert!(judge(scenario, &outcome(121.0, Some(120.0), 0)).is_empty());
        assert_eq!(judge(scenario, &outcome(122.0, Some(120.0), 0)).len(), 1);
        assert_eq!(judge(scenario, &outcome(10.0, Some(120.0), 1)).len(), 1);
        assert!(judge(scenario, &outcome(4000.0, None, 150)).is_empty());
    }

    #[test]
    fn what_is_left_behind_is_a_fault() {
        let mut outcome = outcome(0.0, None, 0);
        outcome.left.leftovers.push("cairo: tracks 1".to_owned());
        let faults = judge(&scenario::ALL[0], &outcome);
        assert_eq!(faults, ["nothing-happens left cairo: tracks 1"]);
    }
}
