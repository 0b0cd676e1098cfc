//! A real edge on loopback, and sessions that talk to it.

#![allow(dead_code, reason = "each test file uses its part")]

use bytes::{Bytes, BytesMut};
use meridian_edge::Edge;
use meridian_edge::access::Access;
use meridian_edge::clients::Doors;
use meridian_session::endpoint::QuicSettings;
use meridian_session::session::{
    DataStream, Options, RequestEvent, RequestStream, Session, SessionError,
};
use meridian_session::tls::{self, Identity, Trust};
use meridian_session::transport::Incoming;
use meridian_wire::control::{Fetch, NamespaceRequest, Subscribe, SubscribeOk};
use meridian_wire::data::{
    FetchDecoder, FetchEvent, ObjectHeader, ObjectStatus, SubgroupHeader, SubgroupId,
};
use meridian_wire::property::Properties;
use meridian_wire::{
    Draft, FetchFilter, FullTrackName, GroupOrder, Location, LocationFilter, Message, Namespace,
    Parameters,
};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::task::LocalSet;

/// Runs a test on one thread, as an edge does.
pub(crate) fn run(test: impl Future<Output = ()>) {
    // A test that hangs is to fail by itself.
    let test = async { tokio::time::timeout(Duration::from_secs(60), test).await };
    block_on(test).expect("the test ends");
}

pub(crate) fn block_on<R>(future: impl Future<Output = R>) -> R {
    tls::install_default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime starts");
    LocalSet::new().block_on(&runtime, future)
}

/// An edge with open doors on a port the system chose.
pub(crate) async fn open_edge() -> (Edge, SocketAddr) {
    edge(Access::Open, 100).await
}

/// The same with several workers.
pub(crate) async fn open_edge_with(workers: usize) -> (Edge, SocketAddr) {
    start(Access::Open, 100, workers).await
}

/// An edge on a port the system chose.
pub(crate) async fn edge(access: Access, max_clients: usize) -> (Edge, SocketAddr) {
    start(access, max_clients, 1).await
}

async fn start(access: Access, max_clients: usize, workers: usize) -> (Edge, SocketAddr) {
    let doors = Doors {
        address: "127.0.0.1:0".parse().expect("an address"),
        identity: Identity::ephemeral().expect("a certificate"),
        access,
        max_clients,
        congestion: Default::default(),
    };
    let edge = Edge::start(meridian_relay::Config::default(), doors, workers)
        .await
        .expect("loopback has a free port");
    let address = edge.address();
    (edge, address)
}

/// A session over raw QUIC.
pub(crate) async fn connect(edge: SocketAddr, draft: Draft) -> Session {
    let connected = connect_with(edge, draft, Options::default()).await;
    connected.expect("SETUP succeeds")
}

/// The same, saying what `options` have to say.
pub(crate) async fn connect_with(
    edge: SocketAddr,
    draft: Draft,
    options: Options,
) -> Result<Session, SessionError> {
    connect_from(&endpoint(), edge, draft, options).await
}

/// A client's endpoint.
pub(crate) fn endpoint() -> quinn::Endpoint {
    QuicSettings::client_side()
        .endpoint("127.0.0.1:0".parse().expect("an address"), None)
        .expect("loopback has a free port")
}

/// The same from an endpoint that the caller keeps.
pub(crate) async fn connect_from(
    endpoint: &quinn::Endpoint,
    edge: SocketAddr,
    draft: Draft,
    options: Options,
) -> Result<Session, SessionError> {
    let settings = QuicSettings::client_side();
    let tls =
        tls::client(&Trust::Anyone, None, tls::moqt_protocols(&[draft])).expect("TLS settings");
    let config = settings.client_config(tls).expect("TLS 1.3");
    let connecting = endpoint
        .connect_with(config, edge, "localhost")
        .expect("a valid name");
    let connection = connecting.await.expect("the edge answers");
    let incoming = Incoming::read(connection)
        .await
        .expect("the draft was agreed on");
    let connection = incoming.accept().await.expect("raw QUIC needs no more");
    Session::connect(connection, options).await
}

pub(crate) fn track(name: &str) -> FullTrackName {
    FullTrackName {
        namespace: namespace(),
        name: Bytes::copy_from_slice(name.as_bytes()),
    }
}

pub(crate) fn namespace() -> Namespace {
    Namespace(
        [Bytes::from_static(b"meridian"), Bytes::from_static(b"test")]
            .into_iter()
            .collect(),
    )
}

pub(crate) async fn announce(publisher: &Session) -> RequestStream {
    let mut request = publisher
        .open_request(|request_id| {
            let params = Parameters::default();
            Message::PublishNamespace(NamespaceRequest {
                request_id,
                namespace: namespace(),
                params,
            })
        })
        .await
        .expect("a request stream");
    let answer = request.recv().await.expect("the session lives");
    assert!(
        matches!(answer, RequestEvent::Message(Message::RequestOk(_))),
        "{answer:?}"
    );
    request
}

