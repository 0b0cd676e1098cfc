//! A race to the first edge that answers: the best is dialled, then the next a moment later or as soon as one has failed.
//! Pure: whoever runs it dials and has the clock.

use super::route::Place;
use serde::Serialize;
use std::time::{Duration, Instant};

/// Before the next is dialled, while the ones before it have not answered: a far edge answers within this, a dead one
/// never.
pub const HEAD_START: Duration = Duration::from_millis(250);

/// Who is dialled, and how they do.
#[derive(Debug)]
pub struct Race {
    runners: Vec<Runner>,
    next_at: Instant,
}

#[derive(Debug)]
struct Runner {
    place: Place,
    state: State,
}

#[derive(Debug)]
enum State {
    Waiting,
    Dialled(Instant),
    Connected(Duration),
    Failed(String),
}

/// How one did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// The office's id.
    pub office: String,
    /// From dialling to the session, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connected_after_us: Option<u32>,
    /// Why it failed; another may have been faster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// It could not be reached. One that was only slower can be.
    #[serde(skip)]
    pub is_unreachable: bool,
}

impl Race {
    /// A race that starts now, in this order.
    pub fn new(order: Vec<Place>, now: Instant) -> Race {
        let mut race = Race {
            runners: Vec::new(),
            next_at: now,
        };
        race.add(order);
        race
    }

    /// Lets more take part, after the others. Those at a place that takes part already are passed over.
    pub fn add(&mut self, places: Vec<Place>) {
        for place in places {
            if self.runners.iter().all(|runner| runner.place != place) {
                let state = State::Waiting;
                self.runners.push(Runner { place, state });
            }
        }
    }

    /// Whom to dial now, if anybody. To be called until `None`.
    pub fn poll_command(&mut self, now: Instant) -> Option<Place> {
        if now < self.next_at {
            return None;
        }
        let next = self
            .runners
            .iter_mut()
            .find(|runner| matches!(runner.state, State::Waiting))?;
        next.state = State::Dialled(now);
        self.next_at = now + HEAD_START;
        Some(next.place.clone())
    }

    /// When to look for the next command, if there is one to come.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let mut runners = self.runners.iter();
        runners
            .any(|runner| matches!(runner.state, State::Waiting))
            .then_some(self.next_at)
    }

    /// One has failed: the next need not wait.
    pub fn handle_failed(&mut self, office: &str, error: String, now: Instant) {
        if let Some(runner) = self.dialled(office) {
            runner.state = State::Failed(error);
            self.next_at = now;
        }
    }

    /// One has answered: the race is over.
    pub fn handle_connected(&mut self, office: &str, now: Instant) {
        if let Some(runner) = self.dialled(office)
            && let State::Dialled(since) = runner.state
        {
            runner.state = State::Connected(now - since);
        }
    }

    /// Whether all have failed.
    pub fn is_lost(&self) -> bool {
        let mut runners = self.runners.iter();
        runners.all(|runner| matches!(runner.state, State::Failed(_)))
    }

    /// How each did that was dialled.
    pub fn outcomes(&self) -> Vec<Outcome> {
        self.runners.iter().filter_map(Runner::outcome).collect()
    }

    fn dialled(&mut self, office: &str) -> Option<&mut Runner> {
        self.runners.iter_mut().find(|runner| {
            runner.place.office == office && matches!(runner.state, State::Dialled(_))
        })
    }
}

impl Runner {
    fn outcome(&self) -> Option<Outcome> {
        let (connected_after_us, error) = match &self.state {
            State::Waiting => return None,
            State::Dialled(_) => (None, Some("slower than another".to_owned())),
            // 0 stands for none in what the control plane is told.
            State::Connected(took) => (
                Some(u32::try_from(took.as_micros()).unwrap_or(u32::MAX).max(1)),
                None,
            ),
            State::Failed(error) => (None, Some(error.clone())),
        };
        Some(Outcome {
            is_unreachable: matches!(self.state, State::Failed(_)),
            office: self.place.office.clone(),
            connected_after_us,
            error,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(office: &str) -> Place {
        Place {
            office: office.to_owned(),
            address: format!("{office}:1"),
            fingerprint: None,
        }
    }

    fn race(offices: &[&str], now: Instant) -> Race {
        Race::new(offices.iter().map(|office| place(office)).collect(), now)
    }

    fn dialled(race: &mut Race, now: Instant) -> Vec<String> {
        let dialled = std::iter::from_fn(|| race.poll_command(now));
        dialled.map(|place| place.office).collect()
    }

    fn after(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    #[test]
    fn each_has_a_head_start_over_the_next() {
        let start = Instant::now();
        let mut race = race(&["a", "b", "c"], start);
        assert_eq!(dialled(&mut race, start), ["a"]);
        assert_eq!(race.poll_timeout(), Some(after(start, 250)));
        assert!(dialled(&mut race, after(start, 249)).is_empty());
        assert_eq!(dialled(&mut race, after(start, 250)), ["b"]);
        assert_eq!(dialled(&mut race, after(start, 500)), ["c"]);
        assert_eq!(race.poll_timeout(), None);
    }

    #[test]
    fn when_one_fails_the_next_is_dialled_at_once() {
        let start = Instant::now();
        let mut race = race(&["a", "b"], start);
        assert_eq!(dialled(&mut race, start), ["a"]);
        race.handle_failed("a", "refused".to_owned(), after(start, 3));
        assert_eq!(dialled(&mut race, after(start, 3)), ["b"]);
        assert!(!race.is_lost());
        race.handle_failed("b", "refused".to_owned(), after(start, 9));
        assert!(race.is_lost());
    }

    #[test]
    fn who_is_named_meanwhile_takes_part_but_nobody_twice() {
        let start = Instant::now();
        let mut race = race(&["a"], start);
        assert_eq!(dialled(&mut race, start), ["a"]);
        race.add(vec![place("a"), place("b")]);
        assert_eq!(dialled(&mut race, after(start, 250)), ["b"]);
        assert_eq!(race.poll_timeout(), None);
    }

    #[test]
    fn it_is_told_how_each_did() {
        let start = Instant::now();
        let mut race = race(&["a", "b", "c"], start);
        dialled(&mut race, start);
        dialled(&mut race, after(start, 250));
        race.handle_connected("b", after(start, 290));
        let outcomes = race.outcomes();
        assert_eq!(outcomes.len(), 2, "the third was not dialled");
        assert_eq!(outcomes[0].error.as_deref(), Some("slower than another"));
        assert!(!outcomes[0].is_unreachable, "only slower");
        assert_eq!(outcomes[1].connected_after_us, Some(40_000));
    }
}
