//! Requests and answers: from a message to the part of the relay that it is for.

use crate::id::{InRequest, OutRequestId, SessionId, SubscriptionId};
use crate::relay::Relay;
use crate::session::{Asked, Incoming};
use crate::tree::namespace::Claim;
use crate::tree::watch::Kind;
use meridian_wire::control::{RequestOk, RequestUpdate};
use meridian_wire::error::PublishDoneCode;
use meridian_wire::{Message, RequestErrorCode, ResetCode, TerminationCode, WireError};
use std::time::Instant;

impl Relay {
    /// A peer opened a request stream with `message`, one of the seven openers.
    pub fn handle_request(&mut self, session: SessionId, message: Message, now: Instant) {
        if !self.sessions.contains_key(session) {
            return;
        }
        if let Some((code, what)) = self.screen(session, &message) {
            return self.refuse_opener(session, &message, code, what);
        }
        match message {
            Message::Subscribe(ask) => self.subscribe(session, ask, now),
            Message::Publish(offer) => self.publish(session, offer, now),
            Message::PublishNamespace(ask) => self.publish_namespace(session, ask, now),
            Message::Fetch(ask) => self.fetch(session, ask, now),
            Message::TrackStatus(ask) => self.track_status(session, ask),
            Message::SubscribeNamespace(ask) => self.watch(session, Kind::Namespaces, ask, now),
            Message::SubscribeTracks(ask) => self.watch(session, Kind::Tracks, ask, now),
            _ => self.violation(session, "a request stream opened with something else"),
        }
    }

    /// A peer said more on a request stream it opened.
    pub fn handle_request_message(
        &mut self,
        session: SessionId,
        request: u64,
        message: Message,
        now: Instant,
    ) {
        let Some(incoming) = self
            .sessions
            .get(session)
            .and_then(|peer| peer.requests.get(&request))
            .cloned()
        else {
            return;
        };
        let id = InRequest {
            session,
            id: request,
        };
        if let Message::RequestUpdate(update) = &message
            && self.update_refused(id, &incoming, &update.params, now)
        {
            return;
        }
        match (incoming, message) {
            (Incoming::Subscription(subscription), Message::RequestUpdate(update)) => {
                self.update_subscription(id, subscription, &update.params, now);
                self.fill(
                    subscription,
                    update.request_id,
                    update.params.fill.as_deref(),
                    now,
                );
            }
            (Incoming::Fetch(stream), Message::RequestUpdate(update)) => {
                self.update_fetch(id, stream, &update.params);
            }
            (Incoming::Publish(upstream), Message::PublishDone(done)) => {
                self.published_no_more(session, request, upstream, Some(done.code), now);
            }
            (Incoming::Publish(upstream), Message::RequestOk(ok)) => {
                self.note_largest(upstream, ok.params.largest_object);
                self.note_expiry(upstream, ok.params.expires, now);
            }
            (Incoming::Publish(upstream), Message::PublishStateNotify(params)) => {
                self.note_largest(upstream, params.largest_object);
            }
            (Incoming::Watch, Message::RequestUpdate(update)) => {
                self.update_watch(id, &update.params, now);
            }
            (Incoming::Publish(upstream), Message::RequestError(_)) => {
                self.published_no_more(session, request, upstream, None, now);
            }
            (_, Message::RequestUpdate(RequestUpdate { .. })) => {
                self.answer(id, Message::RequestOk(RequestOk::default()));
            }
            _ => self.violation(session, "a message that does not belong on this request"),
        }
    }

    /// A peer's direction of a request stream has ended. A FIN says only that nothing more comes; a reset cancels.
    pub fn handle_request_closed(
        &mut self,
        session: SessionId,
        request: u64,
        cancelled: bool,
        now: Instant,
    ) {
        let Some(peer) = self.sessions.get_mut(session) else {
            return;
        };
        let ends = cancelled || matches!(peer.requests.get(&request), Some(Incoming::Publish(_)));
        if !ends {
            return;
        }
        match peer.requests.remove(&request) {
            Some(Incoming::Subscription(subscription)) => self.drop_subscription(subscription, now),
            Some(Incoming::Publish(upstream)) => {
                self.published_no_more(session, request, upstream, None, now);
            }
            Some(Incoming::PublishNamespace(namespace)) => {
                self.withdrawn(session, &namespace, Claim::Namespace);
                self.announcer_left(session, &namespace, now);
            }
            Some(Incoming::Fetch(stream)) => {
                self.drop_serving(stream, ResetCode::CANCELLED, now);
            }
            Some(Incoming::Status(publisher, asked)) => self.inquiry_cancelled(publisher, asked),
            Some(Incoming::Watch) => self.unwatch(InRequest {
                session,
                id: request,
            }),
            Some(Incoming::Joining(subscription)) => self.forget_joining(subscription, request),
            None => {}
        }
    }

