//! Writes properties.

use super::{Properties, Value, kinds};
use crate::error::EncodeError;
use crate::kvp::PairWriter;
use crate::param::GroupOrder;
use bytes::Bytes;

/// Collects properties in any order and writes them in ascending order of type; equal types keep their order.
#[derive(Clone, Debug, Default)]
pub struct PropertiesBuilder {
    pairs: Vec<(u64, Owned)>,
}

#[derive(Clone, Debug)]
enum Owned {
    Int(u64),
    Bytes(Bytes),
}

impl PropertiesBuilder {
    /// Adds a number under an even type.
    pub fn int(mut self, kind: u64, value: u64) -> Self {
        self.pairs.push((kind, Owned::Int(value)));
        self
    }

    /// Adds bytes under an odd type.
    pub fn bytes(mut self, kind: u64, value: impl Into<Bytes>) -> Self {
        self.pairs.push((kind, Owned::Bytes(value.into())));
        self
    }

    /// Adds every property of `block`; ends at the first malformed one.
    pub fn extend(mut self, block: super::Block<'_>) -> Self {
        for (kind, value) in block.iter().map_while(Result::ok) {
            let value = match value {
                Value::Int(value) => Owned::Int(value),
                Value::Bytes(value) => Owned::Bytes(Bytes::copy_from_slice(value)),
            };
            self.pairs.push((kind, value));
        }
        self
    }

    /// LOC capture time, in units of the timescale (microseconds since the Unix epoch without one).
    pub fn timestamp(self, value: u64) -> Self {
        self.int(kinds::TIMESTAMP, value)
    }

    /// Milliseconds an object may be late.
    pub fn object_delivery_timeout(self, millis: u64) -> Self {
        self.int(kinds::OBJECT_DELIVERY_TIMEOUT, millis)
    }

    /// Milliseconds a subgroup may be late.
    pub fn subgroup_delivery_timeout(self, millis: u64) -> Self {
        self.int(kinds::SUBGROUP_DELIVERY_TIMEOUT, millis)
    }

    /// Milliseconds an object may be served from a cache.
    pub fn max_cache_duration(self, millis: u64) -> Self {
        self.int(kinds::MAX_CACHE_DURATION, millis)
    }

    /// Priority of the track's objects; 0 is the most urgent.
    pub fn default_publisher_priority(self, priority: u8) -> Self {
        self.int(kinds::DEFAULT_PUBLISHER_PRIORITY, u64::from(priority))
    }

    /// Order in which the publisher would have groups sent.
    pub fn default_publisher_group_order(self, order: GroupOrder) -> Self {
        self.int(
            kinds::DEFAULT_PUBLISHER_GROUP_ORDER,
            u64::from(order.code()),
        )
    }

    /// Whether subscribers may ask for a new group.
    pub fn dynamic_groups(self, yes: bool) -> Self {
        self.int(kinds::DYNAMIC_GROUPS, u64::from(yes))
    }

    /// Writes them.
    ///
    /// # Errors
    ///
    /// A number under an odd type, bytes under an even one, or a value of more than 65,535 bytes.
    pub fn build(mut self) -> Result<Properties, EncodeError> {
        self.pairs.sort_by_key(|(kind, _)| *kind);
        let mut writer = PairWriter::default();
        for (kind, value) in &self.pairs {
            match value {
                Owned::Int(value) => writer.int(*kind, *value)?,
                Owned::Bytes(value) => writer.bytes(*kind, value)?,
            }
        }
        Ok(Properties(writer.bytes.freeze()))
    }
}
