//! FETCH_HEADER and the heads of objects on fetch and fill streams (draft-22 §11.4).

use super::chunks::{Fields, Parsed, Span, Stop};
use crate::param::GroupOrder;
use crate::{Draft, Location, WireError, varint};
use bytes::{Bytes, BytesMut};

/// FETCH_HEADER.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchHeader {
    /// The FETCH, or the SUBSCRIBE or REQUEST_UPDATE with fill parameters, that is answered.
    pub request_id: u64,
}

/// The head of one object on a fetch stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchObject {
    /// Group ID.
    pub group: u64,
    /// Subgroup ID; `None`: the object's forwarding preference is a datagram.
    pub subgroup: Option<u64>,
    /// Object ID.
    pub object: u64,
    /// Publisher priority.
    pub priority: u8,
    /// Encoded properties (a KVP sequence without its length); empty if none. Read them with
    /// [`Block`](crate::property::Block).
    pub properties: Bytes,
    /// Bytes of payload. Objects with a status other than `Normal` are not sent on fetch streams.
    pub payload_len: u64,
}

/// What is said of a range of objects that are not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeGap {
    /// 0x8C: they do not exist.
    NonExistent,
    /// 0x10C: not known.
    Unknown,
    /// 0x20C (20 and 22): the fill timeout passed.
    TimedOut,
}

/// Type of the stream.
pub(super) const TYPE: u64 = 0x05;

pub(super) const SUBGROUP_MODE: u64 = 0x03;
pub(super) const SUBGROUP_PRIOR: u64 = 0x01;
pub(super) const SUBGROUP_NEXT: u64 = 0x02;
pub(super) const SUBGROUP_EXPLICIT: u64 = 0x03;
pub(super) const OBJECT_DELTA: u64 = 0x04;
pub(super) const GROUP_DELTA: u64 = 0x08;
pub(super) const PRIORITY: u64 = 0x10;
pub(super) const PROPERTIES: u64 = 0x20;
pub(super) const DATAGRAM: u64 = 0x40;

impl RangeGap {
    /// The serialization flags.
    pub const fn code(self) -> u64 {
        match self {
            RangeGap::NonExistent => 0x8C,
            RangeGap::Unknown => 0x10C,
            RangeGap::TimedOut => 0x20C,
        }
    }

    /// Whether `draft` has it.
    pub fn is_in(self, draft: Draft) -> bool {
        self != RangeGap::TimedOut || draft >= Draft::D20
    }

    fn from_code(code: u64, draft: Draft) -> Option<RangeGap> {
        let all = [RangeGap::NonExistent, RangeGap::Unknown, RangeGap::TimedOut];
        all.into_iter()
            .find(|gap| gap.code() == code && gap.is_in(draft))
    }
}

impl FetchHeader {
    /// Appends the header.
    pub fn encode(&self, out: &mut BytesMut) {
        varint::encode(TYPE, out);
        varint::encode(self.request_id, out);
    }

    /// The header at the start of `bytes` and its length; `None` until it is all there.
    ///
    /// # Errors
    ///
    /// The type is another.
    pub fn decode(bytes: &[u8]) -> Result<Option<(FetchHeader, usize)>, WireError> {
        match FetchHeader::parse(bytes)? {
            super::chunks::Step::Ready(header, len) => Ok(Some((header, len))),
            super::chunks::Step::Need(_) => Ok(None),
        }
    }

    pub(super) fn parse(bytes: &[u8]) -> Parsed<FetchHeader> {
        let mut fields = Fields::new(bytes);
        let header = FetchHeader::read(&mut fields);
        fields.end(header)
    }

    fn read(fields: &mut Fields<'_>) -> Result<FetchHeader, Stop> {
        if fields.varint()? != TYPE {
            return Err(WireError::violation("not a fetch stream's type").into());
        }
        Ok(FetchHeader {
            request_id: fields.varint()?,
        })
    }
}

/// What the objects so far leave behind for the next one.
///
/// An end of range moves the location alone. An object whose preference is a datagram has no subgroup to leave, so that
/// of the object before it stays.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Prior {
    pub(super) location: Option<Location>,
    pub(super) subgroup: Option<u64>,
    pub(super) priority: Option<u8>,
}

