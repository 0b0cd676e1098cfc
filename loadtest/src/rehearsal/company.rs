//! A company: what one machine plays of the cast, on some threads, and what it writes down of that and of itself.

use super::error::RehearsalError;
use super::house::House;
use super::invite::Invitations;
use super::pace;
use super::processes::{cores, machine};
use super::quay::Roads;
use super::standing::Standing;
use super::target::{Target, raise_open_files};
use super::troupe::{Parts, Played, Troupe};
use crate::account::Clock;
use crate::outcome::{Outcome, Tester};
use crate::scenario::{Part, Scenario};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Delegates at work on threads of this process.
#[derive(Debug)]
pub(crate) struct Company {
    house: Arc<House>,
    troupes: Vec<Troupe>,
    /// CPU time of this process when they began.
    before: Duration,
}

/// Which part of the cast a machine plays: every `of`-th, from this one on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    /// From 0.
    pub(crate) nth: u32,
    /// How many machines there are.
    pub(crate) of: u32,
}

/// All that a machine needs to play its share, but for the time when it begins.
#[derive(Debug)]
pub(crate) struct Engagement {
    house: House,
    parts: Parts,
}

impl Share {
    /// Everybody's.
    pub(crate) const WHOLE: Share = Share { nth: 0, of: 1 };

    /// Those of the cast who are in it, with their numbers among all.
    pub(crate) fn among(self, cast: &[Part]) -> impl Iterator<Item = (u64, &Part)> {
        let numbered = (0..).zip(cast);
        numbered.filter(move |(number, _)| number % u64::from(self.of) == u64::from(self.nth))
    }
}

impl Engagement {
    /// A share of a scenario's cast at a meeting that has been made.
    ///
    /// # Errors
    /// The invitations are not those of the share, or this machine has no room for so many.
    pub(crate) fn new(
        scenario: &Scenario,
        target: &Target,
        meeting: String,
        share: Share,
        invitations: &Invitations,
    ) -> Result<Engagement, RehearsalError> {
        let cast = scenario.cast(&target.places);
        let house = House::new(scenario, target, meeting, &cast);
        let parts = deal(&cast, share, invitations);
        let invited = parts.iter().filter(|(_, _, link)| !link.is_empty());
        if invited.count() != parts.len() || invitations.len() != parts.len() {
            let (links, people) = (invitations.len(), parts.len());
            let why = format!("{links} invitations are not those of the {people} people to play");
            return Err(RehearsalError::Unavailable(why));
        }
        raise_open_files(parts.len() as u64)?;
        Ok(Engagement { house, parts })
    }

    /// Where its delegates' last miles are cut.
    pub(crate) fn roads(&self) -> Arc<Roads> {
        self.house.roads.clone()
    }

    /// Everybody comes when due by this clock.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub(crate) fn begin(
        mut self,
        clock: Clock,
        threads: usize,
        over: &watch::Receiver<bool>,
    ) -> Result<Company, RehearsalError> {
        self.house.programme.clock = clock;
        Company::start(Arc::new(self.house), self.parts, threads, over)
    }
}

/// A share's people with their invitations.
pub(super) fn deal(cast: &[Part], share: Share, invitations: &Invitations) -> Parts {
    let own = share.among(cast);
    own.map(|(number, part)| {
        let invitation = invitations.get(&part.id).cloned().unwrap_or_default();
        (number, part.clone(), invitation)
    })
    .collect()
}

impl Company {
    /// Deals them out to threads, each the same mixture; 0: one for each core.
    pub(super) fn start(
        house: Arc<House>,
        parts: Parts,
        threads: usize,
        over: &watch::Receiver<bool>,
    ) -> Result<Company, RehearsalError> {
        let before = pace::of_process();
        let count = match threads {
            0 => cores(),
            threads => threads,
        };
        let mut dealt: Vec<Parts> = vec![Parts::new(); count];
        for (nth, part) in parts.into_iter().enumerate() {
            dealt[nth % count].push(part);
        }
        let start = |parts| Troupe::start(house.clone(), parts, over.clone());
        let troupes = dealt.into_iter().map(start).collect::<Result<_, _>>()?;
        Ok(Company {
            house,
            troupes,
            before,
        })
    }

    /// Whether everybody has gone.
    pub(crate) fn is_done(&self) -> bool {
        self.troupes.iter().all(Troupe::is_done)
    }

