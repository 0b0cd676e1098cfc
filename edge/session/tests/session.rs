//! Sessions that behave: SETUP, requests, objects and their ends, on every transport and draft.

// Helpers fail by panicking, as tests do.
#![allow(clippy::unwrap_used)]

mod common;

use bytes::{Bytes, BytesMut};
use common::{EVERY, Over, Sessions, pair, sessions, sessions_with, soon};
use meridian_session::session::{
    DataStream, Opener, Options, RequestEvent, RequestStream, SendError, Session,
};
use meridian_session::transport::TryRead;
use meridian_wire::control::{
    Goaway, NamespaceRequest, PublishDone, RequestError, RequestOk, Subscribe, SubscribeOk,
};
use meridian_wire::data::{ObjectDatagram, ObjectHeader, ObjectStatus, SubgroupHeader, SubgroupId};
use meridian_wire::error::PublishDoneCode;
use meridian_wire::param::AuthorizationToken;
use meridian_wire::property::Properties;
use meridian_wire::{
    Draft, FullTrackName, Message, Namespace, Parameters, RequestErrorCode, ResetCode,
    TerminationCode,
};

fn subscribe(request_id: u64) -> Message {
    let namespace = Namespace::new(["meridian", "meeting"]).unwrap();
    Message::Subscribe(Subscribe {
        request_id,
        track: FullTrackName::new(namespace, "audio").unwrap(),
        params: Parameters::default(),
    })
}

fn subscribe_ok() -> Message {
    Message::SubscribeOk(SubscribeOk {
        track_alias: 7,
        params: Parameters::default(),
        properties: Properties::default(),
    })
}

fn announce(request_id: u64) -> Message {
    Message::PublishNamespace(NamespaceRequest {
        request_id,
        namespace: Namespace::new(["meridian", "meeting"]).unwrap(),
        params: Parameters::default(),
    })
}

fn done() -> Message {
    Message::PublishDone(PublishDone {
        code: PublishDoneCode::TRACK_ENDED,
        stream_count: 0,
        reason: "over".to_owned(),
    })
}

