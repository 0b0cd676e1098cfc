//! Subscribers that cannot keep up: streams that wait, subgroups that wait for a stream, and what is let go when.
//!
//! Bytes are never queued here: a slow stream is a cursor into the cache. What waits for a stream is a group and subgroup
//! number. Both are bounded, and the most urgent goes first when there is room again.

use crate::DropReason;
use crate::command::{Body, Delivery, End, Outgoing};
use crate::id::{OutStreamId, SessionId, SubscriptionId};
use crate::relay::Relay;
use crate::subscriber::subscription::{OutState, OutStream, Subscription, stream_priority};
use crate::timer::Timer;
use crate::track::subgroup::{State, Subgroup};
use meridian_wire::ResetCode;
use std::time::Instant;

/// Streams begun from the pending lists at one go: when there is credit for one only, the others come back.
const BEGIN_AT_ONCE: usize = 16;

impl Relay {
    /// A stream took less than it was given. The shell keeps the rest and says [`Relay::handle_writable`] when it is
    /// written.
    pub fn handle_blocked(&mut self, stream: OutStreamId, now: Instant) {
        if self.serving_stuck(stream) {
            return;
        }
        let Some(out) = self.out_streams.get_mut(stream) else {
            return;
        };
        if out.state == OutState::Live {
            out.state = OutState::Behind;
        }
        let (session, priority) = (out.session, out.priority);
        let deadline = self.deadline(stream, now);
        self.out_streams[stream].deadline = Some(deadline);
        self.timers.set(deadline, Timer::Delivery(stream));
        if let Some(peer) = self.sessions.get_mut(session)
            && !peer.blocked.iter().any(|(_, blocked)| *blocked == stream)
        {
            peer.blocked.push((priority, stream));
        }
    }

    /// When what a stream was last given becomes too old.
    fn deadline(&self, stream: OutStreamId, now: Instant) -> Instant {
        let out = &self.out_streams[stream];
        let held = self.held(out);
        let subscription = self.subscriptions.get(out.subscription);
        let (Some(held), Some(subscription)) = (held, subscription) else {
            return now + self.config.late_after;
        };
        let begun = held.first_unstarted(out.cursor).checked_sub(1);
        let at = begun.map_or(now, |index| held.objects[index].at);
        self.late_at(at, held, subscription)
    }

