//! A whole rehearsal: from the meeting that is made to the verdict.

use super::conductor::Conductor;
use super::error::RehearsalError;
use super::health::{self, Course};
use super::house::House;
use super::invite::{Invitations, Organiser};
use super::mile::Roads;
use super::pace;
use super::processes::{Sampler, cores, machine};
use super::programme::Programme;
use super::source::Sources;
use super::stage::Stage;
use super::target::{Target, raise_open_files};
use super::troupe::{Glance, Parts, Played, Troupe};
use crate::account::Clock;
use crate::outcome::{Happening, Outcome, Tester};
use crate::report::live::Progress;
use crate::scenario::{Part, Scenario};
use crate::verdict::judge;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};

/// What is to be rehearsed, and how.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The scenario.
    pub scenario: Scenario,
    /// Its file, word for word.
    pub text: String,
    /// Threads that play delegates; 0: all cores but one.
    pub threads: usize,
}

/// Rehearses. `show` is called about once a second; once `over` is true, everybody goes and what was measured is invalid.
///
/// # Errors
/// It cannot be begun. What happens later is in the outcome.
pub async fn run(
    plan: &Plan,
    target: &Target,
    show: impl FnMut(Progress),
    over: watch::Receiver<bool>,
) -> Result<Outcome, RehearsalError> {
    let scenario = &plan.scenario;
    target.check(scenario)?;
    raise_open_files(scenario.delegates())?;
    let cast = scenario.cast(&target.places);
    let organiser = Organiser::new(target)?;
    let meeting = Organiser::fresh_id(&scenario.name);
    let programme = Programme::new(scenario, &target.places, meeting.clone(), clock());
    let office = office(scenario, target);
    let invitations = organiser.hold(scenario, &programme, &cast, &office);
    let invitations = invitations.await?;
    let mut house = House::new(scenario, target, programme, &cast);
    let sources = Sources::gather(&Arc::new(house.clone()), &invitations).await?;
    house.programme.clock = clock();
    sources.begin(house.programme.clock);
    let mut stand = Stand {
        target,
        scenario,
        organiser: &organiser,
        house: Arc::new(house),
        over,
        is_interrupted: false,
    };
    let played = stand.play(plan.threads, cast, &invitations, show).await?;
    let (published, sources_cpu) = sources.end().await;
    let mut outcome = stand.write_down(plan, played);
    outcome.ghosts = organiser.ghosts(&meeting).await.ok();
    // The meeting's end is nobody's to judge: it closes by itself, too.
    let _ = organiser.close(&meeting).await;
    let course = Course {
        published: &published,
        sources: share(sources_cpu, &outcome),
        overflow: stand.house.roads.overflow(),
        is_interrupted: stand.is_interrupted,
        broken: outcome
            .testers
            .iter()
            .filter(|one| one.threads == 0)
            .count(),
    };
    outcome.health = health::of(&outcome, &course);
    outcome.verdict = judge(&scenario.expect, &outcome);
    Ok(outcome)
}

/// Where a rehearsal is carried out.
struct Stand<'a> {
    target: &'a Target,
    scenario: &'a Scenario,
    organiser: &'a Organiser,
    house: Arc<House>,
    over: watch::Receiver<bool>,
    is_interrupted: bool,
}

/// What came of it.
struct Carried {
    played: Vec<Option<Played>>,
    happenings: Vec<Happening>,
    sampler: Sampler,
    cpu: Duration,
}

