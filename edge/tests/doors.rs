//! Who comes in, who does not, and what is said to them.

mod common;
#[path = "common/issuer.rs"]
mod issuer;

use bytes::Bytes;
use common::*;
use issuer::{Issuer, issuer};
use meridian_edge::access::Access;
use meridian_edge::entries::Entry;
use meridian_session::endpoint::QuicSettings;
use meridian_session::session::{Options, RequestEvent, RequestStream, Session};
use meridian_session::tls::{self, Trust};
use meridian_wire::param::AuthorizationToken;
use meridian_wire::{Draft, Message, Parameters, RequestErrorCode, TerminationCode};
use serde_json::{Value, json};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What lets one publish and hear in the tests' namespace.
fn claims(expires_in: i64) -> Value {
    let mut claims = issuer::claims(expires_in);
    claims["publish"] = json!([["meridian", "test"]]);
    claims["subscribe"] = json!([["meridian", "test"]]);
    claims
}

fn with_token(token: AuthorizationToken) -> Options {
    let mut options = Options::default();
    options.setup.authorization_tokens.push(token);
    options
}

async fn refused(request: &mut RequestStream) -> RequestErrorCode {
    match request.recv().await.expect("the session lives") {
        RequestEvent::Message(Message::RequestError(error)) => error.code,
        other => panic!("no REQUEST_ERROR but {other:?}"),
    }
}

/// What a session is closed with that may not even have come about.
async fn closed_with(edge: SocketAddr, options: Options) -> Option<TerminationCode> {
    match connect_with(edge, Draft::D22, options).await {
        Ok(session) => session.closed().await.code(),
        Err(error) => error.code(),
    }
}

async fn hear(publisher: &Session, subscriber: &Session, mut asked: RequestStream) {
    let _upstream = accept_subscribe(publisher, 7).await;
    let ok = expect_subscribe_ok(&mut asked).await;
    send_stream(publisher, audio(7, 1, b"hello")).await;
    let expected = audio(ok.track_alias, 1, b"hello");
    assert_eq!(receive_stream(subscriber).await, expected);
}

#[test]
fn with_a_token_in_setup_or_in_the_url_one_publishes_and_hears() {
    run(async {
        let issuer = issuer("a");
        let (worker, address) = edge(issuer::access(&[&issuer]), 100).await;
        let token = issuer.sign(&claims(60));
        let publisher = connect_with(address, Draft::D22, with_token(token.clone())).await;
        let publisher = publisher.expect("it is let in");
        let _announced = announce(&publisher).await;
        let AuthorizationToken::UseValue { value, .. } = token else {
            panic!("it is a plain one");
        };
        let mut options = Options::default();
        let jwt = str::from_utf8(&value).expect("a JWT is ASCII");
        options.setup.path = Some(format!("/moq?jwt={jwt}").into());
        let subscriber = connect_with(address, Draft::D20, options).await;
        let subscriber = subscriber.expect("it is let in");
        let asked = subscribe(&subscriber, "audio", Parameters::default()).await;
        hear(&publisher, &subscriber, asked).await;
        assert_eq!(worker.entries().of(Entry::Admitted), 2);
    });
}

#[test]
fn without_a_token_nothing_is_allowed_until_a_request_brings_one() {
    run(async {
        let issuer = issuer("a");
        let (worker, address) = edge(issuer::access(&[&issuer]), 100).await;
        let publisher = connect_with(address, Draft::D22, with_token(issuer.sign(&claims(60))));
        let publisher = publisher.await.expect("it is let in");
        let _announced = announce(&publisher).await;
        let subscriber = connect(address, Draft::D22).await;
        let mut asked = subscribe(&subscriber, "audio", Parameters::default()).await;
        assert_eq!(refused(&mut asked).await, RequestErrorCode::UNAUTHORIZED);
        let with = |token| Parameters {
            authorization_tokens: vec![token],
            ..Parameters::default()
        };
        let stale = with(issuer.sign(&claims(-60)));
        let mut asked = subscribe(&subscriber, "audio", stale).await;
        assert_eq!(
            refused(&mut asked).await,
            RequestErrorCode::EXPIRED_AUTH_TOKEN
        );
        let fresh = with(issuer.sign(&claims(60)));
        let asked = subscribe(&subscriber, "audio", fresh).await;
        hear(&publisher, &subscriber, asked).await;
        let entries = worker.entries();
        assert_eq!(entries.of(Entry::TokenMissing), 1);
        assert_eq!(entries.of(Entry::TokenExpired), 1);
    });
}

#[test]
fn a_bad_token_ends_the_session_with_its_code_and_is_counted() {
    run(async {
        let issuer = issuer("a");
        let (worker, address) = edge(issuer::access(&[&issuer]), 100).await;
        let noise = issuer::token_of(Bytes::from_static(b"\xff\0not a token"));
        let stranger: Issuer = issuer::issuer("b");
        let stale = issuer.sign(&claims(-60));
        let strange = stranger.sign(&claims(60));
        for (token, code, entry) in [
            (
                noise,
                TerminationCode::MALFORMED_AUTH_TOKEN,
                Entry::TokenMalformed,
            ),
            (
                stale,
                TerminationCode::EXPIRED_AUTH_TOKEN,
                Entry::TokenExpired,
            ),
            (
                strange,
                TerminationCode::UNAUTHORIZED,
                Entry::TokenNotSigned,
            ),
        ] {
            assert_eq!(closed_with(address, with_token(token)).await, Some(code));
            assert_eq!(worker.entries().of(entry), 1, "{entry:?}");
        }
        assert_eq!(worker.entries().of(Entry::Admitted), 0);
    });
}

