//! FETCH from downstream: what is asked for, whether it can be had, and the answer (draft-22 §9.11, §9.12).

use crate::id::{InRequest, OutStreamId, SessionId, TrackId};
use crate::past::look::{end_as_known, end_of_track};
use crate::past::serving::{Cause, Serving, Source, Stage};
use crate::past::stretch::Stretch;
use crate::relay::Relay;
use crate::session::{Incoming, Role};
use crate::subscriber::filter::Ranges;
use crate::subscriber::subscription::{DEFAULT_PRIORITY, OutStream, stream_priority};
use meridian_wire::control::{Fetch, FetchOk, RequestOk};
use meridian_wire::data::FetchEncoder;
use meridian_wire::property::Properties;
use meridian_wire::{
    FetchFilter, GroupOrder, Location, LocationFilter, Message, Parameters, RequestErrorCode,
};
use smallvec::SmallVec;
use std::time::{Duration, Instant};

/// What a fetch or fill asks for, whichever message it came in.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) filter: Option<LocationFilter>,
    pub(crate) order: GroupOrder,
    pub(crate) priority: u8,
    pub(crate) ranges: Option<Box<Ranges>>,
    pub(crate) timeout: Option<u64>,
    pub(crate) with_properties: bool,
}

impl Relay {
    pub(crate) fn fetch(&mut self, session: SessionId, ask: Fetch, now: Instant) {
        let request = InRequest {
            session,
            id: ask.request_id,
        };
        let wanted = Wanted::of_fetch(&ask.params);
        if self.has_enough_servings(session) {
            return self.refuse(
                request,
                RequestErrorCode::EXCESSIVE_LOAD,
                "too many fetches",
            );
        }
        let Some(name) = ask.track.filter(|_| ask.filter == FetchFilter::Range) else {
            return self.join(request, ask.filter, wanted, now);
        };
        if !self.sessions[session]
            .permissions
            .may_subscribe(&name.namespace)
        {
            return self.refuse(
                request,
                RequestErrorCode::UNAUTHORIZED,
                "not yours to fetch",
            );
        }
        let track = self.track(&name);
        self.begin_fetch(request, track, wanted, now);
        self.reap(track);
    }

    fn begin_fetch(&mut self, request: InRequest, track: TrackId, wanted: Wanted, now: Instant) {
        let entry = &self.tracks[track];
        if entry.properties.block().unsupported_mandatory().is_some() {
            let code = RequestErrorCode::UNSUPPORTED_EXTENSION;
            return self.refuse(request, code, "the track needs what is not known here");
        }
        let largest = entry.largest;
        let is_established = self.can_serve(track, request.session, true);
        let cause = Cause::Fetch(request.id);
        // Whoever publishes it may know more than what is left here of an earlier time.
        if !is_established && !self.fetch_sources(track, request.session).is_empty() {
            let stream = self.new_serving(request.session, track, cause, &wanted, None);
            self.sessions[request.session]
                .requests
                .insert(request.id, Incoming::Fetch(stream));
            return self.begin_elsewhere(stream, now);
        }
        let order = wanted.order;
        let from_below = self.role(request.session).is_some_and(Role::is_below);
        let largest = largest.filter(|_| is_established || from_below);
        match largest.map(|largest| Stretch::resolve(wanted.filter, largest, order)) {
            None if !is_established => self.refuse(
                request,
                RequestErrorCode::DOES_NOT_EXIST,
                "no publisher has this track",
            ),
            None | Some(None) => self.refuse(
                request,
                RequestErrorCode::INVALID_RANGE,
                "nothing was published there",
            ),
            Some(Some(stretch)) => {
                self.begin_here(request, track, &wanted, stretch, now);
            }
        }
    }

    /// The track is known: where the answer ends is known too.
    pub(crate) fn begin_here(
        &mut self,
        request: InRequest,
        track: TrackId,
        wanted: &Wanted,
        stretch: Stretch,
        now: Instant,
    ) {
        let cause = Cause::Fetch(request.id);
        let stream = self.new_serving(request.session, track, cause, wanted, Some(stretch));
        self.sessions[request.session]
            .requests
            .insert(request.id, Incoming::Fetch(stream));
        let entry = &self.tracks[track];
        let properties = entry.properties.clone();
        let ends = end_of_track(entry).is_some_and(|end| stretch.end >= end);
        let end = end_as_known(entry, &stretch);
        self.answer_fetch(stream, end, ends, properties);
        self.serve(stream, now);
    }

