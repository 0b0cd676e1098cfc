//! Subscribers that cannot keep up: streams that wait, subgroups that wait for a stream, and what is let go when.
//!
//! Bytes are never queued here: a slow stream is a cursor into the cache. What waits for a stream is a group and subgroup
//! number. Both are bounded, and the most urgent goes first when there is room again.

use crate::DropReason;
use crate::command::{Body, Delivery, End, Opening, Outgoing};
use crate::fanout::body;
use crate::id::{OutStreamId, SessionId, SubscriptionId};
use crate::relay::Relay;
use crate::subgroup::{State, Subgroup};
use crate::subscription::{OutState, OutStream, Subscription, stream_priority, tighter};
use crate::timer::Timer;
use bytes::Bytes;
use meridian_wire::{Location, ResetCode};
use std::time::{Duration, Instant};

/// Streams begun from the pending lists at one go; the shell's answers to them call for the next.
const BEGIN_AT_ONCE: usize = 16;

impl Relay {
    /// A stream took less than it was given. The shell keeps the rest and says [`Relay::handle_writable`] when it is
    /// written.
    pub fn handle_blocked(&mut self, stream: OutStreamId, now: Instant) {
        let Some(out) = self.out_streams.get_mut(stream) else {
            return;
        };
        if out.state == OutState::Live {
            out.state = OutState::Behind;
        }
        let (session, priority, track, subscription) =
            (out.session, out.priority, out.track, out.subscription);
        let (group, subgroup, cursor) = (out.group, out.subgroup, out.cursor);
        let timeout = self.timeout(track, subscription);
        let begun = self.tracks.get(track).and_then(|track| {
            let subgroup = track.cache.subgroup(group, subgroup)?;
            let index = subgroup.first_unstarted(cursor).checked_sub(1)?;
            Some(subgroup.objects[index].at)
        });
        let deadline = begun.unwrap_or(now) + timeout;
        self.out_streams[stream].deadline = Some(deadline);
        self.timers.set(deadline, Timer::Delivery(stream));
        if let Some(session) = self.sessions.get_mut(session)
            && !session
                .blocked
                .iter()
                .any(|(_, blocked)| *blocked == stream)
        {
            session.blocked.push((priority, stream));
        }
    }

    /// A stream could not be opened: the peer allows no more for now. The shell says [`Relay::handle_credit`] when it
    /// does.
    pub fn handle_no_credit(&mut self, stream: OutStreamId) {
        let Some(out) = self.out_streams.remove(stream) else {
            return;
        };
        self.unlist(&out, stream);
        if let Some(session) = self.sessions.get_mut(out.session) {
            session.out_of_credit = true;
        }
        let Some(subscription) = self.subscriptions.get_mut(out.subscription) else {
            return;
        };
        subscription.streams_opened -= 1;
        let first = subscription.window.first_object(out.group);
        let held = self
            .tracks
            .get(out.track)
            .and_then(|track| track.cache.subgroup(out.group, out.subgroup));
        if let Some(held) = held {
            let from = held.first_from(first);
            self.counters.objects_out -= (held.first_unstarted(out.cursor) - from) as u64;
        }
        self.pend(out.subscription, out.group, out.subgroup);
    }

    /// The peer allows another stream.
    pub fn handle_credit(&mut self, session: SessionId, now: Instant) {
        if let Some(peer) = self.sessions.get_mut(session) {
            peer.out_of_credit = false;
            self.begin_pending(session, now);
        }
    }

    /// Everything handed out for a stream so far has been written.
    pub fn handle_writable(&mut self, stream: OutStreamId, now: Instant) {
        let Some(out) = self.out_streams.get_mut(stream) else {
            return;
        };
        out.deadline = None;
        let (session, state) = (out.session, out.state);
        if let Some(peer) = self.sessions.get_mut(session) {
            peer.blocked.retain(|(_, blocked)| *blocked != stream);
        }
        match state {
            OutState::Ending => {
                self.out_streams.remove(stream);
            }
            OutState::Behind => self.go_on(stream, now),
            OutState::Idle | OutState::Live | OutState::Cut(_) => {}
        }
        self.begin_pending(session, now);
    }

    /// A stream's last bytes and FIN have been written at once.
    #[inline]
    pub fn handle_finished(&mut self, stream: OutStreamId) {
        self.out_streams.remove(stream);
    }

    /// The subscriber stopped a stream, or it failed.
    pub fn handle_stopped(&mut self, stream: OutStreamId, now: Instant) {
        let Some(out) = self.out_streams.get(stream) else {
            return;
        };
        let session = out.session;
        self.cut(stream, DropReason::Stopped, None);
        self.begin_pending(session, now);
    }

