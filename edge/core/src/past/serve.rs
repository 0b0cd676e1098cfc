//! The steps of a fetch or fill towards its subscriber: the next piece from what is held, from a fetch of ours, or from
//! nobody.

use crate::command::{Body, Delivery, End, Outgoing};
use crate::id::{InRequest, OutRequestId, OutStreamId, SessionId};
use crate::past::fetching::Ended;
use crate::past::look::{Look, look, passes};
use crate::past::serving::{Cause, Serving, Source, Stage, Step, Write};
use crate::relay::Relay;
use crate::subscriber::fanout::body;
use crate::timer::Timer;
use crate::{Command, DropReason};
use meridian_wire::data::RangeGap;
use meridian_wire::{Location, RequestErrorCode, ResetCode};
use std::time::{Duration, Instant};

/// A delivery is handed out when it has so many bytes: large enough for small objects, small beside a stream's window.
const FULL: usize = 16 * 1024;
/// How soon the rest of an object that is still coming in is looked for: the live path knows nothing of fetches, and the
/// newest object of a range is the only one that can be in progress.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// What is to be served cannot be told or written.
const BROKEN: Step = Step::Fail(
    RequestErrorCode::INTERNAL_ERROR,
    ResetCode::UNKNOWN_OBJECT_STATUS,
);

impl Relay {
    /// Goes on with a serving as far as its session has room.
    pub(crate) fn serve(&mut self, stream: OutStreamId, now: Instant) {
        let Some(serving) = self.servings.get(stream) else {
            return;
        };
        if matches!(serving.state, Stage::Busy | Stage::Ending) {
            return;
        }
        if !self.has_room_to_serve(stream, serving) {
            let session = serving.session;
            return self.park(session, stream);
        }
        // Taken out while it is worked on; put back below.
        let mut serving = self.servings.remove(stream).expect("it was just seen");
        let mut write = Write::default();
        let step = self.steps(stream, &mut serving, &mut write, now);
        match step {
            Step::Again => self.hand(stream, &mut serving, write, End::More),
            Step::Wait if write.slices.is_empty() => {}
            Step::Wait => self.hand(stream, &mut serving, write, End::More),
            Step::Finish => self.hand(stream, &mut serving, write, End::Finish(None)),
            Step::Fail(code, reset) => {
                self.servings.insert(stream, serving);
                return self.serving_failed(stream, code, reset, now);
            }
        }
        let is_over = serving.state == Stage::Ending;
        let (session, cause) = (serving.session, serving.cause);
        self.servings.insert(stream, serving);
        if is_over {
            self.conclude(session, cause);
        }
    }

    /// Steps until a delivery is full, nothing is left, or the stream is to be opened first.
    fn steps(
        &mut self,
        stream: OutStreamId,
        serving: &mut Serving,
        write: &mut Write,
        now: Instant,
    ) -> Step {
        loop {
            // Opened first with nothing in it, so that nothing is lost if there is no credit for it.
            if serving.state == Stage::Unopened && self.has_more(serving) {
                return Step::Again;
            }
            let step = match serving.source {
                Source::Held => self.read_held(stream, serving, write, now),
                Source::Fetch(request, _) => self.read_fetch(request, serving, write, now),
            };
            match step {
                Step::Again if write.bytes < FULL => {}
                step => return step,
            }
        }
    }

    fn has_more(&self, serving: &Serving) -> bool {
        match serving.source {
            Source::Held => true,
            Source::Fetch(request, _) => self.has_fetched(request),
        }
    }

