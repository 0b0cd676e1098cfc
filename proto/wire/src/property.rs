//! Track and object properties (draft-22 §11, LOC-04).

use bytes::Bytes;

/// An encoded sequence of properties (delta-typed key-value pairs), kept as received so that unknown ones pass unchanged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Properties(pub Bytes);
