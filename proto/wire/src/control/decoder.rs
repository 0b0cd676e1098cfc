//! Cuts control and request streams into messages.

use super::{Message, MessageKind};
use crate::{Draft, WireError, varint};
use bytes::{Buf, BytesMut};

/// Cuts a control or request stream's bytes into messages. Buffers at most one message (65,535 bytes and its head), if
/// `poll` is called until `None` after each push.
#[derive(Debug)]
pub struct ControlDecoder {
    draft: Draft,
    buffer: BytesMut,
}

impl ControlDecoder {
    /// A decoder at the start of a stream.
    pub fn new(draft: Draft) -> ControlDecoder {
        ControlDecoder {
            draft,
            buffer: BytesMut::new(),
        }
    }

    /// Takes in the stream's next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message; `None` until more bytes are pushed.
    ///
    /// # Errors
    ///
    /// What the session is to be closed with. An unknown type is told before its body is there.
    pub fn poll(&mut self) -> Result<Option<Message>, WireError> {
        let Some((id, head)) = varint::peek(&self.buffer) else {
            return Ok(None);
        };
        let kind = MessageKind::from_id(id, self.draft)
            .ok_or(WireError::violation("an unknown message type"))?;
        let Some(len) = self.buffer.get(head..head + 2) else {
            return Ok(None);
        };
        let start = head + 2;
        let end = start + usize::from(u16::from_be_bytes([len[0], len[1]]));
        let Some(body) = self.buffer.get(start..end) else {
            return Ok(None);
        };
        let message = Message::decode_body(kind, self.draft, body)?;
        self.buffer.advance(end);
        if self.buffer.is_empty() {
            // Idle request streams are many: they keep no buffer.
            self.buffer = BytesMut::new();
        }
        Ok(Some(message))
    }

    /// Whether the stream may end here: no message is cut in two.
    pub fn is_at_boundary(&self) -> bool {
        self.buffer.is_empty()
    }
}
