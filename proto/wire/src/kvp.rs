//! Key-value pairs with delta-coded types (draft-22 §1.4.3): even types carry a varint, odd ones bytes.

use crate::error::{EncodeError, WireError};
use crate::limits::MAX_KVP_VALUE;
use crate::varint;
use bytes::{BufMut, BytesMut};

/// A pair's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Of an even type.
    Int(u64),
    /// Of an odd type; at most 65,535 bytes.
    Bytes(&'a [u8]),
}

/// Iterates over encoded pairs as `(type, value)`. Ends after the first error.
#[derive(Clone, Copy, Debug)]
pub struct Pairs<'a> {
    rest: &'a [u8],
    previous: u64,
}

impl<'a> Pairs<'a> {
    /// The pairs in `bytes`, a block without its length.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Pairs<'a> {
        Pairs {
            rest: bytes,
            previous: 0,
        }
    }

    #[inline]
    fn pair(&mut self) -> Result<(u64, Value<'a>), WireError> {
        let delta = varint::decode(&mut self.rest).ok_or(CUT)?;
        let kind = self.previous.checked_add(delta).ok_or(OVERFLOW)?;
        self.previous = kind;
        let number = varint::decode(&mut self.rest).ok_or(CUT)?;
        if kind.is_multiple_of(2) {
            return Ok((kind, Value::Int(number)));
        }
        if number > MAX_KVP_VALUE as u64 {
            return Err(LONG);
        }
        let (value, rest) = self.rest.split_at_checked(number as usize).ok_or(CUT)?;
        self.rest = rest;
        Ok((kind, Value::Bytes(value)))
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = Result<(u64, Value<'a>), WireError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let pair = self.pair();
        if pair.is_err() {
            self.rest = &[];
        }
        Some(pair)
    }
}

/// Writes pairs in ascending order of type.
#[derive(Debug, Default)]
pub(crate) struct PairWriter {
    pub(crate) bytes: BytesMut,
    previous: u64,
}

impl PairWriter {
    fn kind(&mut self, kind: u64) -> Result<(), EncodeError> {
        let delta = kind
            .checked_sub(self.previous)
            .ok_or(EncodeError::Invalid {
                what: "pairs are not in ascending order",
            })?;
        self.previous = kind;
        varint::encode(delta, &mut self.bytes);
        Ok(())
    }

    pub(crate) fn int(&mut self, kind: u64, value: u64) -> Result<(), EncodeError> {
        if kind % 2 == 1 {
            return Err(EncodeError::Invalid {
                what: "an odd type cannot carry a number",
            });
        }
        self.kind(kind)?;
        varint::encode(value, &mut self.bytes);
        Ok(())
    }

    pub(crate) fn bytes(&mut self, kind: u64, value: &[u8]) -> Result<(), EncodeError> {
        if kind.is_multiple_of(2) {
            return Err(EncodeError::Invalid {
                what: "an even type cannot carry bytes",
            });
        }
        if value.len() > MAX_KVP_VALUE {
            return Err(EncodeError::TooLong {
                what: "a key-value pair",
                limit: MAX_KVP_VALUE,
            });
        }
        self.kind(kind)?;
        varint::encode(value.len() as u64, &mut self.bytes);
        self.bytes.put_slice(value);
        Ok(())
    }
}

const CUT: WireError = WireError::formatting("a key-value pair is cut in two");
const OVERFLOW: WireError = WireError::violation("a key-value pair's type exceeds 64 bits");
const LONG: WireError = WireError::violation("a key-value pair's value exceeds 65,535 bytes");
