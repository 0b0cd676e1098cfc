//! Namespaces, track names and locations (draft-22 §1.4, §2.4), and how they are written for people.

use crate::error::EncodeError;
use crate::limits::{MAX_FULL_TRACK_NAME, MAX_NAMESPACE_FIELDS};
use crate::varint;
use bytes::{BufMut, Bytes, BytesMut};
use smallvec::SmallVec;
use std::fmt;
use std::str::FromStr;

/// A namespace: 0 to 32 fields of at least one byte each. A prefix may be empty, a track's namespace may too.
///
/// Displayed in the draft's escaped form, fields joined by `-`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Namespace(pub SmallVec<[Bytes; 4]>);

/// A track's full name: at most 4096 bytes over all fields.
///
/// Displayed in the draft's escaped form, as in `example.2ecom-team--report`.
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

/// Why something is not a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// A namespace has at most 32 fields.
    #[error("a namespace has at most {MAX_NAMESPACE_FIELDS} fields")]
    TooManyFields,
    /// Each field has a byte at least.
    #[error("a namespace field is empty")]
    EmptyField,
    /// At most 4096 bytes over all fields and the name.
    #[error("a full track name has at most {MAX_FULL_TRACK_NAME} bytes")]
    TooLong,
    /// Not the canonical escaped form.
    #[error("not a name in canonical form")]
    NotCanonical,
}

impl Namespace {
    /// A namespace of `fields`.
    ///
    /// # Errors
    ///
    /// More than 32 fields, an empty one, or more than 4096 bytes.
    pub fn new<T: Into<Bytes>>(
        fields: impl IntoIterator<Item = T>,
    ) -> Result<Namespace, NameError> {
        let namespace = Namespace(fields.into_iter().map(Into::into).collect());
        namespace.check()?;
        Ok(namespace)
    }

    /// Whether `self` is a field-wise prefix of `other` (equal counts).
    pub fn is_prefix_of(&self, other: &Namespace) -> bool {
        other.0.len() >= self.0.len() && self.0[..] == other.0[..self.0.len()]
    }

    /// What follows `prefix`; `None` if it is no prefix.
    pub fn strip_prefix(&self, prefix: &Namespace) -> Option<Namespace> {
        prefix
            .is_prefix_of(self)
            .then(|| Namespace(self.0[prefix.0.len()..].iter().cloned().collect()))
    }

    /// `self` followed by `suffix`.
    ///
    /// # Errors
    ///
    /// The whole is over a limit.
    pub fn join(&self, suffix: &Namespace) -> Result<Namespace, NameError> {
        Namespace::new(self.0.iter().chain(&suffix.0).cloned())
    }

    /// Bytes over all fields, lengths not counted.
    pub fn byte_len(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    fn check(&self) -> Result<(), NameError> {
        if self.0.len() > MAX_NAMESPACE_FIELDS {
            return Err(NameError::TooManyFields);
        }
        if self.0.iter().any(Bytes::is_empty) {
            return Err(NameError::EmptyField);
        }
        if self.byte_len() > MAX_FULL_TRACK_NAME {
            return Err(NameError::TooLong);
        }
        Ok(())
    }

    pub(crate) fn encode(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        self.check().map_err(unsayable)?;
        varint::encode(self.0.len() as u64, out);
        for field in &self.0 {
            put_prefixed(field, out);
        }
        Ok(())
    }
}

impl FullTrackName {
    /// The track `name` in `namespace`.
    ///
    /// # Errors
    ///
    /// The namespace is over a limit, or both together have more than 4096 bytes.
    pub fn new(namespace: Namespace, name: impl Into<Bytes>) -> Result<FullTrackName, NameError> {
        let track = FullTrackName {
            namespace,
            name: name.into(),
        };
        track.check()?;
        Ok(track)
    }

    fn check(&self) -> Result<(), NameError> {
        self.namespace.check()?;
        if self.namespace.byte_len() + self.name.len() > MAX_FULL_TRACK_NAME {
            return Err(NameError::TooLong);
        }
        Ok(())
    }

    pub(crate) fn encode(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        self.check().map_err(unsayable)?;
        self.namespace.encode(out)?;
        put_prefixed(&self.name, out);
        Ok(())
    }
}

impl Location {
    /// The place `{group, object}`.
    #[inline]
    pub const fn new(group: u64, object: u64) -> Location {
        Location { group, object }
    }

    pub(crate) fn encode(self, out: &mut BytesMut) {
        varint::encode(self.group, out);
        varint::encode(self.object, out);
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, field) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("-")?;
            }
            write_escaped(field, f)?;
        }
        Ok(())
    }
}

