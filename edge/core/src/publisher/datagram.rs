//! Objects that come as datagrams: one small copy for the alias, whatever the audience.

use crate::command::Outgoing;
use crate::id::{SessionId, TrackId};
use crate::relay::Relay;
use crate::track::cache::OBJECT_OVERHEAD;
use crate::{DropReason, SubscriptionId};
use bytes::{Bytes, BytesMut};
use meridian_wire::Location;
use meridian_wire::data::{ObjectDatagram, ObjectHeader};
use std::time::Instant;

impl Relay {
    /// A peer sent an object as a datagram.
    pub fn handle_datagram(&mut self, session: SessionId, object: ObjectDatagram, now: Instant) {
        let Some(track) = self.track_by_alias(session, object.track_alias) else {
            return self.counters.drop(DropReason::UnknownAlias, 1);
        };
        self.take_datagram(track, object, now);
        self.end_malformed(now);
    }

    /// The transport had no room for a datagram that was handed out.
    pub fn handle_datagram_dropped(&mut self) {
        self.counters.objects_out -= 1;
        self.counters.drop(DropReason::Datagram, 1);
    }

    fn take_datagram(&mut self, id: TrackId, mut object: ObjectDatagram, now: Instant) {
        let Some(track) = self.tracks.get_mut(id) else {
            return self.counters.drop(DropReason::Late, 1);
        };
        object.track_alias = track.alias;
        let group = object.group;
        let at = Location::new(group, object.object);
        let Some(held) = track.cache.group_or_insert(group) else {
            return self.counters.drop(DropReason::Late, 1);
        };
        let known = held.datagrams.iter();
        if let Some(known) = known.rev().find(|known| known.object == object.object) {
            self.counters.duplicates += 1;
            if !is_same(known, &object) {
                self.malformed(id);
            }
            return;
        }
        if held.is_past_datagram(object.object) {
            return self.counters.drop(DropReason::Late, 1);
        }
        if held.is_elsewhere(object.object, None) {
            return self.malformed(id);
        }
        let mut encoded = BytesMut::with_capacity(object.payload.len() + 64);
        object.encode(&mut encoded);
        let encoded = encoded.freeze();
        let cost = object.payload.len() + OBJECT_OVERHEAD;
        // The cache keeps the copy, so that the packet it came in can be let go.
        object.payload = encoded.slice(encoded.len() - object.payload.len()..);
        let properties = object.properties.as_deref();
        object.properties = properties.map(Bytes::copy_from_slice);
        held.datagrams.push(object.clone());
        track.saw(at);
        track.cache.grew(group, cost);
        track.bytes_in += encoded.len() as u64;
        self.cached_bytes += cost;
        self.counters.objects_in += 1;
        self.counters.bytes_in += encoded.len() as u64;
        self.send_datagrams(id, &object, encoded);
        self.trim(id, now);
    }

    fn send_datagrams(&mut self, id: TrackId, object: &ObjectDatagram, bytes: Bytes) {
        let track = &self.tracks[id];
        let priority = object.priority.unwrap_or(track.default_priority);
        let at = Location {
            group: object.group,
            object: object.object,
        };
        let header = ObjectHeader {
            id: object.object,
            properties: object.properties.clone().unwrap_or_default(),
            payload_len: object.payload.len() as u64,
            status: object.status,
        };
        let wants = |subscription: &SubscriptionId| {
            let subscription = &self.subscriptions[*subscription];
            let passes = subscription
                .ranges
                .as_ref()
                .is_none_or(|ranges| ranges.pass(None, priority, &header));
            (subscription.forward && passes && subscription.window.contains(at))
                .then_some(subscription.session)
        };
        for session in track.subscribers.iter().filter_map(wants) {
            self.deliveries.push_back(Outgoing::Datagram {
                session,
                bytes: bytes.clone(),
            });
            self.counters.objects_out += 1;
            self.counters.bytes_out += bytes.len() as u64;
        }
    }
}

/// Whether two datagrams can be of one object: its properties may differ (draft-22 §7.1).
fn is_same(a: &ObjectDatagram, b: &ObjectDatagram) -> bool {
    a.priority == b.priority && a.status == b.status && a.payload == b.payload
}