async fn message(stream: &mut RequestStream) -> Message {
    match soon(stream.recv()).await.unwrap() {
        RequestEvent::Message(message) => message,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_request_goes_round_on_every_transport_and_draft() {
    for over in EVERY {
        for draft in Draft::PREFERRED {
            let Sessions { client, server, .. } = sessions(over, draft).await;
            let mut ours = soon(client.open_request(subscribe)).await.unwrap();
            let mut theirs = soon(server.accept_request()).await.unwrap();
            assert_eq!((theirs.id, theirs.opener), (0, Opener::Subscribe));
            assert_eq!(theirs.message, subscribe(0), "{over:?} {draft:?}");

            theirs.stream.send(&subscribe_ok()).unwrap();
            assert_eq!(message(&mut ours).await, subscribe_ok());
            assert_eq!(ours.update(Parameters::default()), Ok(2));
            assert!(matches!(
                message(&mut theirs.stream).await,
                Message::RequestUpdate(_)
            ));
            let ok = Message::RequestOk(RequestOk::default());
            theirs.stream.send(&ok).unwrap();
            assert_eq!(message(&mut ours).await, ok);
            theirs.stream.send(&done()).unwrap();
            theirs.stream.finish().unwrap();
            assert_eq!(message(&mut ours).await, done());
            assert_eq!(soon(ours.recv()).await, Ok(RequestEvent::Fin));
            ours.finish().unwrap();
            assert_eq!(soon(theirs.stream.recv()).await, Ok(RequestEvent::Fin));
            assert_eq!(soon(theirs.stream.recv()).await, Ok(RequestEvent::Done));
            assert_eq!(soon(ours.recv()).await, Ok(RequestEvent::Done));
        }
    }
}

#[tokio::test]
async fn an_answer_is_heard_though_the_stop_of_its_request_comes_before_it() {
    for over in EVERY {
        let Sessions { client, server, .. } = sessions(over, Draft::D22).await;
        let mut ours = soon(client.open_request(subscribe)).await.unwrap();
        let theirs = soon(server.accept_request()).await.unwrap();
        let (sender, mut receiver) = theirs.stream.split();
        receiver.stop(ResetCode::CANCELLED);
        // What is said later comes later: after it the stop is there too.
        let mut later = soon(client.open_request(announce)).await.unwrap();
        let answered = soon(server.accept_request()).await.unwrap();
        let answer = async {
            let ok = Message::RequestOk(RequestOk::default());
            answered.stream.send(&ok).unwrap();
            message(&mut later).await;
            sender.send(&subscribe_ok()).unwrap();
            sender.finish().unwrap();
        };
        let (heard, ()) = futures_util::future::join(message(&mut ours), answer).await;
        assert_eq!(heard, subscribe_ok(), "{over:?}");
        assert_eq!(soon(ours.recv()).await, Ok(RequestEvent::Fin));
        let stopped = RequestEvent::Stopped(ResetCode::CANCELLED);
        assert_eq!(soon(ours.recv()).await, Ok(stopped), "{over:?}");
        answered.stream.finish().unwrap();
    }
}

#[tokio::test]
async fn servers_ask_with_odd_ids() {
    let Sessions { client, server, .. } = sessions(Over::Quic, Draft::D22).await;
    let first = soon(server.open_request(subscribe)).await.unwrap();
    let second = soon(server.open_request(announce)).await.unwrap();
    assert_eq!((first.id(), second.id()), (1, 3));
    assert_eq!(soon(client.accept_request()).await.unwrap().id, 1);
    assert_eq!(soon(client.accept_request()).await.unwrap().id, 3);
}

#[tokio::test]
async fn a_cancelled_request_says_so_to_the_other_side() {
    for over in EVERY {
        let Sessions { client, server, .. } = sessions(over, Draft::D22).await;
        let ours = soon(client.open_request(subscribe)).await.unwrap();
        let mut theirs = soon(server.accept_request()).await.unwrap();
        ours.cancel(ResetCode::CANCELLED);
        let end = soon(theirs.stream.recv()).await.unwrap();
        let cancelled = [
            RequestEvent::Reset(ResetCode::CANCELLED),
            RequestEvent::Stopped(ResetCode::CANCELLED),
        ];
        assert!(cancelled.contains(&end), "{over:?}: {end:?}");
    }
}

#[tokio::test]
async fn a_finished_request_is_cancelled_by_stopping_the_answer() {
    for over in EVERY {
        let Sessions { client, server, .. } = sessions(over, Draft::D22).await;
        let ours = soon(client.open_request(subscribe)).await.unwrap();
        ours.finish().unwrap();
        let mut theirs = soon(server.accept_request()).await.unwrap();
        assert_eq!(
            soon(theirs.stream.recv()).await,
            Ok(RequestEvent::Fin),
            "{over:?}"
        );
        let (_sender, mut receiver) = ours.split();
        receiver.stop(ResetCode::CANCELLED);
        let end = soon(theirs.stream.recv()).await.unwrap();
        assert_eq!(end, RequestEvent::Stopped(ResetCode::CANCELLED), "{over:?}");
    }
}

#[tokio::test]
async fn dropping_a_request_cancels_it() {
    let Sessions { client, server, .. } = sessions(Over::Quic, Draft::D22).await;
    drop(soon(client.open_request(subscribe)).await.unwrap());
    // Reset before it was read, the request may never be seen; the next one is.
    let ours = soon(client.open_request(announce)).await.unwrap();
    loop {
        let mut theirs = soon(server.accept_request()).await.unwrap();
        if theirs.id == ours.id() {
            break;
        }
        assert!(matches!(
            soon(theirs.stream.recv()).await,
            Ok(RequestEvent::Reset(_))
        ));
    }
}

#[tokio::test]
async fn setup_options_reach_the_other_side() {
    let mut options = Options::default();
    options.setup.path = Some(Bytes::from_static(b"/meeting?x=1"));
    options.setup.authority = Some(Bytes::from_static(b"edge.example:4443"));
    let token = AuthorizationToken::Register {
        alias: 1,
        kind: 0,
        value: Bytes::from_static(b"jwt"),
    };
    options.setup.authorization_tokens = vec![token];
    let client = options.clone();
    let sessions = sessions_with(Over::Quic, Draft::D22, client, Options::default()).await;
    let told = sessions.server.peer_setup();
    assert_eq!(told.path, options.setup.path);
    assert_eq!(told.authority, options.setup.authority);
    let plain = AuthorizationToken::UseValue {
        kind: 0,
        value: Bytes::from_static(b"jwt"),
    };
    assert_eq!(told.authorization_tokens, [plain]);
    assert!(sessions.client.peer_setup().implementation.is_some());
}

#[tokio::test]
async fn path_and_authority_are_not_said_where_the_url_says_them() {
    for over in [Over::WebTransport, Over::WebSocket] {
        let mut options = Options::default();
        options.setup.path = Some(Bytes::from_static(b"/elsewhere"));
        options.setup.authority = Some(Bytes::from_static(b"edge.example"));
        let sessions = sessions_with(over, Draft::D22, options, Options::default()).await;
        assert_eq!(sessions.server.peer_setup().path, None);
    }
}

#[tokio::test]
async fn a_token_registered_on_one_request_is_used_on_the_next() {
    let Sessions { client, server, .. } = sessions(Over::Quic, Draft::D22).await;
    let with = |token: AuthorizationToken| {
        move |id| {
            let mut message = subscribe(id);
            if let Message::Subscribe(subscribe) = &mut message {
                subscribe.params.authorization_tokens = vec![token];
            }
            message
        }
    };
    let value = Bytes::from_static(b"secret");
    let register = AuthorizationToken::Register {
        alias: 9,
        kind: 2,
        value: value.clone(),
    };
    let _first = soon(client.open_request(with(register))).await.unwrap();
    let first = soon(server.accept_request()).await.unwrap();
    let alias = AuthorizationToken::UseAlias { alias: 9 };
    let _second = soon(client.open_request(with(alias))).await.unwrap();
    let second = soon(server.accept_request()).await.unwrap();
    for request in [first, second] {
        let Message::Subscribe(message) = request.message else {
            panic!("{:?}", request.message)
        };
        let plain = AuthorizationToken::UseValue {
            kind: 2,
            value: value.clone(),
        };
        assert_eq!(message.params.authorization_tokens, [plain]);
    }
}

#[tokio::test]
async fn a_stream_of_one_packet_is_handed_over_whole() {
    for over in EVERY {
        let Sessions { client, server, .. } = sessions(over, Draft::D22).await;
        let bytes = one_object(b"opus");
        let mut send = soon(client.connection().open_uni()).await.unwrap();
        send.try_write_chunk(&mut bytes.clone()).unwrap();
        send.finish().unwrap();
        let data = soon(server.accept_data()).await.unwrap();
        let DataStream::Subgroup { first, mut stream } = data else {
            panic!("{data:?}")
        };
        assert_eq!(first, bytes, "{over:?}");
        if over == Over::Quic {
            // Bytes and FIN came in one packet: there is nothing to wait for.
            assert_eq!(stream.try_read_chunk(10), Ok(TryRead::Fin));
        }
        assert_eq!(soon(stream.read_chunk(10)).await, Ok(None));
    }
}

#[tokio::test]
async fn a_stream_whose_type_comes_late_keeps_no_other_waiting() {
    for over in EVERY {
        let Sessions { client, server, .. } = sessions(over, Draft::D22).await;
        let connection = client.connection();
        // The first byte of a longer form of the subgroup type: nothing is known yet.
        let mut late = soon(connection.open_uni()).await.unwrap();
        late.try_write_chunk(&mut Bytes::from_static(&[0x80]))
            .unwrap();
        let mut send = soon(connection.open_uni()).await.unwrap();
        send.try_write_chunk(&mut one_object(b"a")).unwrap();
        let data = soon(server.accept_data()).await.unwrap();
        assert!(matches!(data, DataStream::Subgroup { first, .. } if first == one_object(b"a")));

        late.try_write_chunk(&mut Bytes::from_static(&[0x30, 7, 1]))
            .unwrap();
        let data = soon(server.accept_data()).await.unwrap();
        let DataStream::Subgroup {
            mut first,
            mut stream,
        } = data
        else {
            panic!("{data:?}")
        };
        while first.len() < 4 {
            let more = soon(stream.read_chunk(10)).await.unwrap().unwrap();
            first = [&first[..], &more[..]].concat().into();
        }
        assert_eq!(&first[..], [0x80, 0x30, 7, 1], "{over:?}");
    }
}

#[tokio::test]
async fn data_that_overtakes_setup_is_kept() {
    let pair = pair(Over::Quic, Draft::D22).await;
    let mut early = soon(pair.client.open_uni()).await.unwrap();
    early.try_write_chunk(&mut one_object(b"early")).unwrap();
    let connect = Session::connect(pair.client.clone(), Options::default());
    let accept = Session::accept(pair.server, Options::default());
    let (client, server) = soon(futures_util::future::join(connect, accept)).await;
    let (_client, server) = (client.unwrap(), server.unwrap());
    let data = soon(server.accept_data()).await.unwrap();
    assert!(matches!(data, DataStream::Subgroup { first, .. } if first == one_object(b"early")));
}

#[tokio::test]
async fn padding_is_passed_over() {
    let Sessions { client, server, .. } = sessions(Over::Quic, Draft::D22).await;
    let mut padding = soon(client.connection().open_uni()).await.unwrap();
    let mut bytes = BytesMut::new();
    meridian_wire::varint::encode(meridian_wire::data::PADDING_STREAM, &mut bytes);
    bytes.extend_from_slice(&[0; 100]);
    padding.try_write_chunk(&mut bytes.freeze()).unwrap();
    let mut send = soon(client.connection().open_uni()).await.unwrap();
    send.try_write_chunk(&mut one_object(b"a")).unwrap();
    assert!(matches!(
        soon(server.accept_data()).await,
        Ok(DataStream::Subgroup { .. })
    ));
}

#[tokio::test]
async fn objects_come_as_datagrams_too() {
    for over in EVERY {
        let Sessions { client, server, .. } = sessions(over, Draft::D22).await;
        let object = ObjectDatagram {
            track_alias: 3,
            group: 5,
            object: 0,
            priority: Some(16),
            properties: None,
            end_of_group: true,
            status: ObjectStatus::Normal,
            payload: Bytes::from_static(b"opus"),
        };
        let mut bytes = BytesMut::new();
        object.encode(&mut bytes);
        client.connection().send_datagram(bytes.freeze()).unwrap();
        assert_eq!(soon(server.accept_datagram()).await, Ok(object), "{over:?}");
    }
}

#[tokio::test]
async fn goaway_is_seen_once_on_every_draft() {
    for draft in Draft::PREFERRED {
        let Sessions { client, server, .. } = sessions(Over::Quic, draft).await;
        let mut seen = client.goaway();
        assert_eq!(*seen.borrow(), None);
        let goaway = Goaway {
            uri: Bytes::from_static(b"moqt://other.example"),
            timeout: 500,
            request_id: None,
        };
        server.send_goaway(goaway.clone()).unwrap();
        let told = soon(seen.wait_for(Option::is_some))
            .await
            .unwrap()
            .clone()
            .unwrap();
        assert_eq!((told.uri, told.timeout), (goaway.uri, goaway.timeout));
        assert_eq!(told.request_id, (draft == Draft::D18).then_some(0));
    }
}

#[tokio::test]
async fn the_updates_a_peer_allows_are_not_exceeded() {
    let mut options = Options::default();
    options.setup.max_request_updates = Some(1);
    let sessions = sessions_with(Over::Quic, Draft::D22, Options::default(), options).await;
    let mut ours = soon(sessions.client.open_request(subscribe)).await.unwrap();
    let mut theirs = soon(sessions.server.accept_request()).await.unwrap();
    theirs.stream.send(&subscribe_ok()).unwrap();
    assert_eq!(message(&mut ours).await, subscribe_ok());
    assert_eq!(ours.update(Parameters::default()), Ok(2));
    assert_eq!(
        ours.update(Parameters::default()),
        Err(SendError::TooManyUpdates)
    );
    message(&mut theirs.stream).await;
    theirs.stream.send(&refusal()).unwrap();
    assert_eq!(message(&mut ours).await, refusal());
    assert_eq!(ours.update(Parameters::default()), Ok(4));
}

#[tokio::test]
async fn a_closed_session_tells_both_sides_why() {
    let Sessions { client, server, .. } = sessions(Over::Quic, Draft::D22).await;
    server.close(TerminationCode::UNAUTHORIZED, "no token");
    let end = soon(client.closed()).await;
    assert_eq!(end.code(), Some(TerminationCode::UNAUTHORIZED));
    assert_eq!(
        soon(server.closed()).await.code(),
        Some(TerminationCode::UNAUTHORIZED)
    );
    assert_eq!(soon(client.accept_request()).await.unwrap_err(), end);
    assert!(soon(client.open_request(subscribe)).await.is_err());
}

#[tokio::test]
async fn a_dropped_session_closes_its_connection() {
    for over in EVERY {
        let Sessions { client, server, .. } = sessions(over, Draft::D22).await;
        drop(client);
        let end = soon(server.closed()).await;
        assert_eq!(end.code(), Some(TerminationCode::NO_ERROR), "{over:?}");
    }
}

#[test]
fn sessions_run_on_one_thread_with_local_tasks() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let Sessions { client, server, .. } = sessions(Over::Quic, Draft::D22).await;
        let asking = tokio::task::spawn_local(async move {
            let mut request = client.open_request(subscribe).await.unwrap();
            request.recv().await.unwrap()
        });
        let theirs = soon(server.accept_request()).await.unwrap();
        theirs.stream.send(&refusal()).unwrap();
        theirs.stream.finish().unwrap();
        assert_eq!(
            soon(asking).await.unwrap(),
            RequestEvent::Message(refusal())
        );
    });
}

