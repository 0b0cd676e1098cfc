//! What is refused of a request before anybody looks at what it asks for.

use crate::id::{InRequest, SessionId};
use crate::relay::Relay;
use crate::session::{Incoming, Role};
use meridian_wire::error::PublishDoneCode;
use meridian_wire::{Message, Namespace, Parameters, RequestErrorCode, ResetCode};
use std::time::Instant;

type Refusal = (RequestErrorCode, &'static str);

impl Relay {
    /// Why a request is refused, if it is.
    pub(crate) fn screen(&self, session: SessionId, message: &Message) -> Option<Refusal> {
        if self.is_draining {
            return Some((RequestErrorCode::GOING_AWAY, "this edge is shutting down"));
        }
        let (namespace, params) = subject(message)?;
        if namespace.is_some_and(|namespace| !self.is_open_to(session, namespace)) {
            let what = "there is no such reserved namespace here";
            return Some((RequestErrorCode::DOES_NOT_EXIST, what));
        }
        if let Message::Publish(offer) = message
            && offer.properties.block().unsupported_mandatory().is_some()
        {
            let what = "the track needs what is not known here";
            return Some((RequestErrorCode::UNSUPPORTED_EXTENSION, what));
        }
        self.screen_filters(params)
    }

    /// Range filters are within the rules and the limit that was announced (draft-22 §5.1.3).
    fn screen_filters(&self, params: &Parameters) -> Option<Refusal> {
        let in_fill = params.fill.iter().flat_map(|fill| &fill.range_filters);
        let filters = params.range_filters.iter().chain(in_fill);
        let ranges: usize = filters.map(|filter| filter.ranges.len()).sum();
        match params.invalid_filter {
            Some(invalid) => Some((RequestErrorCode::INVALID_FILTER, invalid.what)),
            None if ranges > self.config.max_filter_ranges => Some((
                RequestErrorCode::INVALID_FILTER,
                "more ranges than MAX_FILTER_RANGES",
            )),
            None => None,
        }
    }

    /// A REQUEST_UPDATE that is refused takes its request with it (draft-22 §9.5.1). Whether it was.
    pub(crate) fn update_refused(
        &mut self,
        id: InRequest,
        incoming: &Incoming,
        params: &Parameters,
        now: Instant,
    ) -> bool {
        let Some((code, what)) = self.screen_filters(params) else {
            return false;
        };
        let message = Message::RequestError(meridian_wire::control::RequestError {
            code,
            retry_interval: 0,
            reason: what.to_owned(),
            redirect: None,
        });
        match incoming {
            Incoming::Subscription(subscription) => {
                self.answer_subscriber(*subscription, id, message);
                let done = PublishDoneCode::UPDATE_FAILED;
                self.end_subscription(*subscription, done, what, now);
            }
            Incoming::Fetch(stream) => {
                self.answer(id, message);
                self.drop_serving(*stream, ResetCode::CANCELLED, now);
                self.conclude_request(id);
            }
            Incoming::Watch => self.watch_failed(id, code, what),
            _ => self.answer(id, message),
        }
        true
    }

    /// Session-level and undefined names belong to nobody here and are never passed on (draft-22 §6.5); what edges say
    /// of themselves is for edges.
    fn is_open_to(&self, session: SessionId, namespace: &Namespace) -> bool {
        match namespace.0.first().map(|field| &field[..]) {
            Some(b"." | b".session") => false,
            Some(crate::tree::root_path::EDGES) => {
                let is_ours = self.is_own_path(namespace);
                is_ours && self.role(session).is_some_and(|role| role != Role::Client)
            }
            _ => true,
        }
    }
}

/// What a request is about.
fn subject(message: &Message) -> Option<(Option<&Namespace>, &Parameters)> {
    Some(match message {
        Message::Subscribe(ask) | Message::TrackStatus(ask) => {
            (Some(&ask.track.namespace), &ask.params)
        }
        Message::Publish(offer) => (Some(&offer.track.namespace), &offer.params),
        Message::Fetch(ask) => (
            ask.track.as_ref().map(|track| &track.namespace),
            &ask.params,
        ),
        Message::PublishNamespace(ask)
        | Message::SubscribeNamespace(ask)
        | Message::SubscribeTracks(ask) => (Some(&ask.namespace), &ask.params),
        _ => return None,
    })
}
