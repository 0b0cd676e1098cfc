//! Who comes in next, when more want to come in than can at once: a queue for each lane, at one replica.
//!
//! A client asks, is told to wait, and asks again with its ticket, at any replica: tickets say since when it has waited,
//! and every replica keeps that order. Turns are given to the longest waiting whether they are asking at that moment or
//! not, and wait for them to ask.

mod bucket;
mod polls;
mod queue;
#[cfg(test)]
mod tests;

use bucket::Bucket;
use polls::Polls;
use queue::{Entry, Queue};
use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

/// How fast people come in at one replica, and how many may wait.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The reserved lane's own.
    pub reserved: Rate,
    /// For everybody: the reserved lane uses it too, where it has waited longer, and else for every second turn at most.
    pub general: Rate,
    /// How many may wait in each lane.
    pub max_waiting: usize,
    /// How many times a second those who wait may ask, all together.
    pub polls_per_second: u32,
    /// Nobody asks again sooner.
    pub least_retry: Duration,
    /// How long after the time told a ticket is kept.
    pub patience: Duration,
    /// A ticket that is older counts as a new arrival.
    pub longest_wait: Duration,
    /// Nobody is asked to do without video for longer.
    pub most_video_after: Duration,
}

/// A pace.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Joins per second in the long run; above 0.
    pub per_second: f64,
    /// Joins at once after a quiet time; at least 1.
    pub burst: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            reserved: Rate {
                per_second: 50.0,
                burst: 200,
            },
            general: Rate {
                per_second: 500.0,
                burst: 1_000,
            },
            max_waiting: 20_000,
            polls_per_second: 1_000,
            least_retry: Duration::from_millis(500),
            patience: Duration::from_secs(10),
            longest_wait: Duration::from_secs(600),
            most_video_after: Duration::from_secs(30),
        }
    }
}

/// Where one waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Chair, interpreters and listed speakers: without them there is no meeting.
    Reserved,
    /// Everybody else.
    General,
}

/// What one waits with. The shell signs it, so that any replica can believe it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket {
    /// Since when, in microseconds since the Unix epoch; no two of one replica are the same.
    pub arrived_us: u64,
    /// Tells apart those who came to two replicas at the same time.
    pub number: u64,
    /// Where.
    pub lane: Lane,
}

/// The answer to somebody who wants to come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Come in.
    Admitted {
        /// Ask for video so many milliseconds later: 0 in quiet times.
        video_after_ms: u32,
    },
    /// Wait.
    Waiting(Waiting),
    /// Too many wait: ask as a newcomer, later.
    Later {
        /// In so many milliseconds.
        retry_after_ms: u32,
    },
}

/// A place in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// To be shown when asking again.
    pub ticket: Ticket,
    /// From 1: how many are before it in its lane, and itself.
    pub position: u32,
    /// In milliseconds.
    pub expected_wait_ms: u32,
    /// When to ask again, in milliseconds; varied at random.
    pub retry_after_ms: u32,
}

/// What has become of those who asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Came in, from the reserved lane.
    pub admitted_reserved: u64,
    /// Came in, from the general lane.
    pub admitted_general: u64,
    /// Did not ask again in time.
    pub abandoned: u64,
    /// Were told to come later.
    pub turned_away: u64,
    /// Lost their place here to somebody who had waited longer elsewhere.
    pub displaced: u64,
}

/// Somebody who asks to come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asking {
    /// By which lane.
    pub lane: Lane,
    /// The ticket, unless they have just come.
    pub ticket: Option<Ticket>,
    /// Any number: for the ticket's, and to vary when they ask again.
    pub random: u64,
}

/// One replica's queues.
#[derive(Debug)]
pub struct Admission {
    config: Config,
    reserved: Queue,
    general: Queue,
    polls: Polls,
    /// Whether the general pace's last turn that was contested went to the general lane.
    general_had_turn: bool,
    /// Everybody who waits or has a turn, by when they are given up.
    deadlines: BTreeSet<(Instant, Ticket)>,
    turns: VecDeque<Ticket>,
    /// When the last newcomer came.
    last_us: u64,
    counters: Counters,
}

