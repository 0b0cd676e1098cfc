//! SUBSCRIBE from downstream: accepted, held for a rendezvous, or refused.

use crate::Command;
use crate::command::{Body, Delivery, End, Outgoing};
use crate::id::{InRequest, OutStreamId, SessionId, SubscriptionId, TrackId};
use crate::relay::Relay;
use crate::session::{Incoming, Role};
use crate::subscriber::filter::Window;
use crate::subscriber::subscription::{Origin, OutState, OutStream, Subscription, stream_priority};
use crate::timer::Timer;
use crate::track::Track;
use crate::track::subgroup::State;
use crate::tree::routing::SHORTEST_HOLD;
use meridian_wire::control::{PublishDone, RequestError, Subscribe, SubscribeOk};
use meridian_wire::error::PublishDoneCode;
use meridian_wire::{FullTrackName, Message, Parameters, RequestErrorCode, ResetCode};
use std::time::{Duration, Instant};

impl Relay {
    pub(crate) fn subscribe(&mut self, session: SessionId, ask: Subscribe, now: Instant) {
        let request = InRequest {
            session,
            id: ask.request_id,
        };
        let peer = &self.sessions[session];
        if !peer.permissions.may_subscribe(&ask.track.namespace) {
            return self.refuse(
                request,
                RequestErrorCode::UNAUTHORIZED,
                "not yours to subscribe to",
            );
        }
        if peer.subscriptions.len() >= self.config.requests_per_session {
            return self.refuse(
                request,
                RequestErrorCode::EXCESSIVE_LOAD,
                "too many subscriptions",
            );
        }
        let track = self.track(&ask.track);
        let origin = Origin::Subscribe(ask.request_id);
        let subscription = Subscription::new(session, track, origin, &ask.params, now);
        let id = self.subscriptions.insert(subscription);
        let peer = &mut self.sessions[session];
        peer.subscriptions.insert(id);
        peer.requests
            .insert(ask.request_id, Incoming::Subscription(id));
        if let Some(group) = ask.params.new_group_request {
            self.ask_new_group(track, group);
        }
        self.fill(id, ask.request_id, ask.params.fill.as_deref(), now);
        if self.can_serve(track, session, true) {
            self.accept(id, now);
            // What comes from above may have a publisher below by now (draft-22 §7.6: all that match are asked).
            if !self.is_served_from_below(track) {
                let from_below = self.role(session).is_some_and(Role::is_below);
                self.ask_announcers(track, from_below, now);
            }
            return;
        }
        let wait = ask.params.rendezvous_timeout.unwrap_or(0);
        self.wait_for_publisher(id, Duration::from_millis(wait), now);
    }

    /// Holds a SUBSCRIBE for `wait`, or until those have answered who can be asked.
    fn wait_for_publisher(&mut self, id: SubscriptionId, wait: Duration, now: Instant) {
        let Subscription { track, session, .. } = self.subscriptions[id];
        let from_below = self.role(session).is_some_and(Role::is_below);
        self.tracks[track].waiting.push(id);
        let wait = wait.min(self.config.max_rendezvous);
        if wait > Duration::ZERO {
            self.timers.set(now + wait, Timer::Rendezvous(id));
            self.subscriptions[id].rendezvous = Some(now + wait);
        }
        if self.tracks[track].upstreams.is_empty() {
            self.tracks[track].refused.clear();
        }
        // Who announces the track may have come since others were asked.
        let is_asked = self.ask_announcers(track, from_below, now);
        if is_asked || self.can_serve(track, session, false) {
            if wait == Duration::ZERO && self.is_held(track) {
                self.timers.set(now + SHORTEST_HOLD, Timer::Rendezvous(id));
            }
        } else if !from_below || !self.ask_parents(track, now) {
            self.nobody_has(track, RequestErrorCode::DOES_NOT_EXIST, now);
        }
    }

    /// Establishes a subscription to a track that has a publisher.
    pub(crate) fn accept(&mut self, id: SubscriptionId, now: Instant) {
        let Some(subscription) = self.subscriptions.get_mut(id) else {
            return;
        };
        let track = &mut self.tracks[subscription.track];
        subscription.rendezvous = None;
        subscription.since = now;
        subscription.window = Window::resolve(subscription.filter, track.largest);
        subscription.joined_at = track.largest;
        if subscription.has_fill() {
            subscription.start_after(track.largest);
        }
        track.subscribers.push(id);
        track.linger_until = None;
        let (session, name) = (subscription.session, subscription.track);
        if let Origin::Subscribe(request) = subscription.origin {
            let message = Message::SubscribeOk(SubscribeOk {
                track_alias: track.alias,
                params: Parameters {
                    largest_object: track.largest,
                    ..Parameters::default()
                },
                properties: track.properties.clone(),
            });
            self.commands.push_back(Command::Respond {
                session,
                request,
                message,
                finish: false,
            });
        }
        self.attach(id, now);
        self.update_forward(name);
        self.begin_joining(id, now);
    }

