//! SUBGROUP_HEADER (draft-22 §11.3.2).

use super::chunks::{Fields, Parsed, Step, Stop};
use crate::{WireError, varint};
use bytes::{BufMut, BytesMut};

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

impl SubgroupId {
    /// The ID, given that of the first object on the stream.
    #[inline]
    pub const fn resolve(self, first_object: u64) -> u64 {
        match self {
            SubgroupId::Zero => 0,
            SubgroupId::FirstObject => first_object,
            SubgroupId::Explicit(id) => id,
        }
    }
}

const PROPERTIES: u64 = 0x01;
const MODE: u64 = 0x06;
const MODE_FIRST_OBJECT: u64 = 0x02;
const MODE_EXPLICIT: u64 = 0x04;
const MODE_RESERVED: u64 = 0x06;
const END_OF_GROUP: u64 = 0x08;
const ALWAYS: u64 = 0x10;
const DEFAULT_PRIORITY: u64 = 0x20;
const FIRST_OBJECT: u64 = 0x40;

/// Whether a stream of this type is a subgroup.
#[inline]
pub(super) fn is_type(kind: u64) -> bool {
    kind < 0x80 && kind & ALWAYS != 0 && kind & MODE != MODE_RESERVED
}

impl SubgroupHeader {
    /// Appends the header.
    #[inline]
    pub fn encode(&self, out: &mut BytesMut) {
        varint::encode(self.type_flags(), out);
        varint::encode(self.track_alias, out);
        varint::encode(self.group, out);
        if let SubgroupId::Explicit(id) = self.subgroup {
            varint::encode(id, out);
        }
        if let Some(priority) = self.priority {
            out.put_u8(priority);
        }
    }

    /// The header at the start of `bytes` and its length; `None` until it is all there.
    ///
    /// # Errors
    ///
    /// The type is no subgroup's.
    #[inline]
    pub fn decode(bytes: &[u8]) -> Result<Option<(SubgroupHeader, usize)>, WireError> {
        match SubgroupHeader::parse(bytes)? {
            Step::Ready(header, len) => Ok(Some((header, len))),
            Step::Need(_) => Ok(None),
        }
    }

    #[inline]
    pub(super) fn parse(bytes: &[u8]) -> Parsed<SubgroupHeader> {
        let mut fields = Fields::new(bytes);
        let header = SubgroupHeader::read(&mut fields);
        fields.end(header)
    }

    #[inline]
    fn read(fields: &mut Fields<'_>) -> Result<SubgroupHeader, Stop> {
        let flags = fields.varint()?;
        if !is_type(flags) {
            return Err(WireError::violation("not a subgroup's type").into());
        }
        Ok(SubgroupHeader {
            track_alias: fields.varint()?,
            group: fields.varint()?,
            subgroup: match flags & MODE {
                MODE_EXPLICIT => SubgroupId::Explicit(fields.varint()?),
                MODE_FIRST_OBJECT => SubgroupId::FirstObject,
                _ => SubgroupId::Zero,
            },
            priority: match flags & DEFAULT_PRIORITY {
                0 => Some(fields.u8()?),
                _ => None,
            },
            has_properties: flags & PROPERTIES != 0,
            end_of_group: flags & END_OF_GROUP != 0,
            first_object: flags & FIRST_OBJECT != 0,
        })
    }

    #[inline]
    fn type_flags(&self) -> u64 {
        let flag = |set, bit| if set { bit } else { 0 };
        let mode = match self.subgroup {
            SubgroupId::Zero => 0,
            SubgroupId::FirstObject => MODE_FIRST_OBJECT,
            SubgroupId::Explicit(_) => MODE_EXPLICIT,
        };
        ALWAYS
            | mode
            | flag(self.has_properties, PROPERTIES)
            | flag(self.end_of_group, END_OF_GROUP)
            | flag(self.priority.is_none(), DEFAULT_PRIORITY)
            | flag(self.first_object, FIRST_OBJECT)
    }
}
