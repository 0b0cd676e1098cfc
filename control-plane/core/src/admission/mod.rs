//! Who comes in next, when more want to come in than can at once: a queue for each lane, at one replica.
//!
//! A client asks, is told to wait, and asks again with its ticket, at any replica: tickets say since when it has waited,
//! and every replica keeps that order. Turns are given to the longest waiting whether they are asking at that moment or
//! not, and wait for them to ask.
//!
//! A person has one place, however many devices and calls: nobody waits behind more than there are people. Who was let in
//! not long ago comes in again at a pace of its own (`returns`), and takes nobody's turn.

mod bucket;
mod config;
mod polls;
mod queue;
mod returns;
#[cfg(test)]
mod tests;

pub use config::{Config, Rate};

use crate::ids::Person;
use bucket::Bucket;
use polls::Polls;
use queue::{Entry, Queue};
use returns::{Returns, Verdict};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

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
    /// This person has come in again and again: later.
    TooOften {
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
    /// Came in again, without a turn.
    pub returned: u64,
    /// Were told that they come too often.
    pub too_often: u64,
    /// Did not ask again in time.
    pub abandoned: u64,
    /// Were told to come later.
    pub turned_away: u64,
    /// Lost their place here to somebody who had waited longer elsewhere.
    pub displaced: u64,
}

