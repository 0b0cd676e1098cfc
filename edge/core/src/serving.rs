//! Fetches and fills towards subscribers: each is a cursor, never a queue.
//!
//! A cursor goes through what the relay holds of the track, and where that ends through the window of a fetch of ours
//! (see `fetching.rs`). One delivery is out at a time: the next is made when the shell has written the last.

use crate::command::{Body, Delivery, End, Opening, Outgoing};
use crate::fanout::body;
use crate::fetching::{Ended, Piece};
use crate::filter::Ranges;
use crate::id::{InRequest, OutRequestId, OutStreamId, SessionId, SubscriptionId, TrackId};
use crate::look::{Look, look, passes};
use crate::past::Slices;
use crate::relay::Relay;
use crate::stretch::Stretch;
use crate::timer::Timer;
use crate::{Command, DropReason};
use bytes::{Bytes, BytesMut};
use meridian_wire::data::{FetchEncoder, FetchHeader, FetchObject, RangeGap};
use meridian_wire::{Draft, GroupOrder, Location, LocationFilter, RequestErrorCode, ResetCode};
use smallvec::SmallVec;
use std::time::{Duration, Instant};

/// The answer to a FETCH, or a fill.
#[derive(Debug)]
pub(crate) struct Serving {
    pub(crate) session: SessionId,
    pub(crate) track: TrackId,
    pub(crate) cause: Cause,
    pub(crate) subscriber_priority: u8,
    pub(crate) priority: i32,
    pub(crate) ranges: Option<Box<Ranges>>,
    /// As asked.
    pub(crate) filter: Option<LocationFilter>,
    pub(crate) order: GroupOrder,
    pub(crate) draft: Draft,
    pub(crate) encoder: FetchEncoder,
    /// What is served; `None` until a publisher has said where it ends.
    pub(crate) stretch: Option<Stretch>,
    /// The next location to serve from what is held; `None`: there is none.
    pub(crate) at: Option<Location>,
    /// The last location that was served, or told to be empty.
    pub(crate) last: Option<Location>,
    /// An object of which so much payload has been handed out, and which is to be gone on with.
    pub(crate) partial: Option<(Location, u64)>,
    /// What was not served since the last object.
    pub(crate) hole: Option<(RangeGap, Location)>,
    pub(crate) source: Source,
    /// Publishers that were asked already.
    pub(crate) tried: SmallVec<[SessionId; 2]>,
    /// What is said of what is not held, once nobody is asked any more.
    pub(crate) missing: Option<RangeGap>,
    /// The request has had its FETCH_OK or REQUEST_ERROR; a fill needs none.
    pub(crate) answered: bool,
    pub(crate) with_properties: bool,
    /// What is left of FILL_TIMEOUT.
    pub(crate) budget: Duration,
    pub(crate) waiting_since: Option<Instant>,
    pub(crate) state: Stage,
}

/// What a serving answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The FETCH with this request ID.
    Fetch(u64),
    /// The fill parameters of the message with this request ID.
    Fill(SubscriptionId, u64),
}

/// Where the next piece comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// What the relay holds.
    Held,
    /// A fetch of ours; whether an object of it passes the filters, while one is in progress.
    Fetch(OutRequestId, Option<bool>),
}

/// How far its stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Not opened.
    Unopened,
    /// Open, with nothing under way.
    Ready,
    /// A delivery is under way.
    Busy,
    /// FIN or a reset is under way.
    Ending,
}

/// What one step led to.
pub(crate) enum Step {
    /// There may be more at once.
    Again,
    /// Nothing more for now.
    Wait,
    /// Everything has been served.
    Finish,
    /// It cannot be gone on with.
    Fail(RequestErrorCode, ResetCode),
}

/// What is put together for one delivery.
#[derive(Default)]
struct Write {
    slices: Vec<Bytes>,
    bytes: usize,
    objects: u64,
}

/// A delivery is handed out when it has so many bytes: large enough for small objects, small beside a stream's window.
const FULL: usize = 16 * 1024;
/// How soon the rest of an object that is still coming in is looked for: the live path knows nothing of fetches, and the
/// newest object of a range is the only one that can be in progress.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

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
            return Step::Fail(
                RequestErrorCode::INTERNAL_ERROR,
                ResetCode::UNKNOWN_OBJECT_STATUS,
            );
        };
        let Some(at) = serving.at else {
            serving.close_hole(None, write);
            return Step::Finish;
        };
        let before = track.past.bytes();
        track.past.expire(now, track.cache_for);
        self.cached_bytes -= before - track.past.bytes();
        let (location, found) = match look(track, &stretch, at, now) {
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
                return Step::Fail(
                    RequestErrorCode::INTERNAL_ERROR,
                    ResetCode::UNKNOWN_OBJECT_STATUS,
                );
            }
            Look::Object(found) => (at, found),
        };
        let head = found.head();
        if !passes(serving.ranges.as_deref(), &head) {
            serving.at = stretch.after(location);
            return Step::Again;
        }
        let offset = serving.partial.take().map_or(0, |(_, sent)| sent);
        let payload = found.payload(offset);
        if offset == 0 && serving.last != Some(location) && serving.begin(&head, write).is_none() {
            return Step::Fail(
                RequestErrorCode::INTERNAL_ERROR,
                ResetCode::UNKNOWN_OBJECT_STATUS,
            );
        }
        let sent = offset + write.put_all(payload);
        if sent == head.payload_len {
            serving.at = stretch.after(location);
            return Step::Again;
        }
        serving.partial = Some((location, sent));
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

