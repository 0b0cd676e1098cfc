//! All agents together: given their parts, told when to begin, watched, and their outcomes collected.

use super::assignment::Play;
use super::attendance::{Beginning, Order, Seat};
use super::door::Serving;
use super::error::AgentsError;
use crate::account::Clock;
use crate::outcome::Outcome;
use crate::rehearsal::{Share, Standing};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::time::interval;

/// Agents that have all come, before the rehearsal.
#[derive(Debug)]
pub struct Assembly {
    seats: Vec<Seat>,
    /// How many people each plays.
    people: Vec<usize>,
    wall: Clock,
    /// How long it is waited until all are ready.
    wait: Duration,
    server: Serving,
}

/// Agents at work.
#[derive(Debug)]
pub(crate) struct Ensemble {
    seats: Vec<Seat>,
    people: Vec<usize>,
    server: Serving,
    /// Who is known to be lost.
    lost: BTreeSet<usize>,
}

impl Assembly {
    /// Of these; shares go by names, so that the same agents get the same ones.
    pub(super) fn new(
        mut seats: Vec<Seat>,
        wall: Clock,
        wait: Duration,
        server: Serving,
    ) -> Assembly {
        seats.sort_by(|one, other| one.name.cmp(&other.name));
        Assembly {
            seats,
            people: Vec::new(),
            wall,
            wait,
            server,
        }
    }

    /// This machine's time, as agents' clocks were compared with it.
    pub(crate) fn wall(&self) -> Clock {
        self.wall
    }

    /// Gives everybody their parts; done when all are ready.
    pub(crate) async fn engage(&mut self, play: &Play<'_>) -> Result<(), AgentsError> {
        let of = u32::try_from(self.seats.len()).expect("there are few agents");
        for (nth, seat) in (0..).zip(&self.seats) {
            let share = Share { nth, of };
            self.people.push(share.among(play.cast).count());
            let messages = play.messages(&seat.name, share)?;
            self.order(seat, Order::Assign(messages)).await?;
        }
        let until = Instant::now() + self.wait;
        let mut looks = interval(LOOK);
        loop {
            looks.tick().await;
            let unready = self.unready()?;
            if unready.is_empty() {
                return Ok(());
            }
            if Instant::now() >= until {
                return Err(AgentsError::NotReady {
                    names: unready,
                    waited: self.wait,
                });
            }
        }
    }

    fn unready(&self) -> Result<Vec<String>, AgentsError> {
        let mut unready = Vec::new();
        for seat in &self.seats {
            let told = seat.told.borrow();
            match &told.lost {
                Some(why) => return Err(early(seat, why)),
                None if !told.is_ready => unready.push(seat.name.clone()),
                None => {}
            }
        }
        Ok(unready)
    }

    /// The first arrival is due at the clock's start. Whoever is lost from now on is missing in the outcome; if somebody is
    /// already, all others are dismissed.
    pub(crate) async fn begin(
        self,
        clock: Clock,
        length: Duration,
        cut_off: &watch::Receiver<BTreeSet<String>>,
    ) -> Result<Ensemble, AgentsError> {
        let told = self.order_to_begin(clock, length, cut_off).await;
        if let Err(error) = told {
            self.dismiss().await;
            return Err(error);
        }
        Ok(Ensemble {
            seats: self.seats,
            people: self.people,
            server: self.server,
            lost: BTreeSet::new(),
        })
    }

    async fn order_to_begin(
        &self,
        clock: Clock,
        length: Duration,
        cut_off: &watch::Receiver<BTreeSet<String>>,
    ) -> Result<(), AgentsError> {
        for seat in &self.seats {
            let beginning = Beginning {
                unix_us: clock.start_unix_us,
                deadline: clock.start + length + DELIVERED_WITHIN,
                cut_off: cut_off.clone(),
            };
            self.order(seat, Order::Begin(beginning)).await?;
        }
        Ok(())
    }

    async fn order(&self, seat: &Seat, order: Order) -> Result<(), AgentsError> {
        let sent = seat.orders.send(order).await;
        let why = || seat.told.borrow().lost.clone().unwrap_or_default();
        sent.map_err(|_| early(seat, &why()))
    }

    /// There will be no rehearsal; all are told so.
    pub(crate) async fn dismiss(self) {
        for seat in self.seats {
            drop(seat.orders);
            // What it says is of no use any more.
            let _ = seat.stream.await;
        }
        self.server.end().await;
    }
}

impl Ensemble {
    /// Whether everything has been delivered that will be.
    pub(crate) fn is_done(&self) -> bool {
        self.seats.iter().all(|seat| seat.stream.is_finished())
    }

    /// All of them together.
    pub(crate) fn standing(&self) -> Standing {
        let mut standing = Standing::default();
        for seat in &self.seats {
            standing.add(&seat.told.borrow().standing);
        }
        standing
    }