/// Somebody who asks to come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asking {
    /// Who.
    pub person: Person,
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
    /// Where everybody is who waits or has a turn.
    tickets: HashMap<Person, Ticket>,
    returns: Returns,
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
            tickets: HashMap::new(),
            returns: Returns::new(&config, now),
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
        if let Some(answer) = self.come_back(&asking, unix_us, now) {
            return answer;
        }
        let ticket = self.ticket(&asking, unix_us, now);
        let backlog = self.waiting();
        if !self.enter(&asking.person, ticket, now) {
            self.counters.turned_away += 1;
            return Answer::Later {
                retry_after_ms: self.much_later(asking.random),
            };
        }
        self.give_turns(now);
        if self.queue(ticket.lane).has_turn(&ticket) {
            self.returns.remember(asking.person, unix_us, now);
            return self.admit(ticket, backlog);
        }
        Answer::Waiting(self.wait(ticket, asking.random, now))
    }

    /// Somebody gives up waiting.
    pub fn handle_leave(&mut self, ticket: Ticket, now: Instant) {
        self.give_up(ticket, now);
        self.give_turns(now);
    }

    /// Somebody who was let in has found no place at any edge: that they come again is not their doing.
    pub fn handle_no_place(&mut self, person: &Person, now: Instant) {
        self.returns.give_back(person, now);
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
        self.returns.forget(now);
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

    /// The answer to one who was let in not long ago; `None` if they have to wait for a turn.
    fn come_back(&mut self, asking: &Asking, unix_us: u64, now: Instant) -> Option<Answer> {
        match self.returns.judge(&asking.person, now) {
            Verdict::Stranger | Verdict::Crowded => None,
            Verdict::TooOften(again) => {
                self.counters.too_often += 1;
                let wait = again.saturating_duration_since(now);
                Some(Answer::TooOften {
                    retry_after_ms: millis(wait.max(self.config.least_retry)),
                })
            }
            Verdict::Welcome => {
                if let Some(ticket) = self.tickets.get(&asking.person).copied() {
                    self.give_up(ticket, now);
                }
                self.returns.take(now);
                self.returns.remember(asking.person.clone(), unix_us, now);
                self.counters.returned += 1;
                Some(Answer::Admitted {
                    video_after_ms: self.video_after_ms(self.waiting()),
                })
            }
        }
    }

    /// The ticket of one who asks: the one they have here, an older one of another replica's, or a new one.
    fn ticket(&mut self, asking: &Asking, unix_us: u64, now: Instant) -> Ticket {
        let longest = self.config.longest_wait.as_micros() as u64;
        let let_in_us = self.returns.let_in_us(&asking.person);
        let fits = |ticket: &Ticket| {
            // Another replica's clock may be a little ahead: that gains nobody anything. A ticket that has let somebody in
            // is spent.
            ticket.lane == asking.lane
                && unix_us.saturating_sub(ticket.arrived_us) <= longest
                && let_in_us.is_none_or(|let_in_us| ticket.arrived_us > let_in_us)
        };
        let shown = asking.ticket.filter(fits);
        if let Some(held) = self.tickets.get(&asking.person).copied() {
            let is_older = |shown: &Ticket| *shown < held;
            let may_stay = held.lane == asking.lane
                && (shown.is_none_or(|shown| !is_older(&shown))
                    || self.queue(held.lane).has_turn(&held));
            if may_stay {
                return held;
            }
            self.give_up(held, now);
        }
        let is_free = |ticket: &Ticket| self.queue_of(ticket.lane).entry(ticket).is_none();
        if let Some(shown) = shown.filter(is_free) {
            return shown;
        }
        self.last_us = unix_us.max(self.last_us + 1);
        Ticket {
            arrived_us: self.last_us,
            number: asking.random,
            lane: asking.lane,
        }
    }

    /// Whether they are in, or there was room.
    fn enter(&mut self, person: &Person, ticket: Ticket, now: Instant) -> bool {
        if self.tickets.get(person) == Some(&ticket) {
            return true;
        }
        if self.queue(ticket.lane).waiting() >= self.config.max_waiting {
            let last = self.queue(ticket.lane).last().expect("it is full");
            if last <= ticket {
                return false;
            }
            self.counters.displaced += 1;
            self.give_up(last, now);
        }
        let deadline = now + self.config.patience;
        self.tickets.insert(person.clone(), ticket);
        self.deadlines.insert((deadline, ticket));
        self.queue(ticket.lane).insert(Entry {
            person: person.clone(),
            ticket,
            asks_at: None,
            deadline,
            turn_from: None,
        });
        true
    }

    fn give_up(&mut self, ticket: Ticket, now: Instant) {
        if let Some(entry) = self.remove(ticket)
            && let Some(lane) = entry.turn_from
        {
            self.queue(lane).bucket.give_back(now);
        }
    }

    fn remove(&mut self, ticket: Ticket) -> Option<Entry> {
        let entry = self.queue(ticket.lane).remove(&ticket)?;
        self.deadlines.remove(&(entry.deadline, ticket));
        self.tickets.remove(&entry.person);
        if entry.turn_from.is_some() {
            self.turns.retain(|turn| *turn != ticket);
        }
        Some(entry)
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
        self.remove(ticket).expect("it has a turn");
        match ticket.lane {
            Lane::Reserved => self.counters.admitted_reserved += 1,
            Lane::General => self.counters.admitted_general += 1,
        }
        Answer::Admitted {
            video_after_ms: self.video_after_ms(backlog),
        }
    }

    fn video_after_ms(&self, backlog: usize) -> u32 {
        let pace = self.config.reserved.per_second + self.config.general.per_second;
        let video_after = Duration::from_secs_f64(backlog as f64 / pace);
        millis(video_after.min(self.config.most_video_after))
    }

    /// When to ask again. Who asks before the time told hears the same time: each person takes one, or whoever asks most
    /// would have everybody else ask late.
    fn wait(&mut self, ticket: Ticket, random: u64, now: Instant) -> Waiting {
        let position = self.queue(ticket.lane).position(&ticket);
        let expected = self.expected_wait(ticket.lane, position);
        let entry = self.queue_of(ticket.lane).entry(&ticket);
        let told = entry.and_then(|entry| entry.asks_at.filter(|at| *at > now));
        let at = told.unwrap_or_else(|| {
            let least = expected.max(self.config.least_retry);
            let at = self.polls.slot(now, least, random);
            self.keep_until(ticket, at);
            at
        });
        Waiting {
            ticket,
            position,
            expected_wait_ms: millis(expected),
            // Rounded up: who asks a moment too early would be told to ask again at once.
            retry_after_ms: millis(at.saturating_duration_since(now) + Duration::from_micros(999)),
        }
    }

    /// Keeps a place until some time after its person is to ask again.
    fn keep_until(&mut self, ticket: Ticket, asks_at: Instant) {
        let deadline = asks_at + self.config.patience;
        if let Some(entry) = self.queue(ticket.lane).entry_mut(&ticket) {
            let old = std::mem::replace(&mut entry.deadline, deadline);
            entry.asks_at = Some(asks_at);
            self.deadlines.remove(&(old, ticket));
            self.deadlines.insert((deadline, ticket));
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

    fn queue_of(&self, lane: Lane) -> &Queue {
        match lane {
            Lane::Reserved => &self.reserved,
            Lane::General => &self.general,
        }
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
