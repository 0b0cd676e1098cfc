//! The goals, and whether the edge holds them: against numbers, against the yardstick, and against the best peer of the
//! same run.

mod list;

use self::list::GOALS;
use super::scenario::{Act, Scenario};
use super::shape::Shape;
use super::suite::Outcome;
use super::target::{self, BARE, EDGE};
use std::fmt;

/// A goal and what came of it, ready to be shown.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) what: &'static str,
    pub(super) goal: String,
    pub(super) figure: String,
    pub(super) verdict: Verdict,
    /// Times the yardstick's.
    pub(super) to_bare: Option<f64>,
    /// Times the best peer's, and whose that is.
    pub(super) to_peer: Option<(f64, String)>,
}

/// Whether a goal is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Held,
    Broken,
    /// Nothing to tell it by; why.
    Open(&'static str),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Held => f.write_str("held"),
            Verdict::Broken => f.write_str("BROKEN"),
            Verdict::Open(why) => f.write_str(why),
        }
    }
}

struct Goal {
    what: &'static str,
    figure: Figure,
    unit: &'static str,
    bounds: &'static [Bound],
}

/// Where a figure is found.
#[derive(Clone, Copy)]
enum Figure {
    /// In a scenario, by name.
    Of(&'static str, &'static str),
    /// The same as a multiple of the edge's, for an edge of two workers.
    TwoWorkers(&'static str, &'static str),
    /// Objects a second of the largest audience that got everything, with its p99 lag below [`SUSTAINED_MS`].
    Sustained,
}

#[derive(Clone, Copy)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
    TimesBare(f64),
    /// The best peer's is at least so many times as much.
    BelowPeers(f64),
}

/// What was read, and whether everything that belongs to it was delivered.
#[derive(Clone, Copy)]
struct Reading {
    value: f64,
    is_whole: bool,
}

const CPU: &str = "cpu_us_per_object";
const SUSTAINED: f64 = 50_000.0;
const SUSTAINED_MS: f64 = 50.0;
/// Less than this was not everything. One object in ten thousand may be on its way when the time is up.
const EVERYTHING: f64 = 0.9999;

/// Every goal, in order, also those that nothing was measured for.
pub(super) fn judge(outcomes: &[Outcome]) -> Vec<Row> {
    GOALS.iter().map(|goal| goal.judge(outcomes)).collect()
}

/// Whether a goal is judged by it.
pub(super) fn need(scenario: &Scenario) -> bool {
    GOALS.iter().any(|goal| match goal.figure {
        Figure::Of(name, _) | Figure::TwoWorkers(name, _) => scenario.name == name,
        Figure::Sustained => is_sustaining(scenario) && rate(scenario) >= SUSTAINED,
    })
}

impl Goal {
    fn judge(&self, outcomes: &[Outcome]) -> Row {
        let edge = self.figure.read(outcomes, EDGE);
        let bare = self.figure.read(outcomes, BARE).map(|bare| bare.value);
        let peer = self.best_peer(outcomes);
        let times = |of: f64| edge.map(|edge| edge.value / of);
        Row {
            what: self.what,
            goal: self.goal(),
            figure: edge.map_or("-".into(), |edge| self.show(edge)),
            verdict: self.verdict(edge, bare, peer.as_ref().map(|(value, _)| *value)),
            to_bare: bare
                .filter(|bare| *bare > 0.0 && self.compares())
                .and_then(times),
            to_peer: peer.and_then(|(value, name)| Some((times(value)?, name))),
        }
    }

    /// Ratios of what may be negative, or is one already, say nothing.
    fn compares(&self) -> bool {
        match self.figure {
            Figure::Of(_, key) => !key.starts_with("lag_beyond"),
            Figure::TwoWorkers(..) => false,
            Figure::Sustained => true,
        }
    }

    fn goal(&self) -> String {
        let bounds = self.bounds.iter().map(|bound| match bound {
            Bound::AtMost(most) => format!("≤ {most} {}", self.unit),
            Bound::AtLeast(least) => format!("≥ {least} {}", self.unit),
            Bound::TimesBare(times) => format!("≤ {times} × bare quinn"),
            Bound::BelowPeers(times) => format!("the best peer ≥ {times} × as much"),
        });
        bounds.collect::<Vec<_>>().join("; ")
    }

    fn show(&self, reading: Reading) -> String {
        let Reading { value, is_whole } = reading;
        let missing = if is_whole { "" } else { ", not all delivered" };
        let digits = if value.abs() >= 1000.0 { 0 } else { 2 };
        format!("{value:.digits$} {}{missing}", self.unit)
    }

