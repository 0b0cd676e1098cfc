//! The hot path's second half: what has just arrived goes to everybody who wants it.
//!
//! No lock, no log, no payload copy; per subscriber one stream entry and one [`Delivery`]. All deliveries of a span share
//! the same header bytes and the same payload slices.

use crate::command::{Body, Delivery, End, Opening, Outgoing};
use crate::id::{OutStreamId, SubscriptionId, TrackId};
use crate::relay::Relay;
use crate::subscriber::subscription::{
    OutState, OutStream, Subscription, stream_priority, tighter,
};
use crate::track::Track;
use crate::track::subgroup::{State, Subgroup};
use bytes::Bytes;
use smallvec::SmallVec;
use std::time::{Duration, Instant};

/// What one call of `handle_stream` appended: the log of a subgroup from chunk `from` on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) track: TrackId,
    pub(crate) group: u64,
    pub(crate) subgroup: u64,
    pub(crate) from: usize,
    /// Objects that began in it.
    pub(crate) objects: u64,
}

/// Subscriptions and streams that need more than a shared delivery.
type Slow<T> = SmallVec<[T; 8]>;

impl Relay {
    pub(crate) fn fan_out(&mut self, span: Span, now: Instant) {
        let Some(track) = self.tracks.get(span.track) else {
            return;
        };
        match track.cache.subgroup(span.group, span.subgroup) {
            None => {}
            Some(subgroup) if subgroup.announced => self.advance(span, now),
            Some(_) => self.announce(span, now),
        }
    }

    /// The first objects of a subgroup: a stream for every subscriber.
    fn announce(&mut self, span: Span, now: Instant) {
        let mut slow: Slow<SubscriptionId> = SmallVec::new();
        let track = &mut self.tracks[span.track];
        let default_priority = track.default_priority;
        let Track {
            cache, subscribers, ..
        } = track;
        let Some(subgroup) = cache.subgroup_mut(span.group, span.subgroup) else {
            return;
        };
        subgroup.announced = true;
        let shared = Shared::new(subgroup, subgroup.start(), span);
        let publisher_priority = subgroup.header.priority.unwrap_or(default_priority);
        let is_live = !shared.ends();
        for &id in subscribers.iter() {
            let subscription = &mut self.subscriptions[id];
            if !subscription.forward || !subscription.window.touches(span.group) {
                continue;
            }
            let priority = stream_priority(subscription.priority, publisher_priority);
            if !shared.suits(subscription)
                || !subscription.pending.is_empty()
                || !self.sessions[subscription.session].has_room_for(priority)
            {
                slow.push(id);
                continue;
            }
            let mut out = OutStream {
                cursor: shared.cursor,
                last_object: shared.last_object,
                priority,
                state: shared.state_after(),
                ..OutStream::new(subscription, id, span.group, span.subgroup)
            };
            out.gave(shared.objects, shared.bytes, true);
            let stream = self.out_streams.insert(out);
            if is_live {
                subgroup.readers.push(stream);
            }
            subscription.streams_opened += 1;
            let header = subgroup.opening.clone();
            let open = Some(Opening { priority, header });
            let delivery = shared.delivery(subscription, stream, open);
            self.deliveries.push_back(Outgoing::Stream(delivery));
            self.counters.objects_out += shared.objects;
            self.counters.bytes_out += shared.bytes;
        }
        for id in slow {
            self.begin_or_pend(id, span.group, span.subgroup, now);
        }
    }

