//! What was published, sent again: the answers to FETCH and fills.

use super::kept::Kept;
use super::range::Range;
use crate::client::Object;
use bytes::{Bytes, BytesMut};
use meridian_wire::data::{FetchEncoder, FetchHeader, FetchObject, RangeGap};
use meridian_wire::{Draft, EncodeError, GroupOrder};
use std::cmp::Reverse;

/// What to send on a stream of its own.
pub(super) struct Past {
    /// The FETCH, or the request whose fill it is.
    pub(super) request: u64,
    pub(super) range: Range,
    pub(super) order: GroupOrder,
    /// The track's publisher priority.
    pub(super) priority: u8,
}

impl Past {
    /// The stream, payloads uncopied. What `kept` no longer has of the range is told as unknown.
    pub(super) fn encode(&self, draft: Draft, kept: &Kept) -> Result<Vec<Bytes>, EncodeError> {
        let mut encoder = FetchEncoder::new(draft, self.order);
        let mut head = BytesMut::new();
        let request_id = self.request;
        FetchHeader { request_id }.encode(&mut head);
        let mut objects: Vec<&Object> = kept.range(self.range).collect();
        let forgotten = kept.forgotten_in(self.range);
        if self.order == GroupOrder::Descending {
            // Groups downwards, objects upwards.
            objects.sort_by_key(|object| (Reverse(object.group), object.object));
        } else if let Some(end) = forgotten {
            encoder.encode_end_of_range(RangeGap::Unknown, end, &mut head)?;
        }
        let mut chunks = Vec::with_capacity(2 * objects.len() + 1);
        for object in objects {
            encoder.encode_object(&self.head(object), &mut head)?;
            chunks.extend([head.split().freeze(), object.payload.clone()]);
        }
        chunks.push(head.freeze());
        Ok(chunks)
    }

    fn head(&self, object: &Object) -> FetchObject {
        FetchObject {
            group: object.group,
            subgroup: Some(0),
            object: object.object,
            priority: self.priority,
            properties: object.properties.0.clone(),
            payload_len: object.payload.len() as u64,
        }
    }
}