    /// A peer answered, or said more, on a request of ours.
    pub fn handle_response(
        &mut self,
        session: SessionId,
        request: OutRequestId,
        message: Message,
        now: Instant,
    ) {
        let Some(asked) = self
            .sessions
            .get(session)
            .and_then(|peer| peer.outgoing.get(&request))
            .cloned()
        else {
            return;
        };
        match (asked, message) {
            (Asked::Subscribe(upstream), Message::SubscribeOk(ok)) => {
                self.subscribe_accepted(upstream, ok, now);
            }
            (Asked::Subscribe(upstream), Message::RequestError(error)) => {
                self.upstream_refused(upstream, error.code, now);
            }
            (Asked::Subscribe(upstream), Message::PublishDone(done)) => {
                self.upstream_done(upstream, done.code, now);
            }
            (Asked::Subscribe(upstream), Message::RequestOk(ok)) => {
                self.note_largest(upstream, ok.params.largest_object);
                self.note_expiry(upstream, ok.params.expires, now);
            }
            (Asked::Subscribe(upstream), Message::PublishStateNotify(params)) => {
                self.note_largest(upstream, params.largest_object);
            }
            (Asked::Fetch, Message::FetchOk(ok)) => self.fetch_accepted(session, request, ok, now),
            (Asked::Fetch, Message::RequestError(error)) => {
                self.fetch_failed(request, error.code, now);
            }
            (Asked::Status(inquiry), Message::RequestOk(ok)) => {
                self.inquiry_answered(session, request, *inquiry, Ok(ok));
            }
            (Asked::Status(inquiry), Message::RequestError(error)) => {
                self.inquiry_answered(session, request, *inquiry, Err(error.code));
            }
            (Asked::Watch, message) => self.watch_answered(session, request, message, now),
            (Asked::Publish(id), message) => {
                self.offer_answered(session, request, id, message, now);
            }
            (_, Message::Goaway(_)) => {}
            (Asked::Announce(_), Message::RequestOk(_)) => {}
            (Asked::Announce(_), Message::RequestError(_)) => {
                self.announcement_ended(session, request);
            }
            _ => self.violation(session, NOT_AN_ANSWER),
        }
    }

    fn watch_answered(
        &mut self,
        session: SessionId,
        request: OutRequestId,
        message: Message,
        now: Instant,
    ) {
        match message {
            Message::RequestOk(_) | Message::Goaway(_) => {}
            Message::RequestError(error) => {
                self.watching_refused(session, request, error.code, now);
            }
            Message::Namespace(suffix) => {
                self.namespace_told(session, request, &suffix, true, now);
            }
            Message::NamespaceDone(suffix) => {
                self.namespace_told(session, request, &suffix, false, now);
            }
            Message::PublishSkipped(track) => self.publish_skipped(session, request, track, now),
            _ => self.violation(session, NOT_AN_ANSWER),
        }
    }

    fn offer_answered(
        &mut self,
        session: SessionId,
        request: OutRequestId,
        subscription: SubscriptionId,
        message: Message,
        now: Instant,
    ) {
        match message {
            Message::RequestOk(ok) => self.offer_accepted(subscription, &ok, now),
            Message::RequestError(_) => self.offer_refused(session, request, subscription, now),
            Message::RequestUpdate(update) => {
                self.update_offer(session, subscription, &update, now);
            }
            Message::Goaway(_) => {}
            _ => self.violation(session, NOT_AN_ANSWER),
        }
    }

    /// The peer's direction of a request of ours has ended.
    pub fn handle_response_closed(
        &mut self,
        session: SessionId,
        request: OutRequestId,
        cancelled: bool,
        now: Instant,
    ) {
        let asked = self
            .sessions
            .get(session)
            .and_then(|peer| peer.outgoing.get(&request))
            .cloned();
        match asked {
            Some(Asked::Subscribe(upstream)) if self.upstreams[upstream].is_established() => {
                self.upstream_lost(upstream, now);
            }
            Some(Asked::Subscribe(upstream)) => {
                self.upstream_refused(upstream, RequestErrorCode::INTERNAL_ERROR, now);
            }
            Some(Asked::Fetch) => self.fetch_closed(request, now),
            Some(Asked::Status(inquiry)) => {
                let code = RequestErrorCode::INTERNAL_ERROR;
                self.inquiry_answered(session, request, *inquiry, Err(code));
            }
            Some(Asked::Watch) => self.watching_over(session, request, false, now),
            Some(Asked::Publish(subscription)) if cancelled => {
                self.offer_declined(subscription, now);
            }
            Some(Asked::Publish(_)) => {}
            Some(Asked::Announce(_)) if cancelled => self.announcement_ended(session, request),
            Some(Asked::Announce(_)) | None => {}
        }
    }

    /// Whether an answer to a request of ours still matters; if not, the shell cancels what it has opened meanwhile.
    pub fn awaits(&self, session: SessionId, request: OutRequestId) -> bool {
        self.sessions
            .get(session)
            .is_some_and(|peer| peer.outgoing.contains_key(&request))
    }

    fn published_no_more(
        &mut self,
        session: SessionId,
        request: u64,
        upstream: crate::id::UpstreamId,
        code: Option<PublishDoneCode>,
        now: Instant,
    ) {
        if let Some(peer) = self.sessions.get_mut(session) {
            peer.requests.remove(&request);
        }
        let Some(entry) = self.upstreams.get(upstream) else {
            return;
        };
        let namespace = self.tracks[entry.track].name.namespace.clone();
        self.withdrawn(session, &namespace, Claim::Track);
        match code {
            Some(code) => self.upstream_done(upstream, code, now),
            None => self.upstream_lost(upstream, now),
        }
    }

    /// Refuses a request by its opener.
    fn refuse_opener(
        &mut self,
        session: SessionId,
        message: &Message,
        code: RequestErrorCode,
        what: &'static str,
    ) {
        let id = match message {
            Message::Subscribe(ask) | Message::TrackStatus(ask) => ask.request_id,
            Message::Publish(offer) => offer.request_id,
            Message::Fetch(ask) => ask.request_id,
            Message::PublishNamespace(ask)
            | Message::SubscribeNamespace(ask)
            | Message::SubscribeTracks(ask) => ask.request_id,
            _ => return self.violation(session, "a request stream opened with something else"),
        };
        self.refuse(InRequest { session, id }, code, what);
    }

    fn violation(&mut self, session: SessionId, what: &'static str) {
        self.close(
            session,
            WireError {
                code: TerminationCode::PROTOCOL_VIOLATION,
                what,
            },
        );
    }
}

const NOT_AN_ANSWER: &str = "an answer that does not belong to its request";
