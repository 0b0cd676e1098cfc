//! SETUP, both ways, over a pair of unidirectional control streams (draft-22 §6.3, §9.1).

use super::core::Core;
use super::dispatch::Uni;
use super::error::{Fault, SendError, SessionError};
use super::options::Role;
use super::request_ids::parity;
use crate::transport::{RecvStream, StreamError, Transport};
use bytes::Bytes;
use meridian_wire::control::Goaway;
use meridian_wire::setup::SetupOptions;
use meridian_wire::{ControlDecoder, Message, TerminationCode};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// A control stream's longest read at once: messages are small.
const MAX_CHUNK: usize = 4096;

/// Exchanges SETUP and starts to watch the peer's control stream.
pub(super) async fn run(core: &Arc<Core>) -> Result<(), SessionError> {
    let patience = core.options.handshake_timeout;
    let Ok(result) = timeout(patience, exchange(core)).await else {
        let code = TerminationCode::CONTROL_MESSAGE_TIMEOUT;
        return Err(core.closer.fail(Fault::new(code, "no SETUP in time")));
    };
    let control = result?;
    core.spawn(watch_control(control, core));
    Ok(())
}

async fn exchange(core: &Arc<Core>) -> Result<Control, SessionError> {
    let opened = core.connection().open_uni().await;
    let stream = opened.map_err(|lost| core.closer.lost(lost))?;
    core.start_control(stream).map_err(|error| match error {
        SendError::Session(error) => error,
        _ => core
            .closer
            .close(TerminationCode::INTERNAL_ERROR, "SETUP cannot be sent"),
    })?;
    let (first, stream) = peer_control(core).await?;
    let mut control = Control::new(core, stream, &first);
    let accepted = match control.next().await {
        Ok(Message::Setup(setup)) => check(core, &setup).and_then(|()| core.set_peer_setup(setup)),
        Ok(_) => Err(Fault::violation(
            "the control stream does not begin with SETUP",
        )),
        Err(End::Fault(fault)) => Err(fault),
        Err(End::Closed) if core.closer.is_closing().await => return Err(core.closed().await),
        Err(End::Closed) => Err(CLOSED),
        Err(End::Lost) => return Err(core.closed().await),
    };
    accepted.map_err(|fault| core.closer.fail(fault))?;
    Ok(control)
}

/// Waits for the peer's control stream; what comes before it is kept.
async fn peer_control(core: &Core) -> Result<(Bytes, RecvStream), SessionError> {
    loop {
        match core.next_uni().await? {
            Uni::Control(first, stream) => return Ok((first, stream)),
            Uni::Data(data) => core.keep_early(data),
            Uni::Nothing(_) => {}
        }
    }
}

/// What a SETUP may say depends on who says it and over what.
fn check(core: &Core, setup: &SetupOptions) -> Result<(), Fault> {
    let from_raw_client =
        core.role == Role::Server && core.connection().transport() == Transport::Quic;
    match &setup.path {
        Some(_) if !from_raw_client => {
            return Err(Fault::new(
                TerminationCode::INVALID_PATH,
                "PATH out of place",
            ));
        }
        Some(path) if !is_path(path) => {
            return Err(Fault::new(
                TerminationCode::MALFORMED_PATH,
                "PATH is not one",
            ));
        }
        _ => {}
    }
    match &setup.authority {
        Some(_) if !from_raw_client => {
            let code = TerminationCode::INVALID_AUTHORITY;
            Err(Fault::new(code, "AUTHORITY out of place"))
        }
        Some(authority) if !is_authority(authority) => {
            let code = TerminationCode::MALFORMED_AUTHORITY;
            Err(Fault::new(code, "AUTHORITY is not one"))
        }
        _ => Ok(()),
    }
}

/// `path-abempty [ "?" query ]` by the characters RFC 3986 allows.
fn is_path(path: &[u8]) -> bool {
    let absolute = matches!(path.first(), None | Some(b'/' | b'?'));
    absolute
        && path
            .iter()
            .all(|byte| is_uri_byte(*byte) || b"/?:@".contains(byte))
}

