//! Clients are sent elsewhere before an edge is taken out of service, without haste, and it can be taken back.
//!
//! Each is told by GOAWAY where to go (draft-22 §9.2) and served as before until it has gone or the time is over. Neighbours
//! notice nothing.

use crate::link::Link;
use crate::neighbours::place::Place;
use crate::worker::Worker;
use meridian_relay::SessionId;
use meridian_session::session::Session;
use meridian_session::transport::Transport;
use meridian_wire::TerminationCode;
use meridian_wire::control::Goaway;
use rand::RngExt;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// The part of the time over which clients are told: the edges they go to are not hit by all at once, and the last ones
/// still have the rest of it.
const SPREAD: f64 = 0.6;
/// How long a newcomer has to go where it is sent.
const SENT_ON: Duration = Duration::from_secs(2);
/// The longest drain.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
const REASON: &str = "this edge is being drained";

/// An edge for clients to go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its clients' port: the same number in UDP and TCP.
    pub place: Place,
    /// Its share of the clients, against the weights of the others; 0: none.
    pub weight: u32,
}

/// Edges for clients to go to, by their meeting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Targets {
    /// Unless a meeting has its own.
    pub all: Vec<Target>,
    /// Of meetings that edges in some countries alone may carry.
    pub by_meeting: BTreeMap<String, Vec<Target>>,
}

impl From<Vec<Target>> for Targets {
    fn from(all: Vec<Target>) -> Targets {
        Targets {
            all,
            by_meeting: BTreeMap::new(),
        }
    }
}

impl Targets {
    fn of(&self, meeting: Option<&str>) -> &[Target] {
        let own = meeting.and_then(|meeting| self.by_meeting.get(meeting));
        own.unwrap_or(&self.all)
    }
}

/// Whether clients are being sent away. Shared by all workers.
#[derive(Debug)]
pub(crate) struct Draining(watch::Sender<Option<Arc<Drain>>>);

/// An order to send clients away.
#[derive(Debug)]
pub(crate) struct Drain {
    targets: Targets,
    until: Instant,
}

impl Default for Draining {
    fn default() -> Draining {
        Draining(watch::Sender::new(None))
    }
}

impl Draining {
    pub(crate) fn begin(&self, mut targets: Targets, within: Duration) {
        for of in std::iter::once(&mut targets.all).chain(targets.by_meeting.values_mut()) {
            of.retain(|target| target.weight > 0);
        }
        let until = Instant::now() + within.min(LONGEST);
        self.0
            .send_replace(Some(Arc::new(Drain { targets, until })));
    }

    pub(crate) fn end(&self) {
        self.0.send_replace(None);
    }

    pub(crate) fn now(&self) -> Option<Arc<Drain>> {
        self.0.borrow().clone()
    }
}

impl Drain {
    /// Whether newcomers are not served: they have somewhere else to go, or the time is over.
    pub(crate) fn turns_away(&self) -> bool {
        !self.targets.all.is_empty() || Instant::now() >= self.until
    }

    /// Tells a newcomer where to go instead, and sees it off.
    pub(crate) async fn send_on(&self, session: Session, meeting: Option<&str>) {
        if !self.targets.of(meeting).is_empty() {
            let goaway = Goaway {
                uri: self.uri_for(&session, meeting).into(),
                timeout: SENT_ON.as_millis() as u64,
                request_id: None,
            };
            if session.send_goaway(goaway).is_ok() {
                // One that stays is closed like one that has had no place to go.
                let _ = tokio::time::timeout(SENT_ON, session.closed()).await;
            }
        }
        session.close(TerminationCode::GOAWAY_TIMEOUT, REASON);
    }

    /// Where a client is sent, in the scheme of what it came by; empty: it has to know for itself.
    fn uri_for(&self, session: &Session, meeting: Option<&str>) -> String {
        let targets = self.targets.of(meeting);
        let weights = targets.iter().map(|target| u64::from(target.weight));
        let all: u64 = weights.sum();
        if all == 0 {
            return String::new();
        }
        let mut dice = rand::rng().random_range(0..all);
        let chosen = targets.iter().find(|target| {
            let weight = u64::from(target.weight);
            let is_it = dice < weight;
            dice = dice.saturating_sub(weight);
            is_it
        });
        let scheme = match session.connection().transport() {
            Transport::Quic => "moqt",
            Transport::WebTransport => "https",
            Transport::Qmux => "wss",
        };
        chosen.map_or(String::new(), |target| {
            format!("{scheme}://{}/", target.place)
        })
    }

    fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    /// Tells a worker's clients, one after another, and closes those that are left in the end.
    async fn carry_out(&self, worker: &Worker) {
        let time = self.left().mul_f64(SPREAD);
        let begin = Instant::now();
        let mut due: Vec<(Instant, SessionId)> = clients(worker)
            .into_iter()
            .map(|id| (begin + time.mul_f64(rand::rng().random_range(0.0..1.0)), id))
            .collect();
        due.sort();
        for (at, id) in due {
            tokio::time::sleep_until(at.into()).await;
            worker.look(|state| {
                if let Some(link) = state.links.get_mut(id) {
                    self.tell(link);
                }
            });
        }
        tokio::time::sleep_until(self.until.into()).await;
        for id in clients(worker) {
            worker.look(|state| {
                if let Some(link) = state.links.get(id) {
                    link.session.close(TerminationCode::GOAWAY_TIMEOUT, REASON);
                }
            });
        }
    }

    fn tell(&self, link: &mut Link) {
        let uri = self.uri_for(&link.session, link.meeting().as_deref());
        link.tell_to_leave(Goaway {
            uri: uri.into(),
            // 0 would mean that there is no limit.
            timeout: (self.left().as_millis() as u64).max(1),
            request_id: None,
        });
    }
}

/// Does what is ordered, at one worker, for as long as it runs.
pub(crate) async fn follow(worker: Worker, draining: Arc<Draining>) {
    let mut orders = draining.0.subscribe();
    loop {
        let order = orders.borrow_and_update().clone();
        let work = async {
            if let Some(drain) = order {
                drain.carry_out(&worker).await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = work => {}
            changed = orders.changed() => if changed.is_err() {
                return;
            },
        }
    }
}

fn clients(worker: &Worker) -> Vec<SessionId> {
    worker.look(|state| {
        let links = state.links.iter();
        let clients = links.filter(|(_, link)| link.is_client);
        clients.map(|(id, _)| id).collect()
    })
}
