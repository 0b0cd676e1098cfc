//! moq-net, which live sites run on, with moq-tokio's transports: its own QUIC (noq) and its own WebTransport.
//! It publishes and subscribes through an edge on each draft and transport.

use std::time::Duration;

use meridian_interop::{Edge, GROUPS, OBJECTS, Objects, objects};
use moq_tokio::{
    Connection,
    moq_net::{self, broadcast, group, origin, track},
};

macro_rules! cells {
    ($($cell:ident: $version:literal, $scheme:literal;)*) => {$(
        mod $cell {
            use super::*;

            const ON: On = On { version: $version, scheme: $scheme };

            #[test]
            fn a_session_is_set_up() {
                run(super::set_up(ON));
            }

            #[test]
            fn an_announced_broadcast_is_made_known_and_withdrawn() {
                run(super::announce(ON));
            }

            #[test]
            fn a_subscriber_who_came_before_the_publisher_gets_every_object() {
                run(super::subscribe_first(ON));
            }

            #[test]
            fn a_subscriber_who_came_after_the_publisher_gets_every_object() {
                run(super::publish_first(ON));
            }

            #[test]
            fn past_groups_are_fetched_from_the_edge() {
                run(super::fetch(ON));
            }

            #[test]
            fn a_track_that_nobody_publishes_is_not_found() {
                run(super::unknown(ON));
            }
        }
    )*};
}

cells! {
    draft_22_over_raw_quic: "moq-transport-22", "moqt";
    draft_22_over_webtransport: "moq-transport-22", "https";
    draft_20_over_raw_quic: "moq-transport-20", "moqt";
    draft_20_over_webtransport: "moq-transport-20", "https";
    draft_18_over_raw_quic: "moq-transport-18", "moqt";
    draft_18_over_webtransport: "moq-transport-18", "https";
}

/// Which draft, over what.
#[derive(Clone, Copy)]
struct On {
    version: &'static str,
    scheme: &'static str,
}

async fn set_up(on: On) {
    let edge = Edge::start().unwrap();
    let connection = on.watch(&edge).await.connection;
    assert_eq!(connection.version(), Some(on.version.parse().unwrap()));
}

async fn announce(on: On) {
    let edge = Edge::start().unwrap();
    let watcher = on.watch(&edge).await;
    let mut announced = watcher.origin.announced();
    let publisher = on.publish(&edge).await;
    let update = announced.next().await.unwrap();
    assert_eq!(
        (update.prefix.as_str(), update.kind.is_active()),
        (BROADCAST, true)
    );
    publisher.broadcast.close();
    let update = announced.next().await.unwrap();
    assert_eq!(
        (update.prefix.as_str(), update.kind.is_active()),
        (BROADCAST, false)
    );
}

async fn subscribe_first(on: On) {
    let edge = Edge::start().unwrap();
    let viewer = on.watch(&edge).await;
    let mut announced = viewer.origin.announced();
    let publisher = on.publish(&edge).await;
    let update = announced.next().await.unwrap();
    assert_eq!(update.prefix.as_str(), BROADCAST);
    let mut subscription = viewer.subscribe().await;
    publisher.send();
    assert_eq!(receive(&mut subscription).await, objects());
}

async fn publish_first(on: On) {
    let edge = Edge::start().unwrap();
    let publisher = on.publish(&edge).await;
    let viewer = on.watch(&edge).await;
    viewer.announced().await;
    let mut subscription = viewer.subscribe().await;
    publisher.send();
    assert_eq!(receive(&mut subscription).await, objects());
}

async fn fetch(on: On) {
    let edge = Edge::start().unwrap();
    let publisher = on.publish(&edge).await;
    let viewer = on.watch(&edge).await;
    viewer.announced().await;
    let mut subscription = viewer.subscribe().await;
    publisher.send();
    assert_eq!(receive(&mut subscription).await, objects());

    let late = on.watch(&edge).await;
    late.announced().await;
    let track = late.track(TRACK).await;
    // The newest comes by the subscription that this client makes besides.
    for sequence in 0..GROUPS - 1 {
        let mut group = track.fetch_group(sequence, None).await.unwrap();
        assert_eq!(group.sequence, sequence);
        let wanted = objects()
            .into_iter()
            .filter(|((group, _), _)| *group == sequence);
        assert_eq!(read(&mut group).await, wanted.collect());
    }
}

