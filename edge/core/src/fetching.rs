//! Fetches of ours at publishers, for what a subscriber asks for and the relay does not hold.
//!
//! What comes is handed through a bounded window as it comes: while the subscriber does not take it, the publisher's
//! stream is not read. Whole objects are kept besides, as far as there is room.

use crate::Command;
use crate::id::{InStreamId, OutRequestId, OutStreamId, SessionId, TrackId};
use crate::look::{Look, look};
use crate::past::Kept;
use crate::relay::Relay;
use crate::serving::{Serving, Source, Step};
use crate::session::{Asked, Role};
use crate::stretch::Stretch;
use crate::timer::Timer;
use bytes::Bytes;
use meridian_wire::control::{Fetch, FetchOk};
use meridian_wire::data::{FetchDecoder, FetchEvent, FetchObject, RangeGap};
use meridian_wire::{
    Draft, FetchFilter, GroupOrder, Location, LocationFilter, Message, Namespace, Parameters,
    RequestErrorCode, ResetCode, TerminationCode, WireError,
};
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::time::Instant;

/// A fetch of ours, made for one serving.
#[derive(Debug)]
pub(crate) struct Fetching {
    session: SessionId,
    stream: OutStreamId,
    track: TrackId,
    /// What was asked for; `None` until the publisher has said where it ends.
    pub(crate) stretch: Option<Stretch>,
    order: GroupOrder,
    decoder: FetchDecoder,
    input: Option<InStreamId>,
    is_paused: bool,
    window: VecDeque<Piece>,
    window_bytes: usize,
    /// From where on it is not known yet what exists.
    cursor: Option<Location>,
    last: Option<Location>,
    /// The object in progress.
    object: Option<Kept>,
    ended: Option<Ended>,
    is_answered: bool,
}

/// What a fetch stream brought, in order.
#[derive(Debug)]
pub(crate) enum Piece {
    Object(FetchObject),
    Payload(Bytes),
    End,
    Gap(RangeGap, Location),
}

/// How a fetch of ours ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Done,
    Failed(RequestErrorCode),
}

/// Looks that are spent on finding out how far something unknown goes.
const MAX_LOOKS: usize = 4096;

impl Relay {
    /// A publisher opened the data stream of a fetch of ours. Its chunks follow, from the first byte. `None`: nobody
    /// waits for it (any more).
    pub fn accept_fetch_stream(
        &mut self,
        session: SessionId,
        request: OutRequestId,
    ) -> Option<InStreamId> {
        let fetch = self.fetches.get(request)?;
        if fetch.session != session || fetch.input.is_some() {
            return None;
        }
        let input = self.accept_stream(session)?;
        self.fetches[request].input = Some(input);
        self.fetch_inputs.insert(input, request);
        Some(input)
    }

    /// The next chunks of a fetch stream, in order, and whether its FIN follows them. Whether to read on: if not, the
    /// shell waits for [`Command::Resume`].
    ///
    /// # Errors
    ///
    /// The peer broke the protocol: the shell closes its session with the error's code.
    pub fn handle_fetch_stream(
        &mut self,
        stream: InStreamId,
        chunks: &[Bytes],
        end: bool,
        now: Instant,
    ) -> Result<bool, WireError> {
        let Some(&request) = self.fetch_inputs.get(stream) else {
            return Ok(true);
        };
        let result = self.take_fetched(request, chunks, end, now);
        if end || result.is_err() {
            self.fetch_inputs.remove(stream);
            self.handle_stream_reset(stream, ResetCode::CANCELLED, now);
            if let Some(fetch) = self.fetches.get_mut(request) {
                fetch.input = None;
            }
        }
        if result.is_err() {
            self.fetch_failed(request, RequestErrorCode::INTERNAL_ERROR, now);
        }
        result?;
        let Some(fetch) = self.fetches.get_mut(request) else {
            return Ok(true);
        };
        let waiting = fetch.stream;
        fetch.is_paused = !end && fetch.window_bytes > self.config.fetch_window;
        self.serve(waiting, now);
        Ok(self
            .fetches
            .get(request)
            .is_none_or(|fetch| !fetch.is_paused))
    }

    /// A fetch stream ended in a reset.
    pub fn handle_fetch_stream_reset(&mut self, stream: InStreamId, now: Instant) {
        let Some(request) = self.fetch_inputs.remove(stream) else {
            return;
        };
        self.handle_stream_reset(stream, ResetCode::CANCELLED, now);
        if let Some(fetch) = self.fetches.get_mut(request) {
            fetch.input = None;
        }
        self.fetch_failed(request, RequestErrorCode::INTERNAL_ERROR, now);
    }

