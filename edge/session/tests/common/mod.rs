//! Pairs of connections and sessions over real sockets on loopback.
// Each test file uses its own part, and none of it leaves the test.
#![allow(dead_code, unreachable_pub)]

use meridian_session::endpoint::QuicSettings;
use meridian_session::session::{Options, Session};
use meridian_session::tls::{self, Identity, Trust};
use meridian_session::transport::{
    Connection, Incoming, WebSocketSettings, accept_web_socket, alpn, connect_web_socket,
    connect_web_transport,
};
use meridian_wire::Draft;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use url::Url;

/// What a pair runs over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    Quic,
    WebTransport,
    WebSocket,
}

pub const EVERY: [Over; 3] = [Over::Quic, Over::WebTransport, Over::WebSocket];

/// Both ends of one connection.
pub struct Pair {
    pub client: Connection,
    pub server: Connection,
    /// Kept while the connection is: endpoints stop when dropped.
    pub endpoints: Vec<quinn::Endpoint>,
}

/// Nothing here takes this long unless it hangs.
pub async fn soon<T>(future: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(20);
    tokio::time::timeout(limit, future).await.expect("hangs")
}

/// A connection with the settings clients get, or those given for its two ends.
pub async fn pair(over: Over, draft: Draft) -> Pair {
    let settings = QuicSettings::client_side();
    pair_with(over, draft, &settings, &settings).await
}

pub async fn pair_with(
    over: Over,
    draft: Draft,
    client: &QuicSettings,
    server: &QuicSettings,
) -> Pair {
    match over {
        Over::Quic => {
            let protocol = draft.protocol().as_bytes().to_vec();
            let (client, server, endpoints) = quic(client, server, protocol).await;
            Pair {
                client: Connection::from_quic(client, draft),
                server: soon(accept(server)).await,
                endpoints,
            }
        }
        Over::WebTransport => {
            let (client, server, endpoints) = quic(client, server, b"h3".to_vec()).await;
            let url = Url::parse("https://localhost/meeting?jwt=abc").unwrap();
            let offer = [draft];
            let connect = connect_web_transport(client, url, &offer);
            let (client, server) = soon(futures_util::future::join(connect, accept(server))).await;
            Pair {
                client: client.unwrap(),
                server,
                endpoints,
            }
        }
        Over::WebSocket => web_socket(draft).await,
    }
}

async fn accept(connection: quinn::Connection) -> Connection {
    let incoming = Incoming::read(connection).await.unwrap();
    incoming.accept().await.unwrap()
}

async fn web_socket(draft: Draft) -> Pair {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let settings = WebSocketSettings::default();
    let url = Url::parse("ws://localhost/meeting?jwt=abc").unwrap();
    let offer = [draft];
    let connect = connect_web_socket(near, address, &url, &offer, &settings);
    let accept = accept_web_socket(far, address, &settings);
    let (client, server) = soon(futures_util::future::join(connect, accept)).await;
    Pair {
        client: client.unwrap(),
        server: server.unwrap(),
        endpoints: Vec::new(),
    }
}

/// A bare QUIC connection with ALPN `protocol`.
pub async fn quic(
    client: &QuicSettings,
    server: &QuicSettings,
    protocol: Vec<u8>,
) -> (quinn::Connection, quinn::Connection, Vec<quinn::Endpoint>) {
    let identity = Identity::ephemeral().unwrap();
    let trust = Trust::Fingerprints(vec![identity.fingerprint().unwrap()]);
    let tls = tls::server(identity, tls::client_facing_protocols()).unwrap();
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let config = server.server_config(tls).unwrap();
    let listener = server.endpoint(any, Some(config)).unwrap();
    let tls = tls::client(&trust, None, vec![protocol.clone()]).unwrap();
    let dialler = client.endpoint(any, None).unwrap();
    let config = client.client_config(tls).unwrap();
    let address = listener.local_addr().unwrap();
    let connecting = dialler.connect_with(config, address, "localhost").unwrap();
    let accepting = async { listener.accept().await.unwrap().await.unwrap() };
    let (client, server) = soon(futures_util::future::join(connecting, accepting)).await;
    let client = client.unwrap();
    assert_eq!(alpn(&client), Some(protocol));
    (client, server, vec![dialler, listener])
}

/// Both ends of a session.
pub struct Sessions {
    pub client: Session,
    pub server: Session,
    pub endpoints: Vec<quinn::Endpoint>,
}

pub async fn sessions(over: Over, draft: Draft) -> Sessions {
    sessions_with(over, draft, Options::default(), Options::default()).await
}

pub async fn sessions_with(over: Over, draft: Draft, client: Options, server: Options) -> Sessions {
    let pair = pair(over, draft).await;
    let connect = Session::connect(pair.client, client);
    let accept = Session::accept(pair.server, server);
    let (client, server) = soon(futures_util::future::join(connect, accept)).await;
    Sessions {
        client: client.unwrap(),
        server: server.unwrap(),
        endpoints: pair.endpoints,
    }
}
