//! Track and object properties (draft-22 §11, LOC-04): kept as received, read through [`Block`].

mod block;
mod builder;
pub mod kinds;

pub use crate::kvp::{Pairs, Value};
pub use block::Block;
pub use builder::PropertiesBuilder;

use bytes::Bytes;

/// An encoded sequence of properties (delta-typed key-value pairs), kept as received so that unknown ones pass unchanged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Properties(pub Bytes);

impl Properties {
    /// Starts a set of properties.
    pub fn builder() -> PropertiesBuilder {
        PropertiesBuilder::default()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What they say.
    #[inline]
    pub fn block(&self) -> Block<'_> {
        Block::new(&self.0)
    }
}
