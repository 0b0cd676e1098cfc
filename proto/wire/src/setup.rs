//! SETUP and its options (draft-22 §9.1).
//!
//! What depends on who speaks is the session's to check: PATH and AUTHORITY from a server or over WebTransport, and a
//! DELETE or USE_ALIAS token sent to a server.

use crate::Draft;
use crate::error::{EncodeError, WireError};
use crate::kvp::{PairWriter, Pairs, Value};
use crate::limits::MAX_TOKENS;
use crate::param::AuthorizationToken;
use bytes::{Bytes, BytesMut};

/// The options of a SETUP message. Unknown ones are skipped on decoding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetupOptions {
    /// 0x01 (raw QUIC client).
    pub path: Option<Bytes>,
    /// 0x05 (raw QUIC client).
    pub authority: Option<Bytes>,
    /// 0x03.
    pub authorization_tokens: Vec<AuthorizationToken>,
    /// 0x04, bytes.
    pub max_auth_token_cache_size: Option<u64>,
    /// 0x06 (20 and 22; not said or heard in 18); 0 or absent: range filters are not taken.
    pub max_filter_ranges: Option<u64>,
    /// 0x07, for the log.
    pub implementation: Option<Bytes>,
    /// 0x08 (20 and 22; not said or heard in 18); 0 or absent: not limited.
    pub max_request_updates: Option<u64>,
}

const PATH: u64 = 0x01;
const AUTHORIZATION_TOKEN: u64 = 0x03;
const MAX_AUTH_TOKEN_CACHE_SIZE: u64 = 0x04;
const AUTHORITY: u64 = 0x05;
const MAX_FILTER_RANGES: u64 = 0x06;
const MOQT_IMPLEMENTATION: u64 = 0x07;
const MAX_REQUEST_UPDATES: u64 = 0x08;

impl SetupOptions {
    /// The options as the body of a SETUP message.
    pub(crate) fn encode(&self, draft: Draft) -> Result<BytesMut, EncodeError> {
        let mut writer = PairWriter::default();
        let bytes = |writer: &mut PairWriter, kind, value: &Option<Bytes>| match value {
            Some(value) => writer.bytes(kind, value),
            None => Ok(()),
        };
        let int = |writer: &mut PairWriter, kind, value: Option<u64>| match value {
            Some(value) => writer.int(kind, value),
            None => Ok(()),
        };
        bytes(&mut writer, PATH, &self.path)?;
        for token in &self.authorization_tokens {
            let mut value = BytesMut::new();
            token.encode(&mut value);
            writer.bytes(AUTHORIZATION_TOKEN, &value)?;
        }
        int(
            &mut writer,
            MAX_AUTH_TOKEN_CACHE_SIZE,
            self.max_auth_token_cache_size,
        )?;
        bytes(&mut writer, AUTHORITY, &self.authority)?;
        if draft >= Draft::D20 {
            int(&mut writer, MAX_FILTER_RANGES, self.max_filter_ranges)?;
        }
        bytes(&mut writer, MOQT_IMPLEMENTATION, &self.implementation)?;
        if draft >= Draft::D20 {
            int(&mut writer, MAX_REQUEST_UPDATES, self.max_request_updates)?;
        }
        Ok(writer.bytes)
    }

    /// Reads the body of a SETUP message.
    pub(crate) fn decode(draft: Draft, body: &[u8]) -> Result<SetupOptions, WireError> {
        let mut options = SetupOptions::default();
        for pair in Pairs::new(body) {
            let (kind, value) = pair?;
            options.read(draft, kind, value)?;
        }
        Ok(options)
    }

    fn read(&mut self, draft: Draft, kind: u64, value: Value<'_>) -> Result<(), WireError> {
        let known = draft >= Draft::D20;
        match (kind, value) {
            (PATH, Value::Bytes(value)) => once(&mut self.path, copy(value)),
            (AUTHORIZATION_TOKEN, Value::Bytes(value)) => self.read_token(value),
            (MAX_AUTH_TOKEN_CACHE_SIZE, Value::Int(value)) => {
                once(&mut self.max_auth_token_cache_size, value)
            }
            (AUTHORITY, Value::Bytes(value)) => once(&mut self.authority, copy(value)),
            (MAX_FILTER_RANGES, Value::Int(value)) if known => {
                once(&mut self.max_filter_ranges, value)
            }
            (MOQT_IMPLEMENTATION, Value::Bytes(value)) => {
                once(&mut self.implementation, copy(value))
            }
            (MAX_REQUEST_UPDATES, Value::Int(value)) if known => {
                once(&mut self.max_request_updates, value)
            }
            _ => Ok(()),
        }
    }

    fn read_token(&mut self, value: &[u8]) -> Result<(), WireError> {
        if self.authorization_tokens.len() == MAX_TOKENS {
            return Err(WireError::over_limit("more than 64 tokens in a message"));
        }
        let token = AuthorizationToken::decode(value)?;
        self.authorization_tokens.push(token);
        Ok(())
    }
}

fn copy(value: &[u8]) -> Bytes {
    Bytes::copy_from_slice(value)
}

fn once<T>(option: &mut Option<T>, value: T) -> Result<(), WireError> {
    match option.replace(value) {
        None => Ok(()),
        Some(_) => Err(WireError::violation("a setup option stands twice")),
    }
}
