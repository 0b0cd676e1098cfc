//! One subgroup as the relay holds it: an append-only log of the publisher's bytes, cut at object boundaries.
//!
//! Object heads are delta-coded against the object before them, and a relay never drops an object in the middle, so the
//! bytes that came in are the bytes that go out; only a stream that starts in the middle needs a head of its own.

use crate::id::{InStreamId, OutStreamId};
use bytes::{Bytes, BytesMut};
use meridian_wire::ResetCode;
use meridian_wire::data::{ObjectHeader, SubgroupHeader, SubgroupId};
use smallvec::SmallVec;
use std::time::Instant;

#[derive(Debug)]
pub(crate) struct Subgroup {
    pub(crate) id: u64,
    /// As first received, with our alias.
    pub(crate) header: SubgroupHeader,
    /// `header` encoded: how a stream that starts with the log's first object begins.
    pub(crate) opening: Bytes,
    pub(crate) objects: SmallVec<[Object; 1]>,
    /// Each chunk belongs to one object; an object's first chunk starts with its head.
    pub(crate) log: SmallVec<[Bytes; 1]>,
    pub(crate) state: State,
    /// Publishers' streams that feed or follow this log.
    pub(crate) sources: SmallVec<[InStreamId; 2]>,
    /// Streams that are being written from this log.
    pub(crate) readers: Vec<OutStreamId>,
    /// Subscribers have been told of this subgroup; later ones are attached one by one.
    pub(crate) announced: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// More may come.
    Open,
    /// The publisher closed the stream with FIN.
    Complete,
    /// The publisher's stream was reset and nobody else can go on.
    Broken(ResetCode),
}

/// An object in a log.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) header: ObjectHeader,
    /// Its first chunk.
    pub(crate) chunk: usize,
    /// Bytes of head in that chunk.
    pub(crate) head_len: usize,
    /// Bytes of payload in the log.
    pub(crate) received: u64,
    /// When the head was there: delivery timeouts count from here (draft-22 §8).
    pub(crate) at: Instant,
}

impl Object {
    pub(crate) fn is_whole(&self) -> bool {
        self.received == self.header.payload_len
    }
}

impl Subgroup {
    pub(crate) fn new(id: u64, header: SubgroupHeader) -> Subgroup {
        let mut opening = BytesMut::with_capacity(24);
        header.encode(&mut opening);
        Subgroup {
            id,
            header,
            opening: opening.freeze(),
            objects: SmallVec::new(),
            log: SmallVec::new(),
            state: State::Open,
            sources: SmallVec::new(),
            readers: Vec::new(),
            announced: false,
        }
    }

    /// Begins the next object. `wire` is its head and what payload is there, as it came after `previous` on its stream.
    pub(crate) fn begin(&mut self, head: Head, now: Instant) {
        let last = self.objects.last().map(|object| object.header.id);
        let chunk = self.log.len();
        let payload = head.wire.len() - head.head_len;
        let mut head_len = head.head_len;
        if last == head.previous {
            self.log.push(head.wire);
        } else {
            let encoded = encode_head(&head.header, last, self.header.has_properties);
            head_len = encoded.len();
            self.log.push(encoded);
            if payload > 0 {
                self.log.push(head.wire.slice(head.head_len..));
            }
        }
        self.objects.push(Object {
            header: head.header,
            chunk,
            head_len,
            received: payload as u64,
            at: now,
        });
    }

    /// Appends payload of the last object.
    pub(crate) fn append(&mut self, payload: Bytes) {
        let object = self
            .objects
            .last_mut()
            .expect("payload follows an object's head");
        object.received += payload.len() as u64;
        self.log.push(payload);
    }

    pub(crate) fn last(&self) -> Option<&Object> {
        self.objects.last()
    }

    /// The index of the object with this ID.
    pub(crate) fn find(&self, id: u64) -> Option<usize> {
        if self.objects.last().is_some_and(|last| last.header.id < id) {
            return None;
        }
        self.objects
            .binary_search_by_key(&id, |object| object.header.id)
            .ok()
    }

    /// The index of the first object at or after this ID.
    pub(crate) fn first_from(&self, id: u64) -> usize {
        self.objects.partition_point(|object| object.header.id < id)
    }

    /// The index of the first object of which a reader at chunk `cursor` has nothing yet.
    pub(crate) fn first_unstarted(&self, cursor: usize) -> usize {
        self.objects.partition_point(|object| object.chunk < cursor)
    }

    /// The first chunk after object `index`.
    pub(crate) fn end_of(&self, index: usize) -> usize {
        self.objects
            .get(index + 1)
            .map_or(self.log.len(), |next| next.chunk)
    }

    /// Whether `bytes` are what the log holds of object `index` from payload offset `offset` on, as far as it holds any.
    pub(crate) fn agrees(&self, index: usize, mut offset: u64, bytes: &[u8]) -> bool {
        let object = &self.objects[index];
        let mut rest = bytes;
        let chunks = &self.log[object.chunk..self.end_of(index)];
        for (n, chunk) in chunks.iter().enumerate() {
            let payload = if n == 0 {
                &chunk[object.head_len..]
            } else {
                &chunk[..]
            };
            let skip = offset.min(payload.len() as u64);
            offset -= skip;
            let held = &payload[skip as usize..];
            let len = held.len().min(rest.len());
            if held[..len] != rest[..len] {
                return false;
            }
            rest = &rest[len..];
            if rest.is_empty() {
                break;
            }
        }
        true
    }

    /// How a stream that starts in the middle begins.
    pub(crate) fn opening_in_the_middle(&self) -> Bytes {
        let header = SubgroupHeader {
            subgroup: SubgroupId::Explicit(self.id),
            first_object: false,
            ..self.header
        };
        let mut opening = BytesMut::with_capacity(24);
        header.encode(&mut opening);
        opening.freeze()
    }

    /// The head of object `index` as it stands after `previous` (`None`: first on its stream).
    pub(crate) fn head_after(&self, index: usize, previous: Option<u64>) -> Bytes {
        encode_head(
            &self.objects[index].header,
            previous,
            self.header.has_properties,
        )
    }
}

/// An object's head as a stream brought it.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) header: ObjectHeader,
    pub(crate) wire: Bytes,
    pub(crate) head_len: usize,
    /// The object before it on that stream.
    pub(crate) previous: Option<u64>,
}

fn encode_head(header: &ObjectHeader, previous: Option<u64>, has_properties: bool) -> Bytes {
    let mut head = BytesMut::with_capacity(20 + header.properties.len());
    header.encode(previous, has_properties, &mut head);
    head.freeze()
}
