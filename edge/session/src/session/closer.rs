//! Closes a session once, for one reason, and remembers it.

use super::error::{Fault, SessionError};
use crate::transport::{Connection, ConnectionLost};
use meridian_wire::TerminationCode;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::time::timeout;

/// How long a close may be on its way behind the streams that it ends.
const CLOSING: Duration = Duration::from_millis(250);

/// The end of a session, within reach of all its parts.
#[derive(Clone, Debug)]
pub(super) struct Closer {
    connection: Connection,
    reason: Arc<OnceLock<SessionError>>,
}

impl Closer {
    pub(super) fn new(connection: Connection) -> Closer {
        Closer {
            connection,
            reason: Arc::default(),
        }
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Closes for a fault of the peer's, and says why the session is over: the first reason counts.
    pub(super) fn fail(&self, fault: impl Into<Fault>) -> SessionError {
        let Fault { code, what } = fault.into();
        self.close(code, what)
    }

    /// Whether the peer is about to close the connection: browsers end their streams before they say so.
    pub(super) async fn is_closing(&self) -> bool {
        timeout(CLOSING, self.connection.closed()).await.is_ok()
    }

    pub(super) fn close(&self, code: TerminationCode, what: &'static str) -> SessionError {
        let reason = self.reason.get_or_init(|| {
            tracing::debug!(?code, what, "closing the session");
            self.connection.close(code, what);
            SessionError::Closed { code, what }
        });
        reason.clone()
    }

    /// Why the session is over, given what a part of the transport said of it: the whole of it often knows more.
    pub(super) fn lost(&self, lost: ConnectionLost) -> SessionError {
        let known = self.reason.get().cloned();
        known.unwrap_or_else(|| SessionError::Lost(self.connection.end().unwrap_or(lost)))
    }
}
