//! How those who come to the doors fare, counted.

use crate::access::TokenError;
use serde_json::{Map, Value};
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of an edge's doors, shared by all of them.
#[derive(Debug, Default)]
pub struct Entries([AtomicU64; Entry::ALL.len()]);

/// What became of one that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// It has a session.
    Admitted,
    /// It has to prove first that it is where it says (QUIC Retry).
    Retried,
    /// Turned away at once: too many handshakes at a time.
    Busy,
    /// Its handshake took too long.
    HandshakeTimeout,
    /// It speaks none of the protocols here (ALPN, or the WebTransport or WebSocket protocol).
    UnknownProtocol,
    /// Its handshake failed otherwise.
    HandshakeFailed,
    /// It said nothing fit to begin a session with.
    SetupFailed,
    /// As many clients as are allowed are in.
    Full,
    /// No client is allowed in.
    Closed,
    /// It brought no token where one is needed.
    TokenMissing,
    /// A token, brought at the door or with a request, is none.
    TokenMalformed,
    /// A token is not signed with a known key.
    TokenNotSigned,
    /// A token is out of its time.
    TokenExpired,
    /// A token has been withdrawn: it was refused, or its session ended.
    TokenRevoked,
    /// A token was brought into a session that is someone else's.
    TokenOfAnother,
    /// A session ended as its holder opened another, and may have no more.
    Displaced,
    /// A session was ended by whoever runs the meeting or the network.
    Ended,
    /// Turned away, or sent on, as the edge is being drained.
    Drained,
}

impl Entry {
    /// All of them.
    pub const ALL: [Entry; 18] = [
        Entry::Admitted,
        Entry::Retried,
        Entry::Busy,
        Entry::HandshakeTimeout,
        Entry::UnknownProtocol,
        Entry::HandshakeFailed,
        Entry::SetupFailed,
        Entry::Full,
        Entry::Closed,
        Entry::TokenMissing,
        Entry::TokenMalformed,
        Entry::TokenNotSigned,
        Entry::TokenExpired,
        Entry::TokenRevoked,
        Entry::TokenOfAnother,
        Entry::Displaced,
        Entry::Ended,
        Entry::Drained,
    ];

    /// Its name in reports.
    pub fn label(self) -> &'static str {
        match self {
            Entry::Admitted => "admitted",
            Entry::Retried => "retried",
            Entry::Busy => "busy",
            Entry::HandshakeTimeout => "handshake_timeout",
            Entry::UnknownProtocol => "unknown_protocol",
            Entry::HandshakeFailed => "handshake_failed",
            Entry::SetupFailed => "setup_failed",
            Entry::Full => "full",
            Entry::Closed => "closed",
            Entry::TokenMissing => "token_missing",
            Entry::TokenMalformed => "token_malformed",
            Entry::TokenNotSigned => "token_not_signed",
            Entry::TokenExpired => "token_expired",
            Entry::TokenRevoked => "token_revoked",
            Entry::TokenOfAnother => "token_of_another",
            Entry::Displaced => "displaced",
            Entry::Ended => "ended",
            Entry::Drained => "drained",
        }
    }
}

impl From<TokenError> for Entry {
    fn from(error: TokenError) -> Entry {
        match error {
            TokenError::Missing => Entry::TokenMissing,
            TokenError::Malformed => Entry::TokenMalformed,
            TokenError::NotSigned => Entry::TokenNotSigned,
            TokenError::Expired => Entry::TokenExpired,
            TokenError::Revoked => Entry::TokenRevoked,
            TokenError::AnotherHolder => Entry::TokenOfAnother,
        }
    }
}

impl Entries {
    pub(crate) fn count(&self, entry: Entry) {
        self.0[entry as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How often it has happened.
    pub fn of(&self, entry: Entry) -> u64 {
        self.0[entry as usize].load(Ordering::Relaxed)
    }

    /// By label.
    pub(crate) fn report(&self) -> Value {
        let count = |entry: Entry| (entry.label().to_owned(), self.of(entry).into());
        Value::Object(Entry::ALL.into_iter().map(count).collect::<Map<_, _>>())
    }
}
