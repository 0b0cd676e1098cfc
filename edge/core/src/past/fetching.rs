//! Fetches of ours at publishers, for what a subscriber asks for and the relay does not hold.
//!
//! What comes is handed through a bounded window as it comes: while the subscriber does not take it, the publisher's
//! stream is not read. Whole objects are kept besides, as far as there is room.

use crate::Command;
use crate::id::{InStreamId, OutRequestId, OutStreamId, SessionId, TrackId};
use crate::past::held::Kept;
use crate::past::serving::{Serving, Source, Step};
use crate::past::stretch::Stretch;
use crate::relay::Relay;
use crate::session::{Asked, Role};
use crate::timer::Timer;
use bytes::Bytes;
use meridian_wire::control::{Fetch, FetchOk};
use meridian_wire::data::{FetchDecoder, FetchObject, RangeGap};
use meridian_wire::{
    Draft, FetchFilter, GroupOrder, Location, LocationFilter, Message, Parameters,
    RequestErrorCode, ResetCode, TerminationCode, WireError,
};
use std::collections::VecDeque;
use std::time::Instant;

/// A fetch of ours, made for one serving.
#[derive(Debug)]
pub(crate) struct Fetching {
    pub(crate) session: SessionId,
    pub(crate) stream: OutStreamId,
    pub(crate) track: TrackId,
    /// What was asked for; `None` until the publisher has said where it ends.
    pub(crate) stretch: Option<Stretch>,
    pub(crate) order: GroupOrder,
    pub(crate) decoder: FetchDecoder,
    pub(crate) input: Option<InStreamId>,
    pub(crate) is_paused: bool,
    pub(crate) window: VecDeque<Piece>,
    pub(crate) window_bytes: usize,
    /// From where on it is not known yet what exists.
    pub(crate) cursor: Option<Location>,
    pub(crate) last: Option<Location>,
    /// The object in progress.
    pub(crate) object: Option<Kept>,
    pub(crate) ended: Option<Ended>,
    pub(crate) is_answered: bool,
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

impl Relay {
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
        let request = self.send_fetch(session, stream, serving, part, filter);
        serving.source = Source::Fetch(request, None);
        self.start_waiting(request, serving, now);
        true
    }

    fn send_fetch(
        &mut self,
        session: SessionId,
        stream: OutStreamId,
        serving: &Serving,
        part: Option<Stretch>,
        filter: Option<LocationFilter>,
    ) -> OutRequestId {
        let order = serving.order;
        let request = self.out_requests.insert(());
        let peer = &self.sessions[session];
        let draft = peer.draft;
        // Publishers need not know the parameter; an edge has to give up before the one that asks it does.
        let is_told = serving.is_hurried || peer.role != Role::Client;
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
                fill_timeout: is_told.then_some(serving.budget.as_millis() as u64),
                ..Parameters::default()
            },
        });
        self.commands.push_back(Command::Request {
            session,
            request,
            message,
        });
        request
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

    /// The request stream of a fetch has ended. That matters before the answer; after it the data stream says how the
    /// fetch ends, and may well come later than this, as it is less urgent.
    pub(crate) fn fetch_closed(&mut self, request: OutRequestId, now: Instant) {
        if self
            .fetches
            .get(request)
            .is_some_and(|fetch| !fetch.is_answered)
        {
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
