//! One subgroup as the relay holds it: an append-only log of the publisher's bytes, cut at object boundaries.
//!
//! Object heads are delta-coded against the object before them, and a relay never drops an object in the middle, so the
//! bytes that came in are the bytes that go out; only a stream that starts in the middle needs a head of its own.

use crate::id::{InStreamId, OutStreamId};
use crate::track::cache::OBJECT_OVERHEAD;
use bytes::{Bytes, BytesMut};
use meridian_wire::ResetCode;
use meridian_wire::data::{ObjectHeader, SubgroupHeader, SubgroupId};
use meridian_wire::property::{Block, kinds};
use smallvec::SmallVec;
use std::cmp::Ordering;
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(crate) struct Subgroup {
    pub(crate) id: u64,
    /// As first received, with our alias.
    pub(crate) header: SubgroupHeader,
    /// `header` encoded: how a stream that starts with the subgroup's first object begins.
    pub(crate) opening: Bytes,
    pub(crate) objects: SmallVec<[Object; 1]>,
    /// Each chunk belongs to one object; an object's first chunk starts with its head.
    log: SmallVec<[Bytes; 1]>,
    /// Chunks that have been let go before those in the log. Positions of chunks count them.
    gone: usize,
    pub(crate) state: State,
    /// The publisher's delivery timeouts.
    pub(crate) timeouts: Timeouts,
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

/// How late a publisher lets its objects be (draft-22 §8).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Timeouts {
    /// OBJECT_DELIVERY_TIMEOUT.
    pub(crate) object: Option<Duration>,
    /// SUBGROUP_DELIVERY_TIMEOUT.
    pub(crate) subgroup: Option<Duration>,
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
    pub(crate) fn new(id: u64, header: SubgroupHeader, timeouts: Timeouts) -> Subgroup {
        let mut opening = BytesMut::with_capacity(24);
        header.encode(&mut opening);
        Subgroup {
            id,
            header,
            opening: opening.freeze(),
            objects: SmallVec::new(),
            log: SmallVec::new(),
            gone: 0,
            state: State::Open,
            timeouts,
            sources: SmallVec::new(),
            readers: Vec::new(),
            announced: false,
        }
    }

    /// Whether `head` may go on this log: it is the first there, or nothing lies between it and the last object
    /// (draft-22 §11.3.3).
    #[inline]
    pub(crate) fn is_next(&self, head: &Head) -> bool {
        if self.state != State::Open {
            return false;
        }
        let Some(last) = self.objects.last() else {
            return true;
        };
        let id = last.header.id;
        let follows = head.previous == Some(id) || id.checked_add(1) == Some(head.header.id);
        let can_be_said = self.header.has_properties || head.header.properties.is_empty();
        last.is_whole() && id < head.header.id && follows && can_be_said
    }

    /// Begins the next object; how many bytes the log grew by.
    pub(crate) fn begin(&mut self, head: Head, now: Instant) -> usize {
        let last = self.objects.last().map(|object| object.header.id);
        if last.is_none() && head.has_properties {
            self.timeouts = self.timeouts.overridden(&head.header.properties);
        }
        let chunk = self.end();
        let payload = head.wire.len() - head.head_len;
        let mut head_len = head.head_len;
        if last == head.previous && head.has_properties == self.header.has_properties {
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
        head_len + payload
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

    /// The position of the first chunk that is there.
    pub(crate) fn start(&self) -> usize {
        self.gone
    }

    /// The position after the last chunk.
    #[inline]
    pub(crate) fn end(&self) -> usize {
        self.gone + self.log.len()
    }

    /// The chunks from one position to another.
    #[inline]
    pub(crate) fn chunks(&self, from: usize, to: usize) -> &[Bytes] {
        &self.log[from - self.gone..to - self.gone]
    }

    /// Whether the chunk at this position has been let go.
    #[inline]
    pub(crate) fn is_gone(&self, chunk: usize) -> bool {
        chunk < self.gone
    }

    /// The index of the object with this ID.
    #[inline]
    pub(crate) fn find(&self, id: u64) -> Option<usize> {
        let last = self.objects.last()?.header.id;
        match last.cmp(&id) {
            Ordering::Less => None,
            Ordering::Equal => Some(self.objects.len() - 1),
            Ordering::Greater => self
                .objects
                .binary_search_by_key(&id, |object| object.header.id)
                .ok(),
        }
    }

    /// The index of the first object at or after this ID that is there from its head on.
    pub(crate) fn first_from(&self, id: u64) -> usize {
        self.objects
            .partition_point(|object| object.header.id < id || object.chunk < self.gone)
    }

    /// The index of the first object of which a reader at chunk `cursor` has nothing yet.
    pub(crate) fn first_unstarted(&self, cursor: usize) -> usize {
        self.objects.partition_point(|object| object.chunk < cursor)
    }

    /// The first chunk after object `index`.
    pub(crate) fn end_of(&self, index: usize) -> usize {
        self.objects
            .get(index + 1)
            .map_or(self.end(), |next| next.chunk)
    }

    /// Bytes the log counts for.
    pub(crate) fn bytes(&self) -> usize {
        let log: usize = self.log.iter().map(Bytes::len).sum();
        log + self.objects.len() * OBJECT_OVERHEAD
    }

    /// About where the log begins when it is shortened.
    pub(crate) fn middle(&self) -> usize {
        self.gone + self.log.len().div_ceil(2)
    }

    /// Lets the older half of the log go; how many bytes that was. The last object stays known, its payload may go.
    pub(crate) fn shorten(&mut self) -> usize {
        let middle = self.middle();
        let last = self.objects.len().saturating_sub(1);
        let keep = self.first_unstarted(middle).min(last);
        let chunks = self.log.drain(..middle - self.gone);
        let freed: usize = chunks.map(|chunk| chunk.len()).sum();
        self.objects.drain(..keep);
        self.gone = middle;
        freed + keep * OBJECT_OVERHEAD
    }

    /// Whether the log still has the subgroup from its first object on.
    pub(crate) fn is_from_the_start(&self) -> bool {
        self.gone == 0
    }

    /// Whether the log ends with a whole object.
    pub(crate) fn is_at_boundary(&self) -> bool {
        self.objects.last().is_none_or(Object::is_whole)
    }

    /// Whether `bytes` are what the log holds of object `index` from payload offset `offset` on, as far as it holds any.
    pub(crate) fn agrees(&self, index: usize, mut offset: u64, bytes: &[u8]) -> bool {
        let object = &self.objects[index];
        let mut rest = bytes;
        if self.is_gone(object.chunk) {
            return true;
        }
        let chunks = self.chunks(object.chunk, self.end_of(index));
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
    /// Whether that stream's objects carry a properties field.
    pub(crate) has_properties: bool,
}

impl Timeouts {
    /// With what a subgroup's first object says of them.
    fn overridden(self, properties: &[u8]) -> Timeouts {
        let block = Block::new(properties);
        let said = |value: Option<u64>, track| value.map_or(track, millis);
        Timeouts {
            object: said(block.int(kinds::OBJECT_DELIVERY_TIMEOUT), self.object),
            subgroup: said(block.int(kinds::SUBGROUP_DELIVERY_TIMEOUT), self.subgroup),
        }
    }
}

/// A timeout on the wire: 0 is none.
pub(crate) fn millis(ms: u64) -> Option<Duration> {
    (ms > 0).then(|| Duration::from_millis(ms))
}

/// Whether two heads can be of one object: mutable properties may differ (draft-22 §7.1, §2.5).
#[inline]
pub(crate) fn is_same(a: &ObjectHeader, b: &ObjectHeader) -> bool {
    let fields = a.id == b.id && a.payload_len == b.payload_len && a.status == b.status;
    fields && (a.properties == b.properties || immutable(a) == immutable(b))
}

fn immutable(header: &ObjectHeader) -> Option<&[u8]> {
    Block::new(&header.properties).bytes(kinds::IMMUTABLE)
}

fn encode_head(header: &ObjectHeader, previous: Option<u64>, has_properties: bool) -> Bytes {
    let mut head = BytesMut::with_capacity(20 + header.properties.len());
    header.encode(previous, has_properties, &mut head);
    head.freeze()
}
