//! Decodes a fetch or fill stream as it arrives.

use super::chunks::{Chunks, Head};
use super::fetch::{self, Prior, RawItem};
use super::{FetchHeader, FetchObject, RangeGap};
use crate::param::GroupOrder;
use crate::{Draft, Location, WireError};
use bytes::Bytes;

/// What a fetch stream's bytes say, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchEvent {
    /// Once, first.
    Header(FetchHeader),
    /// An object begins.
    Object {
        /// Its decoded head.
        header: FetchObject,
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
    /// No object between the last one and `end`, inclusive, follows.
    EndOfRange {
        /// Why.
        kind: RangeGap,
        /// The range's last location.
        end: Location,
    },
}

/// Decodes one fetch stream. After an error it is of no more use.
#[derive(Debug)]
pub struct FetchDecoder {
    draft: Draft,
    order: GroupOrder,
    chunks: Chunks,
    state: State,
    prior: Prior,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Header,
    /// Between objects, or in the head of one.
    Head,
    /// In a payload of which so much is to come; 0: its end is to be told.
    Payload(u64),
}

impl FetchDecoder {
    /// A decoder at the start of a stream that answers a request for groups in `order`: the stream does not say it.
    pub fn new(draft: Draft, order: GroupOrder) -> FetchDecoder {
        FetchDecoder {
            draft,
            order,
            chunks: Chunks::default(),
            state: State::Header,
            prior: Prior::default(),
        }
    }

    /// Sets the order, for a stream whose request is known once its header is read. Call it before the first object.
    pub fn set_order(&mut self, order: GroupOrder) {
        self.order = order;
    }

    /// Takes in the next chunk. Call `poll` until `None` before pushing another.
    pub fn push(&mut self, chunk: Bytes) {
        self.chunks.push(chunk);
    }

    /// The next event; `None` until more is pushed.
    ///
    /// # Errors
    ///
    /// What the session is to be closed with.
    pub fn poll(&mut self) -> Result<Option<FetchEvent>, WireError> {
        match self.state {
            State::Payload(0) => {
                self.state = State::Head;
                Ok(Some(FetchEvent::ObjectEnd))
            }
            State::Payload(left) => Ok(self.payload(left)),
            State::Head => self.item(),
            State::Header => self.header(),
        }
    }

    /// Whether a FIN may stand here (header read, no object cut in two). Ask after `poll` gave `None`.
    pub fn is_at_boundary(&self) -> bool {
        self.state == State::Head && self.chunks.is_empty()
    }

    fn header(&mut self) -> Result<Option<FetchEvent>, WireError> {
        let header = match self.chunks.head(FetchHeader::parse)? {
            None => return Ok(None),
            Some(Head::Gathered(header, _)) => header,
            Some(Head::InChunk(header, len)) => {
                self.chunks.take(len as u64);
                header
            }
        };
        self.state = State::Head;
        Ok(Some(FetchEvent::Header(header)))
    }

    fn item(&mut self) -> Result<Option<FetchEvent>, WireError> {
        let (prior, order, draft) = (self.prior, self.order, self.draft);
        let parse = |bytes: &[u8]| fetch::parse(bytes, prior, order, draft);
        let (item, wire, head_len) = match self.chunks.head(parse)? {
            None => return Ok(None),
            Some(Head::InChunk(item, len)) => {
                let payload = match &item {
                    RawItem::Object(object, _) => object.payload_len,
                    RawItem::Gap(..) => 0,
                };
                let wire = self.chunks.take(payload.saturating_add(len as u64));
                (item, wire, len)
            }
            Some(Head::Gathered(item, bytes)) => {
                let len = bytes.len();
                (item, bytes, len)
            }
        };
        Ok(Some(match item {
            RawItem::Gap(kind, end) => {
                self.prior.location = Some(end);
                FetchEvent::EndOfRange { kind, end }
            }
            RawItem::Object(mut header, properties) => {
                header.properties = properties.of(&wire);
                self.prior.note(&header);
                self.state = State::Payload(header.payload_len - (wire.len() - head_len) as u64);
                FetchEvent::Object {
                    header,
                    wire,
                    head_len,
                }
            }
        }))
    }

    fn payload(&mut self, left: u64) -> Option<FetchEvent> {
        let bytes = self.chunks.take(left);
        if bytes.is_empty() {
            return None;
        }
        self.state = State::Payload(left - bytes.len() as u64);
        Some(FetchEvent::Payload(bytes))
    }
}
