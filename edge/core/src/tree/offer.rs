//! Tracks offered by PUBLISH to those who watch their namespace by SUBSCRIBE_TRACKS (draft-22 §7.6, §9.18).

use crate::Command;
use crate::id::{InRequest, OutRequestId, SessionId, SubscriptionId, TrackId};
use crate::relay::Relay;
use crate::session::{Asked, Incoming, Role};
use crate::subscriber::filter::Ranges;
use crate::subscriber::subscription::{Origin, Subscription};
use crate::tree::watch::{Kind, Watch};
use meridian_wire::control::{Publish, RequestOk, RequestUpdate};
use meridian_wire::property::Properties;
use meridian_wire::{Draft, FullTrackName, LocationFilter, Message, Parameters, ResetCode};
use std::time::Instant;

impl Relay {
    /// Offers a track to everybody who watches it.
    pub(crate) fn offer_track(&mut self, track: TrackId, now: Instant) {
        if self.watches.by_request.is_empty() {
            return;
        }
        let Some(entry) = self.tracks.get(track) else {
            return;
        };
        let of = |(request, watch): (&InRequest, &Watch)| {
            let matches = watch.prefix.is_prefix_of(&entry.name.namespace);
            (watch.kind == Kind::Tracks && matches).then_some(*request)
        };
        let watching: Vec<InRequest> = self.watches.by_request.iter().filter_map(of).collect();
        for request in watching {
            self.offer(request, track, now);
        }
    }

    /// Offers everything there is to a watch.
    pub(crate) fn offer_all(&mut self, request: InRequest, now: Instant) {
        let tracks: Vec<TrackId> = self.tracks.keys().collect();
        for track in tracks {
            self.offer(request, track, now);
        }
    }

    /// A publisher offers a track anew: who declined it before may be asked again.
    pub(crate) fn published_anew(&mut self, track: TrackId) {
        for watch in self.watches.by_request.values_mut() {
            watch.declined.remove(&track);
        }
    }

    fn offer(&mut self, request: InRequest, track: TrackId, now: Instant) {
        let session = request.session;
        let (Some(entry), Some(watch)) = (
            self.tracks.get(track),
            self.watches.by_request.get(&request),
        ) else {
            return;
        };
        let name = &entry.name;
        let is_wanted = watch.prefix.is_prefix_of(&name.namespace)
            && !watch.declined.contains(&track)
            && self.is_offerable(track, session)
            && !self.is_subscribed(track, session);
        if !is_wanted {
            return;
        }
        let Some(ranges) = for_track(&watch.params, &entry.properties) else {
            return;
        };
        let (params, prefix) = (watch.params.clone(), watch.prefix.clone());
        let peer = &self.sessions[session];
        let is_full = peer.subscriptions.len() >= self.config.requests_per_session;
        if is_full || !peer.permissions.may_subscribe(&name.namespace) || peer.is_leaving {
            let skipped = name.clone();
            return self.skip_offer(request, track, &skipped, &prefix);
        }
        self.publish_to(session, track, &params, ranges, now);
    }

    fn publish_to(
        &mut self,
        session: SessionId,
        track: TrackId,
        params: &Parameters,
        ranges: Option<Box<Ranges>>,
        now: Instant,
    ) {
        let request = self.out_requests.insert(());
        let origin = Origin::Publish(request);
        let mut subscription = Subscription::new(session, track, origin, params, now);
        subscription.ranges = ranges;
        // Delivery begins with the next object, unless the watch says otherwise.
        let filter = subscription.filter.unwrap_or(LocationFilter::NextObject);
        subscription.filter = Some(filter);
        let entry = &self.tracks[track];
        let peer = &mut self.sessions[session];
        let mut said = Parameters {
            forward: Some(subscription.forward),
            largest_object: entry.largest,
            ..Parameters::default()
        };
        if peer.draft >= Draft::D20 {
            said.group_order = params.group_order;
            said.subscriber_priority = params.subscriber_priority;
            said.object_delivery_timeout = params.object_delivery_timeout;
            said.subgroup_delivery_timeout = params.subgroup_delivery_timeout;
            said.location_filter = params.location_filter;
        }
        let properties = match params.include_properties {
            Some(false) => Properties::default(),
            _ => entry.properties.clone(),
        };
        let message = Message::Publish(Publish {
            request_id: 0,
            track: entry.name.clone(),
            track_alias: entry.alias,
            params: said,
            properties,
        });
        let id = self.subscriptions.insert(subscription);
        peer.subscriptions.insert(id);
        peer.outgoing.insert(request, Asked::Publish(id));
        self.commands.push_back(Command::Request {
            session,
            request,
            message,
        });
        self.accept(id, now);
    }