impl fmt::Display for FullTrackName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}--", self.namespace)?;
        write_escaped(&self.name, f)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{}, {}}}", self.group, self.object)
    }
}

impl FromStr for Namespace {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Namespace, NameError> {
        if text.is_empty() {
            return Ok(Namespace::default());
        }
        let fields: Result<Vec<Bytes>, NameError> = text.split('-').map(unescape).collect();
        Namespace::new(fields?)
    }
}

impl FromStr for FullTrackName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<FullTrackName, NameError> {
        // Fields are never empty and hyphens in them are escaped, so the double hyphen stands once.
        let (namespace, name) = text.split_once("--").ok_or(NameError::NotCanonical)?;
        FullTrackName::new(namespace.parse()?, unescape(name)?)
    }
}

pub(crate) fn put_prefixed(bytes: &[u8], out: &mut BytesMut) {
    varint::encode(bytes.len() as u64, out);
    out.put_slice(bytes);
}

fn unsayable(error: NameError) -> EncodeError {
    match error {
        NameError::TooLong => EncodeError::TooLong {
            what: "the full track name",
            limit: MAX_FULL_TRACK_NAME,
        },
        NameError::TooManyFields => EncodeError::Invalid {
            what: "a namespace has more than 32 fields",
        },
        NameError::EmptyField | NameError::NotCanonical => EncodeError::Invalid {
            what: "a namespace field is empty",
        },
    }
}

fn is_literal(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn write_escaped(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for &byte in bytes {
        if is_literal(byte) {
            write!(f, "{}", byte as char)?;
        } else {
            write!(f, ".{byte:02x}")?;
        }
    }
    Ok(())
}

fn unescape(text: &str) -> Result<Bytes, NameError> {
    let mut out = BytesMut::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        if is_literal(first) {
            out.put_u8(first);
            rest = tail;
            continue;
        }
        let (byte, tail) = escaped(first, tail).ok_or(NameError::NotCanonical)?;
        out.put_u8(byte);
        rest = tail;
    }
    Ok(out.freeze())
}

/// The byte that `.xx` stands for, if it needs that form.
fn escaped(first: u8, tail: &[u8]) -> Option<(u8, &[u8])> {
    let (digits, tail) = tail.split_at_checked(2)?;
    let lower = |d: &u8| d.is_ascii_digit() || (b'a'..=b'f').contains(d);
    if first != b'.' || !digits.iter().all(lower) {
        return None;
    }
    let byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    (!is_literal(byte)).then_some((byte, tail))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespace(fields: &[&'static str]) -> Namespace {
        Namespace::new(fields.iter().map(|f| f.as_bytes())).unwrap()
    }

    #[test]
    fn the_example_of_the_draft_reads_both_ways() {
        let track = FullTrackName::new(namespace(&["example.net", "team2", "project_x"]), "report")
            .unwrap();
        let text = "example.2enet-team2-project_x--report";
        assert_eq!(track.to_string(), text);
        assert_eq!(text.parse(), Ok(track));
    }

    #[test]
    fn other_spellings_of_a_name_are_refused() {
        for text in [
            "a--.61", "a--.2E", "a--.2", "a--.", "a--b-c", "a", "-a--b", "a---b", "ä--b",
        ] {
            assert!(text.parse::<FullTrackName>().is_err(), "{text}");
        }
    }

    #[test]
    fn empty_namespaces_and_names_read_both_ways() {
        for text in ["--", "--x", "a--"] {
            let track: FullTrackName = text.parse().unwrap();
            assert_eq!(track.to_string(), text);
        }
    }

    #[test]
    fn a_prefix_ends_on_a_field_boundary() {
        let whole = namespace(&["a", "bc", "d"]);
        assert!(namespace(&["a", "bc"]).is_prefix_of(&whole));
        assert!(!namespace(&["a", "b"]).is_prefix_of(&whole));
        assert_eq!(
            whole.strip_prefix(&namespace(&["a"])),
            Some(namespace(&["bc", "d"]))
        );
        assert_eq!(whole.strip_prefix(&namespace(&["b"])), None);
    }

    #[test]
    fn limits_hold_at_their_edge() {
        let field = Bytes::from(vec![b'x'; 128]);
        let full = Namespace::new(vec![field.clone(); 32]).unwrap();
        assert_eq!(full.byte_len(), MAX_FULL_TRACK_NAME);
        assert!(FullTrackName::new(full.clone(), "").is_ok());
        assert_eq!(FullTrackName::new(full, "x"), Err(NameError::TooLong));
        assert_eq!(Namespace::new(vec!["x"; 33]), Err(NameError::TooManyFields));
        assert_eq!(Namespace::new([""]), Err(NameError::EmptyField));
    }
}