    /// Joins a subscription to what the cache holds of its window: finished subgroups, and those still growing.
    pub(crate) fn attach(&mut self, id: SubscriptionId, now: Instant) {
        let subscription = &self.subscriptions[id];
        if !subscription.forward {
            return;
        }
        let track = &mut self.tracks[subscription.track];
        let default_priority = track.default_priority;
        let mut ready = Vec::new();
        let mut growing = Vec::new();
        for group in track
            .cache
            .groups()
            .filter(|group| subscription.window.touches(group.id))
        {
            let first = subscription.window.first_object(group.id);
            for held in group.subgroups.iter().filter(|held| held.announced) {
                let has_objects = held.first_from(first) < held.objects.len();
                match held.state {
                    State::Broken(_) => {}
                    _ if has_objects => ready.push((group.id, held.id)),
                    State::Open => growing.push((group.id, held.id)),
                    State::Complete => {}
                }
            }
        }
        for (group, subgroup) in growing {
            let track = &mut self.tracks[self.subscriptions[id].track];
            let held = track
                .cache
                .subgroup_mut(group, subgroup)
                .expect("it was just listed");
            let publisher = held.header.priority.unwrap_or(default_priority);
            let subscription = &self.subscriptions[id];
            let stream = self.out_streams.insert(OutStream {
                cursor: held.end(),
                priority: stream_priority(subscription.priority, publisher),
                ..OutStream::new(subscription, id, group, subgroup)
            });
            held.readers.push(stream);
        }
        for (group, subgroup) in ready {
            self.begin_or_pend(id, group, subgroup, now);
        }
    }

    /// A held SUBSCRIBE has waited long enough.
    pub(crate) fn rendezvous_due(&mut self, id: SubscriptionId, now: Instant) {
        let Some(subscription) = self.subscriptions.get(id) else {
            return;
        };
        let (track, until) = (subscription.track, subscription.rendezvous);
        if !self.tracks[track].waiting.contains(&id) {
            return;
        }
        match until {
            Some(until) if until > now => {}
            Some(_) => self.reject(id, RequestErrorCode::TIMEOUT, now),
            None => self.reject(id, RequestErrorCode::DOES_NOT_EXIST, now),
        }
    }

    /// Nobody has the track, for now: who did not ask to wait is told.
    pub(crate) fn nobody_has(&mut self, track: TrackId, code: RequestErrorCode, now: Instant) {
        let Some(entry) = self.tracks.get(track) else {
            return;
        };
        for id in entry.waiting.clone() {
            let Subscription {
                session,
                rendezvous,
                ..
            } = self.subscriptions[id];
            let is_hasty = rendezvous.is_none_or(|at| at <= now);
            if is_hasty && !self.can_serve(track, session, false) {
                self.reject(id, code, now);
            }
        }
    }

    fn reject(&mut self, id: SubscriptionId, code: RequestErrorCode, now: Instant) {
        let subscription = &self.subscriptions[id];
        if let Origin::Subscribe(request) = subscription.origin {
            let request = InRequest {
                session: subscription.session,
                id: request,
            };
            self.refuse(request, code, "no publisher has this track");
        }
        self.drop_subscription(id, now);
    }

    /// Answers a request with REQUEST_ERROR.
    pub(crate) fn refuse(&mut self, request: InRequest, code: RequestErrorCode, reason: &str) {
        let message = Message::RequestError(RequestError {
            code,
            retry_interval: 0,
            reason: reason.to_owned(),
            redirect: None,
        });
        self.respond(request, message, true);
    }

    pub(crate) fn answer(&mut self, request: InRequest, message: Message) {
        self.respond(request, message, false);
    }

    fn respond(&mut self, request: InRequest, message: Message, finish: bool) {
        let InRequest {
            session,
            id: request,
        } = request;
        self.commands.push_back(Command::Respond {
            session,
            request,
            message,
            finish,
        });
    }

    /// Ends a subscription with PUBLISH_DONE.
    pub(crate) fn end_subscription(
        &mut self,
        id: SubscriptionId,
        code: PublishDoneCode,
        reason: &str,
        now: Instant,
    ) {
        let Some(subscription) = self.subscriptions.get(id) else {
            return;
        };
        let (session, origin) = (subscription.session, subscription.origin);
        let stream_count = subscription.streams_opened;
        // What has been handed out to its end is left to be written.
        match code {
            PublishDoneCode::MALFORMED_TRACK => {
                self.drop_streams(id, ResetCode::MALFORMED_TRACK, |_| true);
            }
            _ => self.drop_streams(id, ResetCode::CANCELLED, |out| {
                out.state != OutState::Ending
            }),
        }
        let reason = reason.to_owned();
        let message = Message::PublishDone(PublishDone {
            code,
            stream_count,
            reason,
        });
        self.commands.push_back(match origin {
            Origin::Subscribe(request) => Command::Respond {
                session,
                request,
                message,
                finish: true,
            },
            Origin::Publish(request) => Command::Update {
                session,
                request,
                message,
                finish: true,
            },
        });
        self.forget_subscription(id, now);
    }

