//! The unread part of a stream: one chunk, and before it what was cut off an earlier one.
//!
//! Heads are read in place while they lie in one chunk. A head that straddles chunks is gathered byte for byte, and no
//! byte past it: payload is never copied.

use crate::error::WireError;
use crate::limits::MAX_OBJECT_PROPERTIES;
use crate::varint;
use bytes::{Buf, Bytes, BytesMut};

/// What a parser makes of the bytes so far.
pub(super) type Parsed<T> = Result<Step<T>, WireError>;

/// How far a parser came.
#[derive(Debug)]
pub(super) enum Step<T> {
    /// The head and its length.
    Ready(T, usize),
    /// It takes this many bytes at least.
    Need(usize),
}

/// A parsed head: where its bytes are.
#[derive(Debug)]
pub(super) enum Head<T> {
    /// At the start of the chunk, not yet taken off it; of this length.
    InChunk(T, usize),
    /// It straddled chunks: its bytes, put together. The chunk goes on behind it.
    Gathered(T, Bytes),
}

#[derive(Debug, Default)]
pub(super) struct Chunks {
    chunk: Bytes,
    carry: BytesMut,
}

impl Chunks {
    #[inline]
    pub(super) fn push(&mut self, chunk: Bytes) {
        if self.chunk.is_empty() {
            self.chunk = chunk;
            return;
        }
        // The caller did not poll to the end. That costs it a copy, but loses nothing.
        let mut joined = BytesMut::with_capacity(self.chunk.len() + chunk.len());
        joined.extend_from_slice(&self.chunk);
        joined.extend_from_slice(&chunk);
        self.chunk = joined.freeze();
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.chunk.is_empty() && self.carry.is_empty()
    }

    /// Takes at most `limit` bytes off the chunk.
    #[inline]
    pub(super) fn take(&mut self, limit: u64) -> Bytes {
        let len =
            usize::try_from(limit).map_or(self.chunk.len(), |limit| limit.min(self.chunk.len()));
        if len == self.chunk.len() {
            return std::mem::take(&mut self.chunk);
        }
        self.chunk.split_to(len)
    }

    /// Parses the next head; `None` until more is pushed.
    #[inline]
    pub(super) fn head<T>(
        &mut self,
        parse: impl Fn(&[u8]) -> Parsed<T>,
    ) -> Result<Option<Head<T>>, WireError> {
        if self.carry.is_empty() {
            if self.chunk.is_empty() {
                return Ok(None);
            }
            if let Step::Ready(head, len) = parse(&self.chunk)? {
                return Ok(Some(Head::InChunk(head, len)));
            }
        }
        self.gather(parse)
    }

    #[cold]
    fn gather<T>(
        &mut self,
        parse: impl Fn(&[u8]) -> Parsed<T>,
    ) -> Result<Option<Head<T>>, WireError> {
        loop {
            let need = match parse(&self.carry)? {
                Step::Ready(head, len) => {
                    let bytes = std::mem::take(&mut self.carry).split_to(len).freeze();
                    return Ok(Some(Head::Gathered(head, bytes)));
                }
                Step::Need(need) => need,
            };
            let missing = need.saturating_sub(self.carry.len()).max(1);
            if self.chunk.is_empty() {
                return Ok(None);
            }
            let len = missing.min(self.chunk.len());
            self.carry.extend_from_slice(&self.chunk[..len]);
            self.chunk.advance(len);
        }
    }
}

/// Reads a head's fields from a stream, and knows how much it takes when they are not all there.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// Why a field could not be read.
#[derive(Debug)]
pub(super) enum Stop {
    /// The head takes this many bytes at least.
    Need(usize),
    Bad(WireError),
}

impl From<WireError> for Stop {
    fn from(error: WireError) -> Stop {
        Stop::Bad(error)
    }
}

impl<'a> Fields<'a> {
    #[inline]
    pub(super) fn new(bytes: &'a [u8]) -> Fields<'a> {
        Fields { bytes, at: 0 }
    }

    /// Turns what a parser ended with into what [`Chunks::head`] takes.
    #[inline]
    pub(super) fn end<T>(self, parsed: Result<T, Stop>) -> Parsed<T> {
        match parsed {
            Ok(head) => Ok(Step::Ready(head, self.at)),
            Err(Stop::Need(need)) => Ok(Step::Need(need)),
            Err(Stop::Bad(error)) => Err(error),
        }
    }

    #[inline]
    pub(super) fn varint(&mut self) -> Result<u64, Stop> {
        let rest = &self.bytes[self.at..];
        let Some((value, len)) = varint::peek(rest) else {
            let len = rest.first().map_or(1, |first| varint::len_by_first(*first));
            return Err(Stop::Need(self.at + len));
        };
        self.at += len;
        Ok(value)
    }

    #[inline]
    pub(super) fn u8(&mut self) -> Result<u8, Stop> {
        let byte = *self.bytes.get(self.at).ok_or(Stop::Need(self.at + 1))?;
        self.at += 1;
        Ok(byte)
    }

    /// The place of a properties block, read past.
    #[inline]
    pub(super) fn properties(&mut self) -> Result<Span, Stop> {
        let len = self.varint()?;
        if len > MAX_OBJECT_PROPERTIES as u64 {
            return Err(Stop::Bad(LONG_PROPERTIES));
        }
        let span = Span {
            start: self.at,
            end: self.at + len as usize,
        };
        if span.end > self.bytes.len() {
            return Err(Stop::Need(span.end));
        }
        self.at = span.end;
        Ok(span)
    }
}

/// A part of a head, by its place.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Span {
    #[inline]
    pub(super) fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// The part as a slice of `bytes`, which begin with the head.
    #[inline]
    pub(super) fn of(self, bytes: &Bytes) -> Bytes {
        if self.is_empty() {
            return Bytes::new();
        }
        bytes.slice(self.start..self.end)
    }
}

pub(super) const LONG_PROPERTIES: WireError =
    WireError::over_limit("an object's properties are longer than is taken here");
