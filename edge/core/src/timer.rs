//! Deadlines: a heap with lazy deletion. Whoever's deadline fires checks whether it still matters.

use crate::id::{InStreamId, OutStreamId, SessionId, SubscriptionId, TrackId, UpstreamId};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// A held SUBSCRIBE gives up.
    Rendezvous(SubscriptionId),
    /// A track without subscribers lets its upstream go.
    Linger(TrackId),
    /// A track without publisher tells its subscribers.
    Orphan(TrackId),
    /// A blocked stream's next object becomes too old.
    Delivery(OutStreamId),
    /// A subgroup whose source was lost is given up: group and subgroup.
    Stalled(TrackId, u64, u64),
    /// A stream whose alias nobody named is given up.
    Waiting(InStreamId),
    /// What waits for room in a session is begun.
    Begin(SessionId),
    /// A fetch or fill has waited for publishers long enough.
    Fill(OutStreamId),
    /// A fetch or fill looks whether an object has grown.
    Growing(OutStreamId),
    /// A subscription of ours is to be extended.
    Expires(UpstreamId),
    /// Watches at neighbours are tried again.
    Rewatch,
    /// Nothing more is expected on an upstream subscription that has ended.
    Retired(UpstreamId),
}

#[derive(Debug, Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<(Instant, Timer)>>,
}

impl Timers {
    pub(crate) fn set(&mut self, at: Instant, timer: Timer) {
        self.heap.push(Reverse((at, timer)));
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// The next timer that is due.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Timer> {
        let Reverse((at, _)) = self.heap.peek()?;
        if *at > now {
            return None;
        }
        self.heap.pop().map(|Reverse((_, timer))| timer)
    }
}
