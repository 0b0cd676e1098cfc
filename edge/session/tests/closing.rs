//! How connections and sessions end: whoever is at the other end learns code and reason, over every transport.

// Helpers fail by panicking, as tests do.
#![allow(clippy::unwrap_used)]

mod common;

use bytes::Bytes;
use common::{EVERY, Over, Pair, pair, soon};
use meridian_session::session::{Options, SendError, Session, SessionError};
use meridian_session::transport::{
    ConnectionLost, WebSocketSettings, accept_web_socket, connect_web_socket,
};
use meridian_wire::control::NamespaceRequest;
use meridian_wire::{Draft, Message, Namespace, Parameters, TerminationCode};
use std::net::{Ipv4Addr, SocketAddr};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

/// What edges say to those they do not serve any more.
const ENDS: [(TerminationCode, &str); 5] = [
    (TerminationCode::UNAUTHORIZED, "withdrawn"),
    (TerminationCode::EXPIRED_AUTH_TOKEN, "the token is over"),
    (TerminationCode::MALFORMED_AUTH_TOKEN, "no token"),
    (
        TerminationCode::GOAWAY_TIMEOUT,
        "this edge is being drained",
    ),
    (TerminationCode::NO_ERROR, "opened elsewhere"),
];

fn told(code: TerminationCode, reason: &str) -> ConnectionLost {
    let reason = reason.to_owned();
    ConnectionLost::ClosedByPeer { code, reason }
}

fn announce(request_id: u64) -> Message {
    Message::PublishNamespace(NamespaceRequest {
        request_id,
        namespace: Namespace::new(["meridian", "meeting"]).unwrap(),
        params: Parameters::default(),
    })
}

#[tokio::test]
async fn whatever_waits_for_the_peer_is_told_why_it_closed() {
    for over in EVERY {
        let (code, reason) = ENDS[0];
        let Pair { client, server, .. } = &pair(over, Draft::D22).await;
        let waiting = async {
            tokio::join!(
                client.accept_uni(),
                client.accept_bi(),
                client.read_datagram(),
                client.closed(),
            )
        };
        let close = async { server.close(code, reason) };
        let ((uni, bi, datagram, closed), ()) = soon(async { tokio::join!(waiting, close) }).await;
        let expected = told(code, reason);
        assert_eq!(uni.err(), Some(expected.clone()), "{over:?}");
        assert_eq!(bi.err(), Some(expected.clone()), "{over:?}");
        assert_eq!(datagram.err(), Some(expected.clone()), "{over:?}");
        assert_eq!(closed, expected, "{over:?}");
        assert_eq!(client.open_uni().await.err(), Some(expected), "{over:?}");
        let own = soon(server.closed()).await;
        assert_eq!(own, ConnectionLost::ClosedLocally, "{over:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_turned_away_after_setup_learns_why_on_every_transport_and_draft() {
    for over in EVERY {
        for draft in Draft::PREFERRED {
            for (code, reason) in ENDS {
                let error = turned_away(over, draft, code, reason).await;
                let expected = SessionError::Lost(told(code, reason));
                assert_eq!(error, expected, "{over:?}, {draft:?}");
            }
        }
    }
}

/// What a client learns whose session is ended right after SETUP, while it asks for something.
async fn turned_away(
    over: Over,
    draft: Draft,
    code: TerminationCode,
    reason: &'static str,
) -> SessionError {
    let Pair {
        client,
        server,
        endpoints,
    } = pair(over, draft).await;
    let serving = tokio::spawn(async move {
        let session = Session::accept(server, Options::default()).await.unwrap();
        session.close(code, reason);
    });
    let session = soon(Session::connect(client, Options::default())).await;
    let error = match session {
        Err(error) => error,
        Ok(session) => soon(asks(session)).await,
    };
    serving.await.unwrap();
    drop(endpoints);
    error
}

async fn asks(session: Session) -> SessionError {
    let mut request = match session.open_request(announce).await {
        Ok(request) => request,
        Err(SendError::Session(error)) => return error,
        Err(error) => panic!("{error}"),
    };
    let data = session.accept_data();
    tokio::select! {
        answer = request.recv() => answer.expect_err("nobody answers"),
        data = data => data.expect_err("nothing comes"),
    }
}

#[tokio::test]
async fn a_close_of_the_connection_below_a_session_counts_as_its_close() {
    let Pair { client, server, .. } = &pair(Over::WebTransport, Draft::D22).await;
    let code = web_transport_quinn::proto::error_to_http3(2);
    let code = quinn::VarInt::from_u64(code).unwrap();
    server.quic().unwrap().close(code, b"no token");
    let expected = told(TerminationCode::UNAUTHORIZED, "no token");
    assert_eq!(
        soon(client.accept_uni()).await.err(),
        Some(expected.clone())
    );
    assert_eq!(soon(client.closed()).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_web_socket_that_is_closed_while_much_is_under_way_still_says_why() {
    for _ in 0..10 {
        let (client, server) = tcp().await;
        let mut stream = soon(client.open_uni()).await.unwrap();
        let sending = tokio::spawn(async move {
            let mut much = Bytes::from(vec![7; 3_000_000]);
            // Nobody reads all of it.
            let _ = stream.write_chunk(&mut much).await;
        });
        let read = soon(server.accept_uni()).await.unwrap();
        let (code, reason) = ENDS[0];
        server.close(code, reason);
        drop((read, server));
        assert_eq!(soon(client.closed()).await, told(code, reason));
        sending.await.unwrap();
    }
}

/// Both ends of a WebSocket over TCP.
async fn tcp() -> (
    meridian_session::transport::Connection,
    meridian_session::transport::Connection,
) {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = TcpListener::bind(any).await.unwrap();
    let address = listener.local_addr().unwrap();
    let settings = WebSocketSettings::default();
    let url = Url::parse("ws://localhost/").unwrap();
    let connect = async {
        let near = TcpStream::connect(address).await.unwrap();
        connect_web_socket(near, address, &url, &[Draft::D22], &settings).await
    };
    let accept = async {
        let (far, remote) = listener.accept().await.unwrap();
        accept_web_socket(far, remote, &settings).await
    };
    let (client, server) = soon(async { tokio::join!(connect, accept) }).await;
    (client.unwrap(), server.unwrap())
}