impl Admission {
    /// Nobody waits; both bursts are available.
    pub fn new(config: Config, now: Instant) -> Self {
        Self {
            reserved: Queue::new(Bucket::new(config.reserved, now)),
            general: Queue::new(Bucket::new(config.general, now)),
            polls: Polls::new(config.polls_per_second, now),
            general_had_turn: false,
            deadlines: BTreeSet::new(),
            turns: VecDeque::new(),
            last_us: 0,
            counters: Counters::default(),
            config,
        }
    }

    /// Somebody asks to come in, for the first time or again. `unix_us` is the wall clock now.
    pub fn handle_ask(&mut self, asking: Asking, unix_us: u64, now: Instant) -> Answer {
        self.handle_timeout(now);
        let ticket = self.ticket(asking, unix_us);
        let backlog = self.waiting();
        if !self.enter(ticket, now) {
            self.counters.turned_away += 1;
            return Answer::Later {
                retry_after_ms: self.much_later(asking.random),
            };
        }
        self.give_turns(now);
        if self.queue(ticket.lane).has_turn(&ticket) {
            return self.admit(ticket, backlog);
        }
        Answer::Waiting(self.wait(ticket, asking.random, now))
    }

    /// Somebody gives up waiting.
    pub fn handle_leave(&mut self, ticket: Ticket, now: Instant) {
        self.give_up(ticket, now);
        self.give_turns(now);
    }

