//! Peers that break the rules: each is cut off with the protocol's code, and nothing panics.

// Helpers fail by panicking, as tests do.
#![allow(clippy::unwrap_used)]

mod common;

use bytes::{Bytes, BytesMut};
use common::{Over, Pair, Sessions, pair, sessions, sessions_with, soon};
use meridian_session::session::{Options, Session, SessionError};
use meridian_session::transport::{Connection, RecvStream, SendStream};
use meridian_wire::control::{Goaway, NamespaceRequest, RequestOk, RequestUpdate, Subscribe};
use meridian_wire::param::AuthorizationToken;
use meridian_wire::setup::SetupOptions;
use meridian_wire::{Draft, FullTrackName, Message, Namespace, Parameters, TerminationCode};
use std::time::Duration;

const DRAFT: Draft = Draft::D22;

/// A well-behaved server whose client is this test, byte by byte.
struct Victim {
    server: Session,
    attacker: Connection,
    /// Kept open: closing it would be a fault of its own.
    control: SendStream,
    _endpoints: Vec<quinn::Endpoint>,
}

async fn victim(options: Options) -> Victim {
    let Pair {
        client,
        server,
        endpoints,
    } = pair(Over::Quic, DRAFT).await;
    let attack = async {
        let mut control = client.open_uni().await.unwrap();
        let setup = Message::Setup(SetupOptions::default());
        control.write_chunk(&mut encoded(&setup)).await.unwrap();
        control
    };
    let accept = Session::accept(server, options);
    let (control, server) = soon(futures_util::future::join(attack, accept)).await;
    Victim {
        server: server.unwrap(),
        attacker: client,
        control,
        _endpoints: endpoints,
    }
}

impl Victim {
    async fn uni(&self, bytes: impl Into<Bytes>) -> SendStream {
        let mut stream = soon(self.attacker.open_uni()).await.unwrap();
        stream.write_chunk(&mut bytes.into()).await.unwrap();
        stream
    }

    async fn bi(&self, bytes: impl Into<Bytes>) -> (SendStream, RecvStream) {
        let (mut stream, recv) = soon(self.attacker.open_bi()).await.unwrap();
        stream.write_chunk(&mut bytes.into()).await.unwrap();
        (stream, recv)
    }

    /// The attacker is told `code`.
    async fn closes_with(self, code: TerminationCode) {
        let end = soon(self.attacker.closed()).await;
        assert_eq!(SessionError::Lost(end).code(), Some(code));
        assert_eq!(soon(self.server.closed()).await.code(), Some(code));
    }
}

fn encoded(message: &Message) -> Bytes {
    let mut bytes = BytesMut::new();
    message.encode(DRAFT, &mut bytes).unwrap();
    bytes.freeze()
}

fn subscribe(request_id: u64) -> Message {
    let namespace = Namespace::new(["meridian"]).unwrap();
    Message::Subscribe(Subscribe {
        request_id,
        track: FullTrackName::new(namespace, "audio").unwrap(),
        params: Parameters::default(),
    })
}

fn with_tokens(request_id: u64, tokens: Vec<AuthorizationToken>) -> Message {
    let params = Parameters {
        authorization_tokens: tokens,
        ..Parameters::default()
    };
    Message::PublishNamespace(NamespaceRequest {
        request_id,
        namespace: Namespace::new(["meridian"]).unwrap(),
        params,
    })
}

fn register(alias: u64, len: usize) -> AuthorizationToken {
    AuthorizationToken::Register {
        alias,
        kind: 0,
        value: Bytes::from(vec![b'x'; len]),
    }
}

#[tokio::test]
async fn a_request_stream_that_begins_with_no_request_ends_the_session() {
    let openers = [
        Message::RequestOk(RequestOk::default()),
        Message::RequestUpdate(RequestUpdate {
            request_id: 0,
            params: Parameters::default(),
        }),
        Message::Setup(SetupOptions::default()),
        Message::Goaway(Goaway::default()),
    ];
    for opener in openers {
        let victim = victim(Options::default()).await;
        let _stream = victim.bi(encoded(&opener)).await;
        let error = soon(victim.server.accept_request()).await.unwrap_err();
        assert_eq!(
            error.code(),
            Some(TerminationCode::PROTOCOL_VIOLATION),
            "{opener:?}"
        );
        victim
            .closes_with(TerminationCode::PROTOCOL_VIOLATION)
            .await;
    }
}