fn is_authority(authority: &[u8]) -> bool {
    let allowed = |byte: &u8| is_uri_byte(*byte) || b":@[]".contains(byte);
    !authority.is_empty() && authority.iter().all(allowed)
}

/// `unreserved`, `sub-delims` and the start of `pct-encoded`.
fn is_uri_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(&byte)
}

/// The peer's control stream.
struct Control {
    stream: RecvStream,
    decoder: ControlDecoder,
    patience: Duration,
}

/// Why a control stream says no more.
enum End {
    Fault(Fault),
    /// The peer ended the stream.
    Closed,
    Lost,
}

impl Control {
    fn new(core: &Core, stream: RecvStream, first: &[u8]) -> Control {
        let mut decoder = ControlDecoder::new(core.draft());
        decoder.push(first);
        Control {
            stream,
            decoder,
            patience: core.options.message_timeout,
        }
    }

    async fn next(&mut self) -> Result<Message, End> {
        loop {
            match self.decoder.poll() {
                Ok(Some(message)) => return Ok(message),
                Ok(None) => self.read().await?,
                Err(error) => return Err(End::Fault(error.into())),
            }
        }
    }

    async fn read(&mut self) -> Result<(), End> {
        let whole = self.decoder.is_at_boundary();
        let read = self.stream.read_chunk(MAX_CHUNK);
        let chunk = match whole {
            true => read.await,
            false => timeout(self.patience, read)
                .await
                .map_err(|_| End::Fault(SLOW))?,
        };
        match chunk {
            Ok(Some(chunk)) => {
                self.decoder.push(&chunk);
                Ok(())
            }
            Err(StreamError::Lost(_)) => Err(End::Lost),
            Ok(None) | Err(_) => Err(End::Closed),
        }
    }
}

/// Takes GOAWAY, and closes the session for anything else.
fn watch_control(mut control: Control, core: &Core) -> impl Future<Output = ()> + Send + use<> {
    let closer = core.closer.clone();
    let goaway = core.goaway.clone();
    let role = core.role;
    async move {
        let fault = loop {
            let fault = match control.next().await {
                Ok(Message::Goaway(message)) => take_goaway(message, role, &goaway),
                Ok(_) => Err(Fault::violation(
                    "a message out of place on the control stream",
                )),
                Err(End::Fault(fault)) => Err(fault),
                Err(End::Closed) if closer.is_closing().await => return,
                Err(End::Closed) => Err(CLOSED),
                Err(End::Lost) => return,
            };
            if let Err(fault) = fault {
                break fault;
            }
        };
        closer.fail(fault);
    }
}

fn take_goaway(
    message: Goaway,
    role: Role,
    goaway: &tokio::sync::watch::Sender<Option<Goaway>>,
) -> Result<(), Fault> {
    if role == Role::Server && !message.uri.is_empty() {
        return Err(Fault::violation("a client's GOAWAY names a URI"));
    }
    if message.request_id.is_some_and(|id| id % 2 != parity(role)) {
        let code = TerminationCode::INVALID_REQUEST_ID;
        return Err(Fault::new(code, "GOAWAY names a request of its sender"));
    }
    match goaway.send_replace(Some(message)) {
        None => Ok(()),
        Some(_) => Err(Fault::violation("a second GOAWAY")),
    }
}

const CLOSED: Fault = Fault::violation("the control stream was closed");
const SLOW: Fault = Fault::new(
    TerminationCode::CONTROL_MESSAGE_TIMEOUT,
    "a control message was not completed in time",
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_authorities_follow_their_grammar() {
        assert!(is_path(b"/meeting/7?jwt=a.b-c_d") && is_path(b""));
        assert!(!is_path(b"meeting") && !is_path(b"/a b") && !is_path(b"/\xff"));
        assert!(is_authority(b"[::1]:4443") && is_authority(b"edge.example:443"));
        assert!(!is_authority(b"") && !is_authority(b"a/b"));
    }
}
