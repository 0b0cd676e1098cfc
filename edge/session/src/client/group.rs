//! Writes one subgroup to everyone who wants it.

use super::object::ObjectData;
use super::shared::Shared;
use super::track::{Subscriber, TrackPublisher};
use crate::session::{Outbox, Put};
use crate::transport::SendStream;
use bytes::{Bytes, BytesMut};
use meridian_wire::ResetCode;
use meridian_wire::data::{ObjectHeader, ObjectStatus, SubgroupHeader, SubgroupId};
use std::sync::Arc;

/// An open subgroup. Dropped unfinished, its streams are reset.
#[derive(Debug)]
pub struct GroupWriter {
    track: TrackPublisher,
    group: u64,
    subgroup: u64,
    first: Option<u64>,
    streams: Vec<Outgoing>,
}

/// One subscriber's stream of a subgroup.
#[derive(Debug)]
pub(super) struct Outgoing {
    subscriber: Arc<Subscriber>,
    /// `None` once it was reset: the rest of the subgroup goes nowhere.
    stream: Option<Outbox>,
    previous: Option<u64>,
}

/// Payloads up to this are sent in one piece with their head: the copy is cheaper than a second write.
const JOINED: usize = 1200;

impl GroupWriter {
    pub(super) fn new(track: TrackPublisher, group: u64, subgroup: u64) -> GroupWriter {
        GroupWriter {
            track,
            group,
            subgroup,
            first: None,
            streams: Vec::new(),
        }
    }

    /// Writes the next object. IDs ascend.
    pub fn write(&mut self, object: ObjectData) {
        let first = *self.first.get_or_insert(object.id);
        let wanting = self.track.note(self.group, Some(self.subgroup), &object);
        for subscriber in wanting {
            match self.stream_of(&subscriber, object.id == first) {
                Some(at) => self.write_to(at, &object),
                None => self.track.count(|counters| counters.no_credit += 1),
            }
        }
    }

    fn stream_of(&mut self, subscriber: &Arc<Subscriber>, is_first: bool) -> Option<usize> {
        let known = |stream: &Outgoing| Arc::ptr_eq(&stream.subscriber, subscriber);
        if let Some(at) = self.streams.iter().position(known) {
            return Some(at);
        }
        let mut stream = self.track.open_stream(subscriber)?;
        let header = SubgroupHeader {
            track_alias: subscriber.alias,
            group: self.group,
            subgroup: match self.subgroup {
                0 => SubgroupId::Zero,
                id => SubgroupId::Explicit(id),
            },
            priority: Some(self.track.track().options.priority),
            has_properties: true,
            end_of_group: true,
            first_object: is_first,
        };
        let mut bytes = BytesMut::new();
        header.encode(&mut bytes);
        stream.put(self.track.shared(), bytes.freeze(), usize::MAX);
        self.streams.push(stream);
        Some(self.streams.len() - 1)
    }

    fn write_to(&mut self, at: usize, object: &ObjectData) {
        let limit = self.track.track().options.max_unsent;
        let sent = self.streams[at].write(self.track.shared(), object, limit);
        self.track.count(|counters| match sent {
            true => counters.sent += 1,
            false => counters.cut_off += 1,
        });
    }

    /// The subgroup is complete.
    pub fn finish(mut self) {
        for stream in std::mem::take(&mut self.streams) {
            stream.finish(self.track.shared());
        }
    }

    /// Gives the subgroup up; what has not left is dropped.
    pub fn reset(mut self, code: ResetCode) {
        for stream in std::mem::take(&mut self.streams) {
            stream.reset(code);
        }
    }
}

impl Drop for GroupWriter {
    fn drop(&mut self) {
        for stream in std::mem::take(&mut self.streams) {
            stream.reset(ResetCode::CANCELLED);
        }
    }
}

impl Outgoing {
    pub(super) fn new(
        subscriber: Arc<Subscriber>,
        mut stream: SendStream,
        priority: i32,
    ) -> Outgoing {
        stream.set_priority(priority);
        Outgoing {
            subscriber,
            stream: Some(Outbox::new(stream)),
            previous: None,
        }
    }

    /// Whether the object is on its way.
    fn write(&mut self, shared: &Shared, object: &ObjectData, limit: usize) -> bool {
        let head = ObjectHeader {
            id: object.id,
            properties: object.properties.0.clone(),
            payload_len: object.payload.len() as u64,
            status: ObjectStatus::Normal,
        };
        let mut bytes = BytesMut::new();
        head.encode(self.previous, true, &mut bytes);
        self.previous = Some(object.id);
        if object.payload.len() <= JOINED {
            bytes.extend_from_slice(&object.payload);
            return self.put(shared, bytes.freeze(), limit);
        }
        self.put(shared, bytes.freeze(), limit) && self.put(shared, object.payload.clone(), limit)
    }

    fn put(&mut self, shared: &Shared, bytes: Bytes, limit: usize) -> bool {
        let Some(stream) = &self.stream else {
            return false;
        };
        match stream.put(bytes, limit) {
            Ok(Put::Done) => true,
            Ok(Put::NeedsFlush) => {
                shared.tasks.spawn(stream.clone().flush());
                true
            }
            Ok(Put::Overflow) => {
                stream.reset(ResetCode::TOO_FAR_BEHIND);
                self.stream = None;
                false
            }
            Err(_) => {
                self.stream = None;
                false
            }
        }
    }

    fn finish(self, shared: &Shared) {
        if let Some(stream) = self.stream {
            // The peer may have stopped it.
            let _ = stream.finish();
            shared.sent.push(stream);
        }
    }

    fn reset(self, code: ResetCode) {
        if let Some(stream) = self.stream {
            stream.reset(code);
        }
    }
}