impl Stand<'_> {
    async fn play(
        &mut self,
        threads: usize,
        cast: Vec<Part>,
        invitations: &Invitations,
        mut show: impl FnMut(Progress),
    ) -> Result<Carried, RehearsalError> {
        let before = pace::of_process();
        let troupes = self.start(threads, cast, invitations)?;
        let (told, mut happened) = mpsc::unbounded_channel();
        let conductor = Conductor {
            clock: self.house.programme.clock,
            organiser: self.organiser.clone(),
            stage: self.target.stage.clone(),
            roads: self.house.roads.clone(),
        };
        let events = self.scenario.events.clone();
        let conducting = tokio::spawn(conductor.conduct(events, told));
        let mut sampler = Sampler::new(self.target.processes.clone());
        let mut happenings: Vec<Happening> = Vec::new();
        let mut seconds = interval(Duration::from_secs(1));
        seconds.set_missed_tick_behavior(MissedTickBehavior::Skip);
        while !troupes.iter().all(Troupe::is_done) {
            let mut note = None;
            tokio::select! {
                Some(one) = happened.recv() => {
                    note = Some(words(&one));
                    happenings.push(one);
                    watch_again(&mut sampler, self.target.stage.as_deref()).await;
                }
                Ok(_) = self.over.wait_for(|over| *over), if !self.is_interrupted => {
                    self.is_interrupted = true;
                    note = Some("ended before its time".to_owned());
                }
                _ = seconds.tick() => sampler.sample(self.house.programme.clock),
            }
            let glances = troupes.iter().map(Troupe::glance);
            show(self.progress(glances, note));
        }
        conducting.abort();
        sampler.sample(self.house.programme.clock);
        Ok(Carried {
            played: troupes.into_iter().map(Troupe::join).collect(),
            happenings,
            sampler,
            cpu: pace::of_process().saturating_sub(before),
        })
    }

    /// Deals the cast out to threads, each the same mixture.
    fn start(
        &self,
        threads: usize,
        cast: Vec<Part>,
        invitations: &Invitations,
    ) -> Result<Vec<Troupe>, RehearsalError> {
        let count = match threads {
            0 => cores().saturating_sub(1).max(1),
            threads => threads,
        };
        let mut dealt: Vec<Parts> = vec![Parts::new(); count];
        for (number, part) in (0..).zip(cast) {
            let invitation = invitations.get(&part.id).cloned().unwrap_or_default();
            dealt[number as usize % count].push((number, part, invitation));
        }
        let start = |parts| Troupe::start(self.house.clone(), parts, self.over.clone());
        dealt.into_iter().map(start).collect()
    }

    fn progress(&self, glances: impl Iterator<Item = Glance>, note: Option<String>) -> Progress {
        let programme = &self.house.programme;
        let mut progress = Progress {
            elapsed: programme.since_start(Instant::now()),
            length: programme.length,
            note,
            ..Progress::default()
        };
        let mut lag = crate::outcome::Spread::default();
        for glance in glances {
            progress.came += glance.came;
            progress.joined += glance.joined;
            progress.failed += glance.failed;
            progress.present += glance.joined.saturating_sub(glance.left);
            progress.objects_per_s += glance.last.objects;
            glance.last.lag.values().for_each(|one| lag.add(one));
            progress.worst_gap_ms = progress
                .worst_gap_ms
                .into_iter()
                .chain(glance.worst_gap_ms)
                .reduce(f64::max);
            let behind = glance.behind.as_secs_f64() * 1e3;
            progress.behind_ms = progress.behind_ms.max(behind);
        }
        progress.lag_p95_ms = lag.quantile_ms(0.95);
        progress
    }

    fn write_down(&self, plan: &Plan, course: Carried) -> Outcome {
        let clock = self.house.programme.clock;
        let length = self.scenario.length.0;
        let mut outcome = Outcome {
            form: Outcome::FORM,
            scenario: self.scenario.name.clone(),
            title: self.scenario.title.clone(),
            about: self.scenario.about.clone(),
            text: plan.text.clone(),
            seed: self.scenario.seed,
            started_unix_ms: clock.start_unix_us / 1_000,
            length_ms: length.as_millis() as u64,
            planned: self.scenario.delegates(),
            machines: vec![machine()],
            happenings: course.happenings,
            processes: course.sampler.close(),
            ..Outcome::default()
        };
        let mut tester = Tester {
            name: "local".to_owned(),
            cpu_ms: course.cpu.as_millis() as u64,
            ..Tester::default()
        };
        for played in course.played {
            let Some(played) = played else {
                // Health tells.
                outcome.testers.push(Tester::default());
                continue;
            };
            tester.threads += 1;
            tester.delegates += played.delegates;
            tester.behind.add(&played.lateness.behind);
            tester.arrivals_behind.add(&played.lateness.arrivals);
            let busy = played.cpu.as_secs_f64() / length.as_secs_f64();
            tester.busiest = tester.busiest.max(busy);
            outcome.add(played.outcome);
        }
        outcome.testers.insert(0, tester);
        outcome
    }
}

impl House {
    fn new(scenario: &Scenario, target: &Target, programme: Programme, cast: &[Part]) -> House {
        let edges = target.edges.iter();
        let edges = edges.map(|edge| (edge.clients, edge.office.clone()));
        House {
            programme,
            control: target.control.clone(),
            control_ca: target.control_ca.clone(),
            edge_trust: target.edge_trust.clone(),
            roads: Arc::new(Roads::new(target.places.clone(), edges)),
            miles: House::miles(scenario, cast),
            seed: scenario.seed,
        }
    }
}

/// After something has happened, processes may have other numbers.
async fn watch_again(sampler: &mut Sampler, stage: Option<&Stage>) {
    if let Some(stage) = stage
        && let Ok(processes) = stage.processes().await
    {
        sampler.watch(processes);
    }
}

fn words(happening: &Happening) -> String {
    let Happening { what, took_ms, .. } = happening;
    match &happening.error {
        None => format!("{what}, done in {took_ms} ms"),
        Some(error) => format!("{what} could not be done: {error}"),
    }
}

fn share(cpu: Duration, outcome: &Outcome) -> f64 {
    cpu.as_secs_f64() / Duration::from_millis(outcome.length_ms.max(1)).as_secs_f64()
}

/// The first arrivals come a little later than now, when everything is at work.
fn clock() -> Clock {
    let start = Instant::now() + LEAD;
    let unix = SystemTime::now().duration_since(UNIX_EPOCH);
    let unix = unix.unwrap_or_default() + LEAD;
    Clock {
        start,
        start_unix_us: u64::try_from(unix.as_micros()).unwrap_or(u64::MAX),
    }
}

/// Whose meeting it is.
fn office(scenario: &Scenario, target: &Target) -> String {
    let wanted = scenario.network.offices.first();
    let there = target.edges.first().map(|edge| &edge.office);
    let known = target.places.offices.keys().next();
    let office = wanted.or(there).or(known);
    office.cloned().unwrap_or_else(|| HEADQUARTERS.to_owned())
}

/// Threads have started within this, and speakers have something on its way.
const LEAD: Duration = Duration::from_secs(2);
/// Where a network is not described, its own default.
const HEADQUARTERS: &str = "geneva";
