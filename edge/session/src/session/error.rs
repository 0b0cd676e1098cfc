//! Why a session, or a message on it, failed.

use crate::transport::{ConnectionLost, StreamError};
use meridian_wire::{EncodeError, TerminationCode, WireError};

/// The session is over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The peer broke the protocol, or took too long: this side closed the session with `code` (draft-22 §6.7).
    #[error("closed with {code:?}: {what}")]
    Closed {
        /// What the session was closed with.
        code: TerminationCode,
        /// What was wrong.
        what: &'static str,
    },
    /// The connection is gone.
    #[error(transparent)]
    Lost(#[from] ConnectionLost),
}

impl SessionError {
    /// The code that ended the session, whoever closed it; `None` if the transport failed.
    pub fn code(&self) -> Option<TerminationCode> {
        match self {
            SessionError::Closed { code, .. }
            | SessionError::Lost(ConnectionLost::ClosedByPeer { code, .. }) => Some(*code),
            SessionError::Lost(_) => None,
        }
    }

    /// Whether the peer refuses the token, or wants one: trying again with the same does not help.
    pub fn is_refusal(&self) -> bool {
        matches!(
            self.code(),
            Some(
                TerminationCode::UNAUTHORIZED
                    | TerminationCode::MALFORMED_AUTH_TOKEN
                    | TerminationCode::EXPIRED_AUTH_TOKEN
            )
        )
    }
}

/// A message was not sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// It cannot be said in the session's draft, or is too long.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The message does not open a request.
    #[error("not a request")]
    NotARequest,
    /// The stream was finished, reset, or stopped by the peer.
    #[error("the request stream is closed")]
    Closed,
    /// The peer allows no more REQUEST_UPDATEs before it has answered one (MAX_REQUEST_UPDATES).
    #[error("too many unanswered updates")]
    TooManyUpdates,
    /// The session is over.
    #[error(transparent)]
    Session(#[from] SessionError),
}

impl From<ConnectionLost> for SendError {
    fn from(error: ConnectionLost) -> SendError {
        SendError::Session(error.into())
    }
}

impl From<StreamError> for SendError {
    fn from(error: StreamError) -> SendError {
        match error {
            StreamError::Lost(lost) => lost.into(),
            _ => SendError::Closed,
        }
    }
}

/// What is wrong with what the peer sent, before the session is closed for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) code: TerminationCode,
    pub(super) what: &'static str,
}

impl Fault {
    pub(super) const fn new(code: TerminationCode, what: &'static str) -> Fault {
        Fault { code, what }
    }

    pub(super) const fn violation(what: &'static str) -> Fault {
        Fault::new(TerminationCode::PROTOCOL_VIOLATION, what)
    }
}

impl From<WireError> for Fault {
    fn from(error: WireError) -> Fault {
        Fault::new(error.code, error.what)
    }
}
