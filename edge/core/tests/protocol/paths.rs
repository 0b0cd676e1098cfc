//! Root paths: an edge does not use a parent whose path goes through itself.

use crate::common::{Wire, name};
use crate::hall::{Hall, subscribe_ok};
use bytes::Bytes;
use meridian_relay::{Command, Config, OutRequestId, Peer, Permissions, Role, SessionId};
use meridian_wire::control::Subscribe;
use meridian_wire::{FullTrackName, Message, Namespace, Parameters, RequestErrorCode};

fn edge(office: &str) -> Hall {
    let config = Config {
        office: Some(office.to_owned()),
        ..Config::default()
    };
    Hall::with(config)
}

fn neighbour(hall: &mut Hall, role: Role, office: &str) -> SessionId {
    let peer = Peer::new(role, Permissions::default());
    let office = Some(office.to_owned());
    hall.peer(Peer { office, ..peer })
}

fn path_of(office: &str) -> FullTrackName {
    let fields = ["meridian-edge", office];
    let fields = fields.map(|field| Bytes::copy_from_slice(field.as_bytes()));
    let namespace = Namespace::new(fields).expect("short fields");
    FullTrackName::new(namespace, Bytes::from_static(b"root-path")).expect("a short name")
}

/// The relay's subscription to a parent's path.
fn asked(hall: &mut Hall, office: &str) -> (SessionId, OutRequestId) {
    let requests = hall.requests();
    let found = requests.iter().find(|(_, message)| {
        matches!(message, Message::Subscribe(Subscribe { track, .. }) if *track == path_of(office))
    });
    found.expect("the path is asked for").0
}

fn say(hall: &mut Hall, parent: SessionId, group: u64, path: &str) {
    let bytes = Wire::group(90, group).object(0, path.as_bytes()).build();
    let stream = hall.open(parent);
    // In two pieces: it is read when it is whole.
    hall.feed(stream, bytes.slice(..bytes.len() - 2), false);
    hall.feed(stream, bytes.slice(bytes.len() - 2..), true);
}

fn told(hall: &Hall, child: SessionId) -> Option<String> {
    let all = hall.live(child);
    all.last()
        .map(|(_, _, path)| String::from_utf8_lossy(path).into_owned())
}

#[test]
fn a_child_is_told_the_way_to_the_root_and_every_change_of_it() {
    let mut hall = edge("bangkok");
    let child = neighbour(&mut hall, Role::Child, "hanoi");
    hall.subscribe(child, 1, &path_of("bangkok"), Parameters::default());
    assert_eq!(told(&hall, child).as_deref(), Some("bangkok"));
    let parent = neighbour(&mut hall, Role::Parent, "geneva");
    let request = asked(&mut hall, "geneva");
    assert_eq!(request.0, parent);
    hall.answer(request, subscribe_ok(90, None));
    say(&mut hall, parent, 0, "geneva");
    assert_eq!(told(&hall, child).as_deref(), Some("bangkok\ngeneva"));
    assert_eq!(hall.relay.root_path(), ["bangkok", "geneva"]);
    hall.leave(parent);
    assert_eq!(told(&hall, child).as_deref(), Some("bangkok"));
    hall.leave(child);
    hall.wait(std::time::Duration::from_secs(300));
    assert_eq!(hall.relay.population(), [0; 7]);
}

#[test]
fn a_parent_whose_path_goes_through_this_edge_is_not_used_until_it_is_clean() {
    let video = name("ana", "video-high");
    let mut hall = edge("bangkok");
    let parent = neighbour(&mut hall, Role::Parent, "manila");
    let request = asked(&mut hall, "manila");
    hall.answer(request, subscribe_ok(90, None));
    let viewer = hall.client();
    hall.subscribe(viewer, 0, &video, Parameters::default());
    let (through, _) = hall.only_request();
    assert_eq!(through.0, parent);
    hall.answer(through, subscribe_ok(1, None));
    hall.commands();

    say(&mut hall, parent, 0, "manila\nbangkok\nmanila");
    assert!(hall.relay.is_looped(parent));
    assert_eq!(hall.relay.counters().looped_parents, 1);
    let commands = hall.commands();
    let left = |command: &Command| matches!(command, Command::Cancel { session, .. } if *session == parent);
    assert!(commands.iter().any(left), "{commands:?}");
    let late = hall.client();
    hall.subscribe(late, 0, &name("bo", "audio"), Parameters::default());
    assert_eq!(hall.error(), RequestErrorCode::DOES_NOT_EXIST);

    say(&mut hall, parent, 1, "manila\ngeneva");
    assert!(!hall.relay.is_looped(parent));
    let (again, message) = hall.only_request();
    assert_eq!(again.0, parent);
    assert!(matches!(message, Message::Subscribe(ask) if ask.track == video));
}

#[test]
fn two_edges_that_are_each_others_parents_do_not_swing_to_and_fro() {
    let mut hall = edge("bangkok");
    let parent = neighbour(&mut hall, Role::Parent, "manila");
    let request = asked(&mut hall, "manila");
    hall.answer(request, subscribe_ok(90, None));
    say(&mut hall, parent, 0, "manila\nbangkok");
    assert!(hall.relay.is_looped(parent));
    // The other has to see that it is still on this edge's path.
    assert_eq!(hall.relay.root_path(), ["bangkok", "manila"]);
}

#[test]
fn a_parent_that_says_nothing_of_its_path_is_used() {
    let mut hall = edge("bangkok");
    let parent = neighbour(&mut hall, Role::Parent, "manila");
    let request = asked(&mut hall, "manila");
    let refused = crate::hall::refusal(RequestErrorCode::DOES_NOT_EXIST);
    hall.answer(request, refused);
    hall.commands();
    let viewer = hall.client();
    hall.subscribe(viewer, 0, &name("ana", "audio"), Parameters::default());
    assert_eq!(hall.only_request().0.0, parent);
}

#[test]
fn paths_are_for_neighbours() {
    let mut hall = edge("bangkok");
    neighbour(&mut hall, Role::Child, "hanoi");
    let viewer = hall.client();
    hall.subscribe(viewer, 0, &path_of("bangkok"), Parameters::default());
    assert_eq!(hall.error(), RequestErrorCode::DOES_NOT_EXIST);
}
