//! SETUP and its options (draft-22 §9.3).

use crate::param::AuthorizationToken;
use bytes::Bytes;

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
    /// 0x06; 0 or absent: range filters are not taken.
    pub max_filter_ranges: Option<u64>,
    /// 0x07, for the log.
    pub implementation: Option<Bytes>,
    /// 0x08.
    pub max_request_updates: Option<u64>,
}
