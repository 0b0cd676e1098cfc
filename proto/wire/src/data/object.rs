//! Heads of objects on subgroup streams (draft-22 §11.3.2).

use super::chunks::{Fields, Parsed, Span, Stop};
use crate::name::put_prefixed;
use crate::{WireError, varint};
use bytes::{Bytes, BytesMut};

/// The head of one object on a subgroup stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectHeader {
    /// Object ID, absolute.
    pub id: u64,
    /// Encoded properties (a KVP sequence without its length); empty if none. Read them with
    /// [`Block`](crate::property::Block).
    pub properties: Bytes,
    /// Bytes of payload.
    pub payload_len: u64,
    /// Status; `Normal` unless the payload is empty.
    pub status: ObjectStatus,
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

impl ObjectStatus {
    /// As on the wire.
    #[inline]
    pub const fn code(self) -> u64 {
        match self {
            ObjectStatus::Normal => 0,
            ObjectStatus::EndOfGroup => 3,
            ObjectStatus::EndOfTrack => 4,
        }
    }

    #[inline]
    pub(super) fn decode(code: u64) -> Result<ObjectStatus, WireError> {
        match code {
            0 => Ok(ObjectStatus::Normal),
            3 => Ok(ObjectStatus::EndOfGroup),
            4 => Ok(ObjectStatus::EndOfTrack),
            _ => Err(WireError::violation("an unknown object status")),
        }
    }
}

impl ObjectHeader {
    /// Appends the head as it stands on a subgroup stream after `previous` (`None`: first on its stream).
    ///
    /// IDs ascend on a stream: `self.id > previous`. Properties are left out of a stream without them, and of an object
    /// whose status is not `Normal`; such an object has no payload.
    #[inline]
    pub fn encode(&self, previous: Option<u64>, has_properties: bool, out: &mut BytesMut) {
        debug_assert!(previous.is_none_or(|previous| self.id > previous));
        let delta = match previous {
            Some(previous) => self.id.wrapping_sub(previous).wrapping_sub(1),
            None => self.id,
        };
        varint::encode(delta, out);
        let normal = self.status == ObjectStatus::Normal;
        if has_properties {
            put_prefixed(if normal { &self.properties } else { &[] }, out);
        }
        let payload_len = if normal { self.payload_len } else { 0 };
        varint::encode(payload_len, out);
        if payload_len == 0 {
            varint::encode(self.status.code(), out);
        }
    }
}

/// A parsed head whose properties are still a place.
#[derive(Debug)]
pub(super) struct RawObject {
    id: u64,
    properties: Span,
    pub(super) payload_len: u64,
    status: ObjectStatus,
}

impl RawObject {
    /// Parses a head that follows `previous` on its stream.
    #[inline]
    pub(super) fn parse(bytes: &[u8], previous: Option<u64>, has_properties: bool) -> Parsed<Self> {
        let mut fields = Fields::new(bytes);
        let raw = RawObject::read(&mut fields, previous, has_properties);
        fields.end(raw)
    }

    #[inline]
    fn read(
        fields: &mut Fields<'_>,
        previous: Option<u64>,
        has_properties: bool,
    ) -> Result<RawObject, Stop> {
        let delta = fields.varint()?;
        let id = match previous {
            None => delta,
            Some(previous) => previous
                .checked_add(delta)
                .and_then(|id| id.checked_add(1))
                .ok_or(OVERFLOW)?,
        };
        let properties = match has_properties {
            true => fields.properties()?,
            false => Span::default(),
        };
        let payload_len = fields.varint()?;
        let status = match payload_len {
            0 => ObjectStatus::decode(fields.varint()?)?,
            _ => ObjectStatus::Normal,
        };
        if status != ObjectStatus::Normal && !properties.is_empty() {
            return Err(PROPERTIES_OF_STATUS.into());
        }
        Ok(RawObject {
            id,
            properties,
            payload_len,
            status,
        })
    }

    /// The header, its properties a slice of `wire`.
    #[inline]
    pub(super) fn finish(self, wire: &Bytes) -> ObjectHeader {
        ObjectHeader {
            id: self.id,
            properties: self.properties.of(wire),
            payload_len: self.payload_len,
            status: self.status,
        }
    }
}

const OVERFLOW: WireError = WireError::violation("an object ID exceeds 64 bits");

pub(super) const PROPERTIES_OF_STATUS: WireError =
    WireError::violation("properties on an object that is not normal");
