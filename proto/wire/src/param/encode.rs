//! Writes a message's parameters.

use super::kind as k;
use super::{Parameters, RangeFilter, scope};
use crate::control::MessageKind;
use crate::error::EncodeError;
use crate::name::put_prefixed;
use crate::{Draft, varint};
use bytes::{BufMut, BytesMut};

/// Where a block of parameters stands.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    Message(MessageKind),
    Fill,
}

/// Writes a block: a count, then parameters in ascending order with types as deltas.
#[derive(Debug)]
pub(super) struct BlockWriter {
    draft: Draft,
    place: Place,
    bytes: BytesMut,
    previous: u64,
    count: u64,
}

impl Parameters {
    /// Appends the count and the parameters.
    pub(crate) fn encode(
        &self,
        message: MessageKind,
        draft: Draft,
        out: &mut BytesMut,
    ) -> Result<(), EncodeError> {
        if self.invalid_filter.is_some() {
            return Err(EncodeError::Invalid {
                what: "a message with an invalid filter",
            });
        }
        let mut block = BlockWriter::new(Place::Message(message), draft);
        self.write_low(&mut block)?;
        self.write_filters(&mut block)?;
        self.write_high(&mut block)?;
        block.finish(out);
        Ok(())
    }

    /// Types 0x02 to 0x20.
    fn write_low(&self, block: &mut BlockWriter) -> Result<(), EncodeError> {
        block.varint(k::OBJECT_DELIVERY_TIMEOUT, self.object_delivery_timeout)?;
        for token in &self.authorization_tokens {
            let mut value = BytesMut::new();
            token.encode(&mut value);
            put_prefixed(&value, block.begin(k::AUTHORIZATION_TOKEN)?);
        }
        block.varint(k::RENDEZVOUS_TIMEOUT, self.rendezvous_timeout)?;
        block.varint(k::SUBGROUP_DELIVERY_TIMEOUT, self.subgroup_delivery_timeout)?;
        block.varint(k::EXPIRES, self.expires)?;
        if let Some(largest) = self.largest_object {
            largest.encode(block.begin(k::LARGEST_OBJECT)?);
        }
        block.varint(k::FILL_TIMEOUT, self.fill_timeout)?;
        block.u8(k::FORWARD, self.forward.map(u8::from))?;
        block.u8(k::SUBSCRIBER_PRIORITY, self.subscriber_priority)
    }

    /// Types 0x21 to 0x29.
    fn write_filters(&self, block: &mut BlockWriter) -> Result<(), EncodeError> {
        block.location_filter(self.location_filter)?;
        block.u8(k::GROUP_ORDER, self.group_order.map(|order| order.code()))?;
        if let Some(fill) = &self.fill {
            let value = fill.encode(block.draft)?;
            put_prefixed(&value, block.begin(k::FILL_PARAMETERS)?);
        }
        block.range_filters(&self.range_filters)
    }

    /// Types from 0x32.
    fn write_high(&self, block: &mut BlockWriter) -> Result<(), EncodeError> {
        block.varint(k::NEW_GROUP_REQUEST, self.new_group_request)?;
        if let Some(prefix) = &self.track_namespace_prefix {
            prefix.encode(block.begin(k::TRACK_NAMESPACE_PREFIX)?)?;
        }
        block.u8(k::INCLUDE_PROPERTIES, self.include_properties.map(u8::from))
    }
}

impl BlockWriter {
    pub(super) fn new(place: Place, draft: Draft) -> BlockWriter {
        BlockWriter {
            draft,
            place,
            bytes: BytesMut::new(),
            previous: 0,
            count: 0,
        }
    }

    pub(super) fn finish(self, out: &mut BytesMut) {
        varint::encode(self.count, out);
        out.put_slice(&self.bytes);
    }

    pub(super) fn varint(&mut self, kind: u64, value: Option<u64>) -> Result<(), EncodeError> {
        if let Some(value) = value {
            varint::encode(value, self.begin(kind)?);
        }
        Ok(())
    }

    pub(super) fn u8(&mut self, kind: u64, value: Option<u8>) -> Result<(), EncodeError> {
        if let Some(value) = value {
            self.begin(kind)?.put_u8(value);
        }
        Ok(())
    }

    pub(super) fn location_filter(
        &mut self,
        filter: Option<super::LocationFilter>,
    ) -> Result<(), EncodeError> {
        let draft = self.draft;
        match filter {
            Some(filter) => filter.encode(draft, self.begin(k::LOCATION_FILTER)?),
            None => Ok(()),
        }
    }

    pub(super) fn range_filters(&mut self, filters: &[RangeFilter]) -> Result<(), EncodeError> {
        let mut sorted: Vec<&RangeFilter> = filters.iter().collect();
        sorted.sort_by_key(|filter| filter.subject.parameter());
        for filter in sorted {
            let mut value = BytesMut::new();
            filter.encode(&mut value)?;
            put_prefixed(&value, self.begin(filter.subject.parameter())?);
        }
        Ok(())
    }

    /// Writes the type; the value is to be put into what is returned.
    fn begin(&mut self, kind: u64) -> Result<&mut BytesMut, EncodeError> {
        let what = k::name(kind);
        if !scope::is_known(kind, self.draft) {
            let draft = self.draft;
            return Err(EncodeError::NotInDraft { what, draft });
        }
        let (fits, message) = match self.place {
            Place::Message(message) => (scope::allows(kind, message, self.draft), message.name()),
            Place::Fill => (scope::allows_in_fill(kind), "FILL_PARAMETERS"),
        };
        if !fits {
            return Err(EncodeError::OutOfScope { what, message });
        }
        varint::encode(kind - self.previous, &mut self.bytes);
        self.previous = kind;
        self.count += 1;
        Ok(&mut self.bytes)
    }
}
