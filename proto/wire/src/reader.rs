//! Reads fields off the body of a control message or a length-prefixed value.
//!
//! The bytes are all there: running out means that a length and its content disagree. Everything that is kept is copied,
//! so that a name of ten bytes does not hold a message of sixty kilobytes alive.

use crate::error::WireError;
use crate::limits::{MAX_FULL_TRACK_NAME, MAX_NAMESPACE_FIELDS, MAX_REASON};
use crate::name::{FullTrackName, Location, Namespace};
use crate::varint;
use bytes::Bytes;
use smallvec::SmallVec;

/// A cursor over bytes that are all there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn finish(&self) -> Result<(), WireError> {
        if self.is_empty() {
            return Ok(());
        }
        Err(WireError::violation("bytes after the end of a message"))
    }

    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, WireError> {
        let (first, rest) = self.rest.split_first().ok_or(CUT)?;
        self.rest = rest;
        Ok(*first)
    }

    pub(crate) fn varint(&mut self) -> Result<u64, WireError> {
        varint::decode(&mut self.rest).ok_or(CUT)
    }

    pub(crate) fn slice(&mut self, len: u64) -> Result<&'a [u8], WireError> {
        let len = usize::try_from(len).map_err(|_| CUT)?;
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(CUT)?;
        self.rest = rest;
        Ok(taken)
    }

    /// A varint length and that many bytes, at most `limit`.
    pub(crate) fn prefixed(
        &mut self,
        limit: usize,
        over: &'static str,
    ) -> Result<&'a [u8], WireError> {
        let len = self.varint()?;
        if len > limit as u64 {
            return Err(WireError::violation(over));
        }
        self.slice(len)
    }

    pub(crate) fn location(&mut self) -> Result<Location, WireError> {
        Ok(Location {
            group: self.varint()?,
            object: self.varint()?,
        })
    }

    pub(crate) fn namespace(&mut self) -> Result<Namespace, WireError> {
        let count = self.varint()?;
        if count > MAX_NAMESPACE_FIELDS as u64 {
            return Err(WireError::violation("a namespace has more than 32 fields"));
        }
        let mut fields = SmallVec::with_capacity(count as usize);
        let mut total = 0;
        for _ in 0..count {
            let field = self.prefixed(MAX_FULL_TRACK_NAME, LONG_NAME)?;
            if field.is_empty() {
                return Err(WireError::violation("a namespace field is empty"));
            }
            total += field.len();
            fields.push(Bytes::copy_from_slice(field));
        }
        if total > MAX_FULL_TRACK_NAME {
            return Err(WireError::violation(LONG_NAME));
        }
        Ok(Namespace(fields))
    }

    pub(crate) fn track(&mut self) -> Result<FullTrackName, WireError> {
        let namespace = self.namespace()?;
        let name = self.prefixed(MAX_FULL_TRACK_NAME, LONG_NAME)?;
        if namespace.byte_len() + name.len() > MAX_FULL_TRACK_NAME {
            return Err(WireError::violation(LONG_NAME));
        }
        Ok(FullTrackName {
            namespace,
            name: Bytes::copy_from_slice(name),
        })
    }

    /// A reason phrase. Bytes that are not UTF-8 are replaced, and what then exceeds the limit is cut: it is for people.
    pub(crate) fn reason(&mut self) -> Result<String, WireError> {
        let bytes = self.prefixed(MAX_REASON, "a reason phrase is longer than 1024 bytes")?;
        let mut reason = String::from_utf8_lossy(bytes).into_owned();
        reason.truncate(reason.floor_char_boundary(MAX_REASON));
        Ok(reason)
    }
}

const CUT: WireError = WireError::violation("a length and its content disagree");
const LONG_NAME: &str = "a full track name is longer than 4096 bytes";