    /// When [`Self::handle_timeout`] is to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let reserved = self.reserved.head().map(|_| {
            self.reserved
                .bucket
                .ready_at()
                .min(self.general.bucket.ready_at())
        });
        let general = self.general.head().map(|_| self.general.bucket.ready_at());
        let abandoned = self.deadlines.first().map(|(deadline, _)| *deadline);
        [reserved, general, abandoned].into_iter().flatten().min()
    }

    /// Time has passed: gives turns, and those of people who have not come to others.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((deadline, ticket)) = self.deadlines.first().copied()
            && deadline <= now
        {
            self.counters.abandoned += 1;
            self.give_up(ticket, now);
        }
        self.give_turns(now);
    }

    /// A ticket whose turn has come, for those whom the shell can tell at once. They have to ask as all others.
    pub fn poll_turn(&mut self) -> Option<Ticket> {
        self.turns.pop_front()
    }

    /// How many wait, without those whose turn has come.
    pub fn waiting(&self) -> usize {
        self.reserved.waiting() + self.general.waiting()
    }

    /// What has become of those who asked.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// The ticket of one who asks: theirs, if it is of any use.
    fn ticket(&mut self, asking: Asking, unix_us: u64) -> Ticket {
        let longest = self.config.longest_wait.as_micros() as u64;
        let fits = |ticket: &Ticket| {
            // Another replica's clock may be a little ahead: that gains nobody anything.
            ticket.lane == asking.lane && unix_us.saturating_sub(ticket.arrived_us) <= longest
        };
        if let Some(ticket) = asking.ticket.filter(fits) {
            return ticket;
        }
        self.last_us = unix_us.max(self.last_us + 1);
        Ticket {
            arrived_us: self.last_us,
            number: asking.random,
            lane: asking.lane,
        }
    }

    /// Whether there was room.
    fn enter(&mut self, ticket: Ticket, now: Instant) -> bool {
        if let Some(deadline) = self.queue(ticket.lane).deadline(&ticket) {
            self.deadlines.remove(&(deadline, ticket));
        } else if self.queue(ticket.lane).waiting() >= self.config.max_waiting {
            let last = self.queue(ticket.lane).last().expect("it is full");
            if last <= ticket {
                return false;
            }
            self.counters.displaced += 1;
            self.give_up(last, now);
        }
        let deadline = now + self.config.patience;
        self.keep_until(ticket, deadline);
        true
    }

    fn keep_until(&mut self, ticket: Ticket, deadline: Instant) {
        self.queue(ticket.lane).keep(ticket, deadline);
        self.deadlines.insert((deadline, ticket));
    }

    fn give_up(&mut self, ticket: Ticket, now: Instant) {
        if let Some(Entry {
            deadline,
            turn_from,
            ..
        }) = self.queue(ticket.lane).remove(&ticket)
        {
            self.deadlines.remove(&(deadline, ticket));
            if let Some(lane) = turn_from {
                self.queue(lane).bucket.give_back(now);
            }
        }
    }

    /// Gives turns to the longest waiting as long as there are any.
    fn give_turns(&mut self, now: Instant) {
        while let Some((lane, from)) = self.next_turn(now) {
            self.queue(from).bucket.take(now);
            let ticket = self.queue(lane).give_turn(from);
            if self.turns.len() == self.config.max_waiting {
                self.turns.pop_front();
            }
            self.turns.push_back(ticket);
        }
    }

    /// Whose turn it is, and of which lane's pace.
    fn next_turn(&mut self, now: Instant) -> Option<(Lane, Lane)> {
        let (reserved, general) = (self.reserved.head(), self.general.head());
        if reserved.is_some() && self.reserved.bucket.is_ready(now) {
            return Some((Lane::Reserved, Lane::Reserved));
        }
        if !self.general.bucket.is_ready(now) {
            return None;
        }
        let lane = match (reserved, general) {
            (None, None) => return None,
            (Some(_), None) => Lane::Reserved,
            (None, Some(_)) => Lane::General,
            (Some(reserved), Some(general)) if reserved.arrived_us <= general.arrived_us => {
                Lane::Reserved
            }
            (Some(_), Some(_)) => {
                self.general_had_turn = !self.general_had_turn;
                if self.general_had_turn {
                    Lane::General
                } else {
                    Lane::Reserved
                }
            }
        };
        Some((lane, Lane::General))
    }

    fn admit(&mut self, ticket: Ticket, backlog: usize) -> Answer {
        let entry = self
            .queue(ticket.lane)
            .remove(&ticket)
            .expect("it has a turn");
        self.deadlines.remove(&(entry.deadline, ticket));
        self.turns.retain(|turn| *turn != ticket);
        match ticket.lane {
            Lane::Reserved => self.counters.admitted_reserved += 1,
            Lane::General => self.counters.admitted_general += 1,
        }
        let pace = self.config.reserved.per_second + self.config.general.per_second;
        let video_after =
            Duration::from_secs_f64(backlog as f64 / pace).min(self.config.most_video_after);
        Answer::Admitted {
            video_after_ms: millis(video_after),
        }
    }

    fn wait(&mut self, ticket: Ticket, random: u64, now: Instant) -> Waiting {
        let position = self.queue(ticket.lane).position(&ticket);
        let expected = self.expected_wait(ticket.lane, position);
        let at = self
            .polls
            .slot(now, expected.max(self.config.least_retry), random);
        let deadline = at + self.config.patience;
        if let Some(old) = self.queue(ticket.lane).deadline(&ticket) {
            self.deadlines.remove(&(old, ticket));
        }
        self.keep_until(ticket, deadline);
        Waiting {
            ticket,
            position,
            expected_wait_ms: millis(expected),
            retry_after_ms: millis(at.saturating_duration_since(now)),
        }
    }

    /// How long the one at `position` waits if nobody gives up and no one comes by the reserved lane.
    fn expected_wait(&self, lane: Lane, position: u32) -> Duration {
        let (reserved, general) = (
            self.config.reserved.per_second,
            self.config.general.per_second,
        );
        let others = |queue: &Queue| queue.waiting() as f64;
        let position = f64::from(position);
        let seconds = match lane {
            Lane::Reserved if self.general.waiting() == 0 => position / (reserved + general),
            Lane::Reserved => position / (reserved + general / 2.0),
            Lane::General => (position + position.min(others(&self.reserved))) / general,
        };
        Duration::from_secs_f64(seconds)
    }

    /// Longer than anybody in the queue has to wait, spread over as long again.
    fn much_later(&self, random: u64) -> u32 {
        let all = self.expected_wait(
            Lane::General,
            u32::try_from(self.config.max_waiting).unwrap_or(u32::MAX),
        );
        let base = millis(all.max(self.config.patience));
        base.saturating_add((random % u64::from(base.max(1))) as u32)
    }

    fn queue(&mut self, lane: Lane) -> &mut Queue {
        match lane {
            Lane::Reserved => &mut self.reserved,
            Lane::General => &mut self.general,
        }
    }
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