fn refusal() -> Message {
    Message::RequestError(RequestError {
        code: RequestErrorCode::DOES_NOT_EXIST,
        retry_interval: 0,
        reason: "no such track".to_owned(),
        redirect: None,
    })
}

fn one_object(payload: &'static [u8]) -> Bytes {
    let mut bytes = BytesMut::new();
    SubgroupHeader {
        track_alias: 7,
        group: 1,
        subgroup: SubgroupId::Zero,
        priority: None,
        has_properties: false,
        end_of_group: true,
        first_object: true,
    }
    .encode(&mut bytes);
    ObjectHeader {
        id: 0,
        properties: Bytes::new(),
        payload_len: payload.len() as u64,
        status: ObjectStatus::Normal,
    }
    .encode(None, false, &mut bytes);
    bytes.extend_from_slice(payload);
    bytes.freeze()
}

#[tokio::test]
async fn streams_of_http3_itself_stay_open_beside_the_session() {
    let Sessions { client, server, .. } = sessions(Over::WebTransport, Draft::D22).await;
    let quic = client.connection().quic().unwrap();
    // A QPACK encoder stream, as browsers open one: closing it would end the connection.
    let mut qpack = soon(quic.open_uni()).await.unwrap();
    qpack.write_all(&[0x02, 0x3f, 0xe1]).await.unwrap();
    let mut send = soon(client.connection().open_uni()).await.unwrap();
    send.try_write_chunk(&mut one_object(b"a")).unwrap();
    assert!(matches!(
        soon(server.accept_data()).await,
        Ok(DataStream::Subgroup { .. })
    ));
    // The peer's answer to a request comes after any STOP_SENDING that it might have sent.
    let mut ours = soon(client.open_request(subscribe)).await.unwrap();
    let theirs = soon(server.accept_request()).await.unwrap();
    theirs.stream.send(&refusal()).unwrap();
    assert_eq!(message(&mut ours).await, refusal());
    assert!(futures_util::FutureExt::now_or_never(qpack.stopped()).is_none());
}