    /// More of a subgroup: every stream that stands at its end goes on.
    fn advance(&mut self, span: Span, now: Instant) {
        let mut slow: Slow<OutStreamId> = SmallVec::new();
        let track = &mut self.tracks[span.track];
        let default_priority = track.default_priority;
        let Some(subgroup) = track.cache.subgroup_mut(span.group, span.subgroup) else {
            return;
        };
        let shared = Shared::new(subgroup, span.from, span);
        let settled = subgroup.state != State::Open;
        let mut readers = std::mem::take(&mut subgroup.readers);
        readers.retain(|&id| {
            let Some(out) = self.out_streams.get_mut(id) else {
                return false;
            };
            let subscription = &self.subscriptions[out.subscription];
            match out.state {
                OutState::Cut(reason) => {
                    let missed = subscription.wants_of(subgroup, span, default_priority);
                    self.counters.drop(reason, missed);
                    if settled {
                        self.out_streams.remove(id);
                    }
                    return !settled;
                }
                OutState::Ending => return false,
                OutState::Behind => return true,
                OutState::Idle => {
                    slow.push(id);
                    return true;
                }
                OutState::Live => {}
            }
            if out.cursor != span.from || !shared.goes_on(subscription) {
                slow.push(id);
                return true;
            }
            out.cursor = shared.cursor;
            out.last_object = shared.last_object.or(out.last_object);
            out.state = shared.state_after();
            out.gave(shared.objects, shared.bytes, shared.bytes > 0);
            let delivery = shared.delivery(subscription, id, None);
            self.deliveries.push_back(Outgoing::Stream(delivery));
            self.counters.objects_out += shared.objects;
            self.counters.bytes_out += shared.bytes;
            !shared.ends()
        });
        if readers.is_empty() {
            readers = Vec::new();
        }
        subgroup.readers = readers;
        for id in slow {
            self.go_on(id, now);
        }
    }
}

/// What all deliveries of a span have in common.
struct Shared {
    body: Body,
    bytes: u64,
    /// Objects that begin in it.
    objects: u64,
    state: State,
    group: u64,
    first_object: u64,
    last_object: Option<u64>,
    /// Where a stream stands that got it.
    cursor: usize,
    /// The publisher's SUBGROUP_DELIVERY_TIMEOUT.
    timeout: Option<Duration>,
}

impl Shared {
    fn new(subgroup: &Subgroup, from: usize, span: Span) -> Shared {
        let body = body(subgroup.chunks(from, subgroup.end()));
        Shared {
            bytes: body.len() as u64,
            body,
            objects: span.objects,
            state: subgroup.state,
            group: span.group,
            first_object: subgroup
                .objects
                .first()
                .map_or(0, |object| object.header.id),
            last_object: subgroup.last().map(|object| object.header.id),
            cursor: subgroup.end(),
            timeout: subgroup.timeouts.subgroup,
        }
    }

    fn ends(&self) -> bool {
        self.state == State::Complete
    }

    fn state_after(&self) -> OutState {
        match self.ends() {
            true => OutState::Ending,
            false => OutState::Live,
        }
    }

    /// Whether the whole of it is for this subscription, from the first object on.
    #[inline]
    fn suits(&self, subscription: &Subscription) -> bool {
        self.goes_on(subscription)
            && self.first_object >= subscription.window.first_object(self.group)
    }

    /// Whether a stream that has begun goes on without a look at each object.
    #[inline]
    fn goes_on(&self, subscription: &Subscription) -> bool {
        subscription.ranges.is_none()
            && subscription.window.has_all_from(self.group)
            && !matches!(self.state, State::Broken(_))
    }

    #[inline]
    fn delivery(
        &self,
        subscription: &Subscription,
        stream: OutStreamId,
        open: Option<Opening>,
    ) -> Delivery {
        let end = match self.ends() {
            true => End::Finish(tighter(self.timeout, subscription.subgroup_timeout)),
            false => End::Open,
        };
        Delivery {
            session: subscription.session,
            stream,
            open,
            body: self.body.clone(),
            end,
        }
    }
}

/// Slices of a log, shared.
pub(crate) fn body(chunks: &[Bytes]) -> Body {
    match chunks {
        [] => Body::Empty,
        [one] => Body::One(one.clone()),
        many => Body::Many(many.into()),
    }
}