    /// A blocked stream's object has become too old: the stream ends here.
    pub(crate) fn delivery_due(&mut self, stream: OutStreamId, now: Instant) {
        let Some(out) = self.out_streams.get(stream) else {
            return;
        };
        if out.deadline.is_some_and(|deadline| deadline <= now) {
            let session = out.session;
            self.cut(
                stream,
                DropReason::TimedOut,
                Some(ResetCode::DELIVERY_TIMEOUT),
            );
            self.begin_pending(session, now);
        }
    }

    /// How old an object may be when it is started for a subscriber.
    pub(crate) fn timeout(&self, track: crate::TrackId, subscription: SubscriptionId) -> Duration {
        let Some(track) = self.tracks.get(track) else {
            return self.config.late_after;
        };
        let theirs = self
            .subscriptions
            .get(subscription)
            .and_then(|s| s.delivery_timeout);
        tighter(track.delivery_timeout, theirs).unwrap_or({
            if track.default_priority <= self.config.audio_priority {
                self.config.audio_late_after
            } else {
                self.config.late_after
            }
        })
    }

    /// Starts a subgroup for a subscription, or has it wait for its turn.
    pub(crate) fn begin_or_pend(
        &mut self,
        id: SubscriptionId,
        group: u64,
        subgroup: u64,
        now: Instant,
    ) {
        let Some(subscription) = self.subscriptions.get(id) else {
            return;
        };
        let track = &self.tracks[subscription.track];
        let Some(held) = track.cache.subgroup(group, subgroup) else {
            return;
        };
        let publisher = held.header.priority.unwrap_or(track.default_priority);
        let priority = stream_priority(subscription.priority, publisher);
        let has_room = self.sessions[subscription.session].has_room_for(priority);
        if has_room && subscription.pending.is_empty() {
            self.begin(id, group, subgroup, priority, now);
        } else {
            self.pend(id, group, subgroup);
        }
    }

    fn pend(&mut self, id: SubscriptionId, group: u64, subgroup: u64) {
        let limit = self.config.pending_subgroups;
        let subscription = &mut self.subscriptions[id];
        let at = subscription
            .pending
            .partition_point(|waiting| *waiting < (group, subgroup));
        if subscription.pending.get(at) != Some(&(group, subgroup)) {
            subscription.pending.insert(at, (group, subgroup));
        }
        if subscription.pending.len() > limit
            && let Some((group, subgroup)) = subscription.pending.pop_front()
        {
            self.skip(id, group, subgroup, DropReason::PendingFull);
        }
    }

    /// Begins what waits in a session, most urgent first, while there is room.
    pub(crate) fn begin_pending(&mut self, session: SessionId, now: Instant) {
        for _ in 0..BEGIN_AT_ONCE {
            let Some(peer) = self.sessions.get(session) else {
                return;
            };
            let next = peer.subscriptions.iter().filter_map(|&id| {
                let subscription = &self.subscriptions[id];
                let &(group, subgroup) = subscription.pending.front()?;
                let track = &self.tracks[subscription.track];
                let publisher = track
                    .cache
                    .subgroup(group, subgroup)
                    .and_then(|held| held.header.priority)
                    .unwrap_or(track.default_priority);
                Some((stream_priority(subscription.priority, publisher), id))
            });
            let Some((priority, id)) = next.max_by_key(|(priority, _)| *priority) else {
                return;
            };
            if !peer.has_room_for(priority) {
                return;
            }
            let (group, subgroup) = self.subscriptions[id]
                .pending
                .pop_front()
                .expect("its front was just seen");
            self.begin(id, group, subgroup, priority, now);
        }
    }

    /// Opens a stream for a subgroup from the first object the subscription wants.
    fn begin(
        &mut self,
        id: SubscriptionId,
        group: u64,
        subgroup: u64,
        priority: i32,
        now: Instant,
    ) {
        let Some(subscription) = self.subscriptions.get(id) else {
            return;
        };
        let track = &mut self.tracks[subscription.track];
        let first = subscription.window.first_object(group);
        let Some(held) = track.cache.subgroup_mut(group, subgroup) else {
            return self.counters.drop(DropReason::TooFarBehind, 1);
        };
        let index = held.first_from(first);
        let cursor = held
            .objects
            .get(index)
            .map_or(held.log.len(), |object| object.chunk);
        let stream = self.out_streams.insert(OutStream {
            session: subscription.session,
            subscription: id,
            track: subscription.track,
            group,
            subgroup,
            cursor,
            last_object: None,
            priority,
            state: OutState::Idle,
            deadline: None,
        });
        held.readers.push(stream);
        self.go_on(stream, now);
    }

