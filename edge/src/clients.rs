//! The doors for clients: raw QUIC and WebTransport on one UDP port, WebSocket on the TCP port of the same number.

use crate::access::{self, Access};
use crate::access_control::AccessControl;
use crate::congestion::Controller;
use crate::crowd::{Count, Crowd};
use crate::draining::{self, Draining};
use crate::entries::{Entries, Entry};
use crate::gate::{Gate, Gates};
use crate::link;
use crate::sessions::Sessions;
use crate::sockets;
use crate::steering::Switch;
use crate::web_socket;
use crate::worker::Worker;
use meridian_relay::{Peer, Role};
use meridian_session::endpoint::QuicSettings;
use meridian_session::session::{Options, Session};
use meridian_session::tls::{self, Identity};
use meridian_session::transport::{Connection, Incoming, UpgradeError};
use meridian_wire::TerminationCode;
use meridian_wire::param::AuthorizationToken;
use quinn::Runtime;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

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
    /// How fast to send.
    pub congestion: Controller,
}

/// What all doors share.
#[derive(Clone)]
pub(crate) struct Entrance {
    pub(crate) worker: Worker,
    pub(crate) entries: Arc<Entries>,
    pub(crate) crowd: Arc<Crowd>,
    gates: Gates,
    draining: Arc<Draining>,
    max_clients: usize,
}

/// One worker's doors, bound but not yet open. It may be taken to the worker's thread.
pub(crate) struct Doorway {
    udp: UdpSocket,
    tcp: TcpListener,
    quic: quinn::ServerConfig,
    endpoint: quinn::EndpointConfig,
    /// Where there are several workers: this one's number, and how it reaches the others.
    steering: Option<(usize, Arc<Switch>)>,
    web_socket: TlsAcceptor,
    gates: Gates,
    draining: Arc<Draining>,
    max_clients: usize,
    crowd: Arc<Crowd>,
}

/// Binds doors for this many workers; more than one share them through `switch`. Limits hold for all of them together,
/// and what one gives a client in proof of its address is good at every other.
pub(crate) fn bind(
    doors: Doors,
    workers: usize,
    switch: Option<&Arc<Switch>>,
) -> anyhow::Result<Vec<Doorway>> {
    let settings = doors.congestion.applied_to(QuicSettings::client_side());
    let server = tls::server(doors.identity.clone(), tls::client_facing_protocols())?;
    let quic = settings.server_config(server)?;
    let web_socket = web_socket::acceptor(doors.identity)?;
    let endpoint = quinn::EndpointConfig::default();
    let gates = Gates {
        access: Arc::new(AccessControl::new(doors.access)),
        entries: Arc::default(),
        sessions: Arc::<Sessions>::default(),
    };
    let (crowd, draining) = (Arc::<Crowd>::default(), Arc::<Draining>::default());
    let sockets = sockets::bind(doors.address, workers)?;
    let doorway = |(worker, sockets): (usize, sockets::Sockets)| {
        let mut endpoint = endpoint.clone();
        if let Some(switch) = switch {
            let seal = switch.seal().clone();
            endpoint.cid_generator(move || seal.generator(worker as u8));
        }
        Doorway {
            udp: sockets.udp,
            tcp: sockets.tcp,
            quic: quic.clone(),
            endpoint,
            steering: switch.map(|switch| (worker, switch.clone())),
            web_socket: web_socket.clone(),
            gates: gates.clone(),
            draining: draining.clone(),
            max_clients: doors.max_clients,
            crowd: crowd.clone(),
        }
    };
    Ok(sockets.into_iter().enumerate().map(doorway).collect())
}

impl Doorway {
    pub(crate) fn address(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.udp.local_addr()?)
    }

    /// What the gates of all workers share: how clients fare there among it.
    pub(crate) fn gates(&self) -> Gates {
        self.gates.clone()
    }

    /// Whether clients are being sent away.
    pub(crate) fn draining(&self) -> Arc<Draining> {
        self.draining.clone()
    }

    /// How many clients there are at all workers.
    pub(crate) fn crowd(&self) -> Arc<Crowd> {
        self.crowd.clone()
    }

    /// Lets clients in; tasks of the worker's serve them. Must run on the worker's thread.
    pub(crate) fn open(self, worker: &Worker) -> anyhow::Result<()> {
        let runtime = Arc::new(quinn::TokioRuntime);
        let mut socket = runtime.wrap_udp_socket(self.udp)?;
        if let Some((number, switch)) = &self.steering {
            socket = switch.steer(*number, socket);
        }
        let endpoint = quinn::Endpoint::new_with_abstract_socket(
            self.endpoint,
            Some(self.quic),
            socket,
            runtime,
        )?;
        let entrance = Entrance {
            worker: worker.clone(),
            entries: self.gates.entries.clone(),
            gates: self.gates,
            draining: self.draining.clone(),
            max_clients: self.max_clients,
            crowd: self.crowd,
        };
        web_socket::listen(&entrance, self.tcp, self.web_socket)?;
        tokio::task::spawn_local(draining::follow(worker.clone(), self.draining));
        tokio::task::spawn_local(take_connections(entrance, endpoint));
        Ok(())
    }
}

async fn take_connections(entrance: Entrance, endpoint: quinn::Endpoint) {
    while let Some(incoming) = endpoint.accept().await {
        let waiting = entrance.crowd.handshakes();
        if waiting >= MAX_HANDSHAKES {
            entrance.entries.count(Entry::Busy);
            incoming.refuse();
        } else if waiting >= UNPROVEN_HANDSHAKES && !incoming.remote_address_validated() {
            entrance.entries.count(Entry::Retried);
            // It comes back with a token, or was never there.
            let _ = incoming.retry();
        } else {
            let handshake = entrance.crowd.handshake();
            tokio::task::spawn_local(enter(entrance.clone(), incoming, handshake));
        }
    }
}

async fn enter(entrance: Entrance, incoming: quinn::Incoming, handshake: Count) {
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
        if self.gates.access.is_closed() {
            self.entries.count(Entry::Closed);
            let why = "this edge is closed to clients";
            return connection.close(TerminationCode::UNAUTHORIZED, why);
        }
        let Some(_client) = self.crowd.client(self.max_clients) else {
            self.entries.count(Entry::Full);
            return connection.close(TerminationCode::INTERNAL_ERROR, "this edge is full");
        };
        let session = match Session::accept(connection, Options::default()).await {
            Ok(session) => session,
            Err(error) => {
                self.entries.count(Entry::SetupFailed);
                return tracing::debug!(%error, "no session came about");
            }
        };
        if let Some(drain) = self.draining.now().filter(|drain| drain.turns_away()) {
            self.entries.count(Entry::Drained);
            let pass = self.gates.access.check(&tokens_of(&session));
            let meeting = pass.ok().flatten().and_then(|pass| pass.holder.meeting);
            return drain.send_on(session, meeting.as_deref()).await;
        }
        let transport = session.connection().transport();
        let opened = Gate::open(&self.gates, transport, &tokens_of(&session));
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
