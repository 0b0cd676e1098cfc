//! OBJECT_DATAGRAM (draft-22 §11.2.1).

use super::ObjectStatus;
use super::chunks::LONG_PROPERTIES;
use super::object::PROPERTIES_OF_STATUS;
use crate::limits::MAX_OBJECT_PROPERTIES;
use crate::name::put_prefixed;
use crate::{WireError, varint};
use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Type of a padding datagram: discarded.
pub const PADDING_DATAGRAM: u64 = 0x132B_3E29;

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

const PROPERTIES: u64 = 0x01;
const END_OF_GROUP: u64 = 0x02;
const ZERO_OBJECT_ID: u64 = 0x04;
const DEFAULT_PRIORITY: u64 = 0x08;
const STATUS: u64 = 0x20;
const SPECIFIED: u64 = PROPERTIES | END_OF_GROUP | ZERO_OBJECT_ID | DEFAULT_PRIORITY | STATUS;

impl Datagram {
    /// Decodes a whole datagram; the payload is a slice of it.
    ///
    /// # Errors
    ///
    /// What the session is to be closed with.
    #[inline]
    pub fn decode(mut bytes: Bytes) -> Result<Datagram, WireError> {
        let flags = take_varint(&mut bytes)?;
        if flags == PADDING_DATAGRAM {
            return Ok(Datagram::Padding);
        }
        let both = STATUS | END_OF_GROUP;
        if flags & !SPECIFIED != 0 || flags & both == both {
            return Err(WireError::violation("an unknown datagram type"));
        }
        let mut datagram = ObjectDatagram {
            track_alias: take_varint(&mut bytes)?,
            group: take_varint(&mut bytes)?,
            object: match flags & ZERO_OBJECT_ID {
                0 => take_varint(&mut bytes)?,
                _ => 0,
            },
            priority: match flags & DEFAULT_PRIORITY {
                0 => Some(take_u8(&mut bytes)?),
                _ => None,
            },
            properties: match flags & PROPERTIES {
                0 => None,
                _ => Some(take_properties(&mut bytes)?),
            },
            end_of_group: flags & END_OF_GROUP != 0,
            status: ObjectStatus::Normal,
            payload: Bytes::new(),
        };
        if flags & STATUS == 0 {
            datagram.payload = bytes;
            return Ok(Datagram::Object(datagram));
        }
        datagram.status = ObjectStatus::decode(take_varint(&mut bytes)?)?;
        if !bytes.is_empty() {
            return Err(WireError::violation("payload behind a datagram's status"));
        }
        if datagram.status != ObjectStatus::Normal && datagram.properties.is_some() {
            return Err(PROPERTIES_OF_STATUS);
        }
        Ok(Datagram::Object(datagram))
    }
}

impl ObjectDatagram {
    /// Appends the datagram.
    ///
    /// What cannot be said is left out: empty properties; and with a status other than `Normal`, properties, payload
    /// and the end-of-group flag.
    #[inline]
    pub fn encode(&self, out: &mut BytesMut) {
        let normal = self.status == ObjectStatus::Normal;
        let properties = self.properties.as_ref().filter(|p| normal && !p.is_empty());
        let flag = |set, bit| if set { bit } else { 0 };
        let flags = flag(properties.is_some(), PROPERTIES)
            | flag(normal && self.end_of_group, END_OF_GROUP)
            | flag(self.object == 0, ZERO_OBJECT_ID)
            | flag(self.priority.is_none(), DEFAULT_PRIORITY)
            | flag(!normal, STATUS);
        varint::encode(flags, out);
        varint::encode(self.track_alias, out);
        varint::encode(self.group, out);
        if self.object != 0 {
            varint::encode(self.object, out);
        }
        if let Some(priority) = self.priority {
            out.put_u8(priority);
        }
        if let Some(properties) = properties {
            put_prefixed(properties, out);
        }
        if normal {
            out.put_slice(&self.payload);
        } else {
            varint::encode(self.status.code(), out);
        }
    }
}

#[inline]
fn take_varint(bytes: &mut Bytes) -> Result<u64, WireError> {
    let (value, len) = varint::peek(bytes).ok_or(CUT)?;
    bytes.advance(len);
    Ok(value)
}

#[inline]
fn take_u8(bytes: &mut Bytes) -> Result<u8, WireError> {
    let byte = *bytes.first().ok_or(CUT)?;
    bytes.advance(1);
    Ok(byte)
}

#[inline]
fn take_properties(bytes: &mut Bytes) -> Result<Bytes, WireError> {
    let len = take_varint(bytes)?;
    if len == 0 {
        return Err(WireError::violation("a datagram's properties are empty"));
    }
    if len > MAX_OBJECT_PROPERTIES as u64 {
        return Err(LONG_PROPERTIES);
    }
    if len > bytes.len() as u64 {
        return Err(CUT);
    }
    Ok(bytes.split_to(len as usize))
}

const CUT: WireError = WireError::violation("a datagram ends in its header");
