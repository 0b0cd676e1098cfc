//! One agent at the coordinator: all that is said to it and heard from it, from its hello to its outcome.

use super::assignment::standing;
use super::pieces::{Pieces, PiecesError};
use super::skew::{Drift, Skew};
use crate::account::Clock;
use crate::outcome::Outcome;
use crate::rehearsal::Standing;
use meridian_proto::loadtest as says;
use meridian_proto::loadtest::attend_request::Said as Heard;
use meridian_proto::loadtest::attend_response::Said;
use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep_until, timeout};
use tonic::{Status, Streaming};

/// An agent that has come.
#[derive(Debug)]
pub(super) struct Seat {
    /// As in the report.
    pub(super) name: String,
    /// What it is to be told.
    pub(super) orders: mpsc::Sender<Order>,
    /// How it stands.
    pub(super) told: watch::Receiver<Told>,
    /// Its stream; what comes of it.
    pub(super) stream: JoinHandle<Result<Outcome, Lost>>,
}

/// What an agent is to be told.
#[derive(Debug)]
pub(super) enum Order {
    /// In this order.
    Assign(Vec<Said>),
    /// When to begin.
    Begin(Beginning),
    /// All is over; what was measured is still wanted, until then.
    Over(Instant),
}

/// When to begin, and until when to be through.
#[derive(Debug)]
pub(super) struct Beginning {
    /// The first arrival, by the coordinator's clock.
    pub(super) unix_us: u64,
    /// Everything has been delivered by then.
    pub(super) deadline: Instant,
    /// Offices whose edges are cut off.
    pub(super) cut_off: watch::Receiver<BTreeSet<String>>,
}

/// How an agent stands.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    pub(super) skew: Skew,
    pub(super) is_ready: bool,
    pub(super) standing: Standing,
    /// Why it is not there any more.
    pub(super) lost: Option<String>,
}

