//! A request of ours and its first answer.

use crate::session::{RequestEvent, RequestStream, SendError, Session, SessionError};
use meridian_wire::control::{RequestError, RequestOk};
use meridian_wire::{Message, ResetCode};

/// Why a request was not granted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestFailed {
    /// The peer said no.
    #[error("refused with {:?}: {}", .0.code, .0.reason)]
    Refused(Box<RequestError>),
    /// The peer ended the stream instead of answering.
    #[error("cancelled with {0:?}")]
    Cancelled(Option<ResetCode>),
    /// It was not sent.
    #[error(transparent)]
    NotSent(#[from] SendError),
    /// The session ended first.
    #[error(transparent)]
    Session(#[from] SessionError),
}

/// Sends a request and waits for its first answer.
pub(super) async fn ask(
    session: &Session,
    build: impl FnOnce(u64) -> Message,
) -> Result<(Message, RequestStream), RequestFailed> {
    let mut stream = session.open_request(build).await?;
    match stream.recv().await? {
        RequestEvent::Message(Message::RequestError(error)) => {
            Err(RequestFailed::Refused(Box::new(error)))
        }
        RequestEvent::Message(answer) => Ok((answer, stream)),
        RequestEvent::Reset(code) | RequestEvent::Stopped(code) => {
            Err(RequestFailed::Cancelled(Some(code)))
        }
        RequestEvent::Fin | RequestEvent::Done => Err(RequestFailed::Cancelled(None)),
    }
}

/// The session lets nothing but the answer that fits the request through.
pub(super) fn expect_ok(answer: Message) -> Result<RequestOk, RequestFailed> {
    match answer {
        Message::RequestOk(ok) => Ok(ok),
        _ => Err(RequestFailed::Cancelled(None)),
    }
}