    /// The next piece from what is held.
    fn read_held(
        &mut self,
        stream: OutStreamId,
        serving: &mut Serving,
        write: &mut Write,
        now: Instant,
    ) -> Step {
        let (Some(stretch), Some(track)) = (serving.stretch, self.tracks.get_mut(serving.track))
        else {
            return BROKEN;
        };
        let Some(at) = serving.at else {
            serving.close_hole(None, write);
            return Step::Finish;
        };
        let before = track.past.bytes();
        track.past.expire(now, track.cache_for);
        self.cached_bytes -= before - track.past.bytes();
        let found = match look(track, &stretch, at, now) {
            Look::Hole { end, absent: true } => {
                serving.skip(RangeGap::NonExistent, end, write);
                serving.at = stretch.after(end);
                return Step::Again;
            }
            Look::Hole { end, absent: false } if serving.partial.is_none() => {
                return self.look_elsewhere(stream, serving, at, end, write, now);
            }
            // The rest of an object that has begun is gone.
            Look::Hole { .. } => {
                self.counters.drop(DropReason::SourceReset, 1);
                return BROKEN;
            }
            Look::Object(found) => found,
        };
        let head = found.head();
        if !passes(serving.ranges.as_deref(), &head) {
            serving.at = stretch.after(at);
            return Step::Again;
        }
        let offset = serving.partial.take().map_or(0, |(_, sent)| sent);
        let payload = found.payload(offset);
        if offset == 0 && serving.last != Some(at) && serving.begin(&head, write).is_none() {
            return BROKEN;
        }
        let sent = offset + write.put_all(payload);
        if sent == head.payload_len {
            serving.at = stretch.after(at);
            return Step::Again;
        }
        serving.partial = Some((at, sent));
        self.timers.set(now + LOOK_AGAIN, Timer::Growing(stream));
        Step::Wait
    }

    /// Something is not held: a publisher is asked, or the gap is reported.
    fn look_elsewhere(
        &mut self,
        stream: OutStreamId,
        serving: &mut Serving,
        at: Location,
        end: Location,
        write: &mut Write,
        now: Instant,
    ) -> Step {
        let Some(stretch) = serving.stretch else {
            return Step::Wait;
        };
        if serving.missing.is_none() && serving.budget.is_zero() {
            serving.missing = Some(RangeGap::TimedOut);
        }
        if serving.missing.is_none() {
            let part = self.unknown_part(serving.track, &stretch, at, now);
            if self.fetch_upstream(stream, serving, Some(part), now) {
                return Step::Again;
            }
            serving.missing = Some(RangeGap::Unknown);
        }
        let kind = serving.missing.unwrap_or(RangeGap::Unknown);
        self.counters.drop(DropReason::Unknown, 1);
        serving.skip(kind, end, write);
        serving.at = stretch.after(end);
        Step::Again
    }

    /// The next piece from a fetch of ours.
    fn read_fetch(
        &mut self,
        request: OutRequestId,
        serving: &mut Serving,
        write: &mut Write,
        now: Instant,
    ) -> Step {
        match self.next_fetched(request) {
            Some(piece) => {
                serving.stop_waiting(now);
                serving.take(piece, write)
            }
            None => match self.fetch_end(request) {
                None => {
                    self.start_waiting(request, serving, now);
                    Step::Wait
                }
                Some(Ended::Done) => {
                    serving.stop_waiting(now);
                    let asked = self.forget_fetch(request, true, now);
                    let asked = asked.and_then(|asked| asked.stretch);
                    serving.go_back(asked.map(|asked| asked.last()), write);
                    Step::Again
                }
                Some(Ended::Failed(code)) => {
                    serving.stop_waiting(now);
                    self.fetch_fell_short(request, serving, code, now)
                }
            },
        }
    }

    /// Hands a delivery out, after opening the stream if that is still to be done.
    fn hand(&mut self, stream: OutStreamId, serving: &mut Serving, write: Write, end: End) {
        let open = (serving.state == Stage::Unopened).then(|| serving.opening());
        if open.is_some()
            && let Cause::Fill(subscription, _) = serving.cause
            && let Some(subscription) = self.subscriptions.get_mut(subscription)
        {
            subscription.streams_opened += 1;
        }
        serving.state = match end {
            End::Finish(_) | End::Reset(_) => Stage::Ending,
            End::More | End::Open => Stage::Busy,
        };
        self.counters.objects_out += write.objects;
        self.counters.bytes_out += write.bytes as u64;
        self.deliveries.push_back(Outgoing::Stream(Delivery {
            session: serving.session,
            stream,
            open,
            body: body(&write.slices),
            end,
        }));
    }

