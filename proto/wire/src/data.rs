//! The data plane: subgroup streams, datagrams, fetch and fill streams (draft-22 §10). The same bytes in all drafts.
//!
//! Decoders never copy payload: what comes out are slices of the chunks that went in. An object's header comes out as
//! soon as its last byte has arrived, with whatever payload is there.

use crate::WireError;
use bytes::{Bytes, BytesMut};

/// SUBGROUP_HEADER.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubgroupHeader {
    /// The track's alias in this session and direction.
    pub track_alias: u64,
    /// Group ID.
    pub group: u64,
    /// How the subgroup ID is given.
    pub subgroup: SubgroupId,
    /// Publisher priority; `None`: the track's default.
    pub priority: Option<u8>,
    /// Objects carry a properties field.
    pub has_properties: bool,
    /// The subgroup holds the group's largest object.
    pub end_of_group: bool,
    /// The first object here is the subgroup's first.
    pub first_object: bool,
}

/// A subgroup's ID on its stream's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubgroupId {
    /// Mode 0.
    Zero,
    /// Mode 1: the ID of the first object on the stream.
    FirstObject,
    /// Mode 2.
    Explicit(u64),
}

impl SubgroupHeader {
    /// Appends the header.
    pub fn encode(&self, out: &mut BytesMut) {
        unimplemented!("{out:?}")
    }
}

/// The first varint of a unidirectional stream tells what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamKind {
    /// Control stream (0x2F00). The type belongs to the SETUP message and has not been consumed.
    Control,
    /// A subgroup; the header follows. The type has not been consumed.
    Subgroup,
    /// Fetch or fill stream (0x05). The type has not been consumed.
    Fetch,
    /// Padding (0x132B3E28): read and discard.
    Padding,
}

impl StreamKind {
    /// Looks at a stream's first bytes; `None` until there are enough.
    pub fn peek(bytes: &[u8]) -> Result<Option<StreamKind>, WireError> {
        unimplemented!("{bytes:?}")
    }
}

/// The head of one object on a subgroup stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectHeader {
    /// Object ID, absolute.
    pub id: u64,
    /// Encoded properties (a KVP sequence without its length); empty if none.
    pub properties: Bytes,
    /// Bytes of payload.
    pub payload_len: u64,
    /// Status; `Normal` unless the payload is empty.
    pub status: ObjectStatus,
}

impl ObjectHeader {
    /// Appends the head as it stands on a subgroup stream after `previous` (`None`: first on its stream).
    pub fn encode(&self, previous: Option<u64>, has_properties: bool, out: &mut BytesMut) {
        unimplemented!("{previous:?} {has_properties} {out:?}")
    }
}

/// Object status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ObjectStatus {
    /// 0x0.
    #[default]
    Normal,
    /// 0x3: no object with this ID or above in the group.
    EndOfGroup,
    /// 0x4: nothing at or after this location.
    EndOfTrack,
}

/// What a subgroup stream's bytes say, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubgroupEvent {
    /// Once, first.
    Header(SubgroupHeader),
    /// An object begins.
    Object {
        /// Its decoded head.
        header: ObjectHeader,
        /// Its bytes as received: head, then the payload that is there. One contiguous slice of the pushed chunk when
        /// the head did not straddle chunks; otherwise the head alone, reassembled (only head bytes are ever copied).
        wire: Bytes,
        /// How many bytes of `wire` are head.
        head_len: usize,
    },
    /// More payload of the object that began last. Never empty.
    Payload(Bytes),
    /// The object is whole.
    ObjectEnd,
}

/// Decodes one subgroup stream.
#[derive(Debug)]
pub struct SubgroupDecoder {
    // state
}

impl SubgroupDecoder {
    /// A decoder at the start of a stream.
    pub fn new() -> SubgroupDecoder {
        unimplemented!()
    }

    /// Takes in the next chunk. Call `poll` until `None` before pushing another.
    pub fn push(&mut self, chunk: Bytes) {
        unimplemented!("{chunk:?}")
    }

    /// The next event; `None` until more is pushed.
    pub fn poll(&mut self) -> Result<Option<SubgroupEvent>, WireError> {
        unimplemented!()
    }

    /// Whether a FIN may stand here (header read, no object cut in two).
    pub fn is_at_boundary(&self) -> bool {
        unimplemented!()
    }
}

/// OBJECT_DATAGRAM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectDatagram {
    /// The track's alias in this session and direction.
    pub track_alias: u64,
    /// Group ID.
    pub group: u64,
    /// Object ID.
    pub object: u64,
    /// Publisher priority; `None`: the track's default.
    pub priority: Option<u8>,
    /// Encoded properties; `None` if the field is absent.
    pub properties: Option<Bytes>,
    /// The object is the group's last.
    pub end_of_group: bool,
    /// Status; with anything but `Normal` the payload is empty.
    pub status: ObjectStatus,
    /// Payload.
    pub payload: Bytes,
}

/// What a datagram is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Datagram {
    /// An object.
    Object(ObjectDatagram),
    /// Padding (0x132B3E29).
    Padding,
}

impl Datagram {
    /// Decodes a whole datagram; the payload is a slice of it.
    pub fn decode(bytes: Bytes) -> Result<Datagram, WireError> {
        unimplemented!("{bytes:?}")
    }
}

impl ObjectDatagram {
    /// Appends the datagram.
    pub fn encode(&self, out: &mut BytesMut) {
        unimplemented!("{out:?}")
    }
}
