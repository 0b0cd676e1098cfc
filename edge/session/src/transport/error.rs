//! How connections and streams end, in one vocabulary for all transports.

use meridian_wire::{ResetCode, TerminationCode};

/// Why a connection is gone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionLost {
    /// The peer closed it with a MoQT code (draft-22 §6.7).
    #[error("closed by the peer with {code:?}: {reason}")]
    ClosedByPeer {
        /// The peer's code.
        code: TerminationCode,
        /// The peer's words; untrusted.
        reason: String,
    },
    /// This side closed it.
    #[error("closed locally")]
    ClosedLocally,
    /// Nothing was heard for the idle timeout.
    #[error("timed out")]
    TimedOut,
    /// The transport below failed, or the peer broke its rules.
    #[error("transport failed: {0}")]
    Transport(String),
}

/// Why a stream operation failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// The peer reset the stream it was sending.
    #[error("reset by the peer with {0:?}")]
    Reset(ResetCode),
    /// The peer no longer wants what this side sends.
    #[error("stopped by the peer with {0:?}")]
    Stopped(ResetCode),
    /// The stream was finished, reset or stopped on this side before.
    #[error("already closed")]
    Closed,
    /// The stream belongs to the HTTP/3 layer of a WebTransport connection, not to MoQT.
    #[error("not a MoQT stream")]
    Foreign,
    /// The connection is gone.
    #[error(transparent)]
    Lost(#[from] ConnectionLost),
}

/// Why a datagram was not sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DatagramError {
    /// The peer takes no datagrams.
    #[error("the peer takes no datagrams")]
    Unsupported,
    /// Larger than [`Connection::max_datagram_size`](super::Connection::max_datagram_size).
    #[error("larger than the path carries")]
    TooLarge,
    /// The connection is gone.
    #[error(transparent)]
    Lost(#[from] ConnectionLost),
}

impl From<quinn::ConnectionError> for ConnectionLost {
    fn from(error: quinn::ConnectionError) -> ConnectionLost {
        match error {
            quinn::ConnectionError::ApplicationClosed(close) => ConnectionLost::ClosedByPeer {
                code: TerminationCode(from_http3(close.error_code.into_inner())),
                reason: String::from_utf8_lossy(&close.reason).into_owned(),
            },
            quinn::ConnectionError::LocallyClosed => ConnectionLost::ClosedLocally,
            quinn::ConnectionError::TimedOut => ConnectionLost::TimedOut,
            other => ConnectionLost::Transport(other.to_string()),
        }
    }
}

/// Undoes WebTransport's code mapping. No MoQT code reaches into the mapped range, so that raw QUIC needs no case of its
/// own.
pub(super) fn from_http3(code: u64) -> u64 {
    web_transport_quinn::proto::error_from_http3(code).map_or(code, u64::from)
}

/// A code for the wire, mapped into HTTP/3's range on WebTransport. MoQT codes are small; larger ones are cut to fit.
pub(super) fn to_quic(code: u64, http3: bool) -> quinn::VarInt {
    let short = u32::try_from(code).unwrap_or(u32::MAX);
    if !http3 {
        return quinn::VarInt::from_u32(short);
    }
    let mapped = web_transport_quinn::proto::error_to_http3(short);
    quinn::VarInt::from_u64(mapped).expect("mapped codes stay below 2^62")
}