async fn unknown(on: On) {
    let edge = Edge::start().unwrap();
    let _publisher = on.publish(&edge).await;
    let viewer = on.watch(&edge).await;
    viewer.announced().await;
    let refused = viewer.track("no such track").await.subscribe(None).await;
    assert!(
        matches!(refused, Err(moq_net::Error::NotFound)),
        "{:?}",
        refused.err()
    );
}

/// Somebody who takes what others publish.
struct Viewer {
    origin: origin::Consumer,
    connection: Connection,
}

/// Somebody with one track.
struct Publisher {
    broadcast: broadcast::Producer,
    track: track::Producer,
    _connection: Connection,
}

impl On {
    async fn watch(self, edge: &Edge) -> Viewer {
        let origin = moq_tokio::origin::spawn();
        let consumer = origin.consume();
        let client = self.client().with_subscriber(origin);
        let connection = client.connect(self.url(edge)).established().await.unwrap();
        Viewer {
            origin: consumer,
            connection,
        }
    }

    async fn publish(self, edge: &Edge) -> Publisher {
        let origin = moq_tokio::origin::spawn();
        let broadcast = origin.create_broadcast(BROADCAST).unwrap();
        let track = broadcast.create_track(TRACK, None).unwrap();
        broadcast.announce(Default::default()).unwrap();
        let client = self.client().with_publisher(&origin);
        let connection = client.connect(self.url(edge)).established().await.unwrap();
        Publisher {
            broadcast,
            track,
            _connection: connection,
        }
    }

    fn client(self) -> moq_tokio::Client {
        let mut config = moq_tokio::connect::Config::default();
        config.tls.insecure = Some(true);
        config.version = vec![self.version.parse().unwrap()];
        config.once = Some(true);
        config.init(Default::default()).unwrap()
    }

    fn url(self, edge: &Edge) -> url::Url {
        let url = match self.scheme {
            "https" => edge.https_url(),
            scheme => format!("{scheme}://{}", edge.address()),
        };
        url.parse().unwrap()
    }
}

impl Viewer {
    async fn announced(&self) {
        let update = self.origin.announced().next().await.unwrap();
        assert_eq!(
            (update.prefix.as_str(), update.kind.is_active()),
            (BROADCAST, true)
        );
    }

    async fn track(&self, name: &str) -> track::Consumer {
        let broadcast = self.origin.request_broadcast(BROADCAST).await.unwrap();
        broadcast.track(name).unwrap()
    }

    /// A subscription that takes old groups too: left alone, this client gives up all but the newest.
    async fn subscribe(&self) -> track::Subscriber {
        let patient = track::Subscription::default().with_max_age(DEADLINE);
        self.track(TRACK).await.subscribe(patient).await.unwrap()
    }
}

impl Publisher {
    /// Each group with a time of its own.
    fn send(&self) {
        for sequence in 0..GROUPS {
            let time = moq_net::Timestamp::from_millis(sequence * 20).unwrap();
            let mut group = self.track.create_group(group::Info { sequence }).unwrap();
            for (_, payload) in objects().range((sequence, 0)..(sequence, OBJECTS)) {
                group.write_frame(time, payload.clone()).unwrap();
            }
            group.finish().unwrap();
        }
    }
}

async fn receive(subscription: &mut track::Subscriber) -> Objects {
    let mut received = Objects::new();
    for _ in 0..GROUPS {
        let mut group = subscription
            .recv_group()
            .await
            .unwrap()
            .expect("the track goes on");
        received.extend(read(&mut group).await);
    }
    received
}

/// A group to its end.
async fn read(group: &mut group::Consumer) -> Objects {
    let mut received = Objects::new();
    while let Some(frame) = group.read_frame().await.unwrap() {
        let object = received.len() as u64;
        received.insert((group.sequence, object), frame.payload.to_vec());
    }
    received
}

/// Runs a test to its end, or to the point where nothing more will come.
fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime
        .block_on(async { tokio::time::timeout(DEADLINE, test).await })
        .expect("the test hangs");
}

const BROADCAST: &str = "meridian/interop/moq-net";
const TRACK: &str = "video";

/// Far beyond what any of this takes.
const DEADLINE: Duration = Duration::from_secs(30);