    /// A serving cannot be gone on with: its request is refused if that can still be done, and its stream reset.
    pub(crate) fn serving_failed(
        &mut self,
        stream: OutStreamId,
        code: RequestErrorCode,
        reset: ResetCode,
        now: Instant,
    ) {
        let Some(serving) = self.servings.get_mut(stream) else {
            return;
        };
        let (session, cause) = (serving.session, serving.cause);
        let answered = std::mem::replace(&mut serving.answered, true);
        if serving.state == Stage::Unopened && answered {
            // The subscriber waits for a stream: it is opened to say that it fails.
            let mut serving = self.servings.remove(stream).expect("it was just seen");
            self.hand(stream, &mut serving, Write::default(), End::Open);
            self.servings.insert(stream, serving);
        }
        match cause {
            Cause::Fetch(id) if !answered => {
                let request = InRequest { session, id };
                if let Some(peer) = self.sessions.get_mut(session) {
                    peer.requests.remove(&id);
                }
                self.refuse(request, code, "the objects cannot be had");
            }
            cause => self.conclude(session, cause),
        }
        self.drop_serving(stream, reset, now);
    }

    /// Forgets a serving, with what hangs on it. A stream that is open is reset.
    pub(crate) fn drop_serving(&mut self, stream: OutStreamId, code: ResetCode, now: Instant) {
        if let Some(Source::Fetch(request, _)) = self.servings.get(stream).map(|s| s.source) {
            self.forget_fetch(request, false, now);
        }
        let Some(serving) = self.forget_serving(stream) else {
            return;
        };
        let session = serving.session;
        if self.sessions.contains_key(session) && serving.state != Stage::Unopened {
            self.deliveries.push_back(Outgoing::Stream(Delivery {
                session,
                stream,
                open: None,
                body: Body::Empty,
                end: End::Reset(code),
            }));
        }
    }

    /// Forgets a serving; its track is needed by one less.
    pub(crate) fn forget_serving(&mut self, stream: OutStreamId) -> Option<Serving> {
        let serving = self.servings.remove(stream)?;
        self.out_streams.remove(stream);
        if let Some(peer) = self.sessions.get_mut(serving.session) {
            peer.servings.retain(|other| *other != stream);
            peer.parked.retain(|other| *other != stream);
            peer.unblock(stream);
        }
        if let Some(track) = self.tracks.get_mut(serving.track) {
            track.past.users -= 1;
        }
        self.reap(serving.track);
        Some(serving)
    }

    /// Ends the request of a serving whose stream has its end.
    fn conclude(&mut self, session: SessionId, cause: Cause) {
        if let Cause::Fetch(request) = cause
            && let Some(peer) = self.sessions.get_mut(session)
            && peer.requests.remove(&request).is_some()
        {
            self.commands
                .push_back(Command::FinishResponse { session, request });
        }
    }

    /// Ends a request of a subscriber that has had its answer.
    pub(crate) fn conclude_request(&mut self, request: InRequest) {
        self.conclude(request.session, Cause::Fetch(request.id));
    }

    /// Whether a serving may write now: nothing as urgent is stuck.
    fn has_room_to_serve(&self, stream: OutStreamId, serving: &Serving) -> bool {
        let Some(peer) = self.sessions.get(serving.session) else {
            return false;
        };
        let yields = |(priority, blocked): &(i32, OutStreamId)| {
            *blocked == stream || serving.priority > *priority
        };
        (serving.state != Stage::Unopened || !peer.out_of_credit) && peer.blocked.iter().all(yields)
    }

    fn park(&mut self, session: SessionId, stream: OutStreamId) {
        if let Some(peer) = self.sessions.get_mut(session)
            && !peer.parked.contains(&stream)
        {
            peer.parked.push(stream);
        }
    }

    /// Goes on with the servings that waited for room, the most urgent first.
    pub(crate) fn unpark(&mut self, session: SessionId, now: Instant) {
        let Some(peer) = self.sessions.get_mut(session) else {
            return;
        };
        if peer.parked.is_empty() {
            return;
        }
        let mut parked = std::mem::take(&mut peer.parked);
        let servings = &self.servings;
        parked.sort_by_key(|stream| {
            let priority = servings.get(*stream).map_or(0, |serving| serving.priority);
            std::cmp::Reverse(priority)
        });
        for stream in parked {
            self.serve(stream, now);
        }
    }
}
