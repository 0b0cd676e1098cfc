//! SUBSCRIBE_NAMESPACE.

use crate::common::{name, namespace, priority};
use crate::hall::{Hall, MS, ok, refusal, under};
use meridian_relay::{Command, Config, Peer, Permissions, Role, SessionId};
use meridian_wire::{Message, Namespace, Parameters, RequestErrorCode};

fn prefix(fields: &[&str]) -> Namespace {
    let fields = fields.iter().map(|field| field.as_bytes().to_vec());
    Namespace::new(fields).expect("short fields")
}

fn meeting() -> Namespace {
    prefix(&["meridian", "m1"])
}

fn watch(hall: &mut Hall, session: SessionId, id: u64, prefix: &Namespace) {
    hall.request(session, Message::SubscribeNamespace(under(id, prefix)));
}

/// What a session was told: `+` and `-` with the suffix.
fn told(hall: &mut Hall, session: SessionId) -> Vec<String> {
    let line = |(to, _, message)| match message {
        Message::Namespace(suffix) if to == session => Some(format!("+{suffix}")),
        Message::NamespaceDone(suffix) if to == session => Some(format!("-{suffix}")),
        _ => None,
    };
    hall.responses().into_iter().filter_map(line).collect()
}

#[test]
fn a_watcher_is_told_what_there_is_and_what_comes_and_goes() {
    let mut hall = Hall::new();
    let ana = hall.client();
    hall.announce(ana, 0, &namespace("ana"));
    hall.commands();
    let viewer = hall.client();
    watch(&mut hall, viewer, 0, &meeting());
    let responses = hall.responses();
    let expected = [
        (viewer, 0, ok()),
        (viewer, 0, Message::Namespace(prefix(&["p", "ana"]))),
    ];
    assert_eq!(responses, expected);
    let bo = hall.client();
    hall.publish(bo, 1, &name("bo", "audio"), priority(16));
    hall.publish(bo, 3, &name("bo", "video-high"), priority(160));
    hall.announce(bo, 4, &prefix(&["elsewhere"]));
    assert_eq!(told(&mut hall, viewer), ["+p-bo"]);
    hall.cancel(ana, 0);
    assert_eq!(told(&mut hall, viewer), ["-p-ana"]);
    hall.leave(bo);
    assert_eq!(told(&mut hall, viewer), ["-p-bo"]);
    hall.ends_empty(&[ana, viewer]);
}

#[test]
fn what_a_watcher_publishes_itself_is_echoed() {
    let mut hall = Hall::new();
    let viewer = hall.client();
    watch(&mut hall, viewer, 0, &meeting());
    hall.announce(viewer, 2, &namespace("ana"));
    assert_eq!(told(&mut hall, viewer), ["+p-ana"]);
}

#[test]
fn prefixes_of_one_session_may_not_overlap() {
    let mut hall = Hall::new();
    let viewer = hall.client();
    watch(&mut hall, viewer, 0, &meeting());
    hall.commands();
    for (id, other) in [(2, namespace("ana")), (4, prefix(&["meridian"]))] {
        watch(&mut hall, viewer, id, &other);
        assert_eq!(hall.error(), RequestErrorCode::PREFIX_OVERLAP);
    }
    let tracks = Message::SubscribeTracks(under(6, &meeting()));
    hall.request(viewer, tracks);
    assert_eq!(hall.responses(), [(viewer, 6, ok())]);
    let other = hall.client();
    watch(&mut hall, other, 0, &meeting());
    assert_eq!(hall.responses(), [(other, 0, ok())]);
}

#[test]
fn an_update_moves_the_prefix() {
    let mut hall = Hall::new();
    let ana = hall.client();
    hall.announce(ana, 0, &namespace("ana"));
    hall.announce(ana, 2, &prefix(&["meridian", "m2", "p", "ana"]));
    let viewer = hall.client();
    watch(&mut hall, viewer, 0, &meeting());
    assert_eq!(told(&mut hall, viewer), ["+p-ana"]);
    let params = Parameters {
        track_namespace_prefix: Some(prefix(&["meridian", "m2"])),
        ..Parameters::default()
    };
    hall.update(viewer, 0, 2, params);
    assert_eq!(told(&mut hall, viewer), ["+p-ana"]);
    hall.cancel(ana, 0);
    assert!(told(&mut hall, viewer).is_empty());
    hall.cancel(ana, 2);
    assert_eq!(told(&mut hall, viewer), ["-p-ana"]);
}