    /// A stream could not be opened: the peer allows no more for now. The shell says [`Relay::handle_credit`] when it
    /// does.
    pub fn handle_no_credit(&mut self, stream: OutStreamId) {
        if self.serving_unopened(stream) {
            return;
        }
        let Some(out) = self.out_streams.remove(stream) else {
            return;
        };
        self.unlist(&out, stream);
        if let Some(session) = self.sessions.get_mut(out.session) {
            session.out_of_credit = true;
        }
        self.counters.objects_out -= u64::from(out.given_objects);
        self.counters.bytes_out -= u64::from(out.given_bytes);
        let Some(subscription) = self.subscriptions.get_mut(out.subscription) else {
            return;
        };
        subscription.streams_opened -= 1;
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
        if self.serving_written(stream, now) {
            return self.begin_pending(session, now);
        }
        if let Some(peer) = self.sessions.get_mut(session) {
            peer.unblock(stream);
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
        if !self.serving_over(stream) {
            self.out_streams.remove(stream);
        }
    }

    /// The subscriber stopped a stream, or it failed.
    pub fn handle_stopped(&mut self, stream: OutStreamId, now: Instant) {
        let Some(out) = self.out_streams.get(stream) else {
            return;
        };
        let session = out.session;
        if !self.serving_stopped(stream, now) {
            self.cut(stream, DropReason::Stopped, None);
        }
        self.begin_pending(session, now);
    }

    /// A blocked stream's object has become too old: the stream ends here.
    pub(crate) fn delivery_due(&mut self, stream: OutStreamId, now: Instant) {
        let Some(out) = self.out_streams.get(stream) else {
            return;
        };
        if out.deadline.is_some_and(|deadline| deadline <= now) {
            let session = out.session;
            let code = ResetCode::DELIVERY_TIMEOUT;
            self.cut(stream, DropReason::TimedOut, Some(code));
            self.begin_pending(session, now);
        }
    }

    /// From when on an object that began at `at` is too old. Who set no timeout is not told that what was there when it
    /// joined is old.
    pub(crate) fn late_at(
        &self,
        at: Instant,
        held: &Subgroup,
        subscription: &Subscription,
    ) -> Instant {
        let cached = self.tracks[subscription.track].cache_for;
        let theirs =
            crate::subscriber::subscription::tighter(cached, subscription.delivery_timeout);
        if let Some(timeout) =
            crate::subscriber::subscription::tighter(held.timeouts.object, theirs)
        {
            return at + timeout;
        }
        let default_priority = self.tracks[subscription.track].default_priority;
        let timeout = if default_priority <= self.config.audio_priority {
            self.config.audio_late_after
        } else {
            self.config.late_after
        };
        at.max(subscription.since) + timeout
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
        let session = subscription.session;
        let track = &self.tracks[subscription.track];
        let Some(held) = track.cache.subgroup(group, subgroup) else {
            return;
        };
        let publisher = held.header.priority.unwrap_or(track.default_priority);
        let priority = stream_priority(subscription.priority, publisher);
        let has_room = self.sessions[session].has_room_for(priority);
        let is_first = subscription.pending.is_empty();
        if has_room && is_first {
            return self.begin(id, group, subgroup, priority, now);
        }
        self.pend(id, group, subgroup);
        if has_room {
            self.begin_pending(session, now);
        }
    }

    fn pend(&mut self, id: SubscriptionId, group: u64, subgroup: u64) {
        let limit = self.config.pending_subgroups;
        let subscription = &mut self.subscriptions[id];
        let track = &mut self.tracks[subscription.track];
        let pending = &mut subscription.pending;
        let at = pending.partition_point(|waiting| *waiting < (group, subgroup));
        if pending.get(at) != Some(&(group, subgroup)) {
            pending.insert(at, (group, subgroup));
            track.pending += 1;
        }
        if pending.len() > limit
            && let Some((group, subgroup)) = pending.pop_front()
        {
            track.pending -= 1;
            self.skip(id, group, subgroup, DropReason::PendingFull);
        }
    }

    /// Begins what waits in a session, most urgent first, while there is room.
    pub(crate) fn begin_pending(&mut self, session: SessionId, now: Instant) {
        for _ in 0..BEGIN_AT_ONCE {
            let Some((priority, id)) = self.next_pending(session) else {
                return self.unpark(session, now);
            };
            let subscription = &mut self.subscriptions[id];
            let front = subscription.pending.pop_front();
            let (group, subgroup) = front.expect("its front was just seen");
            self.tracks[subscription.track].pending -= 1;
            self.begin(id, group, subgroup, priority, now);
        }
        self.begin_soon(session, now);
    }

    /// Has what waits in a session begun when the shell has done what there is.
    pub(crate) fn begin_soon(&mut self, session: SessionId, now: Instant) {
        if let Some(peer) = self.sessions.get_mut(session)
            && !std::mem::replace(&mut peer.begins_soon, true)
        {
            self.timers.set(now, Timer::Begin(session));
        }
    }

    pub(crate) fn begin_due(&mut self, session: SessionId, now: Instant) {
        if let Some(peer) = self.sessions.get_mut(session) {
            peer.begins_soon = false;
            self.begin_pending(session, now);
        }
    }

    /// The most urgent of what waits in a session, if there is room for it.
    fn next_pending(&self, session: SessionId) -> Option<(i32, SubscriptionId)> {
        let peer = self.sessions.get(session)?;
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
        next.max_by_key(|(priority, _)| *priority)
            .filter(|(priority, _)| peer.has_room_for(*priority))
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
            return;
        };
        let index = held.first_from(first);
        let cursor = held
            .objects
            .get(index)
            .map_or(held.end(), |object| object.chunk);
        let stream = self.out_streams.insert(OutStream {
            priority,
            cursor,
            ..OutStream::new(subscription, id, group, subgroup)
        });
        held.readers.push(stream);
        self.go_on(stream, now);
    }

    /// The stream's next object is too old: an unopened stream is dropped, an open one reset.
    pub(crate) fn let_go(&mut self, stream: OutStreamId) {
        match self.out_streams[stream].state {
            OutState::Idle => self.cut(stream, DropReason::Expired, None),
            _ => {
                let code = ResetCode::DELIVERY_TIMEOUT;
                self.cut(stream, DropReason::TimedOut, Some(code));
            }
        }
    }

