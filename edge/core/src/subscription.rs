//! A downstream subscription and the streams it is served on.

use crate::DropReason;
use crate::filter::{Ranges, Window};
use crate::id::{SessionId, SubscriptionId, TrackId};
use meridian_wire::{GroupOrder, LocationFilter, Parameters};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) session: SessionId,
    pub(crate) track: TrackId,
    pub(crate) origin: Origin,
    pub(crate) forward: bool,
    pub(crate) priority: u8,
    pub(crate) order: GroupOrder,
    /// Range filters, if any.
    pub(crate) ranges: Option<Box<Ranges>>,
    /// As asked; resolved into `window` when an upstream is there.
    pub(crate) filter: Option<LocationFilter>,
    pub(crate) window: Window,
    /// The subscriber's OBJECT_DELIVERY_TIMEOUT.
    pub(crate) delivery_timeout: Option<Duration>,
    pub(crate) subgroup_timeout: Option<Duration>,
    /// Subgroups that wait for stream credit or room, oldest first: group and subgroup.
    pub(crate) pending: VecDeque<(u64, u64)>,
    /// Until when a SUBSCRIBE without publisher is held; `None`: it is not.
    pub(crate) rendezvous: Option<Instant>,
    /// Data streams opened, for PUBLISH_DONE.
    pub(crate) streams_opened: u64,
}

/// How the subscription came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The peer's SUBSCRIBE with this request ID.
    Subscribe(u64),
    /// Our PUBLISH.
    Publish(crate::id::OutRequestId),
}

/// The subscriber priority of a request that names none (draft-22 §9.20.8).
const DEFAULT_PRIORITY: u8 = 128;

impl Subscription {
    pub(crate) fn new(
        session: SessionId,
        track: TrackId,
        origin: Origin,
        params: &Parameters,
    ) -> Subscription {
        let mut subscription = Subscription {
            session,
            track,
            origin,
            forward: true,
            priority: DEFAULT_PRIORITY,
            order: GroupOrder::Ascending,
            ranges: None,
            filter: None,
            window: Window::default(),
            delivery_timeout: None,
            subgroup_timeout: None,
            pending: VecDeque::new(),
            rendezvous: None,
            streams_opened: 0,
        };
        subscription.order = params.group_order.unwrap_or(GroupOrder::Ascending);
        subscription.apply(params);
        subscription
    }

    /// Takes over what a SUBSCRIBE or REQUEST_UPDATE says; what it does not say stays.
    pub(crate) fn apply(&mut self, params: &Parameters) {
        let millis = |ms: u64| (ms > 0).then(|| Duration::from_millis(ms));
        self.forward = params.forward.unwrap_or(self.forward);
        self.priority = params.subscriber_priority.unwrap_or(self.priority);
        if let Some(ms) = params.object_delivery_timeout {
            self.delivery_timeout = millis(ms);
        }
        if let Some(ms) = params.subgroup_delivery_timeout {
            self.subgroup_timeout = millis(ms);
        }
        if params.location_filter.is_some() {
            self.filter = params.location_filter;
        }
        if !params.range_filters.is_empty() {
            self.ranges = Ranges::updated(self.ranges.take(), &params.range_filters);
        }
    }
}

/// A data stream towards a subscriber.
#[derive(Debug)]
pub(crate) struct OutStream {
    pub(crate) session: SessionId,
    pub(crate) subscription: SubscriptionId,
    pub(crate) track: TrackId,
    pub(crate) group: u64,
    pub(crate) subgroup: u64,
    /// The next chunk of the subgroup's log to hand out.
    pub(crate) cursor: usize,
    /// The last object whose head was handed out.
    pub(crate) last_object: Option<u64>,
    pub(crate) priority: i32,
    pub(crate) state: OutState,
    /// While blocked: when what it is blocked on becomes too old.
    pub(crate) deadline: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OutState {
    /// Not opened: waits for its first object.
    Idle,
    /// Has everything there is, and takes what comes.
    Live,
    /// Has not been handed everything; goes on when the shell says that it can.
    Behind,
    /// Its end has been handed out.
    Ending,
    /// Reset, or never opened; stays for as long as its subgroup so that what it misses is counted.
    Cut(DropReason),
}

/// Subscriber priority first, then publisher priority (draft-22 §7.2); 0 is the most urgent there, higher is here.
#[inline]
pub(crate) fn stream_priority(subscriber: u8, publisher: u8) -> i32 {
    -((i32::from(subscriber) << 8) | i32::from(publisher))
}

/// The smaller of two timeouts, where absent is none.
pub(crate) fn tighter(a: Option<Duration>, b: Option<Duration>) -> Option<Duration> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
