//! One relay and the sessions it serves, on one thread.
//!
//! Everything that comes from outside goes through [`Worker::relay`]: it runs one `handle_*` and then carries out what the
//! relay asks for. What goes to many is carried out in bursts, between which QUIC sends what it has been given.

use crate::link::Link;
use crate::sending::Sending;
use crate::siblings;
use crate::stats::Stats;
use meridian_relay::{Counters, InStreamId, OutStreamId, Outgoing, Relay, SessionId};
use meridian_wire::{ResetCode, TerminationCode};
use slotmap::SecondaryMap;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, oneshot};

/// Small deliveries in one go. With all of them in one, every connection was touched twice, far apart, and the first packet
/// left when the last was written: for 500 subscribers 2 to 12 % more CPU and up to 1 ms more lag. Fewer in one go take
/// more turns.
const BURST: usize = 16;
/// What is larger, in bytes, is given to all in one go: it may be the beginning of something, of which more arrives
/// meanwhile and goes into the same packets. Sending large frames in bursts, too, took 13 % more CPU.
const SMALL: usize = 1000;
/// How long peers have to go elsewhere after GOAWAY, while everything goes on: a new connection across the world.
const GRACE: Duration = Duration::from_secs(1);
/// How long closing may take when the process ends.
const DRAIN: Duration = Duration::from_secs(2);

/// A handle on a worker; clones are the same worker.
#[derive(Clone)]
pub struct Worker(Rc<Shared>);

struct Shared {
    state: RefCell<State>,
    /// The relay's next deadline has moved forward.
    sooner: Notify,
    /// There are deliveries left for another burst.
    unfinished: Notify,
}

/// What a worker holds.
pub(crate) struct State {
    pub(crate) relay: Relay,
    pub(crate) links: SecondaryMap<SessionId, Link>,
    /// Streams that stay open between deliveries, or have bytes left.
    pub(crate) sending: SecondaryMap<OutStreamId, Sending>,
    /// How to stop the tasks that read streams.
    pub(crate) reading: SecondaryMap<InStreamId, oneshot::Sender<ResetCode>>,
    /// How to have the tasks that read fetch streams read on.
    pub(crate) paused: SecondaryMap<InStreamId, oneshot::Sender<()>>,
    pub(crate) stats: Stats,
    /// When that was read which is still being passed on.
    passing: Option<Instant>,
    /// The deadline the clock waits for.
    armed: Option<Instant>,
}

impl Worker {
    /// A worker without sessions. Must run inside a [`tokio::task::LocalSet`], as its tasks stay on this thread.
    pub fn start(config: meridian_relay::Config) -> Worker {
        let worker = Worker(Rc::new(Shared {
            state: RefCell::new(State {
                relay: Relay::new(config),
                links: SecondaryMap::new(),
                sending: SecondaryMap::new(),
                reading: SecondaryMap::new(),
                paused: SecondaryMap::new(),
                stats: Stats::default(),
                passing: None,
                armed: None,
            }),
            sooner: Notify::new(),
            unfinished: Notify::new(),
        }));
        tokio::task::spawn_local(worker.clone().run_bursts());
        tokio::task::spawn_local(worker.clone().run_clock());
        worker
    }

    /// What the relay has counted since it started.
    pub fn counters(&self) -> Counters {
        self.0.state.borrow().relay.counters().clone()
    }

    /// Lets `act` at the relay, then does what the relay asks for.
    pub(crate) fn relay<R>(&self, act: impl FnOnce(&mut Relay) -> R) -> R {
        self.state(|state| act(&mut state.relay))
    }

    /// The same with everything the worker holds.
    pub(crate) fn state<R>(&self, act: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.0.state.borrow_mut();
        // What the relay decides next rests on what it has decided having been done.
        state.drain(self, usize::MAX);
        let result = act(&mut state);
        self.carry_out(&mut state);
        result
    }

