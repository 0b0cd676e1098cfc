//! Encodes the heads of a fetch or fill stream, each against the one before it.

use super::fetch::{self, Prior};
use super::{FetchObject, RangeGap};
use crate::name::put_prefixed;
use crate::param::GroupOrder;
use crate::{Draft, EncodeError, Location, varint};
use bytes::{BufMut, BytesMut};

/// Encodes one fetch stream after its [`FetchHeader`](super::FetchHeader). Payload is the caller's to send after each
/// head.
#[derive(Debug)]
pub struct FetchEncoder {
    draft: Draft,
    order: GroupOrder,
    prior: Prior,
    /// A datagram's object came last: what its "prior subgroup" is, readers may disagree on.
    after_datagram: bool,
}

impl FetchEncoder {
    /// An encoder at the start of a stream whose groups are sent in `order`.
    pub fn new(draft: Draft, order: GroupOrder) -> FetchEncoder {
        FetchEncoder {
            draft,
            order,
            prior: Prior::default(),
            after_datagram: false,
        }
    }

    /// Appends the head of `object`.
    ///
    /// # Errors
    ///
    /// It does not follow what came before in the stream's order; then nothing is written.
    pub fn encode_object(
        &mut self,
        object: &FetchObject,
        out: &mut BytesMut,
    ) -> Result<(), EncodeError> {
        let (group_delta, object_delta) =
            self.deltas(Location::new(object.group, object.object))?;
        let (mode, subgroup) = self.subgroup(object.subgroup);
        let priority = (self.prior.priority != Some(object.priority)).then_some(object.priority);
        let flag = |set, bit| if set { bit } else { 0 };
        let flags = mode
            | flag(group_delta.is_some(), fetch::GROUP_DELTA)
            | flag(object_delta.is_some(), fetch::OBJECT_DELTA)
            | flag(priority.is_some(), fetch::PRIORITY)
            | flag(!object.properties.is_empty(), fetch::PROPERTIES);
        varint::encode(flags, out);
        for field in [group_delta, subgroup, object_delta].into_iter().flatten() {
            varint::encode(field, out);
        }
        if let Some(priority) = priority {
            out.put_u8(priority);
        }
        if !object.properties.is_empty() {
            put_prefixed(&object.properties, out);
        }
        varint::encode(object.payload_len, out);
        self.after_datagram = object.subgroup.is_none();
        self.prior.note(object);
        Ok(())
    }

    /// Appends that nothing between the last object, or the start of the range, and `end`, inclusive, is sent.
    ///
    /// # Errors
    ///
    /// The draft has no such mark, or `end` does not follow what came before; then nothing is written.
    pub fn encode_end_of_range(
        &mut self,
        kind: RangeGap,
        end: Location,
        out: &mut BytesMut,
    ) -> Result<(), EncodeError> {
        if !kind.is_in(self.draft) {
            return Err(EncodeError::NotInDraft {
                what: "the end of a timed-out range",
                draft: self.draft,
            });
        }
        self.deltas(end)?;
        varint::encode(kind.code(), out);
        end.encode(out);
        self.prior.location = Some(end);
        Ok(())
    }

    /// The group and object fields of what is at `at`.
    fn deltas(&self, at: Location) -> Result<(Option<u64>, Option<u64>), EncodeError> {
        let Some(prior) = self.prior.location else {
            return Ok((Some(at.group), Some(at.object)));
        };
        if at.group == prior.group {
            return match at.object.checked_sub(prior.object) {
                None | Some(0) => Err(OUT_OF_ORDER),
                Some(1) => Ok((None, None)),
                delta => Ok((None, delta)),
            };
        }
        let step = match self.order {
            GroupOrder::Ascending => at.group.checked_sub(prior.group),
            GroupOrder::Descending => prior.group.checked_sub(at.group),
        };
        let step = step.ok_or(OUT_OF_ORDER)?;
        Ok((Some(step - 1), Some(at.object)))
    }

    /// The mode of the subgroup, and the field if it takes one.
    fn subgroup(&self, subgroup: Option<u64>) -> (u64, Option<u64>) {
        let prior = self.prior.subgroup.filter(|_| !self.after_datagram);
        match subgroup {
            None => (fetch::DATAGRAM, None),
            Some(0) => (0, None),
            _ if subgroup == prior => (fetch::SUBGROUP_PRIOR, None),
            Some(id) if prior.is_some_and(|prior| prior.checked_add(1) == Some(id)) => {
                (fetch::SUBGROUP_NEXT, None)
            }
            Some(_) => (fetch::SUBGROUP_EXPLICIT, subgroup),
        }
    }
}

const OUT_OF_ORDER: EncodeError = EncodeError::Invalid {
    what: "an object of a fetch stream is out of order",
};