impl Prior {
    pub(super) fn note(&mut self, object: &FetchObject) {
        self.location = Some(Location::new(object.group, object.object));
        self.subgroup = object.subgroup.or(self.subgroup);
        self.priority = Some(object.priority);
    }
}

/// A parsed item whose properties are still a place.
#[derive(Debug)]
pub(super) enum RawItem {
    Object(FetchObject, Span),
    Gap(RangeGap, Location),
}

/// Parses what follows `prior` on a stream.
pub(super) fn parse(
    bytes: &[u8],
    prior: Prior,
    order: GroupOrder,
    draft: Draft,
) -> Parsed<RawItem> {
    let mut fields = Fields::new(bytes);
    let item = read(&mut fields, prior, order, draft);
    fields.end(item)
}

fn read(
    fields: &mut Fields<'_>,
    prior: Prior,
    order: GroupOrder,
    draft: Draft,
) -> Result<RawItem, Stop> {
    let flags = fields.varint()?;
    if flags >= 0x80 {
        let gap = RangeGap::from_code(flags, draft)
            .ok_or(WireError::violation("unknown serialization flags"))?;
        // The text calls these the Group ID and Object ID of a Location, and lists no payload length. Read as deltas
        // they could not stay in the group of the object before; other relays read them as they stand here, too.
        let end = Location::new(fields.varint()?, fields.varint()?);
        return Ok(RawItem::Gap(gap, end));
    }
    let has = |bit| flags & bit != 0;
    let group_delta = has(GROUP_DELTA).then(|| fields.varint()).transpose()?;
    let subgroup = match flags & (DATAGRAM | SUBGROUP_MODE) {
        0 => Some(0),
        SUBGROUP_PRIOR => Some(prior.subgroup.ok_or(NO_PRIOR)?),
        SUBGROUP_NEXT => {
            let next = prior.subgroup.ok_or(NO_PRIOR)?.checked_add(1);
            Some(next.ok_or(OVERFLOW)?)
        }
        SUBGROUP_EXPLICIT => Some(fields.varint()?),
        _ => None,
    };
    let object_delta = has(OBJECT_DELTA).then(|| fields.varint()).transpose()?;
    let priority = match has(PRIORITY) {
        true => fields.u8()?,
        false => prior.priority.ok_or(NO_PRIOR)?,
    };
    let properties = match has(PROPERTIES) {
        true => fields.properties()?,
        false => Span::default(),
    };
    let at = locate(prior.location, group_delta, object_delta, order)?;
    let object = FetchObject {
        group: at.group,
        subgroup,
        object: at.object,
        priority,
        properties: Bytes::new(),
        payload_len: fields.varint()?,
    };
    Ok(RawItem::Object(object, properties))
}

fn locate(
    prior: Option<Location>,
    group_delta: Option<u64>,
    object_delta: Option<u64>,
    order: GroupOrder,
) -> Result<Location, WireError> {
    let Some(prior) = prior else {
        return match (group_delta, object_delta) {
            (Some(group), Some(object)) => Ok(Location::new(group, object)),
            _ => Err(NO_PRIOR),
        };
    };
    let group = match (group_delta, order) {
        (None, _) => Some(prior.group),
        (Some(delta), GroupOrder::Ascending) => prior
            .group
            .checked_add(delta)
            .and_then(|g| g.checked_add(1)),
        (Some(delta), GroupOrder::Descending) => prior
            .group
            .checked_sub(delta)
            .and_then(|g| g.checked_sub(1)),
    };
    let object = match (group_delta, object_delta) {
        (Some(_), Some(object)) => Some(object),
        (None, Some(delta)) => prior.object.checked_add(delta),
        (_, None) => prior.object.checked_add(1),
    };
    Ok(Location::new(
        group.ok_or(OVERFLOW)?,
        object.ok_or(OVERFLOW)?,
    ))
}

const NO_PRIOR: WireError = WireError::violation("a field refers to an object that was not");
const OVERFLOW: WireError = WireError::violation("an ID on a fetch stream exceeds 64 bits");
