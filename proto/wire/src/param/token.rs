//! The Token structure (draft-22 §8.9), in parameters and in setup options.

use super::AuthorizationToken;
use crate::error::WireError;
use crate::reader::Reader;
use crate::varint;
use bytes::{BufMut, Bytes, BytesMut};

const DELETE: u64 = 0;
const REGISTER: u64 = 1;
const USE_ALIAS: u64 = 2;
const USE_VALUE: u64 = 3;

impl AuthorizationToken {
    pub(crate) fn encode(&self, out: &mut BytesMut) {
        match self {
            AuthorizationToken::Delete { alias } => {
                varint::encode(DELETE, out);
                varint::encode(*alias, out);
            }
            AuthorizationToken::Register { alias, kind, value } => {
                varint::encode(REGISTER, out);
                varint::encode(*alias, out);
                varint::encode(*kind, out);
                out.put_slice(value);
            }
            AuthorizationToken::UseAlias { alias } => {
                varint::encode(USE_ALIAS, out);
                varint::encode(*alias, out);
            }
            AuthorizationToken::UseValue { kind, value } => {
                varint::encode(USE_VALUE, out);
                varint::encode(*kind, out);
                out.put_slice(value);
            }
        }
    }

    /// Whatever is wrong with it is KEY_VALUE_FORMATTING_ERROR.
    pub(crate) fn decode(bytes: &[u8]) -> Result<AuthorizationToken, WireError> {
        let malformed = WireError::formatting("a token cannot be decoded");
        parse(&mut Reader::new(bytes)).ok_or(malformed)
    }
}

fn parse(reader: &mut Reader<'_>) -> Option<AuthorizationToken> {
    let token = match reader.varint().ok()? {
        DELETE => AuthorizationToken::Delete {
            alias: reader.varint().ok()?,
        },
        REGISTER => AuthorizationToken::Register {
            alias: reader.varint().ok()?,
            kind: reader.varint().ok()?,
            value: Bytes::copy_from_slice(reader.rest()),
        },
        USE_ALIAS => AuthorizationToken::UseAlias {
            alias: reader.varint().ok()?,
        },
        USE_VALUE => AuthorizationToken::UseValue {
            kind: reader.varint().ok()?,
            value: Bytes::copy_from_slice(reader.rest()),
        },
        _ => return None,
    };
    reader.is_empty().then_some(token)
}
