//! One direction of an emulated link: queue, line, flight. Pure: no socket, no clock.
//!
//! A datagram waits in a drop-tail queue, holds the line for its bits, may be lost, then flies for
//! the path's delay of that moment. The caller brings the time and carries out what comes back.

use std::{
    cmp::{Ordering, Reverse},
    collections::{BinaryHeap, VecDeque},
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{
    jitter::Jitter,
    loss::LossState,
    params::{Changes, LinkParams},
    stats::LinkStats,
};

/// One direction of a link that carries datagrams `T`, which it clones only to duplicate them.
#[derive(Debug)]
pub struct Link<T> {
    params: LinkParams,
    queue: VecDeque<Datagram<T>>,
    /// When the datagram at the head of the queue has left the line; `None` while it is idle.
    head_leaves: Option<Instant>,
    flight: BinaryHeap<Reverse<Flight<T>>>,
    flight_bytes: usize,
    /// The latest arrival promised so far: nothing in order arrives before it.
    latest_due: Instant,
    next_sequence: u64,
    jitter: Jitter,
    loss: LossState,
    rng: StdRng,
    stats: LinkStats,
}

impl<T: Clone> Link<T> {
    /// A link at rest. The same seed and inputs give the same losses and delays.
    pub fn new(params: LinkParams, seed: u64, now: Instant) -> Self {
        Self {
            params,
            queue: VecDeque::new(),
            head_leaves: None,
            flight: BinaryHeap::new(),
            flight_bytes: 0,
            latest_due: now,
            next_sequence: 0,
            jitter: Jitter::new(seed, now),
            loss: LossState::default(),
            rng: StdRng::seed_from_u64(seed),
            stats: LinkStats::default(),
        }
    }

    /// Takes in a datagram of `payload` UDP payload bytes.
    pub fn handle_datagram(&mut self, item: T, payload: usize, now: Instant) {
        self.advance_line(now);
        self.stats.in_packets += 1;
        self.stats.in_bytes += payload as u64;
        if self.stats.blackhole {
            self.stats.dropped_blackhole += 1;
        } else if self.queue_is_full_for(payload) {
            self.stats.dropped_queue += 1;
        } else {
            self.enqueue(Datagram { item, payload }, now);
            self.advance_line(now);
        }
    }

    /// The next datagram that has arrived at the far end by `now`.
    pub fn poll_datagram(&mut self, now: Instant) -> Option<T> {
        self.advance_line(now);
        while self
            .flight
            .peek()
            .is_some_and(|Reverse(first)| first.due <= now)
        {
            let Reverse(Flight { datagram, due, .. }) = self.flight.pop()?;
            self.flight_bytes -= datagram.payload;
            if self.stats.blackhole {
                self.stats.dropped_blackhole += 1;
                continue;
            }
            self.stats.out_packets += 1;
            self.stats.out_bytes += datagram.payload as u64;
            self.note_lateness(now - due);
            return Some(datagram.item);
        }
        None
    }

    /// When [`poll_datagram`](Self::poll_datagram) may next have something; `None` if the link is
    /// empty. Bits leaving the line need no wake-up of their own: their flight follows first.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let first_due = self.flight.peek().map(|Reverse(first)| first.due);
        let shortest_flight = self.params.delay.saturating_sub(self.params.jitter);
        let after_line = self.head_leaves.map(|leaves| leaves + shortest_flight);
        first_due.into_iter().chain(after_line).min()
    }

    /// Changes parameters; what is in flight keeps its arrival time, what waits takes the new rate.
    pub fn change(&mut self, changes: &Changes, now: Instant) {
        self.advance_line(now);
        self.params.apply(changes);
        if let (Some(leaves), Some(head)) = (self.head_leaves, self.queue.front()) {
            let at_new_rate = now + self.params.serialisation(head.wire_bytes());
            self.head_leaves = Some(leaves.min(at_new_rate));
        }
        self.advance_line(now);
    }

    /// While on, everything that arrives at either end of the link is swallowed and counted.
    pub fn set_blackhole(&mut self, on: bool) {
        self.stats.blackhole = on;
    }

    /// How the link treats datagrams now.
    pub fn params(&self) -> &LinkParams {
        &self.params
    }

    /// The counters, with the queue as it is at `now`.
    pub fn stats(&mut self, now: Instant) -> LinkStats {
        self.advance_line(now);
        self.stats.queue_packets = self.queue.len() as u64;
        self.stats.flight_packets = self.flight.len() as u64;
        self.stats.clone()
    }

    /// How late the caller is. The arrival promised is not moved by it.
    fn note_lateness(&mut self, late: Duration) {
        self.stats.late_packets += u64::from(late > LATE);
        self.stats.late_us_max = self.stats.late_us_max.max(late.as_micros() as u64);
    }

    fn queue_is_full_for(&self, payload: usize) -> bool {
        let waiting = self.stats.queue_bytes as usize;
        waiting > 0 && waiting + payload + HEADER_BYTES > self.params.queue
    }

    fn enqueue(&mut self, datagram: Datagram<T>, now: Instant) {
        self.stats.queue_bytes += datagram.wire_bytes() as u64;
        self.stats.queue_bytes_max = self.stats.queue_bytes_max.max(self.stats.queue_bytes);
        if self.head_leaves.is_none() {
            self.head_leaves = Some(now + self.params.serialisation(datagram.wire_bytes()));
        }
        self.queue.push_back(datagram);
    }

    /// Moves every datagram whose last bit has left the line by `now` into flight.
    fn advance_line(&mut self, now: Instant) {
        while let Some(leaves) = self.head_leaves.filter(|leaves| *leaves <= now) {
            let head = self
                .queue
                .pop_front()
                .expect("a busy line has a datagram at its head");
            self.stats.queue_bytes -= head.wire_bytes() as u64;
            let next = self.queue.front();
            self.head_leaves = next.map(|d| leaves + self.params.serialisation(d.wire_bytes()));
            self.launch(head, leaves);
        }
    }

    fn launch(&mut self, datagram: Datagram<T>, at: Instant) {
        if self
            .loss
            .loses(self.params.loss, self.params.burst, &mut self.rng)
        {
            self.stats.dropped_loss += 1;
            return;
        }
        let due = self.arrival(at);
        if self.rng.random_bool(self.params.duplicate) {
            self.stats.duplicated += 1;
            self.fly(datagram.clone(), due);
        }
        self.fly(datagram, due);
    }

    /// When a datagram that leaves the line at `at` arrives: in order, unless it is held back.
    fn arrival(&mut self, at: Instant) -> Instant {
        let delay = self.jitter.shift(self.params.delay, self.params.jitter, at);
        let in_order = self.latest_due.max(at + delay);
        if self.rng.random_bool(self.params.reorder) {
            self.stats.reordered += 1;
            return in_order + self.params.reorder_by;
        }
        self.latest_due = in_order;
        in_order
    }

    fn fly(&mut self, datagram: Datagram<T>, due: Instant) {
        if self.flight_bytes + datagram.payload > MAX_FLIGHT_BYTES {
            self.stats.dropped_flight += 1;
            return;
        }
        self.flight_bytes += datagram.payload;
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        self.flight.push(Reverse(Flight {
            due,
            sequence,
            datagram,
        }));
    }
}

#[derive(Clone, Debug)]
struct Datagram<T> {
    item: T,
    payload: usize,
}

impl<T> Datagram<T> {
    fn wire_bytes(&self) -> usize {
        self.payload + HEADER_BYTES
    }
}

/// A datagram on its way, ordered by arrival, then by departure.
#[derive(Debug)]
struct Flight<T> {
    due: Instant,
    sequence: u64,
    datagram: Datagram<T>,
}

impl<T> Ord for Flight<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.due, self.sequence).cmp(&(other.due, other.sequence))
    }
}

impl<T> PartialOrd for Flight<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Flight<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Flight<T> {}

/// IPv4 and UDP headers, which occupy the line like payload does.
const HEADER_BYTES: usize = 28;

/// Beyond this a delay is no longer what was asked for.
const LATE: Duration = Duration::from_micros(500);

/// An unlimited line has no queue to bound it: 64 MiB is 1 Gbit/s over half a second of delay.
const MAX_FLIGHT_BYTES: usize = 64 * 1024 * 1024;

#[cfg(test)]
#[path = "link_tests.rs"]
mod tests;
