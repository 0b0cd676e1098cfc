//! Decodes a subgroup stream as it arrives.

use super::chunks::{Chunks, Head};
use super::object::RawObject;
use super::{ObjectHeader, SubgroupHeader};
use crate::WireError;
use bytes::Bytes;

/// What a subgroup stream's bytes say, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubgroupEvent {
    /// Once, first.
    Header(SubgroupHeader),
    /// An object begins.
    Object {
        /// Its decoded head.
        header: ObjectHeader,
        /// Its bytes as received: head, then the payload that is there. One contiguous slice of the pushed chunk when
        /// the head did not straddle chunks; otherwise the head alone, reassembled (only head bytes are ever copied).
        wire: Bytes,
        /// How many bytes of `wire` are head.
        head_len: usize,
    },
    /// More payload of the object that began last. Never empty.
    Payload(Bytes),
    /// The object is whole.
    ObjectEnd,
}

/// Decodes one subgroup stream. After an error it is of no more use.
#[derive(Debug, Default)]
pub struct SubgroupDecoder {
    chunks: Chunks,
    state: State,
    has_properties: bool,
    previous: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Header,
    /// Between objects, or in the head of one.
    Head,
    /// In a payload of which so much is to come; 0: its end is to be told.
    Payload(u64),
}

impl SubgroupDecoder {
    /// A decoder at the start of a stream.
    pub fn new() -> SubgroupDecoder {
        SubgroupDecoder::default()
    }

    /// Takes in the next chunk. Call `poll` until `None` before pushing another.
    #[inline]
    pub fn push(&mut self, chunk: Bytes) {
        self.chunks.push(chunk);
    }

    /// The next event; `None` until more is pushed.
    ///
    /// # Errors
    ///
    /// What the session is to be closed with.
    #[inline]
    pub fn poll(&mut self) -> Result<Option<SubgroupEvent>, WireError> {
        match self.state {
            State::Payload(0) => {
                self.state = State::Head;
                Ok(Some(SubgroupEvent::ObjectEnd))
            }
            State::Payload(left) => Ok(self.payload(left)),
            State::Head => self.object(),
            State::Header => self.header(),
        }
    }

    /// Whether a FIN may stand here (header read, no object cut in two). Ask after `poll` gave `None`.
    #[inline]
    pub fn is_at_boundary(&self) -> bool {
        self.state == State::Head && self.chunks.is_empty()
    }

    fn header(&mut self) -> Result<Option<SubgroupEvent>, WireError> {
        let header = match self.chunks.head(SubgroupHeader::parse)? {
            None => return Ok(None),
            Some(Head::Gathered(header, _)) => header,
            Some(Head::InChunk(header, len)) => {
                self.chunks.take(len as u64);
                header
            }
        };
        self.state = State::Head;
        self.has_properties = header.has_properties;
        Ok(Some(SubgroupEvent::Header(header)))
    }

    #[inline]
    fn object(&mut self) -> Result<Option<SubgroupEvent>, WireError> {
        let (previous, has_properties) = (self.previous, self.has_properties);
        let parse = |bytes: &[u8]| RawObject::parse(bytes, previous, has_properties);
        let (raw, wire, head_len) = match self.chunks.head(parse)? {
            None => return Ok(None),
            Some(Head::InChunk(raw, len)) => {
                let whole = raw.payload_len.saturating_add(len as u64);
                (raw, self.chunks.take(whole), len)
            }
            Some(Head::Gathered(raw, bytes)) => {
                let len = bytes.len();
                (raw, bytes, len)
            }
        };
        let header = raw.finish(&wire);
        self.previous = Some(header.id);
        self.state = State::Payload(header.payload_len - (wire.len() - head_len) as u64);
        Ok(Some(SubgroupEvent::Object {
            header,
            wire,
            head_len,
        }))
    }

    #[inline]
    fn payload(&mut self, left: u64) -> Option<SubgroupEvent> {
        let bytes = self.chunks.take(left);
        if bytes.is_empty() {
            return None;
        }
        self.state = State::Payload(left - bytes.len() as u64);
        Some(SubgroupEvent::Payload(bytes))
    }
}
