//! `cargo xtask links`: a conference over an emulated Bangkok–Geneva link, 158 ms there and back, 1 % lost each way,
//! 10 ms of jitter; by one link and by two, at several rates, with our congestion controller and others. And over a
//! last mile of 2 Mbit/s with a deep buffer.

mod case;
mod measurement;

use anyhow::{Result, ensure};

use self::{
    case::{Case, Demands, LONGEST_QUEUE_MS, MOST, ROUND_TRIP, Stretch},
    measurement::{Outcome, PathCounters},
};
use crate::{
    certs::Authority,
    priority::{Priority, go_first},
    setup::{self, Need},
    up::{table::Table, world},
    workspace,
};

/// What to measure.
#[derive(clap::Args)]
pub struct Args {
    /// Only cases whose names begin so, such as `one-link` or `client`; may be repeated.
    #[arg(long)]
    only: Vec<String>,
    /// Seconds to measure in each case; 25 are 12,500 audio frames.
    #[arg(long, default_value_t = 25)]
    seconds: u64,
    /// Fixes what the emulated paths lose and delay.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Measures and prints two tables.
///
/// # Errors
/// If something does not start, or our own controller misses a bound.
pub fn run(args: &Args) -> Result<()> {
    setup::ensure(&[Need::Build, Need::Protobuf, Need::Certificates])?;
    let authority = Authority::ensure(&workspace::made("certs")?)?;
    world::build()?;
    go_first(Priority::RealTime);
    let is_wanted = |case: &Case| {
        args.only.is_empty() || args.only.iter().any(|name| case.name.starts_with(name))
    };
    let cases: Vec<_> = Case::all().into_iter().filter(is_wanted).collect();
    ensure!(!cases.is_empty(), "no case is called so");
    say!("seed {}, {} s each", args.seed, args.seconds);
    let (mut audio, mut rest) = (Table::new(AUDIO), Table::new(REST));
    let mut faults = Vec::new();
    for case in &cases {
        eprintln!("{} …", case.name);
        let outcome = measurement::take(case, &authority, args.seconds, args.seed)?;
        enter(&mut audio, &mut rest, case, &outcome);
        faults.extend(judge(case, &outcome));
    }
    say!("\naudio\n{audio}\nvideo and path\n{rest}");
    ensure!(faults.is_empty(), "{}", faults.join("; "));
    Ok(())
}

const AUDIO: [&str; 13] = [
    "case",
    "frames",
    "lost",
    "on time %",
    "in 1 RTT %",
    "in 2 RTT %",
    "p50 ms",
    "p99",
    "p99.9",
    "max",
    "gap",
    "doubled",
    "altered",
];

const REST: [&str; 11] = [
    "case",
    "video frames",
    "lost",
    "p50 ms",
    "p99",
    "max",
    "path lost %",
    "queue full",
    "longest queue ms",
    "emulator late ms",
    "publisher late ms",
];

fn enter(audio: &mut Table, rest: &mut Table, case: &Case, outcome: &Outcome) {
    let ms = |value: f64| format!("{value:.1}");
    let heard = &outcome.audio;
    let share = |n: usize| {
        let is_meant = case.stretch != Stretch::LastMile;
        let known = heard.within.get(n).filter(|_| is_meant);
        known.map_or("-".to_owned(), |share| format!("{:.3}", share * 100.0))
    };
    audio.row([
        case.name.clone(),
        heard.sent.to_string(),
        heard.lost.to_string(),
        share(0),
        share(1),
        share(2),
        ms(heard.p50_ms),
        ms(heard.p99_ms),
        ms(heard.p999_ms),
        ms(heard.max_ms),
        ms(heard.gap_ms),
        (heard.doubled + outcome.video.doubled).to_string(),
        (heard.altered + outcome.video.altered).to_string(),
    ]);
    let (seen, path) = (&outcome.video, &outcome.path);
    rest.row([
        case.name.clone(),
        seen.sent.to_string(),
        seen.lost.to_string(),
        ms(seen.p50_ms),
        ms(seen.p99_ms),
        ms(seen.max_ms),
        format!("{:.2}", path.lost_share() * 100.0),
        path.dropped_queue.to_string(),
        queue_ms(case, path).map_or("-".to_owned(), ms),
        ms(path.late_us_max as f64 / 1e3),
        ms(outcome.publisher_late_ms),
    ]);
}

/// What misses its bound.
fn judge(case: &Case, outcome: &Outcome) -> Vec<String> {
    let (audio, video) = (&outcome.audio, &outcome.video);
    let mut faults = Vec::new();
    let (doubled, altered) = (audio.doubled + video.doubled, audio.altered + video.altered);
    if doubled + altered > 0 {
        faults.push(format!("{doubled} doubled, {altered} altered"));
    }
    if let Some(demands) = case.demands() {
        faults.extend(misses(case, &demands, outcome));
    }
    let named = faults.into_iter();
    named
        .map(|fault| format!("{}: {fault}", case.name))
        .collect()
}

fn misses(case: &Case, demands: &Demands, outcome: &Outcome) -> Vec<String> {
    let (audio, video, path) = (&outcome.audio, &outcome.video, &outcome.path);
    let mut faults = Vec::new();
    if audio.lost > 0 {
        faults.push(format!("{} audio frames never came", audio.lost));
    }
    if demands.has_room && video.lost > 0 {
        faults.push(format!("{} video frames never came", video.lost));
    }
    if let (Some(trips), [on_time, in_one, in_two]) = (demands.trips, &audio.within[..]) {
        let share = if trips == 1 { in_one } else { in_two };
        if *share < MOST {
            let percent = share * 100.0;
            faults.push(format!("{percent:.3} % of audio within {trips} RTT"));
        }
        // Late is what was lost itself, and it alone. Chance may hit twice as many frames as datagrams.
        if *on_time < 1.0 - 2.0 * path.lost_share() {
            faults.push(format!("{:.3} % of audio on time", on_time * 100.0));
        }
        let limit = 2.0 * ROUND_TRIP.as_secs_f64() * 1e3;
        if video.p99_ms > limit {
            faults.push(format!("video lags by {:.0} ms", video.p99_ms));
        }
    }
    if let (Stretch::LastMile, Some(queue)) = (case.stretch, queue_ms(case, path))
        && queue > LONGEST_QUEUE_MS
    {
        faults.push(format!("a queue of {queue:.0} ms"));
    }
    faults
}

/// The longest that anything waited for the line.
fn queue_ms(case: &Case, path: &PathCounters) -> Option<f64> {
    let rate = case.rate? as f64;
    Some(path.queue_bytes_max as f64 * 8e3 / rate)
}

#[cfg(test)]
mod tests {
    use super::{measurement::Account, *};

