//! One session of moqtap-client with an edge, and what it says and hears there.

use crate::drafts;
use std::{ops::RangeInclusive, time::Duration};

use meridian_interop::{Edge, GROUPS, Objects};
use moqtap_client::dispatch::{
    AnyArrival, AnyClientConfig, AnyConnection, AnyInboundRequest, AnyRequest, AnyTransportType,
    ErrorCause, FetchRange, fetch_group_order,
};
use moqtap_codec::{
    dispatch::{AnyControlMessage, AnyFetchHeader, AnySubgroupHeader},
    draft18, draft20, draft22,
    types::{FilterType, GroupOrder, TrackNamespace},
};

pub(crate) use moqtap_codec::version::DraftVersion as Draft;

/// What a session runs over.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    RawQuic,
    WebTransport,
}

/// Runs a test to its end, or to the point where nothing more will come.
pub(crate) fn run(test: impl Future<Output = ()>) {
    // The trials of another client bring a second provider, and the library chooses none then. Another test may have
    // been here first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime
        .block_on(async { tokio::time::timeout(DEADLINE, test).await })
        .expect("the test hangs");
}

/// The same expression for the message of each draft: each has types of its own.
macro_rules! message {
    ($message:expr, $pattern:ident($inner:ident) => $value:expr) => {
        match $message {
            AnyControlMessage::Draft18(draft18::message::ControlMessage::$pattern($inner)) => {
                $value
            }
            AnyControlMessage::Draft20(draft20::message::ControlMessage::$pattern($inner)) => {
                $value
            }
            AnyControlMessage::Draft22(draft22::message::ControlMessage::$pattern($inner)) => {
                $value
            }
            other => panic!("{other:?} instead of {}", stringify!($pattern)),
        }
    };
}

/// A session.
pub(crate) struct Peer {
    connection: AnyConnection,
}

impl Peer {
    pub(crate) async fn connect(edge: &Edge, draft: Draft, way: Way) -> Self {
        let transport = match way {
            Way::RawQuic => AnyTransportType::Quic,
            Way::WebTransport => AnyTransportType::WebTransport {
                url: edge.https_url(),
            },
        };
        let config = AnyClientConfig {
            draft,
            additional_versions: Vec::new(),
            transport,
            skip_cert_verification: true,
            ca_certs: Vec::new(),
            setup_parameters: Vec::new(),
        };
        let address = edge.address().to_string();
        Self {
            connection: AnyConnection::connect(&address, config).await.unwrap(),
        }
    }

    pub(crate) fn assert_set_up(&self) {
        message!(self.connection.server_setup(), Setup(_setup) => ());
    }

    /// PUBLISH_NAMESPACE, accepted. It is withdrawn when the request is dropped.
    pub(crate) async fn announce(&mut self) -> AnyRequest {
        let mut request = self
            .connection
            .publish_namespace(namespace())
            .await
            .unwrap();
        message!(self.response(&mut request).await, RequestOk(_ok) => ());
        request
    }

    /// SUBSCRIBE_NAMESPACE for all but the last field, accepted.
    pub(crate) async fn watch_namespaces(&mut self) -> AnyRequest {
        let prefix = TrackNamespace(NAMESPACE[..2].iter().map(|field| field.to_vec()).collect());
        let mut request = self.connection.subscribe_namespace(prefix).await.unwrap();
        message!(self.response(&mut request).await, RequestOk(_ok) => ());
        request
    }

    pub(crate) async fn expect_namespace(&mut self, watch: &mut AnyRequest) {
        let suffix =
            message!(self.response(watch).await, Namespace(found) => found.namespace_suffix);
        assert_eq!(suffix.0, [NAMESPACE[2]]);
    }

    pub(crate) async fn expect_namespace_done(&mut self, watch: &mut AnyRequest) {
        let suffix =
            message!(self.response(watch).await, NamespaceDone(lost) => lost.namespace_suffix);
        assert_eq!(suffix.0, [NAMESPACE[2]]);
    }

    pub(crate) async fn subscribe(&mut self) -> AnyRequest {
        let order = GroupOrder::Ascending;
        let filter = FilterType::LargestObject;
        let request = self
            .connection
            .subscribe(namespace(), TRACK.to_vec(), 128, order, filter);
        request.await.unwrap()
    }

    /// SUBSCRIBE that the edge is to hold until somebody publishes: the client's own call has no such parameter.
    pub(crate) async fn subscribe_and_wait(&mut self) -> AnyRequest {
        let patience = DEADLINE.as_millis() as u64;
        drafts::subscribe_and_wait(&mut self.connection, track(), patience).await
    }

    /// The alias that the edge has given the track.
    pub(crate) async fn expect_subscribe_ok(&mut self, subscription: &mut AnyRequest) -> u64 {
        let alias = message!(self.response(subscription).await, SubscribeOk(ok) => ok.track_alias);
        alias.into_inner()
    }

    pub(crate) async fn expect_publish_done(&mut self, subscription: &mut AnyRequest) {
        let done = message!(
            self.response(subscription).await,
            PublishDone(done) => (done.status_code.into_inner(), done.stream_count.into_inner())
        );
        assert_eq!(done, (TRACK_ENDED, GROUPS));
    }

