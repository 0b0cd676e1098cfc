//! The doors for clients: raw QUIC and WebTransport on one UDP port, WebSocket on the TCP port of the same number.

use crate::link;
use crate::web_socket;
use crate::worker::Worker;
use anyhow::Context;
use meridian_relay::{Peer, Permissions, Role};
use meridian_session::endpoint::QuicSettings;
use meridian_session::session::{Options, Session};
use meridian_session::tls::{self, Identity};
use meridian_session::transport::{Connection, Incoming};
use meridian_wire::TerminationCode;
use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
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

/// Where and how clients come in.
pub struct Doors {
    /// UDP and TCP; with port 0 the system chooses one for both.
    pub address: SocketAddr,
    /// The certificate.
    pub identity: Identity,
    /// Everybody may do everything.
    pub open: bool,
    /// Sessions at a time.
    pub max_clients: usize,
}

/// What all doors share.
#[derive(Clone)]
pub(crate) struct Entrance {
    pub(crate) worker: Worker,
    open: bool,
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
        open: doors.open,
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
            incoming.refuse();
        } else if waiting >= UNPROVEN_HANDSHAKES && !incoming.remote_address_validated() {
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
        Ok(Err(error)) => tracing::debug!(%error, "a connection did not come about"),
        Err(_) => tracing::debug!("a handshake took too long"),
    }
}

impl Entrance {
    /// Serves a client's connection to its end.
    pub(crate) async fn admit(&self, connection: Connection) {
        if !self.open {
            return connection.close(
                TerminationCode::UNAUTHORIZED,
                "this edge is closed to clients",
            );
        }
        if self.clients.get() >= self.max_clients {
            return connection.close(TerminationCode::INTERNAL_ERROR, "this edge is full");
        }
        let _client = Count::one(&self.clients);
        let session = match Session::accept(connection, Options::default()).await {
            Ok(session) => session,
            Err(error) => return tracing::debug!(%error, "no session came about"),
        };
        tracing::info!(draft = ?session.draft(), transport = ?session.connection().transport(), "session");
        let peer = Peer {
            draft: session.draft(),
            ..Peer::new(Role::Client, Permissions::default())
        };
        let error = link::serve(self.worker.clone(), session, peer).await;
        tracing::info!(%error, "session ended");
    }
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