    /// Asks the next publisher for `part`, or, if that is `None`, for what the subscriber asked for. Whether anybody was
    /// asked.
    pub(crate) fn fetch_upstream(
        &mut self,
        stream: OutStreamId,
        serving: &mut Serving,
        part: Option<Stretch>,
        now: Instant,
    ) -> bool {
        let filter = part.map_or(serving.filter, |part| Some(part.as_filter()));
        let sources = self.fetch_sources(serving.track, serving.session);
        let sayable = |session: &SessionId| {
            self.sessions[*session].draft >= Draft::D20
                || !matches!(
                    filter,
                    Some(LocationFilter::Relative { .. } | LocationFilter::NextObject)
                )
        };
        let next = sources
            .into_iter()
            .find(|session| !serving.tried.contains(session) && sayable(session));
        let Some(session) = next else {
            return false;
        };
        serving.tried.push(session);
        let order = serving.order;
        let request = self.out_requests.insert(());
        let draft = self.sessions[session].draft;
        self.fetches.insert(
            request,
            Fetching {
                session,
                stream,
                track: serving.track,
                stretch: part,
                order,
                decoder: FetchDecoder::new(draft, order),
                input: None,
                is_paused: false,
                window: VecDeque::new(),
                window_bytes: 0,
                cursor: part.map(|part| part.first()),
                last: None,
                object: None,
                ended: None,
                is_answered: false,
            },
        );
        self.sessions[session]
            .outgoing
            .insert(request, Asked::Fetch);
        let message = Message::Fetch(Fetch {
            request_id: 0,
            track: Some(self.tracks[serving.track].name.clone()),
            filter: FetchFilter::Range,
            params: Parameters {
                location_filter: filter,
                group_order: Some(order),
                fill_timeout: Some(serving.budget.as_millis() as u64),
                ..Parameters::default()
            },
        });
        self.commands.push_back(Command::Request {
            session,
            request,
            message,
        });
        serving.source = Source::Fetch(request, None);
        self.start_waiting(request, serving, now);
        true
    }

    /// Whom to ask for objects of a track.
    pub(crate) fn fetch_sources(
        &self,
        track: TrackId,
        asker: SessionId,
    ) -> SmallVec<[SessionId; 4]> {
        let entry = &self.tracks[track];
        let established: SmallVec<[SessionId; 2]> = entry
            .upstreams
            .iter()
            .filter(|id| self.upstreams[**id].is_established())
            .map(|id| self.upstreams[*id].session)
            .collect();
        self.publishers_in_reach(&established, &entry.name.namespace, asker)
    }

    /// Whom to ask for something of a namespace: who is known to have it, who announced it, else parents (valley-free).
    pub(crate) fn publishers_in_reach(
        &self,
        known: &[SessionId],
        namespace: &Namespace,
        asker: SessionId,
    ) -> SmallVec<[SessionId; 4]> {
        let from_below = self.role(asker).is_some_and(Role::is_below);
        let announcers = self.namespaces.announcers_of(namespace);
        let mut sources: SmallVec<[SessionId; 4]> = SmallVec::new();
        for session in known.iter().copied().chain(announcers) {
            let role = self.role(session);
            // A neighbour is not sent back to itself; a client may fetch what it publishes.
            let is_other = session != asker || role == Some(Role::Client);
            let is_in_reach = is_other && role.is_some_and(|role| from_below || role.is_below());
            if is_in_reach && self.may_be_asked(session) && !sources.contains(&session) {
                sources.push(session);
            }
        }
        sources.retain(|session| Some(*session) != self.own);
        if from_below && sources.is_empty() {
            sources = self.parents_in_use();
            sources.retain(|parent| *parent != asker);
        }
        sources
    }

    /// What is to be asked for of what is not held from `at` on: as little as one request can say.
    pub(crate) fn unknown_part(
        &self,
        track: TrackId,
        stretch: &Stretch,
        at: Location,
        now: Instant,
    ) -> Stretch {
        let track = &self.tracks[track];
        let mut next = Some(at);
        let mut last = at;
        for _ in 0..MAX_LOOKS {
            let Some(here) = next else {
                return stretch.part(at, last);
            };
            next = match look(track, stretch, here, now) {
                Look::Object(_) => stretch.after(here),
                Look::Hole { end, absent } => {
                    if !absent {
                        last = end;
                    }
                    stretch.after(end)
                }
            };
        }
        stretch.part(at, stretch.last())
    }