    /// Waits for the edge's SUBSCRIBE and accepts it.
    pub(crate) async fn accept_subscriber(&mut self) -> AnyInboundRequest {
        let AnyArrival::Subscribe {
            message,
            mut request,
        } = self.connection.recv_inbound().await.unwrap()
        else {
            panic!("something else than SUBSCRIBE came");
        };
        let (asked, name) = message!(
            message,
            Subscribe(subscribe) => (subscribe.track_namespace, subscribe.track_name)
        );
        assert_eq!((asked, name.as_slice()), (namespace(), TRACK));
        let alias = drafts::number(ALIAS);
        self.connection
            .accept_subscribe(&mut request, alias)
            .await
            .unwrap();
        request
    }

    /// Each group on a stream of its own.
    pub(crate) async fn send(&mut self, objects: &Objects) {
        for group in 0..GROUPS {
            let mut stream = drafts::open_whole_group(&self.connection, ALIAS, group).await;
            for (place, payload) in objects.range((group, 0)..(group + 1, 0)) {
                stream.write_object(place.1, payload).await.unwrap();
            }
            stream.finish().await.unwrap();
        }
    }

    /// PUBLISH_DONE: nothing more will come.
    pub(crate) async fn end(&mut self, publishing: &mut AnyInboundRequest) {
        drafts::publish_done(&mut self.connection, publishing, TRACK_ENDED).await;
    }

    /// Waits for the edge's FETCH of all objects and answers it.
    pub(crate) async fn answer_fetch(&mut self, objects: &Objects) {
        drafts::answer_fetch(&mut self.connection, track(), objects).await;
    }

    /// All groups of the track, each stream to its end.
    pub(crate) async fn receive(&mut self, alias: u64) -> Objects {
        let mut received = Objects::new();
        for _ in 0..GROUPS {
            let (header, mut stream) = self.connection.accept_subgroup().await.unwrap();
            let (of, group) = match header {
                AnySubgroupHeader::Draft18(header) => (header.track_alias, header.group_id),
                AnySubgroupHeader::Draft20(header) => (header.track_alias, header.group_id),
                AnySubgroupHeader::Draft22(header) => (header.track_alias, header.group_id),
            };
            assert_eq!(of.into_inner(), alias);
            loop {
                match stream.read_object().await {
                    Ok(object) => {
                        assert_eq!(object.status.unwrap_or(0), 0);
                        let place = (group.into_inner(), object.object_id);
                        assert_eq!(
                            received.insert(place, object.payload),
                            None,
                            "{place:?} came twice"
                        );
                    }
                    Err(end) => break assert_eq!(end.cause(), &ErrorCause::StreamEnded, "{end}"),
                }
            }
        }
        received
    }

    /// FETCH of the places from the range's start to its end, both included.
    pub(crate) async fn request_fetch(&mut self, range: RangeInclusive<(u64, u64)>) -> AnyRequest {
        let ((from, first), (to, last)) = range.into_inner();
        let range = FetchRange::through_object(from, first, to, last);
        self.connection
            .fetch(namespace(), TRACK.to_vec(), range)
            .await
            .unwrap()
    }

    /// All that comes for a FETCH, which is accepted, to the end of its stream.
    pub(crate) async fn receive_fetched(&mut self, mut request: AnyRequest) -> Objects {
        let ok = self.response(&mut request).await;
        eprintln!("{ok:?}");
        let order = fetch_group_order(&ok);
        message!(ok, FetchOk(_ok) => ());
        let (header, mut stream) = self.connection.accept_fetch(order).await.unwrap();
        let answers = match header {
            AnyFetchHeader::Draft18(header) => header.request_id,
            AnyFetchHeader::Draft20(header) => header.request_id,
            AnyFetchHeader::Draft22(header) => header.request_id,
        };
        assert_eq!(answers, request.request_id());
        let mut received = Objects::new();
        loop {
            match stream.read_object().await {
                Ok(object) => {
                    eprintln!("{} {}", object.group_id, object.object_id);
                    assert_eq!(object.end_of_range, None);
                    let place = (object.group_id, object.object_id);
                    assert_eq!(
                        received.insert(place, object.payload),
                        None,
                        "{place:?} came twice"
                    );
                }
                Err(end) => {
                    assert_eq!(end.cause(), &ErrorCause::StreamEnded, "{end}");
                    return received;
                }
            }
        }
    }

    pub(crate) async fn request_status(&mut self) -> AnyRequest {
        self.connection
            .track_status(namespace(), TRACK.to_vec())
            .await
            .unwrap()
    }

    /// The code of the REQUEST_ERROR that answers.
    pub(crate) async fn expect_error(&mut self, mut request: AnyRequest) -> u64 {
        let code =
            message!(self.response(&mut request).await, RequestError(error) => error.error_code);
        code.into_inner()
    }

    async fn response(&mut self, request: &mut AnyRequest) -> AnyControlMessage {
        let response = self.connection.recv_response(request).await.unwrap();
        response.expect("the edge answers before it ends the stream")
    }
}

fn track() -> (TrackNamespace, &'static [u8]) {
    (namespace(), TRACK)
}

fn namespace() -> TrackNamespace {
    TrackNamespace(NAMESPACE.iter().map(|field| field.to_vec()).collect())
}

const NAMESPACE: [&[u8]; 3] = [b"meridian", b"interop", b"moqtap"];
const TRACK: &[u8] = b"video";

/// What the publisher calls its track; the edge chooses its own alias for each subscriber.
const ALIAS: u64 = 41;

/// PUBLISH_DONE's status.
const TRACK_ENDED: u64 = 0x2;

/// Far beyond what any of this takes.
const DEADLINE: Duration = Duration::from_secs(30);
