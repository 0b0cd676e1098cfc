//! The state store away for minutes, then all of the control plane and an edge, then everything back.

use std::{
    fs,
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use rustix::process::Signal;

use super::{
    crowd::{Crowd, Fared, LastMiles},
    rehearsal::{invite, publisher_gap_ms, raise, speak},
    scenario::{EDGE, ELSEWHERE, SPEAKER},
};
use crate::{
    certs::Authority,
    up::{
        control::{self, Store},
        etcd,
        interrupt::Interrupt,
        meeting::{self, Meeting},
        network::Network,
    },
};

/// Replicas of the control plane, and members of etcd.
const EACH: u8 = 3;
/// Audio that is not disturbed has no gap longer than this, in ms, beyond what the publisher was late: what players buffer
/// on a machine that does other things for minutes.
const UNDISTURBED_MS: f64 = 150.0;
/// What happens to an edge is over by then.
const AFTERWARDS: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(90);

/// Plays it, and says what was heard.
pub(super) fn play(
    authority: &Authority,
    talk: &Path,
    delegates: u32,
    length: Duration,
    interrupt: &Interrupt,
) -> Result<()> {
    let mut network = raise(authority, (Store::Etcd, EACH), interrupt)?;
    let crowds = gather(&mut network, talk, delegates, interrupt)?;
    signal_all(&network, etcd::NAME, Signal::STOP)?;
    say!("etcd is frozen for {} s.", length.as_secs());
    let until = Instant::now() + length;
    while Instant::now() < until {
        interrupt.check()?;
        sleep(Duration::from_millis(500));
    }
    signal_all(&network, control::NAME, Signal::KILL)?;
    sleep(AFTERWARDS);
    let meanwhile = heard(&crowds, &mut network)?;
    let missing: u64 = meanwhile.iter().map(|one| one.missing).sum();
    let mut gaps: Vec<_> = meanwhile.iter().map(|one| one.gap_ms).collect();
    say!(
        "Audio meanwhile, and after all replicas were killed: {missing} frames missing, longest gap {:.0} ms.",
        worst(&gaps)
    );
    for crowd in &crowds {
        crowd.mark(&mut network, "edge killed")?;
    }
    network.supervisor.signal(EDGE, Signal::KILL)?;
    sleep(AFTERWARDS);
    let after = heard(&crowds, &mut network)?;
    let after: Vec<_> = after.iter().map(|one| one.gap_ms).collect();
    say!(
        "An edge killed then: whoever was there has audio again after at most {:.0} ms, by the token.",
        worst(&after)
    );
    come_back(&mut network, interrupt)?;
    let wrongly = wrongly_gone(&network)?;
    let own = publisher_gap_ms(&mut network)?;
    gaps.extend(after.iter().filter(|gap| gap.is_none()));
    ensure!(
        wrongly.is_empty(),
        "declared gone wrongly: {}",
        wrongly.join("; ")
    );
    judge(&gaps, &after, own)?;
    say!(
        "Everything is back by itself, and no edge was declared gone wrongly. The publisher itself was late by {own:.0} ms at most."
    );
    Ok(())
}

/// People at both places, who listen from now on.
fn gather(
    network: &mut Network,
    talk: &Path,
    delegates: u32,
    interrupt: &Interrupt,
) -> Result<Vec<Crowd>> {
    let meeting = Meeting::hold(network, &[SPEAKER.to_owned()], interrupt)?;
    let miles = LastMiles::start(network, &[EDGE, ELSEWHERE])?;
    speak(network, &meeting, talk)?;
    let namespace = meeting::namespace(SPEAKER);
    let mut crowds = Vec::new();
    for place in [EDGE, ELSEWHERE] {
        let invited = invite(network, place, delegates / 2)?;
        let crowd = Crowd::start(network, &miles, place, &invited, &namespace)?;
        crowds.push(crowd);
    }
    for crowd in &crowds {
        crowd.wait_until_listening(network)?;
        crowd.mark(network, "outage")?;
    }
    Ok(crowds)
}

/// Whether everybody heard enough: all the time, and after the edge was killed.
fn judge(gaps: &[Option<f64>], after: &[Option<f64>], publisher_ms: f64) -> Result<()> {
    ensure!(
        gaps.iter().all(Option::is_some),
        "somebody has no audio any more"
    );
    ensure!(
        worst(after) <= 2_000.0,
        "audio was away for {:.0} ms",
        worst(after)
    );
    let disturbed = (worst(gaps) - publisher_ms).max(0.0);
    ensure!(
        disturbed <= UNDISTURBED_MS,
        "{disturbed:.0} ms without audio while only the control plane was away"
    );
    Ok(())
}

fn signal_all(network: &Network, name: &str, signal: Signal) -> Result<()> {
    (1..=EACH).try_for_each(|n| network.supervisor.signal(&format!("{name}-{n}"), signal))
}

/// How all of them fared since the mark.
fn heard(crowds: &[Crowd], network: &mut Network) -> Result<Vec<Fared>> {
    let mut all = Vec::new();
    for crowd in crowds {
        all.extend(crowd.report(network)?);
    }
    Ok(all)
}

fn worst(gaps: &[Option<f64>]) -> f64 {
    gaps.iter().flatten().copied().fold(0.0, f64::max)
}

/// Lets etcd go on, starts replicas and the edge again, and waits until every edge uses what the control plane says.
fn come_back(network: &mut Network, interrupt: &Interrupt) -> Result<()> {
    signal_all(network, etcd::NAME, Signal::CONT)?;
    let begun = Instant::now();
    for n in 1..=EACH {
        let name = format!("{}-{n}", control::NAME);
        network.supervisor.restart(&name)?;
    }
    network.supervisor.restart(EDGE)?;
    loop {
        interrupt.check()?;
        let outside: Vec<String> = match network.tree() {
            Ok(tree) => tree
                .outside(network.offices())
                .into_iter()
                .map(str::to_owned)
                .collect(),
            // Nobody answers yet.
            Err(error) => vec![error.to_string()],
        };
        if outside.is_empty() {
            say!(
                "All edges use what the control plane says again {:.1} s after it came back.",
                begun.elapsed().as_secs_f64()
            );
            return Ok(());
        }
        ensure!(
            begun.elapsed() < PATIENCE,
            "not back: {}",
            outside.join(", ")
        );
        sleep(Duration::from_millis(250));
    }
}

/// What replicas have said of edges that are gone, but for the one that was.
fn wrongly_gone(network: &Network) -> Result<Vec<String>> {
    let mut wrongly = Vec::new();
    for n in 1..=EACH {
        let log = network.supervisor.log(&format!("{}-{n}", control::NAME));
        let text = fs::read_to_string(&log).unwrap_or_default();
        let gone = text
            .lines()
            .filter(|line| line.contains("change=Gone") && !line.contains(EDGE));
        wrongly.extend(gone.map(str::to_owned));
    }
    Ok(wrongly)
}
