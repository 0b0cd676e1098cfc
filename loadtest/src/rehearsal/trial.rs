//! Delegates of a rehearsal played to a source that is no network under test: what they cost this program itself.

use super::error::RehearsalError;
use super::health::{self, Course};
use super::house::House;
use super::pace;
use super::programme::Programme;
use super::quay::Roads;
use super::target::raise_open_files;
use super::troupe::{Played, Troupe};
use crate::account::Clock;
use crate::outcome::{Count, Outcome, Spread, Tester};
use crate::scenario::{Places, Scenario};
use meridian_session::tls::Trust;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::time::{sleep, sleep_until};
use url::Url;

/// What is to be played.
#[derive(Clone, Debug)]
pub(crate) struct Trial<'a> {
    /// All who come stay to the end.
    pub(crate) scenario: &'a Scenario,
    /// Where to ask to come in, and the certificate there (PEM).
    pub(crate) door: (Url, Vec<u8>),
    /// Whole seconds from the first arrival: what is measured after the joins.
    pub(crate) window: (u64, u64),
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tried {
    /// All who came.
    pub(crate) delegates: u64,
    /// Of them, who have heard something.
    pub(crate) joined: u64,
    /// Objects that were received, in the window and in all.
    pub(crate) objects: [u64; 2],
    /// Objects that were lost.
    pub(crate) lost: u64,
    /// Objects that came altered or again.
    pub(crate) wrong: u64,
    /// CPU time, of the window and of all.
    pub(crate) spent: [Spent; 2],
    /// How late the thread was.
    pub(crate) behind: Spread,
    /// From capture to arrival.
    pub(crate) lag: Spread,
    /// Why a rehearsal like this would be invalid.
    pub(crate) invalid_because: Vec<String>,
}

/// CPU time of both sides.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Spent {
    /// This process.
    pub(crate) tester: Duration,
    /// The source's; none if nobody can tell.
    pub(crate) source: Option<Duration>,
}

impl Trial<'_> {
    /// Plays it on one thread. `source_cpu` tells what the source has used so far.
    ///
    /// # Errors
    /// This machine does not have what it takes.
    pub(crate) async fn play(
        &self,
        source_cpu: impl Fn() -> Option<Duration>,
    ) -> Result<Tried, RehearsalError> {
        raise_open_files(self.scenario.delegates())?;
        let now = || Spent {
            tester: pace::of_process(),
            source: source_cpu(),
        };
        let (before, house) = (now(), Arc::new(self.house()));
        let (_end, over) = watch::channel(false);
        let troupe = self.start(house.clone(), over)?;
        let start = house.programme.clock.start;
        let at = |second| sleep_until((start + Duration::from_secs(second)).into());
        at(self.window.0).await;
        let from = now();
        at(self.window.1).await;
        let to = now();
        while !troupe.is_done() {
            sleep(LOOK_AGAIN).await;
        }
        let spent = [to.since(from), now().since(before)];
        Ok(self.write_down(troupe.join(), spent, house.roads.overflow()))
    }

    fn start(
        &self,
        house: Arc<House>,
        over: watch::Receiver<bool>,
    ) -> Result<Troupe, RehearsalError> {
        let cast = self.scenario.cast(&Places::default());
        let parts = (0..).zip(cast);
        let parts = parts.map(|(number, part)| (number, part, String::new()));
        Troupe::start(house, parts.collect(), over)
    }

    fn house(&self) -> House {
        let (scenario, places) = (self.scenario, Places::default());
        let start = Instant::now() + LEAD;
        let unix = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let clock = Clock {
            start,
            start_unix_us: (unix.unwrap_or_default() + LEAD).as_micros() as u64,
        };
        House {
            programme: Programme::new(scenario, &places, scenario.name.clone(), clock),
            control: vec![self.door.0.clone()],
            control_ca: self.door.1.clone(),
            edge_trust: Trust::Authorities(Vec::new()),
            roads: Arc::new(Roads::new(Places::default(), [])),
            miles: House::miles(scenario, &scenario.cast(&places)),
            seed: scenario.seed,
        }
    }

    fn write_down(&self, played: Option<Played>, spent: [Spent; 2], overflow: u64) -> Tried {
        let seconds = self.window.1 - self.window.0;
        let (broken, played) = match played {
            Some(played) => (0, played),
            None => (1, Played::default()),
        };
        let mut lateness = played.lateness;
        let mut outcome = played.outcome;
        let window = outcome.ticks.iter().skip(self.window.0 as usize);
        let in_window = window.take(seconds as usize).map(|tick| tick.objects).sum();
        outcome.testers = vec![Tester {
            name: "local".to_owned(),
            busiest: spent[0].tester.as_secs_f64() / seconds as f64,
            worst_ms: lateness.worst_ms(),
            behind: lateness.behind,
            arrivals_behind: lateness.arrivals,
            broken,
            overflow,
            ..Tester::default()
        }];
        let course = Course {
            published: &Spread::default(),
            sources: 0.0,
            is_interrupted: false,
            lost: &[],
        };
        Tried {
            delegates: played.delegates,
            joined: outcome.counted(Count::Joined),
            objects: [in_window, outcome.counted(Count::Objects)],
            lost: outcome.counted(Count::Lost),
            wrong: outcome.counted(Count::Altered) + outcome.counted(Count::Duplicated),
            spent,
            lag: lag(&outcome, self.window),
            invalid_because: health::of(&outcome, &course).invalid_because,
            behind: outcome.testers.swap_remove(0).behind,
        }
    }
}

impl Spent {
    fn since(self, before: Spent) -> Spent {
        let source = self.source.zip(before.source);
        Spent {
            tester: self.tester.saturating_sub(before.tester),
            source: source.map(|(now, before)| now.saturating_sub(before)),
        }
    }
}

fn lag(outcome: &Outcome, (from, to): (u64, u64)) -> Spread {
    let mut all = Spread::default();
    let seconds = outcome.ticks.iter().take(to as usize).skip(from as usize);
    for lag in seconds.flat_map(|tick| tick.lag.values()) {
        all.add(lag);
    }
    all
}

/// The thread has started within this.
const LEAD: Duration = Duration::from_millis(500);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
