//! PUBLISH from a publisher: a subscription it offers without being asked.

use crate::id::{InRequest, SessionId};
use crate::publisher::upstream::{Origin, Upstream};
use crate::relay::Relay;
use crate::session::Incoming;
use crate::tree::namespace::Claim;
use meridian_wire::control::{Publish, RequestOk};
use meridian_wire::{Message, RequestErrorCode};
use std::time::Instant;

impl Relay {
    pub(crate) fn publish(&mut self, session: SessionId, offer: Publish, now: Instant) {
        let request = InRequest {
            session,
            id: offer.request_id,
        };
        let peer = &self.sessions[session];
        if !peer.permissions.may_publish(&offer.track.namespace) {
            return self.refuse(
                request,
                RequestErrorCode::UNAUTHORIZED,
                "not yours to publish",
            );
        }
        if peer.requests.len() >= self.config.requests_per_session {
            return self.refuse(
                request,
                RequestErrorCode::EXCESSIVE_LOAD,
                "too many requests",
            );
        }
        let track = self.track(&offer.track);
        let upstream = self.upstreams.insert(Upstream {
            track,
            session,
            origin: Origin::Publish(offer.request_id),
            alias: Some(offer.track_alias),
            forward: offer.params.forward.unwrap_or(true),
            held_since: None,
            is_retired: false,
        });
        let entry = &mut self.tracks[track];
        entry.upstreams.push(upstream);
        entry.describe(offer.properties);
        if let Some(largest) = offer.params.largest_object {
            entry.saw(largest);
        }
        self.published_anew(track);
        self.note_expiry(upstream, offer.params.expires, now);
        let incoming = Incoming::Publish(upstream);
        self.sessions[session]
            .requests
            .insert(offer.request_id, incoming);
        self.answer(request, Message::RequestOk(RequestOk::default()));
        self.announced(session, &offer.track.namespace, Claim::Track);
        self.name_alias(session, offer.track_alias, upstream, now);
        self.established(track, now);
    }
}
