//! moqtap-client: an independent MoQT stack whose every draft is its own code, over quinn and over wtransport.
//! It publishes and subscribes through an edge on each draft and transport.

mod drafts;
mod peer;

use meridian_interop::{Edge, GROUPS, OBJECTS, objects};
use peer::{Draft, Peer, Way};

/// REQUEST_ERROR DOES_NOT_EXIST: draft-22 §13, draft-18 §13.4.2.
const DOES_NOT_EXIST: u64 = 0x10;

macro_rules! cells {
    ($($cell:ident: $draft:ident, $way:ident;)*) => {$(
        mod $cell {
            use super::*;

            #[test]
            fn a_session_is_set_up() {
                peer::run(super::set_up(Draft::$draft, Way::$way));
            }

            #[test]
            fn an_announced_namespace_is_accepted_made_known_and_withdrawn() {
                peer::run(super::announce(Draft::$draft, Way::$way));
            }

            #[test]
            fn a_subscriber_who_came_before_the_publisher_gets_every_object() {
                peer::run(super::subscribe_first(Draft::$draft, Way::$way));
            }

            #[test]
            fn a_subscriber_who_came_after_the_publisher_gets_every_object() {
                peer::run(super::publish_first(Draft::$draft, Way::$way));
            }

            #[test]
            fn past_objects_are_fetched_from_the_edge() {
                peer::run(super::fetch_cached(Draft::$draft, Way::$way));
            }

            #[test]
            fn objects_the_edge_has_not_got_are_fetched_from_their_publisher() {
                peer::run(super::fetch_through(Draft::$draft, Way::$way));
            }

            #[test]
            fn what_nobody_publishes_does_not_exist() {
                peer::run(super::unknown(Draft::$draft, Way::$way));
            }
        }
    )*};
}

cells! {
    draft_22_over_raw_quic: Draft22, RawQuic;
    draft_22_over_webtransport: Draft22, WebTransport;
    draft_20_over_raw_quic: Draft20, RawQuic;
    draft_20_over_webtransport: Draft20, WebTransport;
    draft_18_over_raw_quic: Draft18, RawQuic;
    draft_18_over_webtransport: Draft18, WebTransport;
}

async fn set_up(draft: Draft, way: Way) {
    let edge = Edge::start().unwrap();
    let peer = Peer::connect(&edge, draft, way).await;
    peer.assert_set_up();
}

async fn announce(draft: Draft, way: Way) {
    let edge = Edge::start().unwrap();
    let mut watcher = Peer::connect(&edge, draft, way).await;
    let mut watch = watcher.watch_namespaces().await;
    let mut publisher = Peer::connect(&edge, draft, way).await;
    let announced = publisher.announce().await;
    watcher.expect_namespace(&mut watch).await;
    drop(announced);
    watcher.expect_namespace_done(&mut watch).await;
}

async fn subscribe_first(draft: Draft, way: Way) {
    let edge = Edge::start().unwrap();
    let mut subscriber = Peer::connect(&edge, draft, way).await;
    let mut subscription = subscriber.subscribe_and_wait().await;
    let mut publisher = Peer::connect(&edge, draft, way).await;
    let _announced = publisher.announce().await;
    let _publishing = publisher.accept_subscriber().await;
    let alias = subscriber.expect_subscribe_ok(&mut subscription).await;
    publisher.send(&objects()).await;
    assert_eq!(subscriber.receive(alias).await, objects());
}

async fn publish_first(draft: Draft, way: Way) {
    let edge = Edge::start().unwrap();
    let mut publisher = Peer::connect(&edge, draft, way).await;
    let _announced = publisher.announce().await;
    let mut subscriber = Peer::connect(&edge, draft, way).await;
    let mut subscription = subscriber.subscribe().await;
    let mut publishing = publisher.accept_subscriber().await;
    let alias = subscriber.expect_subscribe_ok(&mut subscription).await;
    publisher.send(&objects()).await;
    assert_eq!(subscriber.receive(alias).await, objects());
    publisher.end(&mut publishing).await;
    subscriber.expect_publish_done(&mut subscription).await;
}

async fn fetch_cached(draft: Draft, way: Way) {
    let edge = Edge::start().unwrap();
    let mut publisher = Peer::connect(&edge, draft, way).await;
    let _announced = publisher.announce().await;
    let mut subscriber = Peer::connect(&edge, draft, way).await;
    let mut subscription = subscriber.subscribe().await;
    let _publishing = publisher.accept_subscriber().await;
    let alias = subscriber.expect_subscribe_ok(&mut subscription).await;
    publisher.send(&objects()).await;
    assert_eq!(subscriber.receive(alias).await, objects());

    let mut late = Peer::connect(&edge, draft, way).await;
    let last = (GROUPS - 1, OBJECTS - 1);
    for range in [(0, 0)..=last, (1, 1)..=(2, 0), (1, 2)..=(1, 2)] {
        let wanted = objects()
            .into_iter()
            .filter(|(place, _)| range.contains(place))
            .collect();
        let request = late.request_fetch(range.clone()).await;
        assert_eq!(late.receive_fetched(request).await, wanted);
    }
}

async fn fetch_through(draft: Draft, way: Way) {
    let edge = Edge::start().unwrap();
    let mut publisher = Peer::connect(&edge, draft, way).await;
    let _announced = publisher.announce().await;
    let mut subscriber = Peer::connect(&edge, draft, way).await;
    let request = subscriber
        .request_fetch((0, 0)..=(GROUPS - 1, OBJECTS - 1))
        .await;
    publisher.answer_fetch(&objects()).await;
    assert_eq!(subscriber.receive_fetched(request).await, objects());
}

async fn unknown(draft: Draft, way: Way) {
    let edge = Edge::start().unwrap();
    let mut peer = Peer::connect(&edge, draft, way).await;
    for request in [
        peer.subscribe().await,
        peer.request_fetch((0, 0)..=(0, 0)).await,
        peer.request_status().await,
    ] {
        assert_eq!(peer.expect_error(request).await, DOES_NOT_EXIST);
    }
    // The session goes on.
    let _announced = peer.announce().await;
}
