//! A MoQT session, either role, on one connection: SETUP, requests, streams and datagrams, and everything that a hostile
//! peer must not do (draft-22 §6, §9).
//!
//! Tracks, subscriptions and objects are not known here.

mod closer;
mod core;
mod counters;
mod dispatch;
mod error;
mod exchange;
mod handshake;
mod options;
mod outbox;
mod request;
mod request_ids;
mod requests;
mod tasks;
mod tokens;

pub use counters::SessionCounters;
pub use dispatch::DataStream;
pub use error::{SendError, SessionError};
pub use exchange::Opener;
pub use options::{Options, Role};
pub use request::{RequestEvent, RequestReceiver, RequestSender, RequestStream};
pub use requests::IncomingRequest;

use self::core::Core;
use crate::transport::Connection;
use meridian_wire::control::Goaway;
use meridian_wire::data::{Datagram, ObjectDatagram};
use meridian_wire::setup::SetupOptions;
use meridian_wire::{Draft, Message, TerminationCode};
use std::sync::Arc;
use tokio::sync::watch;

/// An established session. Clones are the same session; when the last of them and of its requests is dropped, the
/// connection is closed with NO_ERROR.
#[derive(Clone, Debug)]
pub struct Session {
    core: Arc<Core>,
}

impl Session {
    /// Sets up a session as the side that opened the connection.
    ///
    /// # Errors
    /// The peer's SETUP is late or wrong (the session was closed for it), or the connection is lost.
    pub async fn connect(
        connection: Connection,
        options: Options,
    ) -> Result<Session, SessionError> {
        Session::establish(connection, Role::Client, options).await
    }

    /// Sets up a session as the side that accepted the connection.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn accept(connection: Connection, options: Options) -> Result<Session, SessionError> {
        Session::establish(connection, Role::Server, options).await
    }

    async fn establish(
        connection: Connection,
        role: Role,
        options: Options,
    ) -> Result<Session, SessionError> {
        let core = Arc::new(Core::new(connection, role, options));
        handshake::run(&core).await?;
        Ok(Session { core })
    }

    /// The draft that is spoken.
    pub fn draft(&self) -> Draft {
        self.core.draft()
    }

    /// Which end this is.
    pub fn role(&self) -> Role {
        self.core.role
    }

    /// What the peer's SETUP said, its authorization tokens made plain (`UseValue`).
    pub fn peer_setup(&self) -> &SetupOptions {
        self.core.peer_setup()
    }

    /// The connection below.
    pub fn connection(&self) -> &Connection {
        self.core.connection()
    }

    /// The peer's next request. Safe to drop; requests wait in the transport while nobody asks.
    ///
    /// # Errors
    /// The session is over. If the peer broke the protocol, it has just been closed for it.
    pub async fn accept_request(&self) -> Result<IncomingRequest, SessionError> {
        requests::next(&self.core).await
    }

    /// Sends a request on a stream of its own, waiting for stream credit. `build` is given the request's ID.
    ///
    /// # Errors
    /// The message is no request or cannot be said in this draft, or the session is over.
    pub async fn open_request(
        &self,
        build: impl FnOnce(u64) -> Message,
    ) -> Result<RequestStream, SendError> {
        let opened = self.connection().open_bi().await;
        let stream = opened.map_err(|lost| self.core.closer.lost(lost))?;
        requests::open(&self.core, stream, build)
    }

    /// The peer's next stream of objects, with its first bytes. Safe to drop. A stream that came in one packet is handed over
    /// within the same wake-up, and so is what follows the first bytes: see
    /// [`RecvStream::try_read_chunk`](crate::transport::RecvStream::try_read_chunk).
    ///
    /// # Errors
    /// As [`accept_request`](Self::accept_request).
    pub async fn accept_data(&self) -> Result<DataStream, SessionError> {
        self.core.next_data().await
    }

    /// The next object that came as a datagram. Safe to drop. Padding is skipped.
    ///
    /// # Errors
    /// As [`accept_request`](Self::accept_request).
    pub async fn accept_datagram(&self) -> Result<ObjectDatagram, SessionError> {
        loop {
            let read = self.connection().read_datagram().await;
            let bytes = read.map_err(|lost| self.core.closer.lost(lost))?;
            match Datagram::decode(bytes) {
                Ok(Datagram::Object(object)) => return Ok(object),
                Ok(Datagram::Padding) => {}
                Err(error) => return Err(self.core.closer.fail(error)),
            }
        }
    }

    /// Tells the peer to leave. Send it once.
    ///
    /// # Errors
    /// As [`RequestSender::send`].
    pub fn send_goaway(&self, goaway: Goaway) -> Result<(), SendError> {
        self.core.send_goaway(goaway)
    }

    /// The peer's GOAWAY, as soon as it comes. After it new requests should go to another session.
    pub fn goaway(&self) -> watch::Receiver<Option<Goaway>> {
        self.core.goaway.subscribe()
    }

    /// What was turned away so far.
    pub fn counters(&self) -> SessionCounters {
        self.core.counters.values()
    }

    /// Ends the session at once, with a reason for the peer's log. Only the first close counts.
    pub fn close(&self, code: TerminationCode, reason: &'static str) {
        self.core.closer.close(code, reason);
    }

    /// Waits for the session's end and tells why.
    pub async fn closed(&self) -> SessionError {
        self.core.closed().await
    }
}