/// How an agent was lost.
#[derive(Debug, thiserror::Error)]
pub(super) enum Lost {
    #[error("it has gone")]
    Gone,
    #[error("its connection broke: {0}")]
    Broken(String),
    #[error("{0}")]
    Failed(String),
    #[error("it has said {0} when that was not its turn")]
    OutOfTurn(&'static str),
    #[error(transparent)]
    Outcome(#[from] PiecesError),
    #[error("it has delivered nothing in time")]
    Late,
    #[error("it does not read what it is told")]
    Deaf,
    #[error("the rehearsal does not take place")]
    Dismissed,
}

/// An agent's stream at the coordinator.
pub(super) struct Attendance {
    wall: Clock,
    inbound: Streaming<says::AttendRequest>,
    outbound: Outbound,
    orders: mpsc::Receiver<Order>,
    told: watch::Sender<Told>,
    /// Pings that were not echoed yet: their numbers, and when they were sent.
    pings: VecDeque<(u32, u64)>,
    next_ping: u32,
    is_assigned: bool,
    begun: Option<(Beginning, Drift)>,
    pieces: Pieces,
}

/// What is on its way to an agent.
pub(super) type Outbound = mpsc::Sender<Result<says::AttendResponse, Status>>;

impl Attendance {
    /// Begins with somebody who has said hello.
    pub(super) fn begin(
        name: String,
        wall: Clock,
        inbound: Streaming<says::AttendRequest>,
        outbound: Outbound,
    ) -> Seat {
        let (orders, ordered) = mpsc::channel(ORDERS);
        let (told, seen) = watch::channel(Told::default());
        let attendance = Attendance {
            wall,
            inbound,
            outbound,
            orders: ordered,
            told,
            pings: VecDeque::new(),
            next_ping: 1,
            is_assigned: false,
            begun: None,
            pieces: Pieces::default(),
        };
        Seat {
            name,
            orders,
            told: seen,
            stream: tokio::spawn(attendance.attend()),
        }
    }

    async fn attend(mut self) -> Result<Outcome, Lost> {
        let attended = self.converse().await;
        let lost = attended.as_ref().err().map(ToString::to_string);
        // Whoever has gone hears nothing of it.
        match &lost {
            None => drop(self.say(Said::Taken(says::Taken {})).await),
            Some(why) => drop(self.outbound.try_send(Err(Status::aborted(why)))),
        }
        self.told.send_modify(|told| {
            told.lost = lost;
            told.standing.end();
        });
        attended
    }

    async fn converse(&mut self) -> Result<Outcome, Lost> {
        let mut beat = beat(OFTEN);
        loop {
            let (deadline, cut_off) = match &mut self.begun {
                Some((beginning, _)) => (Some(beginning.deadline), Some(&mut beginning.cut_off)),
                None => (None, None),
            };
            tokio::select! {
                heard = self.inbound.message() => {
                    let heard = heard.map_err(|status| broken(&status))?.ok_or(Lost::Gone)?;
                    if let Some(outcome) = self.hear(heard.said).await? {
                        return Ok(outcome);
                    }
                }
                order = self.orders.recv() => {
                    let order = order.ok_or(Lost::Dismissed)?;
                    if matches!(order, Order::Begin(_)) {
                        beat = self::beat(SELDOM);
                    }
                    self.carry_out(order).await?;
                }
                Some(offices) = changed(cut_off) => {
                    let cut_offices = offices.into_iter().collect();
                    self.say(Said::RoadWorks(says::RoadWorks { cut_offices })).await?;
                }
                () = until(deadline) => return Err(Lost::Late),
                _ = beat.tick() => self.ping(),
            }
        }
    }

    async fn carry_out(&mut self, order: Order) -> Result<(), Lost> {
        match order {
            Order::Assign(messages) => {
                for message in messages {
                    self.say(message).await?;
                }
                self.is_assigned = true;
                Ok(())
            }
            Order::Begin(beginning) => {
                let skew = self.told.borrow().skew;
                let unix_us = beginning.unix_us;
                self.begun = Some((beginning, Drift::from(skew)));
                let agent_unix_us = skew.theirs_us(unix_us);
                self.say(Said::Begin(says::Begin {
                    agent_unix_us,
                    unix_us,
                }))
                .await
            }
            Order::Over(deadline) => {
                if let Some((beginning, _)) = &mut self.begun {
                    beginning.deadline = beginning.deadline.min(deadline);
                }
                self.say(Said::Over(says::Over {})).await
            }
        }
    }

    /// The outcome, once it is whole.
    async fn hear(&mut self, heard: Option<Heard>) -> Result<Option<Outcome>, Lost> {
        let has_begun = self.begun.is_some();
        let is_waiting = self.is_assigned && !has_begun;
        match heard {
            Some(Heard::Echo(echo)) => self.echoed(echo),
            Some(Heard::Ready(_)) if is_waiting => {
                self.told.send_modify(|told| told.is_ready = true);
            }
            Some(Heard::Glance(glance)) if has_begun => {
                let standing = standing(&glance);
                self.told.send_modify(|told| told.standing = standing);
            }
            Some(Heard::Outcome(piece)) if has_begun => self.pieces.add(&piece)?,
            Some(Heard::Finished(all)) if has_begun => return self.finish(&all).await.map(Some),
            Some(Heard::Failed(failed)) => return Err(Lost::Failed(short(&failed.why))),
            Some(Heard::Ready(_)) => return Err(Lost::OutOfTurn("that it is ready")),
            Some(Heard::Glance(_)) => return Err(Lost::OutOfTurn("how it goes")),
            Some(Heard::Outcome(_) | Heard::Finished(_)) => {
                return Err(Lost::OutOfTurn("its outcome"));
            }
            Some(Heard::Hello(_)) => return Err(Lost::OutOfTurn("hello")),
            None => return Err(Lost::OutOfTurn("something unknown")),
        }
        Ok(None)
    }

    async fn finish(&mut self, all: &says::Finished) -> Result<Outcome, Lost> {
        let (pieces, bytes) = (std::mem::take(&mut self.pieces), all.bytes);
        // Other agents do not wait while it is read.
        let closing = tokio::task::spawn_blocking(move || pieces.close(bytes));
        let broke = |_| Lost::Failed("its outcome could not be read".to_owned());
        let mut outcome = closing.await.map_err(broke)??;
        let drift = self.begun.as_ref().map(|(_, drift)| drift);
        for tester in &mut outcome.testers {
            tester.clock_ahead_us = drift.map_or(0, |drift| drift.used().ahead_us());
            tester.clock_error_us = drift.map_or(0, Drift::error_us);
            tester.clock_lost = drift.is_some_and(Drift::is_lost);
        }
        Ok(outcome)
    }

    fn ping(&mut self) {
        let number = self.next_ping;
        self.next_ping += 1;
        // Whoever delivers does not answer any more.
        if let Some((_, drift)) = &mut self.begun
            && self.pieces.is_empty()
        {
            drift.ask();
        }
        let ping = says::AttendResponse {
            said: Some(Said::Ping(says::Ping { number })),
        };
        // One that finds no room would only measure the queue.
        if self.outbound.capacity() == self.outbound.max_capacity()
            && self.outbound.try_send(Ok(ping)).is_ok()
        {
            self.pings.push_back((number, self.now_us()));
            if self.pings.len() > PINGS {
                self.pings.pop_front();
            }
        }
    }

    fn echoed(&mut self, echo: says::Echo) {
        let back_us = self.now_us();
        let place = self.pings.iter().position(|(n, _)| *n == echo.number);
        // One that took so long tells nothing.
        let Some((_, sent_us)) = place.and_then(|at| self.pings.remove(at)) else {
            return;
        };
        match &mut self.begun {
            Some((_, drift)) => drift.note(sent_us, back_us, echo.unix_us),
            None => self
                .told
                .send_modify(|told| told.skew.note(sent_us, back_us, echo.unix_us)),
        }
    }

    async fn say(&self, said: Said) -> Result<(), Lost> {
        let message = says::AttendResponse { said: Some(said) };
        let sent = timeout(READ_WITHIN, self.outbound.send(Ok(message))).await;
        let sent = sent.map_err(|_| Lost::Deaf)?;
        sent.map_err(|_| Lost::Gone)
    }

    fn now_us(&self) -> u64 {
        self.wall.unix_us(Instant::now())
    }
}

fn beat(every: Duration) -> Interval {
    let mut beat = interval(every);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beat
}

/// Offices that are cut off, when they have become others; none once they will not.
async fn changed(
    cut_off: Option<&mut watch::Receiver<BTreeSet<String>>>,
) -> Option<BTreeSet<String>> {
    match cut_off {
        Some(cut_off) => {
            cut_off.changed().await.ok()?;
            Some(cut_off.borrow_and_update().clone())
        }
        None => std::future::pending().await,
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

fn broken(status: &Status) -> Lost {
    Lost::Broken(short(status.message()))
}

/// Others' words go into the report.
fn short(words: &str) -> String {
    words.chars().take(LONGEST_WORDS).collect()
}

/// An assignment, a beginning and an end.
const ORDERS: usize = 4;
/// Often until it begins: what is known of clocks is known from these.
const OFTEN: Duration = Duration::from_millis(200);
/// Then only to see how they drift.
const SELDOM: Duration = Duration::from_secs(1);
/// Pings on their way: more than a slow path holds.
const PINGS: usize = 16;
/// An agent has nothing else to do than to read.
const READ_WITHIN: Duration = Duration::from_secs(10);
const LONGEST_WORDS: usize = 300;