    /// How it goes.
    pub(crate) fn standing(&self) -> Standing {
        let mut standing = Standing::default();
        for troupe in &self.troupes {
            standing.add(&troupe.glance().into());
        }
        standing
    }

    /// Both clocks.
    pub(crate) fn clock(&self) -> Clock {
        self.house.programme.clock
    }

    /// What its delegates went through, and how this machine fared, under this name. Waits for those who have not gone.
    pub(crate) fn close(self, name: &str) -> Outcome {
        let cpu = pace::of_process().saturating_sub(self.before);
        let played: Vec<_> = self.troupes.into_iter().map(Troupe::join).collect();
        let mut outcome = Outcome {
            form: Outcome::FORM,
            machines: vec![machine(name)],
            ..Outcome::default()
        };
        let mut tester = Tester {
            name: name.to_owned(),
            cpu_ms: cpu.as_millis() as u64,
            overflow: self.house.roads.overflow(),
            ..Tester::default()
        };
        for played in played {
            match played {
                Some(mut played) => {
                    take_in(&mut tester, &mut played);
                    outcome.add(played.outcome);
                }
                None => tester.broken += 1,
            }
        }
        outcome.testers.push(tester);
        outcome
    }
}

fn take_in(tester: &mut Tester, played: &mut Played) {
    tester.threads += 1;
    tester.delegates += played.delegates;
    tester.behind.add(&played.lateness.behind);
    tester.arrivals_behind.add(&played.lateness.arrivals);
    tester.worst_ms = tester.worst_ms.max(played.lateness.worst_ms());
    tester.busiest = tester.busiest.max(played.busiest);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Places;
    use meridian_session::tls::Trust;
    use std::collections::BTreeSet;
    use std::path::Path;

    #[test]
    fn however_many_share_it_everybody_of_the_cast_is_played_once() {
        let text = r#"
            name = "s"
            title = "S"
            length = "10s"
            [[crowd]]
            name = "early"
            count = 61
            arrive = { kind = "poisson", over = "5s" }
            [[crowd]]
            name = "late"
            count = 40
            arrive = { kind = "ramp", at = "3s", over = "5s" }
        "#;
        let scenario = Scenario::parse(text, Path::new("s.toml")).expect("good");
        for of in [1, 2, 3, 7, 101, 120] {
            let mut numbers = BTreeSet::new();
            let mut sizes = Vec::new();
            for nth in 0..of {
                // Each machine makes the list anew.
                let cast = scenario.cast(&Places::default());
                let own: Vec<_> = Share { nth, of }.among(&cast).collect();
                sizes.push(own.len());
                for (number, part) in own {
                    assert_eq!(part.id, cast[number as usize].id);
                    assert!(numbers.insert(number), "{number} twice");
                }
            }
            assert_eq!(numbers.len(), 101);
            let (least, most) = (sizes.iter().min(), sizes.iter().max());
            assert!(
                most.zip(least)
                    .is_some_and(|(most, least)| most - least <= 1)
            );
        }
    }

    #[test]
    fn invitations_of_others_are_not_played_with() {
        let text = r#"
            name = "s"
            title = "S"
            length = "10s"
            [[crowd]]
            name = "c"
            count = 4
            arrive = { kind = "spike" }
        "#;
        let scenario = Scenario::parse(text, Path::new("s.toml")).expect("good");
        let engaged = |ids: &[&str]| {
            let link = |id: &&str| ((*id).to_owned(), "link".to_owned());
            let invitations = ids.iter().map(link).collect();
            let share = Share { nth: 1, of: 2 };
            let target = Target {
                control: Vec::new(),
                control_ca: Vec::new(),
                edge_trust: Trust::Authorities(Vec::new()),
                token: String::new(),
                places: Places::default(),
                edges: Vec::new(),
                processes: Vec::new(),
                stage: None,
            };
            Engagement::new(&scenario, &target, "m".to_owned(), share, &invitations)
        };
        assert!(engaged(&["c-2", "c-4"]).is_ok());
        for wrong in [&["c-1", "c-3"][..], &["c-2"], &["c-2", "c-3", "c-4"]] {
            let error = engaged(wrong).expect_err("not its share").to_string();
            assert!(error.contains("not those of the 2 people"), "{error}");
        }
    }
}
