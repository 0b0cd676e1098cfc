//! A downstream subscription and the streams it is served on.

use crate::DropReason;
use crate::id::{SessionId, SubscriptionId, TrackId};
use crate::past::fill::Joining;
use crate::subscriber::fanout::Span;
use crate::subscriber::filter::{Ranges, Window};
use crate::track::subgroup::{Subgroup, millis};
use meridian_wire::data::ObjectHeader;
use meridian_wire::{GroupOrder, Location, LocationFilter, Parameters};
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
    /// When it last began to want objects: what was there before is not late for it.
    pub(crate) since: Instant,
    /// The subscriber's OBJECT_DELIVERY_TIMEOUT.
    pub(crate) delivery_timeout: Option<Duration>,
    pub(crate) subgroup_timeout: Option<Duration>,
    /// Subgroups that wait for stream credit or room, oldest first: group and subgroup.
    pub(crate) pending: VecDeque<(u64, u64)>,
    /// What begins when it is established.
    pub(crate) joining: Vec<Joining>,
    /// The largest location when it last began to want objects.
    pub(crate) joined_at: Option<Location>,
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
pub(crate) const DEFAULT_PRIORITY: u8 = 128;

impl Subscription {
    pub(crate) fn new(
        session: SessionId,
        track: TrackId,
        origin: Origin,
        params: &Parameters,
        now: Instant,
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
            since: now,
            delivery_timeout: None,
            subgroup_timeout: None,
            pending: VecDeque::new(),
            joining: Vec::new(),
            joined_at: None,
            rendezvous: None,
            streams_opened: 0,
        };
        subscription.order = params.group_order.unwrap_or(GroupOrder::Ascending);
        subscription.apply(params);
        subscription
    }

    /// Takes over what a SUBSCRIBE or REQUEST_UPDATE says; what it does not say stays.
    pub(crate) fn apply(&mut self, params: &Parameters) {
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

    /// Whether an object is for this subscription.
    pub(crate) fn passes(
        &self,
        group: u64,
        subgroup: u64,
        priority: u8,
        object: &ObjectHeader,
    ) -> bool {
        let ranges = self.ranges.as_ref();
        self.window.contains(Location::new(group, object.id))
            && ranges.is_none_or(|ranges| ranges.pass(Some(subgroup), priority, object))
    }

    /// How many of the objects that began in `span` are for this subscription.
    pub(crate) fn wants_of(&self, held: &Subgroup, span: Span, default_priority: u8) -> u64 {
        let from = held.objects.len() - span.objects as usize;
        let priority = held.header.priority.unwrap_or(default_priority);
        let objects = held.objects[from..].iter();
        objects
            .filter(|object| self.passes(span.group, held.id, priority, &object.header))
            .count() as u64
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
    /// Objects that began in the last delivery, its bytes, and whether any object is in it: what is lost if it is stuck.
    pub(crate) given_objects: u32,
    pub(crate) given_bytes: u32,
    pub(crate) given_started: bool,
}

impl OutStream {
    /// A stream that is not open, from the start of its subgroup.
    #[inline]
    pub(crate) fn new(
        subscription: &Subscription,
        id: SubscriptionId,
        group: u64,
        subgroup: u64,
    ) -> OutStream {
        OutStream {
            subscription: id,
            group,
            subgroup,
            ..OutStream::detached(subscription.session, subscription.track)
        }
    }

    /// Notes what a delivery holds.
    #[inline]
    pub(crate) fn gave(&mut self, objects: u64, bytes: u64, started: bool) {
        self.given_objects = objects as u32;
        self.given_bytes = bytes as u32;
        self.given_started = started;
    }
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