    /// Only a publisher knows how far the track goes.
    fn begin_elsewhere(&mut self, stream: OutStreamId, now: Instant) {
        let Some(mut serving) = self.servings.remove(stream) else {
            return;
        };
        let waits = !serving.budget.is_zero();
        let is_asked = waits && self.fetch_upstream(stream, &mut serving, None, now);
        self.servings.insert(stream, serving);
        if !is_asked {
            let code = match waits {
                true => RequestErrorCode::DOES_NOT_EXIST,
                false => RequestErrorCode::TIMEOUT,
            };
            let reset = meridian_wire::ResetCode::CANCELLED;
            self.serving_failed(stream, code, reset, now);
        }
    }

    /// Says FETCH_OK.
    pub(crate) fn answer_fetch(
        &mut self,
        stream: OutStreamId,
        end: Location,
        end_of_track: bool,
        properties: Properties,
    ) {
        let Some(serving) = self.servings.get_mut(stream) else {
            return;
        };
        serving.answered = true;
        let Cause::Fetch(id) = serving.cause else {
            return;
        };
        let session = serving.session;
        let properties = if serving.with_properties {
            properties
        } else {
            Properties::default()
        };
        let ok = FetchOk {
            end_of_track,
            end,
            params: Parameters::default(),
            properties,
        };
        self.answer(InRequest { session, id }, Message::FetchOk(ok));
    }

    /// REQUEST_UPDATE on a FETCH: its priority may change.
    pub(crate) fn update_fetch(
        &mut self,
        request: InRequest,
        stream: OutStreamId,
        params: &Parameters,
    ) {
        self.answer(request, Message::RequestOk(RequestOk::default()));
        let Some(serving) = self.servings.get_mut(stream) else {
            return;
        };
        if let Some(subscriber) = params.subscriber_priority {
            serving.subscriber_priority = subscriber;
            let publisher = (-serving.priority) as u32 as u8;
            serving.priority = stream_priority(subscriber, publisher);
            let priority = serving.priority;
            if serving.state != Stage::Unopened {
                let change = crate::Outgoing::Priority { stream, priority };
                self.deliveries.push_back(change);
            }
        }
    }

    pub(crate) fn has_enough_servings(&self, session: SessionId) -> bool {
        self.sessions[session].servings.len() >= self.config.fetches_per_session
    }

    pub(crate) fn new_serving(
        &mut self,
        session: SessionId,
        track: TrackId,
        cause: Cause,
        wanted: &Wanted,
        stretch: Option<Stretch>,
    ) -> OutStreamId {
        let stream = self.out_streams.insert(OutStream::detached(session, track));
        let entry = &mut self.tracks[track];
        entry.past.users += 1;
        let peer = &mut self.sessions[session];
        peer.servings.push(stream);
        let most = self.config.fill_timeout;
        let budget = wanted.timeout.map_or(most, Duration::from_millis).min(most);
        let serving = Serving {
            session,
            track,
            cause,
            subscriber_priority: wanted.priority,
            priority: stream_priority(wanted.priority, entry.default_priority),
            ranges: wanted.ranges.clone(),
            filter: wanted.filter,
            order: wanted.order,
            draft: peer.draft,
            encoder: FetchEncoder::new(peer.draft, wanted.order),
            stretch,
            at: stretch.map(|stretch| stretch.first()),
            last: None,
            partial: None,
            hole: None,
            source: Source::Held,
            tried: SmallVec::new(),
            missing: None,
            answered: matches!(cause, Cause::Fill(..)),
            with_properties: wanted.with_properties,
            budget,
            is_hurried: wanted.timeout.is_some(),
            waiting_since: None,
            state: Stage::Unopened,
        };
        self.servings.insert(stream, serving);
        stream
    }
}

impl Wanted {
    pub(crate) fn of_fetch(params: &Parameters) -> Wanted {
        Wanted {
            filter: params.location_filter,
            order: params.group_order.unwrap_or(GroupOrder::Ascending),
            priority: params.subscriber_priority.unwrap_or(DEFAULT_PRIORITY),
            ranges: Ranges::updated(None, &params.range_filters),
            timeout: params.fill_timeout,
            with_properties: params.include_properties.unwrap_or(true),
        }
    }
}