impl Serving {
    fn opening(&self) -> Opening {
        let (Cause::Fetch(request_id) | Cause::Fill(_, request_id)) = self.cause;
        let mut header = BytesMut::with_capacity(12);
        FetchHeader { request_id }.encode(&mut header);
        Opening {
            priority: self.priority,
            header: header.freeze(),
        }
    }

    /// Writes an object's head; `None` if it cannot follow what came before.
    fn begin(&mut self, head: &FetchObject, write: &mut Write) -> Option<()> {
        self.close_hole(Some(RangeGap::NonExistent), write);
        let mut bytes = BytesMut::with_capacity(32 + head.properties.len());
        self.encoder.encode_object(head, &mut bytes).ok()?;
        write.put(bytes.freeze());
        write.objects += 1;
        self.last = Some(Location::new(head.group, head.object));
        Some(())
    }

    /// Nothing is served up to `end`.
    fn skip(&mut self, kind: RangeGap, end: Location, write: &mut Write) {
        let kind = match kind {
            RangeGap::TimedOut if self.draft < Draft::D20 => RangeGap::Unknown,
            kind => kind,
        };
        if self.hole.is_some_and(|(open, _)| open != kind) {
            self.close_hole(Some(kind), write);
        }
        self.hole = Some((kind, end));
        self.last = Some(end);
    }

    /// Writes what was skipped, unless what follows (`None`: the end of the stream) says it by itself.
    fn close_hole(&mut self, next: Option<RangeGap>, write: &mut Write) {
        let Some((kind, end)) = self.hole.take() else {
            return;
        };
        let goes_without_saying = matches!(next, None | Some(RangeGap::NonExistent));
        if kind == RangeGap::NonExistent && goes_without_saying {
            return;
        }
        let mut bytes = BytesMut::with_capacity(20);
        if self
            .encoder
            .encode_end_of_range(kind, end, &mut bytes)
            .is_ok()
        {
            write.put(bytes.freeze());
        }
    }

    /// Takes a piece of a fetch of ours.
    fn take(&mut self, piece: Piece, write: &mut Write) -> Step {
        let Source::Fetch(request, passing) = self.source else {
            return Step::Wait;
        };
        match piece {
            Piece::Object(head) => {
                let wanted = passes(self.ranges.as_deref(), &head);
                if wanted && self.begin(&head, write).is_none() {
                    return Step::Fail(
                        RequestErrorCode::INTERNAL_ERROR,
                        ResetCode::UNKNOWN_OBJECT_STATUS,
                    );
                }
                self.last = Some(Location::new(head.group, head.object));
                self.source = Source::Fetch(request, Some(wanted));
            }
            Piece::Payload(bytes) if passing == Some(true) => write.put(bytes),
            Piece::Payload(_) => {}
            Piece::End => self.source = Source::Fetch(request, None),
            Piece::Gap(kind, end) => self.skip(kind, end, write),
        }
        Step::Again
    }

    /// Goes back to what is held. `served` is the last location that a fetch answered for, if it came to its end.
    pub(crate) fn go_back_to(&mut self, served: Option<Location>) {
        self.source = Source::Held;
        let last = served.or(self.last);
        self.at = match (self.stretch, last) {
            (Some(stretch), Some(last)) => stretch.after(last),
            (Some(stretch), None) => Some(stretch.first()),
            (None, _) => None,
        };
    }

    fn go_back(&mut self, served: Option<Location>, write: &mut Write) {
        if let (Some(end), Some(stretch)) = (served, self.stretch)
            && self.last.is_none_or(|last| stretch.is_before(last, end))
        {
            self.skip(RangeGap::NonExistent, end, write);
        }
        self.go_back_to(served);
    }

    /// Whether an object of a fetch of ours has been begun and not ended.
    pub(crate) fn is_within_object(&self) -> bool {
        self.partial.is_some() || matches!(self.source, Source::Fetch(_, Some(true)))
    }

    fn stop_waiting(&mut self, now: Instant) {
        if let Some(since) = self.waiting_since.take() {
            let waited = now.saturating_duration_since(since);
            self.budget = self.budget.saturating_sub(waited);
        }
    }
}

impl Write {
    fn put(&mut self, bytes: Bytes) {
        self.bytes += bytes.len();
        self.slices.push(bytes);
    }

    fn put_all(&mut self, slices: Slices) -> u64 {
        let before = self.bytes;
        for slice in slices {
            self.put(slice);
        }
        (self.bytes - before) as u64
    }
}