pub(crate) async fn subscribe(
    subscriber: &Session,
    name: &str,
    params: Parameters,
) -> RequestStream {
    let track = track(name);
    subscriber
        .open_request(|request_id| {
            Message::Subscribe(Subscribe {
                request_id,
                track,
                params,
            })
        })
        .await
        .expect("a request stream")
}

/// Accepts the next SUBSCRIBE under an alias.
pub(crate) async fn accept_subscribe(publisher: &Session, track_alias: u64) -> RequestStream {
    let incoming = publisher.accept_request().await.expect("the session lives");
    assert!(
        matches!(incoming.message, Message::Subscribe(_)),
        "{:?}",
        incoming.message
    );
    let ok = SubscribeOk {
        track_alias,
        params: Parameters::default(),
        properties: audio_properties(),
    };
    incoming
        .stream
        .send(&Message::SubscribeOk(ok))
        .expect("it fits");
    incoming.stream
}

pub(crate) async fn expect_subscribe_ok(request: &mut RequestStream) -> SubscribeOk {
    match request.recv().await.expect("the session lives") {
        RequestEvent::Message(Message::SubscribeOk(ok)) => ok,
        other => panic!("no SUBSCRIBE_OK but {other:?}"),
    }
}

/// A whole stream with one group of one object.
pub(crate) fn audio(track_alias: u64, group: u64, payload: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    SubgroupHeader {
        track_alias,
        group,
        subgroup: SubgroupId::Zero,
        priority: Some(16),
        has_properties: false,
        end_of_group: true,
        first_object: true,
    }
    .encode(&mut out);
    let (properties, payload_len) = (Bytes::new(), payload.len() as u64);
    ObjectHeader {
        id: 0,
        properties,
        payload_len,
        status: ObjectStatus::Normal,
    }
    .encode(None, false, &mut out);
    out.extend_from_slice(payload);
    out.freeze()
}

pub(crate) async fn send_stream(publisher: &Session, bytes: Bytes) {
    let mut stream = publisher
        .connection()
        .open_uni()
        .await
        .expect("stream credit");
    let mut rest = bytes;
    stream.write_chunk(&mut rest).await.expect("the edge reads");
    stream.finish().expect("it is open");
}

/// The next data stream, whole.
pub(crate) async fn receive_stream(subscriber: &Session) -> Bytes {
    let (first, mut stream) = match subscriber.accept_data().await.expect("the session lives") {
        DataStream::Subgroup { first, stream } | DataStream::Fetch { first, stream } => {
            (first, stream)
        }
    };
    let mut all = BytesMut::from(&first[..]);
    while let Some(chunk) = stream.read_chunk(64 * 1024).await.expect("no reset") {
        all.extend_from_slice(&chunk);
    }
    all.freeze()
}

/// Asks for the groups `from` to `to`.
pub(crate) async fn fetch(session: &Session, from: u64, to: u64) -> RequestStream {
    let opened = session.open_request(|request_id| {
        Message::Fetch(Fetch {
            request_id,
            track: Some(track("audio")),
            filter: FetchFilter::Range,
            params: Parameters {
                location_filter: Some(LocationFilter::Absolute {
                    start: Location::new(from, 0),
                    end_group: Some(to),
                    end_object: None,
                }),
                ..Parameters::default()
            },
        })
    });
    opened.await.expect("a request stream")
}

/// Where the answer to a FETCH says that it ends.
pub(crate) fn end_of(answer: RequestEvent) -> Location {
    match answer {
        RequestEvent::Message(Message::FetchOk(ok)) => ok.end,
        other => panic!("no FETCH_OK but {other:?}"),
    }
}

/// The groups of a fetch stream and the byte that fills their objects.
pub(crate) fn objects(stream: Bytes) -> Vec<(u64, u8)> {
    let mut decoder = FetchDecoder::new(Draft::D22, GroupOrder::Ascending);
    decoder.push(stream);
    let mut found = Vec::new();
    while let Some(event) = decoder.poll().expect("well-formed") {
        if let FetchEvent::Object {
            header,
            wire,
            head_len,
        } = event
        {
            let payload = &wire[head_len..];
            assert_eq!(payload.len(), 160);
            assert!(payload.iter().all(|byte| *byte == payload[0]));
            found.push((header.group, payload[0]));
        }
    }
    found
}

/// What makes a track audio for the edges: they take it through both parents.
fn audio_properties() -> Properties {
    Properties::builder()
        .default_publisher_priority(16)
        .build()
        .expect("one small property")
}
