//! FILL_PARAMETERS (draft-22 §9.20.15): parameters "as if for a separate message", so a count and a type chain of their
//! own inside the length.

use super::decode::{OUT_OF_SCOPE, Types, group_order, value};
use super::encode::{BlockWriter, Place};
use super::kind as k;
use super::range_filter::Collector;
use super::{FillParameters, InvalidFilter, LocationFilter, scope};
use crate::Draft;
use crate::error::{EncodeError, WireError};
use crate::reader::Reader;
use bytes::BytesMut;

impl FillParameters {
    /// The value inside the parameter's length.
    pub(super) fn encode(&self, draft: Draft) -> Result<BytesMut, EncodeError> {
        let mut block = BlockWriter::new(Place::Fill, draft);
        block.varint(k::FILL_TIMEOUT, self.fill_timeout)?;
        block.u8(k::SUBSCRIBER_PRIORITY, self.subscriber_priority)?;
        block.location_filter(self.location_filter)?;
        block.u8(k::GROUP_ORDER, self.group_order.map(|order| order.code()))?;
        block.range_filters(&self.range_filters)?;
        let mut value = BytesMut::new();
        block.finish(&mut value);
        Ok(value)
    }

    pub(super) fn decode(
        draft: Draft,
        value: &[u8],
    ) -> Result<(FillParameters, Option<InvalidFilter>), WireError> {
        let mut fill = FillParameters::default();
        let mut filters = Collector::default();
        let mut reader = Reader::new(value);
        // The text can be read as a block without its count; then nothing to say is no byte at all. Taking that costs
        // nothing, since no counted block is empty.
        let count = if reader.is_empty() {
            0
        } else {
            reader.varint()?
        };
        let mut types = Types::new(count);
        while let Some(kind) = types.next(draft, &mut reader)? {
            if !scope::allows_in_fill(kind) {
                return Err(OUT_OF_SCOPE);
            }
            fill.read(kind, draft, &mut reader, &mut filters)?;
        }
        if !reader.is_empty() {
            return Err(WireError::formatting(
                "fill parameters do not fill their length",
            ));
        }
        fill.range_filters = filters.filters;
        Ok((fill, filters.invalid))
    }

    fn read(
        &mut self,
        kind: u64,
        draft: Draft,
        reader: &mut Reader<'_>,
        filters: &mut Collector,
    ) -> Result<(), WireError> {
        match kind {
            k::FILL_TIMEOUT => self.fill_timeout = Some(reader.varint()?),
            k::SUBSCRIBER_PRIORITY => self.subscriber_priority = Some(reader.u8()?),
            k::LOCATION_FILTER => {
                self.location_filter = Some(LocationFilter::decode(draft, reader)?);
            }
            k::GROUP_ORDER => self.group_order = Some(group_order(reader)?),
            _ => filters.add(kind, value(reader)?),
        }
        Ok(())
    }
}