    /// A burst of what the relay wants.
    fn carry_out(&self, state: &mut State) {
        if !state.drain(self, BURST) {
            self.0.unfinished.notify_one();
        }
        let next = state.relay.poll_timeout();
        if next.is_some_and(|next| state.armed.is_none_or(|armed| next < armed)) {
            state.armed = next;
            self.0.sooner.notify_one();
        }
    }

    /// What the worker holds, for what makes the relay want nothing.
    pub(crate) fn look<R>(&self, act: impl FnOnce(&mut State) -> R) -> R {
        act(&mut self.0.state.borrow_mut())
    }

    /// Tells every peer to leave, and gives it time to; then closes what is left, and waits until what they still had to
    /// say has left, or the time is up.
    pub(crate) async fn drain_sessions(&self) {
        // Other workers are told by whoever told this one.
        let sessions: Vec<_> = self.state(|state| {
            let links = state.links.values();
            let outward = links.filter(|link| !siblings::is_inner(&link.session));
            outward.map(|link| link.session.clone()).collect()
        });
        self.relay(|relay| relay.drain(GRACE));
        let all_closed = || async {
            for session in &sessions {
                session.closed().await;
            }
        };
        if tokio::time::timeout(GRACE, all_closed()).await.is_ok() {
            return;
        }
        for session in &sessions {
            let why = "this edge is shutting down";
            session.close(TerminationCode::GOAWAY_TIMEOUT, why);
        }
        // One that does not end by itself is ended with the process.
        let _ = tokio::time::timeout(DRAIN, all_closed()).await;
    }

    /// Before the next burst the connections send, as a rule, what this one has given them, while it is still in the
    /// processor's cache: they are woken by it, and tasks that yield come after those that are awake.
    async fn run_bursts(self) {
        loop {
            self.0.unfinished.notified().await;
            tokio::task::yield_now().await;
            self.carry_out(&mut self.0.state.borrow_mut());
        }
    }

    async fn run_clock(self) {
        loop {
            let armed = self.0.state.borrow().armed;
            let sleep = async {
                match armed {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.0.sooner.notified() => continue,
                () = sleep => {}
            }
            self.state(|state| {
                state.relay.handle_timeout(Instant::now());
                state.armed = None;
            });
        }
    }
}

impl State {
    /// What was read at `since` has been given to the relay; its time is noted when all have been given it.
    pub(crate) fn passes_on(&mut self, since: Instant) {
        self.passing = Some(since);
        self.note_passed_on();
    }

    fn note_passed_on(&mut self) {
        if !self.relay.has_deliveries()
            && let Some(since) = self.passing.take()
        {
            self.stats.passed_on(since);
        }
    }

    /// Carries out what the relay has decided: media first, then messages, until there is nothing more, or `most` small
    /// deliveries have been done and there are further ones. Whether there is nothing more.
    fn drain(&mut self, worker: &Worker, most: usize) -> bool {
        let mut left = most;
        loop {
            while let Some(outgoing) = self.relay.poll_delivery() {
                left = left.saturating_sub(usize::from(is_small(&outgoing)));
                self.give(worker, outgoing);
                if left == 0 && self.relay.has_deliveries() {
                    return false;
                }
            }
            self.note_passed_on();
            match self.relay.poll_command() {
                Some(command) => self.perform(worker, command),
                None => return true,
            }
        }
    }

    fn give(&mut self, worker: &Worker, outgoing: Outgoing) {
        match outgoing {
            Outgoing::Stream(delivery) => self.deliver(worker, delivery),
            Outgoing::Datagram { session, bytes } => {
                self.stats.gives(session, || bytes.len());
                self.send_datagram(session, bytes);
            }
            Outgoing::Priority { stream, priority } => {
                if let Some(sending) = self.sending.get_mut(stream) {
                    sending.stream.set_priority(priority);
                }
            }
        }
    }
}

fn is_small(outgoing: &Outgoing) -> bool {
    match outgoing {
        Outgoing::Stream(delivery) => delivery.body.len() <= SMALL,
        Outgoing::Datagram { .. } | Outgoing::Priority { .. } => true,
    }
}