    /// Somebody who is known to be lost only now, and why.
    pub(crate) fn news(&mut self) -> Option<String> {
        for (nth, seat) in self.seats.iter().enumerate() {
            let why = seat.told.borrow().lost.clone();
            if let Some(why) = why
                && self.lost.insert(nth)
            {
                return Some(format!("agent {} is lost: {why}", seat.name));
            }
        }
        None
    }

    /// All go home; what they have measured is still wanted.
    pub(crate) fn end(&self) {
        let deadline = Instant::now() + DELIVERED_WITHIN;
        for seat in &self.seats {
            // There is room for it, and whoever has gone need not be told.
            let _ = seat.orders.try_send(Order::Over(deadline));
        }
    }

    /// What each has measured; and whose figures are missing, and why.
    pub(crate) async fn close(self) -> (Vec<Outcome>, Vec<String>) {
        let (mut outcomes, mut missing) = (Vec::new(), Vec::new());
        for (seat, people) in self.seats.into_iter().zip(self.people) {
            let name = seat.name;
            let why = match seat.stream.await {
                Ok(Ok(outcome)) => match odd(&outcome, &name, people) {
                    None => {
                        outcomes.push(outcome);
                        continue;
                    }
                    Some(why) => why,
                },
                Ok(Err(lost)) => lost.to_string(),
                Err(error) => error.to_string(),
            };
            missing.push(format!(
                "agent {name} was lost ({why}): what its {people} delegates went through is missing"
            ));
        }
        self.server.end().await;
        (outcomes, missing)
    }
}

/// Why this is not the outcome of who was to play so many; none if it is. Of threads that broke down people are missing.
fn odd(outcome: &Outcome, name: &str, people: usize) -> Option<String> {
    let [tester] = &outcome.testers[..] else {
        let testers = outcome.testers.len();
        return Some(format!("its outcome is of {testers} testers"));
    };
    if tester.name != name {
        return Some("its outcome is of somebody else".to_owned());
    }
    let (played, people) = (tester.delegates, people as u64);
    let is_whole = played == people || (tester.broken > 0 && played < people);
    (!is_whole).then(|| format!("its outcome is of {played} delegates"))
}

fn early(seat: &Seat, why: &str) -> AgentsError {
    AgentsError::LostEarly {
        name: seat.name.clone(),
        why: why.to_owned(),
    }
}

/// How soon it is noticed that somebody is ready.
const LOOK: Duration = Duration::from_millis(50);
/// After the end: saying goodbye, and sending what was measured over a slow line.
const DELIVERED_WITHIN: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use super::super::attendance::Lost;
    use super::super::door::{Lobby, Terms};
    use super::*;
    use crate::outcome::Tester;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use tokio::sync::mpsc;

    async fn lobby() -> Lobby {
        let terms = Terms {
            agents: 2,
            listen: "127.0.0.1:0".parse().expect("an address"),
            identity: None,
            token: "secret".to_owned(),
            wait: Duration::ZERO,
        };
        Lobby::open(terms).await.expect("a free port")
    }

    #[tokio::test]
    async fn if_one_is_lost_before_it_begins_all_others_are_dismissed() {
        let seat = |name: &str, orders, stream| Seat {
            name: name.to_owned(),
            orders,
            told: watch::channel(Default::default()).1,
            stream,
        };
        let is_dismissed = Arc::new(AtomicBool::new(false));
        let (orders, mut ordered) = mpsc::channel(4);
        let dismissed = is_dismissed.clone();
        let stream = tokio::spawn(async move {
            while ordered.recv().await.is_some() {}
            dismissed.store(true, Ordering::Relaxed);
            Err(Lost::Dismissed)
        });
        let stays = seat("a", orders, stream);
        let lost = seat(
            "b",
            mpsc::channel(4).0,
            tokio::spawn(async { Err(Lost::Gone) }),
        );
        let wall = Clock::wall();
        let server = lobby().await.server;
        let assembly = Assembly::new(vec![lost, stays], wall, Duration::ZERO, server);
        let (_works, cut_off) = watch::channel(BTreeSet::new());
        let begun = assembly.begin(wall, Duration::ZERO, &cut_off).await;
        let error = begun.expect_err("one is lost").to_string();
        assert!(error.starts_with("agent b was lost before"), "{error}");
        assert!(is_dismissed.load(Ordering::Relaxed));
    }

    #[test]
    fn an_outcome_is_of_the_people_of_the_share() {
        let outcome = |name: &str, delegates, broken| Outcome {
            testers: vec![Tester {
                name: name.to_owned(),
                delegates,
                broken,
                ..Tester::default()
            }],
            ..Outcome::default()
        };
        assert_eq!(odd(&outcome("a", 10, 0), "a", 10), None);
        assert_eq!(odd(&outcome("a", 5, 1), "a", 10), None);
        for wrong in [
            outcome("a", 9, 0),
            outcome("a", 11, 0),
            outcome("a", 11, 1),
            outcome("b", 10, 0),
            Outcome::default(),
        ] {
            assert!(odd(&wrong, "a", 10).is_some(), "{:?}", wrong.testers);
        }
    }
}