    /// Ends a stream early. It stays listed while its subgroup grows, so that what it misses is counted.
    pub(crate) fn cut(
        &mut self,
        stream: OutStreamId,
        reason: DropReason,
        reset: Option<ResetCode>,
    ) {
        let Some(out) = self.out_streams.get(stream) else {
            return;
        };
        let (missed, settled) = self.held(out).map_or((0, true), |held| {
            (self.missed(out, held), held.state != State::Open)
        });
        let is_over = settled || out.state == OutState::Ending;
        self.cut_off(stream, reason, reset, missed);
        if is_over {
            self.forget_reader(stream);
        }
    }

    /// Ends a stream that misses `missed` objects of those that have begun, besides what is stuck in its pipe.
    pub(crate) fn cut_off(
        &mut self,
        stream: OutStreamId,
        reason: DropReason,
        reset: Option<ResetCode>,
        missed: u64,
    ) {
        let Some(out) = self.out_streams.get_mut(stream) else {
            return;
        };
        let was = std::mem::replace(&mut out.state, OutState::Cut(reason));
        if matches!(was, OutState::Cut(_)) {
            out.state = was;
            return;
        }
        out.deadline = None;
        let (session, given) = (out.session, u64::from(out.given_objects));
        let (begun, started) = (was != OutState::Idle, u64::from(out.given_started));
        let peer = self.sessions.get_mut(session);
        let was_blocked = peer.is_some_and(|peer| peer.unblock(stream));
        if was_blocked {
            self.counters.objects_out -= given.max(started);
        }
        let stuck = if was_blocked { given.max(started) } else { 0 };
        self.counters.drop(reason, stuck + missed);
        if let Some(code) = reset.filter(|_| begun) {
            self.deliveries.push_back(Outgoing::Stream(Delivery {
                session,
                stream,
                open: None,
                body: Body::Empty,
                end: End::Reset(code),
            }));
        }
    }

    /// Objects a stream has nothing of that its subscription wants.
    pub(crate) fn missed(&self, out: &OutStream, held: &Subgroup) -> u64 {
        let from = held.first_unstarted(out.cursor);
        self.wanted(out.subscription, out.group, held, from)
    }

    /// Objects from index `from` on that a subscription wants.
    pub(crate) fn wanted(
        &self,
        id: SubscriptionId,
        group: u64,
        held: &Subgroup,
        from: usize,
    ) -> u64 {
        let Some(subscription) = self.subscriptions.get(id) else {
            return 0;
        };
        let priority = held.header.priority;
        let priority = priority.unwrap_or(self.tracks[subscription.track].default_priority);
        let wants = |object: &&crate::track::subgroup::Object| {
            subscription.passes(group, held.id, priority, &object.header)
        };
        held.objects[from..].iter().filter(wants).count() as u64
    }

    /// Counts a subgroup that a subscription never gets, now and as it grows.
    pub(crate) fn skip(
        &mut self,
        id: SubscriptionId,
        group: u64,
        subgroup: u64,
        reason: DropReason,
    ) {
        let subscription = &self.subscriptions[id];
        let track = &self.tracks[subscription.track];
        let Some(held) = track.cache.subgroup(group, subgroup) else {
            return;
        };
        let missed = self.wanted(id, group, held, 0);
        let (cursor, grows) = (held.end(), held.state == State::Open);
        let track = subscription.track;
        self.counters.drop(reason, missed);
        if !grows {
            return;
        }
        let stream = self.out_streams.insert(OutStream {
            cursor,
            state: OutState::Cut(reason),
            ..OutStream::new(&self.subscriptions[id], id, group, subgroup)
        });
        if let Some(held) = self.tracks[track].cache.subgroup_mut(group, subgroup) {
            held.readers.push(stream);
        }
    }

    /// The subgroup a stream is written from.
    pub(crate) fn held(&self, out: &OutStream) -> Option<&Subgroup> {
        let track = self.tracks.get(out.track)?;
        track.cache.subgroup(out.group, out.subgroup)
    }

    pub(crate) fn forget_reader(&mut self, stream: OutStreamId) {
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