    /// A publisher has accepted a fetch of ours.
    pub(crate) fn fetch_accepted(
        &mut self,
        session: SessionId,
        request: OutRequestId,
        ok: FetchOk,
        now: Instant,
    ) {
        let Some(fetch) = self.fetches.get_mut(request) else {
            return;
        };
        if ok.properties.block().unsupported_mandatory().is_some() {
            return self.fetch_failed(request, RequestErrorCode::UNSUPPORTED_EXTENSION, now);
        }
        fetch.is_answered = true;
        let stream = fetch.stream;
        let Some(serving) = self.servings.get_mut(stream) else {
            return;
        };
        if !serving.answered {
            let stretch = resolved(serving.filter, ok.end, serving.order);
            if stretch.is_some_and(|stretch| stretch.start > stretch.end) {
                return self.close(
                    session,
                    WireError {
                        code: TerminationCode::PROTOCOL_VIOLATION,
                        what: "a fetch that ends before it starts",
                    },
                );
            }
            fetch.stretch = stretch;
            serving.stretch = stretch;
            self.answer_fetch(stream, ok.end, ok.end_of_track, ok.properties);
        }
        self.serve(stream, now);
    }

    /// A fetch of ours has failed.
    pub(crate) fn fetch_failed(
        &mut self,
        request: OutRequestId,
        code: RequestErrorCode,
        now: Instant,
    ) {
        let Some(fetch) = self.fetches.get_mut(request) else {
            return;
        };
        fetch.ended = Some(Ended::Failed(code));
        let stream = fetch.stream;
        self.serve(stream, now);
    }

    /// The publisher's direction of a fetch request has ended: that matters only before the answer, or if it cancels.
    pub(crate) fn fetch_closed(&mut self, request: OutRequestId, cancelled: bool, now: Instant) {
        let Some(fetch) = self.fetches.get(request) else {
            return;
        };
        let matters = !fetch.is_answered || (cancelled && fetch.ended.is_none());
        if matters {
            self.fetch_failed(request, RequestErrorCode::INTERNAL_ERROR, now);
        }
    }

    /// What to do when a fetch of ours came to nothing, or stopped half-way: ask another, or go on without.
    pub(crate) fn fetch_fell_short(
        &mut self,
        request: OutRequestId,
        serving: &mut Serving,
        code: RequestErrorCode,
        now: Instant,
    ) -> Step {
        let failed = Step::Fail(code, ResetCode::UNKNOWN_OBJECT_STATUS);
        let within = serving.is_within_object();
        let Some(fetch) = self.forget_fetch(request, false, now) else {
            return failed;
        };
        let is_final = matches!(
            code,
            RequestErrorCode::UNSUPPORTED_EXTENSION | RequestErrorCode::MALFORMED_TRACK
        );
        if within || is_final {
            return failed;
        }
        if serving.answered && serving.stretch.is_some() {
            serving.go_back_to(None);
            return Step::Again;
        }
        let is_untouched = !serving.answered && serving.last.is_none();
        if is_untouched && self.fetch_upstream(fetch.stream, serving, None, now) {
            return Step::Again;
        }
        failed
    }

    /// Forgets a fetch of ours; if it is not `done` the publisher is told to stop.
    pub(crate) fn forget_fetch(
        &mut self,
        request: OutRequestId,
        done: bool,
        now: Instant,
    ) -> Option<Fetching> {
        let fetch = self.fetches.remove(request)?;
        let session = fetch.session;
        let code = ResetCode::CANCELLED;
        if let Some(stream) = fetch.input {
            self.fetch_inputs.remove(stream);
            self.handle_stream_reset(stream, code, now);
            self.commands.push_back(Command::Stop {
                session,
                stream,
                code,
            });
        }
        self.out_requests.remove(request);
        if let Some(peer) = self.sessions.get_mut(session) {
            peer.outgoing.remove(&request);
            self.commands.push_back(match done {
                true => Command::FinishRequest { session, request },
                false => Command::Cancel {
                    session,
                    request,
                    code,
                },
            });
        }
        Some(fetch)
    }

    /// Whether there is something to hand on, if only the end.
    pub(crate) fn has_fetched(&self, request: OutRequestId) -> bool {
        self.fetches.get(request).is_some_and(|fetch| {
            !fetch.window.is_empty() || (fetch.is_answered && fetch.ended == Some(Ended::Done))
        })
    }

