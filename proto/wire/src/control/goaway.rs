//! GOAWAY (draft-22 §9.2).

use super::{put_uri, uri};
use crate::reader::Reader;
use crate::{Draft, EncodeError, WireError, varint};
use bytes::{Bytes, BytesMut};

/// GOAWAY.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Goaway {
    /// Where to go instead; empty: the same place. At most 8192 bytes; clients send none.
    pub uri: Bytes,
    /// Milliseconds until the session is closed; 0: unspecified.
    pub timeout: u64,
    /// Draft 18 only, and there only on the control stream: the smallest request ID of the peer's that may not have
    /// been processed. Later drafts do not say it: it is left out.
    pub request_id: Option<u64>,
}

impl Goaway {
    pub(super) fn encode(&self, draft: Draft, out: &mut BytesMut) -> Result<(), EncodeError> {
        put_uri(&self.uri, out)?;
        varint::encode(self.timeout, out);
        if let (Draft::D18, Some(request_id)) = (draft, self.request_id) {
            varint::encode(request_id, out);
        }
        Ok(())
    }

    pub(super) fn decode(draft: Draft, reader: &mut Reader<'_>) -> Result<Goaway, WireError> {
        let mut goaway = Goaway {
            uri: uri(reader)?,
            timeout: reader.varint()?,
            request_id: None,
        };
        if draft == Draft::D18 && !reader.is_empty() {
            goaway.request_id = Some(reader.varint()?);
        }
        Ok(goaway)
    }
}