#[tokio::test]
async fn an_unknown_message_type_ends_the_session() {
    let victim = victim(Options::default()).await;
    let _stream = victim.bi(&[0x3f, 0, 0][..]).await;
    soon(victim.server.accept_request()).await.unwrap_err();
    victim
        .closes_with(TerminationCode::PROTOCOL_VIOLATION)
        .await;
}

#[tokio::test]
async fn an_unknown_stream_type_ends_the_session() {
    let victim = victim(Options::default()).await;
    let _stream = victim.uni(&[0x01, 2, 3][..]).await;
    soon(victim.server.accept_data()).await.unwrap_err();
    victim
        .closes_with(TerminationCode::PROTOCOL_VIOLATION)
        .await;
}

#[tokio::test]
async fn a_stream_without_a_type_ends_the_session() {
    let victim = victim(Options::default()).await;
    victim.uni(Bytes::new()).await.finish().unwrap();
    soon(victim.server.accept_data()).await.unwrap_err();
    victim
        .closes_with(TerminationCode::PROTOCOL_VIOLATION)
        .await;
}

#[tokio::test]
async fn a_second_control_stream_ends_the_session() {
    let victim = victim(Options::default()).await;
    let _second = victim
        .uni(encoded(&Message::Setup(SetupOptions::default())))
        .await;
    soon(victim.server.accept_data()).await.unwrap_err();
    victim
        .closes_with(TerminationCode::PROTOCOL_VIOLATION)
        .await;
}

#[tokio::test]
async fn a_closed_control_stream_ends_the_session() {
    let mut finished = victim(Options::default()).await;
    finished.control.finish().unwrap();
    finished
        .closes_with(TerminationCode::PROTOCOL_VIOLATION)
        .await;

    let mut reset = victim(Options::default()).await;
    reset
        .control
        .reset(meridian_wire::ResetCode::CANCELLED)
        .unwrap();
    reset.closes_with(TerminationCode::PROTOCOL_VIOLATION).await;
}

#[tokio::test]
async fn a_request_on_the_control_stream_ends_the_session() {
    let mut victim = victim(Options::default()).await;
    victim
        .control
        .write_chunk(&mut encoded(&subscribe(0)))
        .await
        .unwrap();
    victim
        .closes_with(TerminationCode::PROTOCOL_VIOLATION)
        .await;
}

#[tokio::test]
async fn a_second_goaway_ends_the_session() {
    let mut victim = victim(Options::default()).await;
    let goaway = encoded(&Message::Goaway(Goaway::default()));
    victim
        .control
        .write_chunk(&mut goaway.clone())
        .await
        .unwrap();
    victim
        .control
        .write_chunk(&mut goaway.clone())
        .await
        .unwrap();
    victim
        .closes_with(TerminationCode::PROTOCOL_VIOLATION)
        .await;
}

#[tokio::test]
async fn a_client_that_sends_the_server_elsewhere_is_cut_off() {
    let mut victim = victim(Options::default()).await;
    let goaway = Goaway {
        uri: Bytes::from_static(b"moqt://evil.example"),
        ..Goaway::default()
    };
    victim
        .control
        .write_chunk(&mut encoded(&Message::Goaway(goaway)))
        .await
        .unwrap();
    victim
        .closes_with(TerminationCode::PROTOCOL_VIOLATION)
        .await;
}

#[tokio::test]
async fn request_ids_of_the_wrong_parity_or_used_before_end_the_session() {
    let wrong = victim(Options::default()).await;
    let _stream = wrong.bi(encoded(&subscribe(1))).await;
    soon(wrong.server.accept_request()).await.unwrap_err();
    wrong.closes_with(TerminationCode::INVALID_REQUEST_ID).await;

    let repeated = victim(Options::default()).await;
    let _first = repeated.bi(encoded(&subscribe(4))).await;
    let _request = soon(repeated.server.accept_request()).await.unwrap();
    let _second = repeated.bi(encoded(&subscribe(4))).await;
    soon(repeated.server.accept_request()).await.unwrap_err();
    repeated
        .closes_with(TerminationCode::INVALID_REQUEST_ID)
        .await;
}

#[tokio::test]
async fn a_request_id_used_again_in_an_update_ends_the_session() {
    let victim = victim(Options::default()).await;
    let update = Message::RequestUpdate(RequestUpdate {
        request_id: 0,
        params: Parameters::default(),
    });
    let both = [&encoded(&subscribe(0))[..], &encoded(&update)[..]].concat();
    let _stream = victim.bi(both).await;
    let mut request = soon(victim.server.accept_request()).await.unwrap();
    soon(request.stream.recv()).await.unwrap_err();
    victim
        .closes_with(TerminationCode::INVALID_REQUEST_ID)
        .await;
}