    /// Takes the next piece out of the window.
    pub(crate) fn next_fetched(&mut self, request: OutRequestId) -> Option<Piece> {
        let fetch = self.fetches.get_mut(request)?;
        let piece = fetch.window.pop_front()?;
        fetch.window_bytes -= piece.cost();
        if fetch.is_paused && fetch.window_bytes <= self.config.fetch_window / 2 {
            fetch.is_paused = false;
            if let Some(stream) = fetch.input {
                let session = fetch.session;
                self.commands.push_back(Command::Resume { session, stream });
            }
        }
        Some(piece)
    }

    /// How the fetch ended, once its answer has come too.
    pub(crate) fn fetch_end(&self, request: OutRequestId) -> Option<Ended> {
        let Some(fetch) = self.fetches.get(request) else {
            return Some(Ended::Failed(RequestErrorCode::INTERNAL_ERROR));
        };
        fetch
            .ended
            .filter(|ended| fetch.is_answered || *ended != Ended::Done)
    }

    /// The time a serving may wait for publishers begins to count.
    pub(crate) fn start_waiting(
        &mut self,
        request: OutRequestId,
        serving: &mut Serving,
        now: Instant,
    ) {
        if serving.waiting_since.is_none()
            && let Some(fetch) = self.fetches.get(request)
        {
            serving.waiting_since = Some(now);
            let at = now + serving.budget;
            self.timers.set(at, Timer::Fill(fetch.stream));
        }
    }

    /// FILL_TIMEOUT: what has not come by now is reported as timed out (draft-22 §9.20.4).
    pub(crate) fn fill_due(&mut self, stream: OutStreamId, now: Instant) {
        let Some(serving) = self.servings.get_mut(stream) else {
            return;
        };
        let is_due = serving
            .waiting_since
            .is_some_and(|since| since + serving.budget <= now);
        let Source::Fetch(request, _) = serving.source else {
            return;
        };
        if !is_due {
            return;
        }
        if !serving.answered || serving.stretch.is_none() || serving.is_within_object() {
            let (code, reset) = (RequestErrorCode::TIMEOUT, ResetCode::DELIVERY_TIMEOUT);
            return self.serving_failed(stream, code, reset, now);
        }
        serving.waiting_since = None;
        serving.missing = Some(RangeGap::TimedOut);
        serving.go_back_to(None);
        self.forget_fetch(request, false, now);
        self.serve(stream, now);
    }

    /// The fetches at a publisher whose session is gone have failed.
    pub(crate) fn fetches_of_lost_session(&mut self, session: SessionId, now: Instant) {
        let lost: Vec<OutRequestId> = self
            .fetches
            .iter()
            .filter(|(_, fetch)| fetch.session == session)
            .map(|(request, _)| request)
            .collect();
        for request in lost {
            self.fetch_failed(request, RequestErrorCode::INTERNAL_ERROR, now);
        }
    }

    fn take_fetched(
        &mut self,
        request: OutRequestId,
        chunks: &[Bytes],
        end: bool,
        now: Instant,
    ) -> Result<(), WireError> {
        for chunk in chunks {
            let Some(fetch) = self.fetches.get_mut(request) else {
                return Ok(());
            };
            fetch.decoder.push(chunk.clone());
            while let Some(event) = self.next_fetch_event(request)? {
                self.take_fetch_event(request, event, now);
            }
        }
        let Some(fetch) = self.fetches.get_mut(request).filter(|_| end) else {
            return Ok(());
        };
        if !fetch.decoder.is_at_boundary() {
            return Err(WireError::violation(
                "a fetch stream ended in the middle of an object",
            ));
        }
        if fetch.ended.is_none() {
            fetch.ended = Some(Ended::Done);
        }
        if let Some(last) = fetch.stretch.map(|stretch| stretch.last()) {
            self.now_known(request, last);
        }
        Ok(())
    }

    fn next_fetch_event(&mut self, request: OutRequestId) -> Result<Option<FetchEvent>, WireError> {
        match self.fetches.get_mut(request) {
            Some(fetch) => fetch.decoder.poll(),
            None => Ok(None),
        }
    }

    fn take_fetch_event(&mut self, request: OutRequestId, event: FetchEvent, now: Instant) {
        let limit = self.config.past_bytes as u64;
        let Some(fetch) = self.fetches.get_mut(request) else {
            return;
        };
        if fetch.ended.is_some() {
            return;
        }
        match event {
            FetchEvent::Header(_) => {}
            FetchEvent::Object {
                header,
                wire,
                head_len,
            } => {
                if !fetch.goes_on_at(Location::new(header.group, header.object)) {
                    fetch.ended = Some(Ended::Failed(RequestErrorCode::INTERNAL_ERROR));
                    return;
                }
                fetch.push(Piece::Object(header.clone()));
                // One that is too large to be kept is only handed through.
                fetch.object = (header.payload_len <= limit).then(|| Kept {
                    head: header,
                    payload: SmallVec::new(),
                    at: now,
                });
                fetch.push_payload(wire.slice(head_len..));
            }
            FetchEvent::Payload(payload) => fetch.push_payload(payload),
            FetchEvent::ObjectEnd => {
                fetch.push(Piece::End);
                let object = fetch.object.take();
                if let Some(at) = fetch.last {
                    self.keep(request, at, object);
                }
            }
            FetchEvent::EndOfRange { kind, end } => self.take_gap(request, kind, end),
        }
    }

