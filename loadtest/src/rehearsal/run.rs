//! A whole rehearsal: from the meeting that is made to the verdict.

use super::conductor::Conductor;
use super::error::RehearsalError;
use super::health::{self, Course};
use super::house::House;
use super::invite::{Invitations, Organiser};
use super::players::{Cue, Players, Playing};
use super::processes::{Sampler, machine};
use super::source::Sources;
use super::stage::Stage;
use super::target::Target;
use crate::outcome::{Happening, Outcome};
use crate::report::live::Progress;
use crate::scenario::{Event, Part, Scenario};
use crate::verdict::judge;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};

/// What is to be rehearsed.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The scenario.
    pub scenario: Scenario,
    /// Its file, word for word.
    pub text: String,
}

/// Rehearses. `show` is called about once a second; once `over` is true, everybody goes and what was measured is invalid.
///
/// # Errors
/// It cannot be begun. What happens later is in the outcome.
pub async fn run(
    plan: &Plan,
    target: &Target,
    mut players: Players,
    show: impl FnMut(Progress),
    mut over: watch::Receiver<bool>,
) -> Result<Outcome, RehearsalError> {
    let prepared = Prepared::new(plan, target, &mut players, &mut over).await;
    let prepared = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            players.dismiss().await;
            return Err(error);
        }
    };
    prepared.rehearse(players, show, over).await
}

/// A meeting to which everybody is invited, and its speakers are there.
struct Prepared<'a> {
    plan: &'a Plan,
    target: &'a Target,
    cast: Vec<Part>,
    organiser: Organiser,
    house: House,
    invitations: Invitations,
    sources: Sources,
}

/// What happened while it was played, beside what delegates went through.
struct Carried {
    happenings: Vec<Happening>,
    sampler: Sampler,
    is_interrupted: bool,
}

impl<'a> Prepared<'a> {
    async fn new(
        plan: &'a Plan,
        target: &'a Target,
        players: &mut Players,
        over: &mut watch::Receiver<bool>,
    ) -> Result<Prepared<'a>, RehearsalError> {
        let scenario = &plan.scenario;
        target.check(scenario).await?;
        players.check(plan, target)?;
        let cast = scenario.cast(&target.places);
        let organiser = Organiser::new(target)?;
        let meeting = Organiser::fresh_id(&scenario.name);
        let house = House::new(scenario, target, meeting, &cast);
        let office = office(scenario, target);
        let invitations = organiser.hold(scenario, &house.programme, &cast, &office);
        let invitations = invitations.await?;
        let cue = Cue {
            plan,
            target,
            house: &house,
            cast: &cast,
            invitations: &invitations,
        };
        players.prepare(&cue, over).await?;
        let sources = Sources::gather(&Arc::new(house.clone()), &invitations).await?;
        Ok(Prepared {
            plan,
            target,
            cast,
            organiser,
            house,
            invitations,
            sources,
        })
    }

    async fn rehearse(
        mut self,
        players: Players,
        show: impl FnMut(Progress),
        over: watch::Receiver<bool>,
    ) -> Result<Outcome, RehearsalError> {
        let wall = players.wall();
        // The first arrivals come a little later than now, when everything is at work.
        let clock = wall.after(wall.start.elapsed() + LEAD);
        self.house.programme.clock = clock;
        self.sources.begin(clock);
        let (house, own_name) = (Arc::new(self.house.clone()), players.own_name());
        let (works, cut_off) = watch::channel(BTreeSet::new());
        let people = (&self.cast[..], &self.invitations);
        let playing = players.begin(&house, people, cut_off, &over).await?;
        let conductor = Conductor {
            clock,
            organiser: self.organiser.clone(),
            stage: self.target.stage.clone(),
            roads: house.roads.clone(),
            cut_off: works,
        };
        let sampler = Sampler::new(own_name, self.target.processes.clone());
        let mut stand = Stand {
            house: &house,
            stage: self.target.stage.as_deref(),
            playing,
            carried: Carried {
                happenings: Vec::new(),
                sampler,
                is_interrupted: false,
            },
        };
        let events = self.plan.scenario.events.clone();
        stand.carry(conductor, events, show, over).await;
        let Stand {
            playing, carried, ..
        } = stand;
        self.write_down(playing, carried).await
    }

    /// Everybody has gone.
    async fn write_down(
        self,
        playing: Playing,
        carried: Carried,
    ) -> Result<Outcome, RehearsalError> {
        let is_here = matches!(playing, Playing::Here(_));
        let (played, lost) = playing.close().await;
        let (published, sources_cpu) = self.sources.end().await;
        let (scenario, programme) = (&self.plan.scenario, &self.house.programme);
        let mut outcome = Outcome {
            form: Outcome::FORM,
            scenario: scenario.name.clone(),
            title: scenario.title.clone(),
            about: scenario.about.clone(),
            text: self.plan.text.clone(),
            seed: scenario.seed,
            started_unix_ms: programme.clock.start_unix_us / 1_000,
            length_ms: scenario.length.0.as_millis() as u64,
            planned: scenario.delegates(),
            happenings: carried.happenings,
            processes: carried.sampler.close(),
            ..Outcome::default()
        };
        if !is_here {
            outcome.machines.push(machine("coordinator"));
        }
        played.into_iter().for_each(|one| outcome.add(one));
        outcome.ghosts = self.organiser.ghosts(&programme.meeting).await.ok();
        // The meeting's end is nobody's to judge: it closes by itself, too.
        let _ = self.organiser.close(&programme.meeting).await;
        let course = Course {
            published: &published,
            sources: share(sources_cpu, &outcome),
            is_interrupted: carried.is_interrupted,
            lost: &lost,
        };
        outcome.health = health::of(&outcome, &course);
        outcome.verdict = judge(&scenario.expect, &outcome);
        Ok(outcome)
    }
}

/// Where a rehearsal is carried out.
struct Stand<'a> {
    house: &'a House,
    stage: Option<&'a Stage>,
    playing: Playing,
    carried: Carried,
}

impl Stand<'_> {
    /// Until nobody plays any more.
    async fn carry(
        &mut self,
        conductor: Conductor,
        events: Vec<Event>,
        mut show: impl FnMut(Progress),
        mut over: watch::Receiver<bool>,
    ) {
        let (told, mut happened) = mpsc::unbounded_channel();
        let clock = self.house.programme.clock;
        let conducting = tokio::spawn(conductor.conduct(events, told));
        let carried = &mut self.carried;
        let mut seconds = interval(Duration::from_secs(1));
        seconds.set_missed_tick_behavior(MissedTickBehavior::Skip);
        while !self.playing.is_done() {
            let mut note = None;
            tokio::select! {
                Some(one) = happened.recv() => {
                    note = Some(words(&one));
                    carried.happenings.push(one);
                    watch_again(&mut carried.sampler, self.stage).await;
                }
                Ok(_) = over.wait_for(|over| *over), if !carried.is_interrupted => {
                    carried.is_interrupted = true;
                    self.playing.end();
                    note = Some("ended before its time".to_owned());
                }
                _ = seconds.tick() => carried.sampler.sample(clock),
            }
            let note = note.or_else(|| self.playing.news());
            show(
                self.playing
                    .standing()
                    .progress(&self.house.programme, note),
            );
        }
        conducting.abort();
        carried.sampler.sample(clock);
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
