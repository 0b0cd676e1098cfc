//! Namespaces, track names and locations (draft-22 §1.4, §2.4).

use bytes::Bytes;
use smallvec::SmallVec;

/// A namespace: 0 to 32 fields of at least one byte each. A prefix may be empty, a track's namespace may too.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Namespace(pub SmallVec<[Bytes; 4]>);

impl Namespace {
    /// Whether `self` is a field-wise prefix of `other` (equal counts).
    pub fn is_prefix_of(&self, other: &Namespace) -> bool {
        other.0.len() >= self.0.len() && self.0[..] == other.0[..self.0.len()]
    }
}

/// A track's full name: at most 4096 bytes over all fields.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FullTrackName {
    /// Where the track lives.
    pub namespace: Namespace,
    /// The track within it; may be empty.
    pub name: Bytes,
}

/// A place in a track, ordered by group and then object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// Group ID.
    pub group: u64,
    /// Object ID.
    pub object: u64,
}