    fn take_gap(&mut self, request: OutRequestId, kind: RangeGap, end: Location) {
        let Some(fetch) = self.fetches.get_mut(request) else {
            return;
        };
        let end = match fetch.stretch {
            Some(stretch) if stretch.is_before(stretch.last(), end) => stretch.last(),
            _ => end,
        };
        if !fetch.goes_on_at(end) {
            fetch.ended = Some(Ended::Failed(RequestErrorCode::INTERNAL_ERROR));
            return;
        }
        fetch.push(Piece::Gap(kind, end));
        if kind == RangeGap::NonExistent {
            self.now_known(request, end);
        } else {
            fetch.move_cursor(end);
        }
    }

    /// Keeps the object at `at`, which has come whole, if there is room.
    fn keep(&mut self, request: OutRequestId, at: Location, object: Option<Kept>) {
        self.now_known(request, at);
        let Some(fetch) = self.fetches.get(request) else {
            return;
        };
        let Some(track) = self.tracks.get_mut(fetch.track) else {
            return;
        };
        let before = track.past.bytes();
        if let Some(object) = object
            && self.cached_bytes <= self.config.cache_bytes
        {
            track.past.keep(object, self.config.past_bytes);
        }
        self.cached_bytes = self.cached_bytes + track.past.bytes() - before;
        if !track.past.has(at) {
            track.past.forget(at);
        }
    }

    /// Everything that exists up to `to` has come.
    fn now_known(&mut self, request: OutRequestId, to: Location) {
        let Some(fetch) = self.fetches.get_mut(request) else {
            return;
        };
        let (from, stretch) = (fetch.cursor, fetch.stretch);
        fetch.move_cursor(to);
        let (Some(from), Some(stretch)) = (from, stretch) else {
            return;
        };
        let is_ahead = from == to || stretch.is_before(from, to);
        if let Some(track) = self.tracks.get_mut(fetch.track).filter(|_| is_ahead) {
            for (from, to) in stretch.spans(from, to) {
                track.past.note_known(from, to);
            }
        }
    }
}

impl Fetching {
    fn push(&mut self, piece: Piece) {
        self.window_bytes += piece.cost();
        self.window.push_back(piece);
    }

    fn push_payload(&mut self, payload: Bytes) {
        if payload.is_empty() {
            return;
        }
        if let Some(object) = &mut self.object {
            object.payload.push(payload.clone());
        }
        self.push(Piece::Payload(payload));
    }

    /// Notes where the stream is; whether that is in order and within what was asked for.
    fn goes_on_at(&mut self, at: Location) -> bool {
        let whole = Stretch {
            start: Location::default(),
            end: Location::new(u64::MAX, u64::MAX),
            order: self.order,
        };
        let stretch = self.stretch.unwrap_or(whole);
        let follows = self.last.is_none_or(|last| stretch.is_before(last, at));
        self.last = Some(at);
        follows && stretch.contains(at)
    }

    fn move_cursor(&mut self, past: Location) {
        self.cursor = self.stretch.and_then(|stretch| stretch.after(past));
    }
}

impl Piece {
    /// What it counts for in the window.
    fn cost(&self) -> usize {
        match self {
            Piece::Object(head) => 64 + head.properties.len(),
            Piece::Payload(bytes) => bytes.len(),
            Piece::End | Piece::Gap(..) => 16,
        }
    }
}

/// What a FETCH with `filter` covers when its answer ends at `end`; `None` if that depends on what only the publisher
/// knows.
fn resolved(filter: Option<LocationFilter>, end: Location, order: GroupOrder) -> Option<Stretch> {
    let start = match filter.unwrap_or(LocationFilter::Unfiltered) {
        LocationFilter::Unfiltered => Location::default(),
        LocationFilter::Absolute { start, .. } => start,
        LocationFilter::NextObject | LocationFilter::Relative { .. } => return None,
    };
    Some(Stretch { start, end, order })
}