#[test]
fn a_watch_needs_permission_and_is_bounded() {
    let config = Config {
        namespaces_per_watch: 1,
        ..Config::default()
    };
    let mut hall = Hall::with(config);
    let permissions = Permissions {
        publish: None,
        subscribe: Some(vec![meeting()]),
    };
    let viewer = hall.peer(Peer::new(Role::Client, permissions));
    watch(&mut hall, viewer, 0, &prefix(&["meridian"]));
    assert_eq!(hall.error(), RequestErrorCode::UNAUTHORIZED);
    watch(&mut hall, viewer, 2, &meeting());
    let ana = hall.client();
    hall.announce(ana, 0, &namespace("ana"));
    hall.announce(ana, 2, &namespace("bo"));
    let commands = hall.commands();
    let rejects = |command: &Command| matches!(command, Command::Reject { request: 2, .. });
    assert!(commands.iter().any(rejects), "{commands:?}");
    let other = hall.client();
    watch(&mut hall, other, 0, &meeting());
    assert_eq!(hall.error(), RequestErrorCode::NAMESPACE_TOO_LARGE);
}

#[test]
fn an_edge_watches_at_its_parent_what_those_below_watch_and_no_more() {
    let mut hall = Hall::new();
    let parent = hall.session(Role::Parent);
    let backup = hall.session(Role::BackupParent);
    let viewer = hall.client();
    let other = hall.client();
    watch(&mut hall, viewer, 0, &meeting());
    let (request, message) = hall.only_request();
    assert_eq!(request.0, parent);
    assert_eq!(message, Message::SubscribeNamespace(under(0, &meeting())));
    hall.answer(request, ok());
    watch(&mut hall, other, 0, &namespace("ana"));
    assert!(hall.requests().is_empty(), "the shorter prefix covers it");
    hall.answer(request, Message::Namespace(prefix(&["p", "ana"])));
    let responses = hall.responses();
    assert_eq!(responses.len(), 2, "{responses:?}");
    hall.answer(request, Message::NamespaceDone(prefix(&["p", "ana"])));
    assert_eq!(told(&mut hall, viewer), ["-p-ana"]);
    hall.cancel(viewer, 0);
    let (narrower, message) = hall.only_request();
    assert_eq!(
        message,
        Message::SubscribeNamespace(under(0, &namespace("ana")))
    );
    hall.leave(parent);
    let (moved, _) = hall.only_request();
    assert_ne!(narrower.1, moved.1);
    assert_eq!(moved.0, backup);
    hall.ends_empty(&[backup, viewer, other]);
}

#[test]
fn a_watch_that_overlaps_with_one_just_given_up_is_tried_again() {
    let mut hall = Hall::new();
    let parent = hall.session(Role::Parent);
    let viewer = hall.client();
    watch(&mut hall, viewer, 0, &meeting());
    let (request, _) = hall.only_request();
    hall.answer(request, refusal(RequestErrorCode::PREFIX_OVERLAP));
    hall.commands();
    hall.wait(1000 * MS);
    assert_eq!(hall.only_request().0.0, parent);
}

#[test]
fn a_parent_sees_what_is_published_below_and_nothing_else() {
    let mut hall = Hall::new();
    let parent = hall.session(Role::Parent);
    let shortcut = hall.session(Role::Shortcut);
    let child = hall.session(Role::Child);
    hall.announce(child, 0, &namespace("ana"));
    hall.announce(shortcut, 0, &namespace("bo"));
    hall.commands();
    watch(&mut hall, parent, 1, &meeting());
    let commands = hall.commands();
    assert!(
        !commands
            .iter()
            .any(|c| matches!(c, Command::Request { .. }))
    );
    watch(&mut hall, child, 2, &meeting());
    assert_eq!(told(&mut hall, child), ["+p-ana", "+p-bo"]);
    hall.announce(child, 4, &namespace("cy"));
    assert_eq!(told(&mut hall, parent), ["+p-cy"]);
}
