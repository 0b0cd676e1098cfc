//! The hot path's second half: what has just arrived goes to everybody who wants it.
//!
//! No lock, no log, no payload copy; per subscriber one stream entry and one [`Delivery`]. All deliveries of a span share
//! the same header bytes and the same payload slices.

use crate::command::{Body, Delivery, End, Opening, Outgoing};
use crate::id::{OutStreamId, SubscriptionId, TrackId};
use crate::relay::Relay;
use crate::subgroup::{State, Subgroup};
use crate::subscription::{OutState, OutStream, Subscription, stream_priority, tighter};
use crate::track::Track;
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
        let subgroup_timeout = track.subgroup_timeout;
        let Track {
            cache, subscribers, ..
        } = track;
        let Some(subgroup) = cache.subgroup_mut(span.group, span.subgroup) else {
            return;
        };
        subgroup.announced = true;
        let shared = Shared::new(subgroup, 0, span);
        let publisher_priority = subgroup.header.priority.unwrap_or(default_priority);
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
            let state = if shared.ends() {
                OutState::Ending
            } else {
                OutState::Live
            };
            let stream = self.out_streams.insert(OutStream {
                session: subscription.session,
                subscription: id,
                track: span.track,
                group: span.group,
                subgroup: span.subgroup,
                cursor: subgroup.log.len(),
                last_object: shared.last_object,
                priority,
                state,
                deadline: None,
            });
            if state == OutState::Live {
                subgroup.readers.push(stream);
            }
            subscription.streams_opened += 1;
            let open = Opening {
                priority,
                header: subgroup.opening.clone(),
            };
            let timeout = tighter(subgroup_timeout, subscription.subgroup_timeout);
            let delivery = shared.delivery(subscription.session, stream, Some(open), timeout);
            self.deliveries.push_back(Outgoing::Stream(delivery));
            self.counters.objects_out += span.objects;
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
        let subgroup_timeout = track.subgroup_timeout;
        let Some(subgroup) = track.cache.subgroup_mut(span.group, span.subgroup) else {
            return;
        };
        let shared = Shared::new(subgroup, span.from, span);
        let settled = subgroup.state != State::Open;
        let mut readers = std::mem::take(&mut subgroup.readers);
        let end = subgroup.log.len();
        readers.retain(|&id| {
            let Some(stream) = self.out_streams.get_mut(id) else {
                return false;
            };
            match stream.state {
                OutState::Cut(reason) => {
                    self.counters.drop(reason, span.objects);
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
            let subscription = &self.subscriptions[stream.subscription];
            if stream.cursor != span.from || !shared.goes_on(subscription) {
                slow.push(id);
                return true;
            }
            stream.cursor = end;
            stream.last_object = shared.last_object.or(stream.last_object);
            if shared.ends() {
                stream.state = OutState::Ending;
            }
            let timeout = tighter(subgroup_timeout, subscription.subgroup_timeout);
            let delivery = shared.delivery(stream.session, id, None, timeout);
            self.deliveries.push_back(Outgoing::Stream(delivery));
            self.counters.objects_out += span.objects;
            self.counters.bytes_out += shared.bytes;
            !shared.ends()
        });
        self.put_readers(span, readers);
        for id in slow {
            self.go_on(id, now);
        }
    }

    fn put_readers(&mut self, span: Span, readers: Vec<OutStreamId>) {
        let cache = &mut self.tracks[span.track].cache;
        if let Some(subgroup) = cache.subgroup_mut(span.group, span.subgroup) {
            subgroup.readers = readers;
        }
    }
}

/// What all deliveries of a span have in common.
struct Shared {
    body: Body,
    bytes: u64,
    state: State,
    group: u64,
    first_object: u64,
    last_object: Option<u64>,
}

impl Shared {
    fn new(subgroup: &Subgroup, from: usize, span: Span) -> Shared {
        let body = body(&subgroup.log[from..]);
        Shared {
            bytes: body.len() as u64,
            body,
            state: subgroup.state,
            group: span.group,
            first_object: subgroup
                .objects
                .first()
                .map_or(0, |object| object.header.id),
            last_object: subgroup.last().map(|object| object.header.id),
        }
    }

    fn ends(&self) -> bool {
        self.state == State::Complete
    }

    /// Whether the whole of it is for this subscription, from the first object on.
    fn suits(&self, subscription: &Subscription) -> bool {
        self.goes_on(subscription)
            && self.first_object >= subscription.window.first_object(self.group)
            && !matches!(self.state, State::Broken(_))
    }

    /// Whether a stream that has begun goes on without a look at each object.
    fn goes_on(&self, subscription: &Subscription) -> bool {
        subscription.ranges.is_none()
            && subscription
                .window
                .end
                .is_none_or(|(end, _)| self.group < end)
            && !matches!(self.state, State::Broken(_))
    }

    fn delivery(
        &self,
        session: crate::SessionId,
        stream: OutStreamId,
        open: Option<Opening>,
        timeout: Option<Duration>,
    ) -> Delivery {
        let end = if self.ends() {
            End::Finish(timeout)
        } else {
            End::Open
        };
        Delivery {
            session,
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
