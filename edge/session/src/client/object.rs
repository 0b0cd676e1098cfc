//! Objects as the client's users see them.

use bytes::Bytes;
use meridian_wire::data::ObjectStatus;
use meridian_wire::property::{Block, Properties};
use std::time::Instant;

/// An object to publish.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectData {
    /// Object ID within its group, ascending.
    pub id: u64,
    /// Object properties.
    pub properties: Properties,
    /// Payload.
    pub payload: Bytes,
}

/// An object that has arrived, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Group ID.
    pub group: u64,
    /// Subgroup ID; `None` if it came as a datagram.
    pub subgroup: Option<u64>,
    /// Object ID.
    pub id: u64,
    /// Publisher priority; `None`: the track's default.
    pub priority: Option<u8>,
    /// Encoded object properties.
    pub properties: Bytes,
    /// Payload.
    pub payload: Bytes,
    /// What the object says if it has no payload.
    pub status: ObjectStatus,
    /// When its last byte was read.
    pub arrival: Instant,
}

impl Object {
    /// The properties, to be read one by one.
    pub fn properties(&self) -> Block<'_> {
        Block::new(&self.properties)
    }
}