#[tokio::test]
async fn the_token_cache_is_held_to_its_rules() {
    let use_alias = AuthorizationToken::UseAlias { alias: 1 };
    let cases = [
        (
            vec![register(1, 8193 - 16)],
            TerminationCode::AUTH_TOKEN_CACHE_OVERFLOW,
        ),
        (
            vec![register(1, 3), register(1, 3)],
            TerminationCode::DUPLICATE_AUTH_TOKEN_ALIAS,
        ),
        (vec![use_alias], TerminationCode::UNKNOWN_AUTH_TOKEN_ALIAS),
    ];
    for (tokens, code) in cases {
        let victim = victim(Options::default()).await;
        let _stream = victim.bi(encoded(&with_tokens(0, tokens))).await;
        let error = soon(victim.server.accept_request()).await.unwrap_err();
        assert_eq!(error.code(), Some(code));
        victim.closes_with(code).await;
    }
}

/// What becomes of a server whose client opens its control stream with `bytes`.
async fn handshake_with(bytes: impl Into<Bytes>, options: Options) -> SessionError {
    let Pair {
        client,
        server,
        endpoints: _endpoints,
    } = pair(Over::Quic, DRAFT).await;
    let mut control = soon(client.open_uni()).await.unwrap();
    control.write_chunk(&mut bytes.into()).await.unwrap();
    let error = soon(Session::accept(server, options)).await.unwrap_err();
    let told = SessionError::Lost(soon(client.closed()).await).code();
    assert_eq!(told, error.code());
    error
}

#[tokio::test]
async fn a_setup_with_a_token_alias_ends_the_session() {
    let setup = Message::Setup(SetupOptions {
        authorization_tokens: vec![AuthorizationToken::Delete { alias: 1 }],
        ..SetupOptions::default()
    });
    let error = handshake_with(encoded(&setup), Options::default()).await;
    assert_eq!(error.code(), Some(TerminationCode::PROTOCOL_VIOLATION));
}

#[tokio::test]
async fn a_malformed_path_or_authority_ends_the_session() {
    let path = Message::Setup(SetupOptions {
        path: Some(Bytes::from_static(b"no slash")),
        ..SetupOptions::default()
    });
    let error = handshake_with(encoded(&path), Options::default()).await;
    assert_eq!(error.code(), Some(TerminationCode::MALFORMED_PATH));
    let authority = Message::Setup(SetupOptions {
        authority: Some(Bytes::from_static(b"a/b")),
        ..SetupOptions::default()
    });
    let error = handshake_with(encoded(&authority), Options::default()).await;
    assert_eq!(error.code(), Some(TerminationCode::MALFORMED_AUTHORITY));
}