    /// PUBLISH_SKIPPED: the track exists, but is not offered.
    fn skip_offer(
        &mut self,
        request: InRequest,
        track: TrackId,
        name: &FullTrackName,
        prefix: &meridian_wire::Namespace,
    ) {
        if let Some(watch) = self.watches.by_request.get_mut(&request) {
            watch.declined.insert(track);
        }
        let Some(namespace) = name.namespace.strip_prefix(prefix) else {
            return;
        };
        let name = name.name.clone();
        let skipped = FullTrackName { namespace, name };
        self.answer(request, Message::PublishSkipped(skipped));
    }

    /// Whether a track comes from somebody other than the session itself, and may pass there.
    fn is_offerable(&self, track: TrackId, session: SessionId) -> bool {
        let from_below = self.role(session).is_some_and(Role::is_below);
        let entry = &self.tracks[track];
        if entry.properties.block().unsupported_mandatory().is_some() {
            return false;
        }
        entry.upstreams.iter().any(|id| {
            let upstream = &self.upstreams[*id];
            let may_pass = from_below || self.role(upstream.session).is_some_and(Role::is_below);
            upstream.is_established()
                && may_pass
                && upstream.session != session
                && Some(upstream.session) != self.own
        })
    }

    fn is_subscribed(&self, track: TrackId, session: SessionId) -> bool {
        let entry = &self.tracks[track];
        let mut all = entry.subscribers.iter().chain(&entry.waiting);
        all.any(|id| self.subscriptions[*id].session == session)
    }

    /// The subscriber accepts an offer. In draft 18 it says there what it wants.
    pub(crate) fn offer_accepted(&mut self, id: SubscriptionId, ok: &RequestOk, now: Instant) {
        if ok.params != Parameters::default() {
            self.apply_update(id, &ok.params, now);
        }
    }

    /// The subscriber wants no offer of this track, or no more of it.
    pub(crate) fn offer_declined(&mut self, id: SubscriptionId, now: Instant) {
        let Some(subscription) = self.subscriptions.get(id) else {
            return;
        };
        let (session, track) = (subscription.session, subscription.track);
        let of_session = |request: &InRequest| request.session == session;
        for (_, watch) in self
            .watches
            .by_request
            .iter_mut()
            .filter(|(request, _)| of_session(request))
        {
            watch.declined.insert(track);
        }
        self.drop_subscription(id, now);
    }

    /// Says something to the subscriber on the request stream of its subscription.
    pub(crate) fn answer_subscriber(
        &mut self,
        id: SubscriptionId,
        request: InRequest,
        message: Message,
    ) {
        match self.subscriptions.get(id).map(|s| (s.session, s.origin)) {
            Some((session, Origin::Publish(request))) => self.commands.push_back(Command::Update {
                session,
                request,
                message,
                finish: false,
            }),
            _ => self.answer(request, message),
        }
    }

    /// The subscriber updates a subscription that came of an offer.
    pub(crate) fn update_offer(
        &mut self,
        session: SessionId,
        id: SubscriptionId,
        update: &RequestUpdate,
        now: Instant,
    ) {
        if !self.subscriptions.contains_key(id) {
            return;
        }
        let request = InRequest {
            session,
            id: update.request_id,
        };
        let incoming = Incoming::Subscription(id);
        if self.update_refused(request, &incoming, &update.params, now) {
            return;
        }
        self.update_subscription(request, id, &update.params, now);
        let fill = update.params.fill.as_deref();
        self.fill(id, update.request_id, fill, now);
    }

    /// Ends an offer that the subscriber has answered with an error.
    pub(crate) fn offer_refused(
        &mut self,
        session: SessionId,
        request: OutRequestId,
        id: SubscriptionId,
        now: Instant,
    ) {
        self.offer_declined(id, now);
        self.commands.push_back(Command::Cancel {
            session,
            request,
            code: ResetCode::CANCELLED,
        });
    }
}

/// What of a watch's range filters is left for the objects of a track with these properties; `None`: the track does not
/// pass (draft-22 §5.1.3).
fn for_track(params: &Parameters, properties: &Properties) -> Option<Option<Box<Ranges>>> {
    Ranges::updated(None, &params.range_filters)
        .map_or(Some(None), |ranges| ranges.for_track(properties.block()))
}
