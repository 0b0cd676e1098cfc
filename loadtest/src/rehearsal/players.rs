//! Who plays delegates: this process, or agents elsewhere.

use super::company::{Company, Share, deal};
use super::error::RehearsalError;
use super::house::House;
use super::invite::Invitations;
use super::run::Plan;
use super::standing::Standing;
use super::target::{Target, raise_open_files};
use crate::account::Clock;
use crate::agents::{self, AgentsError, Assembly, Ensemble, Play};
use crate::outcome::Outcome;
use crate::scenario::Part;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::watch;

/// Who plays delegates.
#[derive(Debug)]
pub enum Players {
    /// This process, on so many threads; 0: one for each core.
    Here(usize),
    /// Agents that have come.
    Agents(Assembly),
}

/// What they are to play, and for whom.
pub(super) struct Cue<'a> {
    pub(super) plan: &'a Plan,
    pub(super) target: &'a Target,
    pub(super) house: &'a House,
    pub(super) cast: &'a [Part],
    pub(super) invitations: &'a Invitations,
}

/// Delegates at work.
pub(super) enum Playing {
    Here(Company),
    Agents(Ensemble),
}

impl Players {
    /// This machine's time, as it was told to whoever plays.
    pub(super) fn wall(&self) -> Clock {
        match self {
            Players::Here(_) => Clock::wall(),
            Players::Agents(assembly) => assembly.wall(),
        }
    }

    /// That there is room here for those who are played here, and that others can be told what to play.
    pub(super) fn check(&self, plan: &Plan, target: &Target) -> Result<(), RehearsalError> {
        match self {
            Players::Here(_) => raise_open_files(plan.scenario.delegates()),
            Players::Agents(_) => {
                agents::check(&plan.text, target)?;
                raise_open_files(0)
            }
        }
    }

    /// What this process is called among others.
    pub(super) fn own_name(&self) -> &'static str {
        match self {
            Players::Here(_) => "load tester",
            Players::Agents(_) => "coordinator",
        }
    }

    /// Whoever is elsewhere gets what they need, and says that they have it.
    pub(super) async fn prepare(
        &mut self,
        cue: &Cue<'_>,
        over: &mut watch::Receiver<bool>,
    ) -> Result<(), RehearsalError> {
        let Players::Agents(assembly) = self else {
            return Ok(());
        };
        let play = Play {
            scenario: &cue.plan.text,
            meeting: &cue.house.programme.meeting,
            target: cue.target,
            cast: cue.cast,
            invitations: cue.invitations,
        };
        tokio::select! {
            engaged = assembly.engage(&play) => Ok(engaged?),
            Ok(_) = over.wait_for(|over| *over) => Err(AgentsError::Interrupted.into()),
        }
    }

    /// Everybody comes when due by this clock.
    pub(super) async fn begin(
        self,
        house: &Arc<House>,
        (cast, invitations): (&[Part], &Invitations),
        cut_off: watch::Receiver<BTreeSet<String>>,
        over: &watch::Receiver<bool>,
    ) -> Result<Playing, RehearsalError> {
        match self {
            Players::Here(threads) => {
                let parts = deal(cast, Share::WHOLE, invitations);
                Company::start(house.clone(), parts, threads, over).map(Playing::Here)
            }
            Players::Agents(assembly) => {
                let programme = &house.programme;
                let begun = assembly.begin(programme.clock, programme.length, &cut_off);
                Ok(Playing::Agents(begun.await?))
            }
        }
    }

    /// There will be no rehearsal.
    pub(super) async fn dismiss(self) {
        if let Players::Agents(assembly) = self {
            assembly.dismiss().await;
        }
    }
}

impl Playing {
    /// Whether all of them are through.
    pub(super) fn is_done(&self) -> bool {
        match self {
            Playing::Here(company) => company.is_done(),
            Playing::Agents(ensemble) => ensemble.is_done(),
        }
    }

    /// How it goes.
    pub(super) fn standing(&self) -> Standing {
        match self {
            Playing::Here(company) => company.standing(),
            Playing::Agents(ensemble) => ensemble.standing(),
        }
    }

    /// Who was lost since this was asked before, and why.
    pub(super) fn news(&mut self) -> Option<String> {
        match self {
            Playing::Here(_) => None,
            Playing::Agents(ensemble) => ensemble.news(),
        }
    }

    /// All go home; those here know it already.
    pub(super) fn end(&self) {
        if let Playing::Agents(ensemble) = self {
            ensemble.end();
        }
    }

    /// What each machine has measured; and whose figures are missing, and why.
    pub(super) async fn close(self) -> (Vec<Outcome>, Vec<String>) {
        match self {
            Playing::Here(company) => (vec![company.close(HERE)], Vec::new()),
            Playing::Agents(ensemble) => ensemble.close().await,
        }
    }
}

/// The only machine, if it is the only one.
pub(crate) const HERE: &str = "local";