    fn case(name: &str) -> Case {
        let mut all = Case::all().into_iter();
        all.find(|case| case.name == name).unwrap()
    }

    fn outcome(within: [f64; 3], queue_bytes_max: u64) -> Outcome {
        Outcome {
            audio: Account {
                within: within.to_vec(),
                ..Account::default()
            },
            path: PathCounters {
                in_packets: 1000,
                dropped_loss: 10,
                queue_bytes_max,
                ..PathCounters::default()
            },
            ..Outcome::default()
        }
    }

    #[test]
    fn one_link_has_two_round_trips_and_two_links_have_one() {
        let usual = outcome([0.985, 0.986, 0.9995], 0);
        assert!(judge(&case("one-link"), &usual).is_empty());
        let faults = judge(&case("two-links"), &usual);
        assert_eq!(faults, ["two-links: 98.600 % of audio within 1 RTT"]);
        assert!(judge(&case("10-mbit-cubic"), &outcome([0.0; 3], 0)).is_empty());
    }

    #[test]
    fn frames_that_wait_for_a_lost_one_are_a_fault() {
        let faults = judge(&case("one-link"), &outcome([0.97, 0.99, 1.0], 0));
        assert_eq!(faults, ["one-link: 97.000 % of audio on time"]);
    }

    #[test]
    fn a_full_buffer_on_the_last_mile_is_a_fault() {
        let usual = case("client-fits-steady");
        assert!(judge(&usual, &outcome([0.0; 3], 40_000)).is_empty());
        assert_eq!(judge(&usual, &outcome([0.0; 3], 100_000)).len(), 1);
    }
}
