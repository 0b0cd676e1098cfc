//! What is told of namespaces to whoever plans the network.

use crate::common::priority;
use crate::stage::{Stage, audio, subscribe_ok};
use meridian_relay::{Role, Talk};

#[test]
fn namespaces_are_told_of_where_clients_publish_or_subscribe() {
    let mut stage = Stage::new();
    let parent = stage.session(Role::Parent);
    let child = stage.session(Role::Child);
    stage.subscribe(child, 0, &audio());
    assert!(stage.relay.talks().is_empty(), "a child is not a client");
    let viewer = stage.client();
    stage.subscribe(viewer, 0, &audio());
    let asked = stage.asked();
    stage.answer(asked[0], subscribe_ok(5, priority(16)));
    stage.send(parent, 5, 1, b"abc");
    let talks = stage.relay.talks();
    let talk = talks[&audio().namespace];
    assert!(talk.bytes_in >= 3);
    let expected = Talk {
        is_published: false,
        subscriptions: 1,
        bytes_in: talk.bytes_in,
    };
    assert_eq!((talk, talks.len()), (expected, 1));
}