    /// Among those that delivered everything: others did less, for less.
    fn best_peer(&self, outcomes: &[Outcome]) -> Option<(f64, String)> {
        if !self.compares() {
            return None;
        }
        let ours = |name: &str| name == BARE || name.contains(EDGE);
        let mut peers: Vec<_> = outcomes
            .iter()
            .flat_map(|outcome| &outcome.by_target)
            .filter(|(name, _)| !ours(name))
            .filter_map(|(name, _)| {
                let reading = self.figure.read(outcomes, name)?;
                let is_measure = reading.is_whole && reading.value > 0.0;
                is_measure.then(|| (reading.value, name.clone()))
            })
            .collect();
        peers.sort_by(|one, other| one.0.total_cmp(&other.0));
        match self.figure {
            Figure::Sustained => peers.pop(),
            _ => peers.into_iter().next(),
        }
    }

    fn verdict(&self, edge: Option<Reading>, bare: Option<f64>, peer: Option<f64>) -> Verdict {
        let Some(Reading { value, is_whole }) = edge else {
            return Verdict::Open("not measured");
        };
        let mut verdict = Verdict::Held;
        for bound in self.bounds {
            let holds = match bound {
                Bound::AtMost(most) => Ok(value <= *most),
                Bound::AtLeast(least) => Ok(value >= *least),
                Bound::TimesBare(times) => bare
                    .map(|bare| value <= times * bare)
                    .ok_or("no yardstick measured"),
                Bound::BelowPeers(times) => peer
                    .map(|peer| peer >= times * value)
                    .ok_or("no peer to compare with"),
            };
            match holds {
                Ok(true) => {}
                Ok(false) => return Verdict::Broken,
                Err(why) => verdict = Verdict::Open(why),
            }
        }
        if is_whole { verdict } else { Verdict::Broken }
    }
}

impl Figure {
    fn read(self, outcomes: &[Outcome], target: &str) -> Option<Reading> {
        match self {
            Figure::Of(scenario, key) => read(outcomes, scenario, key, target),
            Figure::TwoWorkers(scenario, key) if target == EDGE => {
                let two = read(outcomes, scenario, key, &target::edge_with(2))?;
                let one = read(outcomes, scenario, key, EDGE)?;
                Some(Reading {
                    value: two.value / one.value,
                    is_whole: two.is_whole && one.is_whole,
                })
            }
            Figure::TwoWorkers(..) => None,
            Figure::Sustained => sustained(outcomes, target),
        }
    }
}

fn read(outcomes: &[Outcome], scenario: &str, key: &str, target: &str) -> Option<Reading> {
    let mut found = outcomes.iter().filter(|one| one.scenario.name == scenario);
    let figures = found.next()?.of(target)?;
    let delivered = figures.value("delivered").unwrap_or(1.0);
    let failed = figures.value("failed").unwrap_or(0.0);
    Some(Reading {
        value: figures.value(key)?,
        is_whole: delivered >= EVERYTHING && failed == 0.0,
    })
}

/// Nothing is said of it unless an audience was tried that is large enough.
fn sustained(outcomes: &[Outcome], target: &str) -> Option<Reading> {
    let is_one = |one: &&Outcome| {
        is_sustaining(&one.scenario) && one.of(target).is_some_and(|figures| !figures.0.is_empty())
    };
    let tried: Vec<_> = outcomes.iter().filter(is_one).collect();
    if !tried.iter().any(|one| rate(&one.scenario) >= SUSTAINED) {
        return None;
    }
    let held = tried.iter().filter_map(|one| {
        let figures = one.of(target)?;
        let holds = figures.value("delivered")? >= EVERYTHING
            && figures.value("failed")? == 0.0
            && figures.value("lag_p99_ms")? <= SUSTAINED_MS;
        holds.then(|| rate(&one.scenario))
    });
    Some(Reading {
        value: held.fold(0.0, f64::max),
        is_whole: true,
    })
}

fn is_sustaining(scenario: &Scenario) -> bool {
    scenario.act == Act::Steady && scenario.shapes == [Shape::AudioStreams]
}

/// Objects a second, to all its subscribers together.
fn rate(scenario: &Scenario) -> f64 {
    scenario.subscribers as f64 / Shape::AudioStreams.period().as_secs_f64()
}

#[cfg(test)]
mod tests;