    /// Drops a subscription, with nothing said to the subscriber.
    pub(crate) fn drop_subscription(&mut self, id: SubscriptionId, now: Instant) {
        let session = self.subscriptions.get(id).map(|s| s.session);
        if session.is_some_and(|session| self.sessions.contains_key(session)) {
            self.drop_streams(id, ResetCode::CANCELLED, |_| true);
        }
        self.forget_subscription(id, now);
    }

    fn forget_subscription(&mut self, id: SubscriptionId, now: Instant) {
        self.drop_fills(id, now);
        let Some(subscription) = self.subscriptions.remove(id) else {
            return;
        };
        self.refuse_joining(&subscription);
        if let Some(peer) = self.sessions.get_mut(subscription.session) {
            peer.subscriptions.remove(&id);
            match subscription.origin {
                Origin::Subscribe(request) => {
                    peer.requests.remove(&request);
                }
                Origin::Publish(request) => {
                    peer.outgoing.remove(&request);
                    self.out_requests.remove(request);
                }
            }
        }
        let track = &mut self.tracks[subscription.track];
        track.pending -= subscription.pending.len();
        track.subscribers.retain(|other| *other != id);
        track.waiting.retain(|other| *other != id);
        if track.subscribers.is_empty() && track.waiting.is_empty() {
            self.let_linger(subscription.track, now);
        }
        self.reap(subscription.track);
    }

    /// Resets what is being sent for a subscription, as far as it is `chosen`.
    pub(crate) fn drop_streams(
        &mut self,
        id: SubscriptionId,
        code: ResetCode,
        chosen: impl Fn(&OutStream) -> bool,
    ) {
        let streams: Vec<OutStreamId> = self
            .out_streams
            .iter()
            .filter(|(_, out)| out.subscription == id && chosen(out))
            .map(|(stream, _)| stream)
            .collect();
        for stream in streams {
            let Some(out) = self.out_streams.remove(stream) else {
                continue;
            };
            let session = out.session;
            if let Some(peer) = self.sessions.get_mut(session) {
                peer.unblock(stream);
            }
            if !matches!(out.state, OutState::Idle | OutState::Cut(_)) {
                let (open, body, end) = (None, Body::Empty, End::Reset(code));
                let delivery = Delivery {
                    session,
                    stream,
                    open,
                    body,
                    end,
                };
                self.deliveries.push_back(Outgoing::Stream(delivery));
            }
        }
        self.drop_pending(id);
    }

    /// What waits for room is dropped, unless the subscription wants it still.
    fn drop_pending(&mut self, id: SubscriptionId) {
        let Some(subscription) = self.subscriptions.get_mut(id) else {
            return;
        };
        let before = subscription.pending.len();
        let (forward, window) = (subscription.forward, subscription.window);
        let keeps = |group| forward && window.touches(group);
        subscription.pending.retain(|(group, _)| keeps(*group));
        self.tracks[subscription.track].pending -= before - subscription.pending.len();
    }

    /// The track of this name, made if it is not there.
    pub(crate) fn track(&mut self, name: &FullTrackName) -> TrackId {
        if let Some(id) = self.track_by_name.get(name) {
            return *id;
        }
        let id = self
            .tracks
            .insert(Track::new(name.clone(), self.next_alias));
        self.next_alias += 1;
        self.track_by_name.insert(name.clone(), id);
        id
    }

    /// Forgets a track that nobody publishes, takes or waits for, with its cache.
    pub(crate) fn reap(&mut self, id: TrackId) {
        if !self.tracks.get(id).is_some_and(Track::is_idle) {
            return;
        }
        if let Some(track) = self.tracks.remove(id) {
            self.track_by_name.remove(&track.name);
            self.cached_bytes -= track.cache.bytes() + track.past.bytes();
        }
    }

    /// Passes NEW_GROUP_REQUEST on, unless one as large is on its way (draft-22 §9.20.14).
    pub(crate) fn ask_new_group(&mut self, track: TrackId, group: u64) {
        let entry = &mut self.tracks[track];
        let is_past = group != 0 && entry.largest.is_some_and(|largest| group <= largest.group);
        let is_asked = entry.new_group_asked.is_some_and(|asked| asked >= group);
        if is_past || is_asked {
            return;
        }
        entry.new_group_asked = Some(group);
        if !entry.properties.block().dynamic_groups() {
            return;
        }
        for id in entry.upstreams.clone() {
            if self.upstreams[id].is_established() {
                let params = Parameters {
                    new_group_request: Some(group),
                    ..Parameters::default()
                };
                self.update_upstream(id, params);
            }
        }
    }
}
