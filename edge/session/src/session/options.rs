//! What a session says of itself and what it puts up with.

use bytes::Bytes;
use meridian_wire::setup::SetupOptions;
use std::time::Duration;

/// Which end of the connection a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Opened the connection; its request IDs are even.
    Client,
    /// Accepted it; its request IDs are odd.
    Server,
}

/// A session's own settings.
#[derive(Clone, Debug)]
pub struct Options {
    /// What SETUP says. `path` and `authority` are for clients on raw QUIC; elsewhere they are left out.
    pub setup: SetupOptions,
    /// How long the peer's SETUP may take.
    pub handshake_timeout: Duration,
    /// How long a message, or a stream's first bytes, may take from its first byte to its last.
    pub message_timeout: Duration,
    /// Streams of either kind whose first bytes have not all come; further ones wait in the transport.
    pub max_undispatched: usize,
    /// Bytes of messages on one request stream that the peer has not taken; beyond them the session is closed.
    pub max_unsent: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            setup: SetupOptions {
                // Room for a few tokens of a kilobyte or two, each 16 bytes more (draft-22 §9.1.3).
                max_auth_token_cache_size: Some(8 * 1024),
                max_filter_ranges: Some(8),
                max_request_updates: Some(32),
                implementation: Some(Bytes::from_static(IMPLEMENTATION)),
                ..SetupOptions::default()
            },
            handshake_timeout: Duration::from_secs(10),
            message_timeout: Duration::from_secs(10),
            max_undispatched: 64,
            max_unsent: 256 * 1024,
        }
    }
}

const IMPLEMENTATION: &[u8] = concat!("meridian/", env!("CARGO_PKG_VERSION")).as_bytes();