    /// Hands out the next object of a stream that is behind or not yet open.
    pub(crate) fn go_on(&mut self, stream: OutStreamId, now: Instant) {
        let Some(out) = self.out_streams.get(stream) else {
            return;
        };
        let (track, subscription) = (out.track, out.subscription);
        let timeout = self.timeout(track, subscription);
        let track = &self.tracks[track];
        let Some(subgroup) = track.cache.subgroup(out.group, out.subgroup) else {
            return self.cut(
                stream,
                DropReason::TooFarBehind,
                Some(ResetCode::TOO_FAR_BEHIND),
            );
        };
        let subscription = &self.subscriptions[subscription];
        let next = next_write(out, subscription, subgroup, track.default_priority);
        let is_late = |index: usize| now > subgroup.objects[index].at + timeout;
        match next {
            Next::Write {
                object: Some(index),
                ..
            } if is_late(index) => {
                self.let_go(stream);
            }
            Next::Write {
                object,
                body,
                cursor,
            } => {
                let more = cursor < subgroup.log.len();
                let over = !more && subgroup.state == State::Complete;
                let open = (out.state == OutState::Idle).then(|| Opening {
                    priority: out.priority,
                    header: match object {
                        Some(0) | None => subgroup.opening.clone(),
                        Some(_) => subgroup.opening_in_the_middle(),
                    },
                });
                let wait = tighter(track.subgroup_timeout, subscription.subgroup_timeout);
                let end = match (more, over) {
                    (true, _) => End::More,
                    (false, true) => End::Finish(wait),
                    (false, false) => End::Open,
                };
                let id = object.map(|index| subgroup.objects[index].header.id);
                self.hand_out(stream, open, body, end, cursor, id);
            }
            Next::Nothing => {
                if let State::Broken(code) = subgroup.state {
                    self.cut(stream, DropReason::SourceReset, Some(code));
                } else if out.state == OutState::Behind {
                    self.out_streams[stream].state = OutState::Live;
                }
            }
            Next::End if out.state == OutState::Idle => self.remove_reader(stream),
            Next::End => {
                let wait = tighter(track.subgroup_timeout, subscription.subgroup_timeout);
                let cursor = out.cursor;
                self.hand_out(stream, None, Body::Empty, End::Finish(wait), cursor, None);
            }
        }
    }

    fn hand_out(
        &mut self,
        stream: OutStreamId,
        open: Option<Opening>,
        body: Body,
        end: End,
        cursor: usize,
        object: Option<u64>,
    ) {
        let out = &mut self.out_streams[stream];
        out.cursor = cursor;
        out.state = match end {
            End::More => OutState::Behind,
            End::Open => OutState::Live,
            End::Finish(_) | End::Reset(_) => OutState::Ending,
        };
        if let Some(object) = object {
            out.last_object = Some(object);
            self.counters.objects_out += 1;
        }
        if open.is_some() {
            self.subscriptions[out.subscription].streams_opened += 1;
        }
        self.counters.bytes_out += body.len() as u64;
        let session = out.session;
        self.deliveries.push_back(Outgoing::Stream(Delivery {
            session,
            stream,
            open,
            body,
            end,
        }));
    }

    /// The stream's next object is too old: an unopened stream is dropped, an open one reset.
    fn let_go(&mut self, stream: OutStreamId) {
        match self.out_streams[stream].state {
            OutState::Idle => self.cut(stream, DropReason::Expired, None),
            _ => self.cut(
                stream,
                DropReason::TimedOut,
                Some(ResetCode::DELIVERY_TIMEOUT),
            ),
        }
    }

    /// Ends a stream early. It stays listed while its subgroup grows, so that what it misses is counted.
    pub(crate) fn cut(
        &mut self,
        stream: OutStreamId,
        reason: DropReason,
        reset: Option<ResetCode>,
    ) {
        let Some(out) = self.out_streams.get_mut(stream) else {
            return;
        };
        let was = std::mem::replace(&mut out.state, OutState::Cut(reason));
        out.deadline = None;
        let (session, track, group, subgroup) = (out.session, out.track, out.group, out.subgroup);
        let cursor = out.cursor;
        if let Some(peer) = self.sessions.get_mut(session) {
            peer.blocked.retain(|(_, blocked)| *blocked != stream);
        }
        if let Some(code) = reset
            && was != OutState::Idle
        {
            let (open, body, end) = (None, Body::Empty, End::Reset(code));
            self.deliveries.push_back(Outgoing::Stream(Delivery {
                session,
                stream,
                open,
                body,
                end,
            }));
        }
        let held = self
            .tracks
            .get(track)
            .and_then(|track| track.cache.subgroup(group, subgroup));
        let missed = held.map_or(1, |held| held.objects.len() - held.first_unstarted(cursor));
        self.counters.drop(reason, missed as u64);
        if was == OutState::Ending || held.is_none_or(|held| held.state != State::Open) {
            self.remove_reader(stream);
        }
    }

