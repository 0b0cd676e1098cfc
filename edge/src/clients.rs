//! The doors for clients: raw QUIC and WebTransport on one UDP port, WebSocket on the TCP port of the same number.

use crate::access::{self, Access};
use crate::entries::{Entries, Entry};
use crate::gate::Gate;
use crate::link;
use crate::web_socket;
use crate::worker::Worker;
use anyhow::Context;
use meridian_relay::{Peer, Role};
use meridian_session::endpoint::QuicSettings;
use meridian_session::session::{Options, Session};
use meridian_session::tls::{self, Identity};
use meridian_session::transport::{Connection, Incoming, UpgradeError};
use meridian_wire::TerminationCode;
use meridian_wire::param::AuthorizationToken;
use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Clients at a time, unless configured: what an office of a large meeting may see.
pub const MAX_CLIENTS: usize = 4096;
/// How long TLS and HTTP may take together.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Handshakes in progress beyond which a new address must first prove that it is there (QUIC Retry, RFC 9000 §8.1.2).
const UNPROVEN_HANDSHAKES: usize = 256;
/// Handshakes in progress beyond which nobody is let in.
const MAX_HANDSHAKES: usize = 1024;
/// TLS's no_application_protocol alert (RFC 7301 §3.2), as QUIC carries it (RFC 9001 §4.8).
const NO_PROTOCOL: u8 = 120;

/// Where and how clients come in.
pub struct Doors {
    /// UDP and TCP; with port 0 the system chooses one for both.
    pub address: SocketAddr,
    /// The certificate.
    pub identity: Identity,
    /// Who may do what.
    pub access: Access,
    /// Sessions at a time.
    pub max_clients: usize,
}

/// What all doors share.
#[derive(Clone)]
pub(crate) struct Entrance {
    pub(crate) worker: Worker,
    pub(crate) entries: Arc<Entries>,
    access: Rc<Access>,
    max_clients: usize,
    clients: Rc<Cell<usize>>,
    pub(crate) handshakes: Rc<Cell<usize>>,
}

/// Opens the doors; tasks of the worker's serve who comes in. The address is the one that was bound.
pub async fn listen(worker: &Worker, doors: Doors) -> anyhow::Result<SocketAddr> {
    let address = doors.address;
    let settings = QuicSettings::client_side();
    let server = tls::server(doors.identity.clone(), tls::client_facing_protocols())?;
    let endpoint = settings
        .endpoint(address, Some(settings.server_config(server)?))
        .with_context(|| format!("UDP {address} cannot be bound; is another edge running?"))?;
    let address = endpoint.local_addr()?;
    let entrance = Entrance {
        worker: worker.clone(),
        entries: worker.entries(),
        access: Rc::new(doors.access),
        max_clients: doors.max_clients,
        clients: Rc::new(Cell::new(0)),
        handshakes: Rc::new(Cell::new(0)),
    };
    web_socket::listen(&entrance, address, doors.identity)
        .await
        .with_context(|| format!("TCP {address} cannot be bound"))?;
    tokio::task::spawn_local(take_connections(entrance, endpoint));
    Ok(address)
}

async fn take_connections(entrance: Entrance, endpoint: quinn::Endpoint) {
    while let Some(incoming) = endpoint.accept().await {
        let waiting = entrance.handshakes.get();
        if waiting >= MAX_HANDSHAKES {
            entrance.entries.count(Entry::Busy);
            incoming.refuse();
        } else if waiting >= UNPROVEN_HANDSHAKES && !incoming.remote_address_validated() {
            entrance.entries.count(Entry::Retried);
            // It comes back with a token, or was never there.
            let _ = incoming.retry();
        } else {
            tokio::task::spawn_local(enter(entrance.clone(), incoming));
        }
    }
}

async fn enter(entrance: Entrance, incoming: quinn::Incoming) {
    let handshake = Count::one(&entrance.handshakes);
    let connected = timeout(HANDSHAKE, async {
        let connection = incoming.await?;
        anyhow::Ok(Incoming::read(connection).await?.accept().await?)
    });
    match connected.await {
        Ok(Ok(connection)) => {
            drop(handshake);
            entrance.admit(connection).await;
        }
        Ok(Err(error)) => {
            entrance.entries.count(why(&error));
            tracing::debug!(%error, "a connection did not come about");
        }
        Err(_) => {
            entrance.entries.count(Entry::HandshakeTimeout);
            tracing::debug!("a handshake took too long");
        }
    }
}

/// Why a handshake failed.
fn why(error: &anyhow::Error) -> Entry {
    let no_protocol = match error.downcast_ref() {
        Some(quinn::ConnectionError::TransportError(error)) => {
            error.code == quinn::TransportErrorCode::crypto(NO_PROTOCOL)
        }
        Some(_) => false,
        None => matches!(error.downcast_ref(), Some(UpgradeError::NoDraft)),
    };
    match no_protocol {
        true => Entry::UnknownProtocol,
        false => Entry::HandshakeFailed,
    }
}

impl Entrance {
    /// Serves a client's connection to its end.
    pub(crate) async fn admit(&self, connection: Connection) {
        if matches!(*self.access, Access::Closed) {
            self.entries.count(Entry::Closed);
            let why = "this edge is closed to clients";
            return connection.close(TerminationCode::UNAUTHORIZED, why);
        }
        if self.clients.get() >= self.max_clients {
            self.entries.count(Entry::Full);
            return connection.close(TerminationCode::INTERNAL_ERROR, "this edge is full");
        }
        let _client = Count::one(&self.clients);
        let session = match Session::accept(connection, Options::default()).await {
            Ok(session) => session,
            Err(error) => {
                self.entries.count(Entry::SetupFailed);
                return tracing::debug!(%error, "no session came about");
            }
        };
        let opened = Gate::open(&self.access, &self.entries, &tokens_of(&session));
        let (gate, permissions) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                tracing::debug!(%error, "not let in");
                return session.close(error.termination(), error.reason());
            }
        };
        self.entries.count(Entry::Admitted);
        tracing::info!(draft = ?session.draft(), transport = ?session.connection().transport(), "session");
        let peer = Peer {
            draft: session.draft(),
            ..Peer::new(Role::Client, permissions)
        };
        let error = link::serve(self.worker.clone(), session, peer, Some(gate)).await;
        tracing::info!(%error, "session ended");
    }
}

/// What a client brought in its SETUP and in its URL, which on raw QUIC SETUP tells too.
fn tokens_of(session: &Session) -> Vec<AuthorizationToken> {
    let setup = session.peer_setup();
    let mut tokens = setup.authorization_tokens.clone();
    let path = setup
        .path
        .as_deref()
        .and_then(|path| str::from_utf8(path).ok());
    let path = session.connection().path_and_query().or(path);
    tokens.extend(path.and_then(access::token_in_query));
    tokens
}

/// Counts for as long as it lives.
pub(crate) struct Count(Rc<Cell<usize>>);

impl Count {
    pub(crate) fn one(of: &Rc<Cell<usize>>) -> Count {
        of.set(of.get() + 1);
        Count(of.clone())
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