#[tokio::test]
async fn garbage_instead_of_setup_ends_the_session() {
    // A SETUP whose body is no list of options, and a message that is none.
    for garbage in [&[0xaf, 0x00, 0x00, 0x02, 0xff, 0xff][..], &[0x01; 64][..]] {
        let error = handshake_with(garbage, Options::default()).await;
        assert!(matches!(error, SessionError::Closed { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_setup_that_never_comes_ends_the_session() {
    let options = Options {
        handshake_timeout: Duration::from_millis(20),
        ..Options::default()
    };
    let error = handshake_with(&[0xaf][..], options).await;
    assert_eq!(error.code(), Some(TerminationCode::CONTROL_MESSAGE_TIMEOUT));
}

#[tokio::test]
async fn a_request_that_is_never_completed_ends_the_session() {
    let options = Options {
        message_timeout: Duration::from_millis(20),
        ..Options::default()
    };
    let victim = victim(options).await;
    let whole = encoded(&subscribe(0));
    let _stream = victim.bi(whole.slice(..whole.len() - 1)).await;
    soon(victim.server.accept_request()).await.unwrap_err();
    victim
        .closes_with(TerminationCode::CONTROL_MESSAGE_TIMEOUT)
        .await;
}

#[tokio::test]
async fn a_message_cut_off_by_fin_ends_the_session() {
    let victim = victim(Options::default()).await;
    let whole = encoded(&subscribe(0));
    let both = [&whole[..], &whole[..3]].concat();
    let (mut stream, _recv) = victim.bi(both).await;
    let mut request = soon(victim.server.accept_request()).await.unwrap();
    stream.finish().unwrap();
    soon(request.stream.recv()).await.unwrap_err();
    victim
        .closes_with(TerminationCode::PROTOCOL_VIOLATION)
        .await;
}

#[tokio::test]
async fn streams_that_say_nothing_are_given_up_and_the_rest_goes_on() {
    let options = Options {
        message_timeout: Duration::from_millis(20),
        max_undispatched: 4,
        ..Options::default()
    };
    let victim = victim(options).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(victim.uni(&[0x80][..]).await);
    }
    let _data = victim.uni(&[0x30, 7, 1][..]).await;
    soon(victim.server.accept_data()).await.unwrap();
    assert!(victim.server.counters().silent_streams > 0);
}

#[tokio::test]
async fn the_silent_streams_that_browsers_reserve_for_http3_are_left_alone() {
    let options = Options {
        message_timeout: Duration::from_millis(20),
        ..Options::default()
    };
    let over = Over::WebTransport;
    let pair = sessions_with(over, Draft::D22, Options::default(), options).await;
    let quic = pair.client.connection().quic().unwrap();
    // Nothing is sent on it: the server learns of it by the number of a later stream.
    let mut reserved = soon(quic.open_uni()).await.unwrap();
    for _ in 0..2 {
        // One of the session that says nothing tells when patience is over; the second was begun after that.
        let mut silent = soon(quic.open_uni()).await.unwrap();
        silent.write_all(&[0x40, 0x54, 0x00]).await.unwrap();
        tokio::select! {
            _ = pair.server.accept_data() => panic!("there is no data"),
            stopped = soon(silent.stopped()) => assert!(stopped.unwrap().is_some()),
        }
    }
    assert_eq!(pair.server.counters().silent_streams, 2);
    reserved.write_all(&[0x02]).await.unwrap();
}

#[tokio::test]
async fn a_peer_that_reads_no_messages_is_cut_off_at_the_bound() {
    for over in [Over::Quic, Over::WebTransport, Over::WebSocket] {
        let options = Options {
            max_unsent: 64 * 1024,
            ..Options::default()
        };
        let Sessions {
            client,
            server,
            endpoints: _endpoints,
        } = sessions_with(over, DRAFT, Options::default(), options).await;
        let ask = |request_id| {
            Message::SubscribeNamespace(NamespaceRequest {
                request_id,
                namespace: Namespace::default(),
                params: Parameters::default(),
            })
        };
        let _request = soon(client.open_request(ask)).await.unwrap();
        let theirs = soon(server.accept_request()).await.unwrap();
        theirs
            .stream
            .send(&Message::RequestOk(RequestOk::default()))
            .unwrap();
        let name = Namespace::new([vec![b'n'; 4000]]).unwrap();
        let sent = (0..10_000).take_while(|_| {
            theirs
                .stream
                .send(&Message::Namespace(name.clone()))
                .is_ok()
        });
        let sent = sent.count();
        assert!(sent < 1000, "{over:?}: {sent} messages of 4 kB were taken");
        let code = Some(TerminationCode::CONTROL_MESSAGE_TIMEOUT);
        assert_eq!(soon(server.closed()).await.code(), code, "{over:?}");
    }
}

#[tokio::test]
async fn an_answer_that_fits_no_request_ends_the_session() {
    let Sessions {
        client,
        server,
        endpoints: _endpoints,
    } = sessions(Over::Quic, DRAFT).await;
    let mut ours = soon(client.open_request(subscribe)).await.unwrap();
    let theirs = soon(server.accept_request()).await.unwrap();
    theirs
        .stream
        .send(&Message::RequestOk(RequestOk::default()))
        .unwrap();
    let error = soon(ours.recv()).await.unwrap_err();
    assert_eq!(error.code(), Some(TerminationCode::PROTOCOL_VIOLATION));
    assert_eq!(soon(server.closed()).await.code(), error.code());
}

#[tokio::test]
async fn a_bad_datagram_ends_the_session() {
    let victim = victim(Options::default()).await;
    victim
        .attacker
        .send_datagram(Bytes::from_static(&[0x7f, 1]))
        .unwrap();
    soon(victim.server.accept_datagram()).await.unwrap_err();
    victim
        .closes_with(TerminationCode::PROTOCOL_VIOLATION)
        .await;
}