#[test]
fn a_session_ends_when_its_token_does() {
    run(async {
        let issuer = issuer("a");
        let (_worker, address) = edge(issuer::access(&[&issuer]), 100).await;
        let code = closed_with(address, with_token(issuer.sign(&claims(1)))).await;
        assert_eq!(code, Some(TerminationCode::EXPIRED_AUTH_TOKEN));
    });
}

#[test]
fn a_closed_edge_and_a_full_one_say_so() {
    run(async {
        let (worker, address) = edge(Access::Closed, 100).await;
        let code = closed_with(address, Options::default()).await;
        assert_eq!(code, Some(TerminationCode::UNAUTHORIZED));
        assert_eq!(worker.entries().of(Entry::Closed), 1);
        let (worker, address) = edge(Access::Open, 1).await;
        let _inside = connect(address, Draft::D22).await;
        let code = closed_with(address, Options::default()).await;
        assert_eq!(code, Some(TerminationCode::INTERNAL_ERROR));
        assert_eq!(worker.entries().of(Entry::Full), 1);
    });
}

fn client_config(protocols: Vec<Vec<u8>>) -> quinn::ClientConfig {
    let tls = tls::client(&Trust::Anyone, None, protocols).expect("TLS settings");
    let settings = QuicSettings::client_side();
    settings.client_config(tls).expect("TLS 1.3")
}

#[test]
fn an_unknown_alpn_is_refused_by_tls_and_counted() {
    run(async {
        let (worker, address) = open_edge().await;
        let local = "127.0.0.1:0".parse().expect("an address");
        let endpoint = QuicSettings::client_side().endpoint(local, None);
        let endpoint = endpoint.expect("loopback has a free port");
        let config = client_config(vec![b"moqt-99".to_vec()]);
        let connecting = endpoint.connect_with(config, address, "localhost");
        let error = connecting
            .expect("a valid name")
            .await
            .expect_err("no ALPN");
        let no_protocol = quinn::TransportErrorCode::crypto(120);
        match error {
            quinn::ConnectionError::ConnectionClosed(close) => {
                assert_eq!(close.error_code, no_protocol);
            }
            other => panic!("{other:?}"),
        }
        let session = connect(address, Draft::D22).await;
        assert_eq!(worker.entries().of(Entry::UnknownProtocol), 1);
        drop(session);
    });
}

/// First packets of handshakes that never go on, all different, each sent after an answer to one before it.
fn flood(edge: SocketAddr, count: usize) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
    let patience = Some(Duration::from_millis(100));
    socket.set_read_timeout(patience).expect("not zero");
    let config = client_config(tls::moqt_protocols(&[Draft::D22]));
    let mut endpoint = quinn_proto::Endpoint::new(Arc::default(), None, true, None);
    let mut packet = Vec::new();
    for _ in 0..count {
        let now = Instant::now();
        let connected = endpoint.connect(now, config.clone(), edge, "localhost");
        let (_, mut connection) = connected.expect("a valid name");
        while let Some(transmit) = connection.poll_transmit(now, 1, &mut packet) {
            socket
                .send_to(&packet[..transmit.size], edge)
                .expect("loopback takes it");
            packet.clear();
        }
        // Without one, it was lost on the way.
        let _ = socket.recv(&mut [0; 1500]);
    }
}

#[test]
fn ten_thousand_half_open_handshakes_disturb_nobody() {
    run(async {
        let (worker, address) = open_edge().await;
        let publisher = connect(address, Draft::D22).await;
        let _announced = announce(&publisher).await;
        let subscriber = connect(address, Draft::D22).await;
        let mut asked = subscribe(&subscriber, "audio", Parameters::default()).await;
        let _upstream = accept_subscribe(&publisher, 7).await;
        let alias = expect_subscribe_ok(&mut asked).await.track_alias;
        let is_over = Arc::new(AtomicBool::new(false));
        let over = is_over.clone();
        let flooding = std::thread::spawn(move || {
            flood(address, 10_000);
            over.store(true, Ordering::Release);
        });
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        let (mut group, mut latest) = (0, Duration::ZERO);
        while group == 0 || !is_over.load(Ordering::Acquire) {
            ticks.tick().await;
            group += 1;
            let since = Instant::now();
            send_stream(&publisher, audio(7, group, &[1; 160])).await;
            let heard = receive_stream(&subscriber).await;
            assert_eq!(heard, audio(alias, group, &[1; 160]));
            latest = latest.max(since.elapsed());
        }
        flooding.join().expect("it floods");
        let entries = worker.entries();
        let retried = entries.of(Entry::Retried);
        println!(
            "{group} frames heard, the latest after {latest:?}; {retried} asked to prove their address"
        );
        assert!(retried > 9_000);
        // Those that were not asked still hang in their handshakes: a newcomer is asked, and let in.
        let _newcomer = connect(address, Draft::D22).await;
        assert!(entries.of(Entry::Retried) > retried);
        assert_eq!(entries.of(Entry::Busy), 0);
        assert_eq!(entries.of(Entry::Admitted), 3);
    });
}