    /// Counts a subgroup that a subscription never gets, now and as it grows.
    fn skip(&mut self, id: SubscriptionId, group: u64, subgroup: u64, reason: DropReason) {
        let subscription = &self.subscriptions[id];
        let (session, track) = (subscription.session, subscription.track);
        let Some(held) = self.tracks[track].cache.subgroup_mut(group, subgroup) else {
            return self.counters.drop(reason, 1);
        };
        self.counters.drop(reason, held.objects.len() as u64);
        if held.state == State::Open {
            let stream = self.out_streams.insert(OutStream {
                session,
                subscription: id,
                track,
                group,
                subgroup,
                cursor: held.log.len(),
                last_object: None,
                priority: 0,
                state: OutState::Cut(reason),
                deadline: None,
            });
            held.readers.push(stream);
        }
    }

    fn remove_reader(&mut self, stream: OutStreamId) {
        if let Some(out) = self.out_streams.remove(stream) {
            self.unlist(&out, stream);
        }
    }

    fn unlist(&mut self, out: &OutStream, stream: OutStreamId) {
        if let Some(track) = self.tracks.get_mut(out.track)
            && let Some(subgroup) = track.cache.subgroup_mut(out.group, out.subgroup)
        {
            subgroup.readers.retain(|reader| *reader != stream);
        }
    }
}

/// What a stream is to be given next.
enum Next {
    /// The rest of an object that has begun (`object` is `None`), or the next object.
    Write {
        object: Option<usize>,
        body: Body,
        cursor: usize,
    },
    /// Nothing yet.
    Nothing,
    /// Nothing, ever.
    End,
}

fn next_write(out: &OutStream, subscription: &Subscription, held: &Subgroup, default: u8) -> Next {
    let mut index = held.first_unstarted(out.cursor);
    let starts_at = held
        .objects
        .get(index)
        .map_or(held.log.len(), |object| object.chunk);
    if out.cursor < starts_at && out.last_object.is_some() {
        let body = body(&held.log[out.cursor..starts_at]);
        return Next::Write {
            object: None,
            body,
            cursor: starts_at,
        };
    }
    let priority = held.header.priority.unwrap_or(default);
    let passes = |object: &crate::subgroup::Object| {
        let at = Location {
            group: out.group,
            object: object.header.id,
        };
        subscription.window.contains(at)
            && subscription
                .ranges
                .as_ref()
                .is_none_or(|ranges| ranges.pass(Some(held.id), priority, &object.header))
    };
    let mut is_past = false;
    while let Some(object) = held.objects.get(index).filter(|object| !passes(object)) {
        is_past |= subscription.window.is_past(Location {
            group: out.group,
            object: object.header.id,
        });
        index += 1;
    }
    match held.objects.get(index) {
        None if is_past || held.state == State::Complete => Next::End,
        None => Next::Nothing,
        Some(object) => {
            let cursor = held.end_of(index);
            let before = index
                .checked_sub(1)
                .map(|before| held.objects[before].header.id);
            let chunks = &held.log[object.chunk..cursor];
            let as_it_came =
                out.last_object == before && (before.is_none() || out.last_object.is_some());
            let body = if as_it_came {
                body(chunks)
            } else {
                rebased(held, index, out, chunks)
            };
            Next::Write {
                object: Some(index),
                body,
                cursor,
            }
        }
    }
}

/// An object whose predecessor on this stream is not its predecessor in the log: it needs a head of its own.
fn rebased(held: &Subgroup, index: usize, out: &OutStream, chunks: &[Bytes]) -> Body {
    let object = &held.objects[index];
    let head = held.head_after(index, out.last_object);
    let first = chunks[0].slice(object.head_len..);
    let slices: Vec<Bytes> = [head, first]
        .into_iter()
        .chain(chunks[1..].iter().cloned())
        .filter(|slice| !slice.is_empty())
        .collect();
    body(&slices)
}
