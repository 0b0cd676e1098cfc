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

    /// The first arrival is due at the clock's start. Whoever is lost from now on is missing in the outcome.
    pub(crate) async fn begin(
        self,
        clock: Clock,
        length: Duration,
        cut_off: &watch::Receiver<BTreeSet<String>>,
    ) -> Result<Ensemble, AgentsError> {
        for seat in &self.seats {
            let beginning = Beginning {
                unix_us: clock.start_unix_us,
                deadline: clock.start + length + DELIVERED_WITHIN,
                cut_off: cut_off.clone(),
            };
            self.order(seat, Order::Begin(beginning)).await?;
        }
        Ok(Ensemble {
            seats: self.seats,
            people: self.people,
            server: self.server,
            lost: BTreeSet::new(),
        })
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
        for seat in &self.seats {
            // There is room for it, and whoever has gone need not be told.
            let _ = seat.orders.try_send(Order::Over);
        }
    }

    /// What each has measured; and whose figures are missing, and why.
    pub(crate) async fn close(self) -> (Vec<Outcome>, Vec<String>) {
        let (mut outcomes, mut missing) = (Vec::new(), Vec::new());
        for (seat, people) in self.seats.into_iter().zip(self.people) {
            let name = seat.name;
            let why = match seat.stream.await {
                Ok(Ok(outcome)) => {
                    outcomes.push(outcome);
                    continue;
                }
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
