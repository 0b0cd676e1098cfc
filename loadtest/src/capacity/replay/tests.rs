//! The source, heard by the native client.

use super::*;
use crate::rehearsal::{Trial, Tried};
use crate::scenario::Scenario;
use meridian_session::client::{Arrival, Dialer, Event, Inlet, Line, Object};
use meridian_session::tls::Trust;
use meridian_session::transport::Transport;
use meridian_wire::{Draft, LocationFilter, Namespace};
use std::net::Ipv4Addr;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);
const SEED: u64 = 7;

fn track(name: &str) -> FullTrackName {
    let namespace = Namespace::new(["meridian", "council"].map(str::to_owned)).expect("short");
    FullTrackName::new(namespace, name.to_owned()).expect("short")
}

/// Whoever plays, and where.
struct Played {
    source: Rc<Source>,
    address: SocketAddr,
}

fn play(tracks: usize) -> Played {
    tls::install_default();
    let identity = Identity::ephemeral().expect("a certificate");
    let endpoint = open((Ipv4Addr::LOCALHOST, 0).into(), identity).expect("a port");
    let address = endpoint.local_addr().expect("an address");
    let source = Rc::new(Source::new(tracks, SEED));
    let playing = source.clone();
    tokio::task::spawn_local(async move { playing.serve(&endpoint).await });
    Played { source, address }
}

async fn listen(played: &Played, over: Transport, names: &[&str]) -> (Line, Inlet) {
    let scheme = match over {
        Transport::Quic => "moqt",
        _ => "https",
    };
    let dialer = Dialer {
        url: format!("{scheme}://{}/", played.address)
            .parse()
            .expect("a URL"),
        transport: over,
        drafts: vec![Draft::D22],
        trust: Trust::Anyone,
        token: None,
        patience: PATIENCE,
        harbour: None,
    };
    let line = dialer.dial().await.expect("a session").line;
    let mut inlet = Inlet::new(line.session.clone());
    for (n, name) in names.iter().enumerate() {
        let params = Parameters {
            location_filter: Some(LocationFilter::NextObject),
            ..Parameters::default()
        };
        inlet
            .subscribe(n, track(name), params)
            .await
            .expect("asked");
    }
    (line, inlet)
}

async fn next(inlet: &mut Inlet) -> Event {
    timeout(PATIENCE, inlet.next()).await.expect("hangs")
}

async fn hear(inlet: &mut Inlet, count: usize) -> Vec<Object> {
    let mut heard = Vec::new();
    while heard.len() < count {
        match next(inlet).await {
            Event::Arrival {
                arrival: Arrival::Object { object, .. },
                ..
            } => heard.push(object),
            Event::Accepted { .. } | Event::Arrival { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    heard
}

#[tokio::test]
async fn the_native_client_hears_every_frame_as_it_was_made() {
    LocalSet::new()
        .run_until(async {
            let played = play(2);
            for over in [Transport::Quic, Transport::WebTransport] {
                let (_line, mut inlet) = listen(&played, over, &["audio"]).await;
                let heard = hear(&mut inlet, 25).await;
                let payloads = Payloads::of("meridian-council--audio", SEED);
                for object in &heard {
                    assert!(payloads.fits(object.group, 0, &object.payload));
                    assert_eq!((object.object, object.payload.len()), (0, 160));
                    let captured = object.properties.block().timestamp().expect("stamped");
                    assert_eq!(captured / FRAME_US, object.group);
                }
                let mut groups: Vec<_> = heard.iter().map(|object| object.group).collect();
                groups.sort_unstable();
                let first = groups[0];
                assert_eq!(groups, (first..first + 25).collect::<Vec<_>>());
            }
            assert_eq!(played.source.left_out.get(), 0);
        })
        .await;
}

#[tokio::test]
async fn more_tracks_than_are_allowed_are_refused_and_the_others_play_on() {
    LocalSet::new()
        .run_until(async {
            let played = play(1);
            let (_one, mut first) = listen(&played, Transport::Quic, &["audio"]).await;
            hear(&mut first, 1).await;
            let (_two, mut second) = listen(&played, Transport::Quic, &["other"]).await;
            let refused = next(&mut second).await;
            assert!(
                matches!(refused, Event::Refused { track: 0, .. }),
                "{refused:?}"
            );
            hear(&mut first, 5).await;
        })
        .await;
}

#[tokio::test]
async fn who_has_left_is_sent_nothing_more() {
    LocalSet::new()
        .run_until(async {
            let played = play(1);
            let (_stays, mut staying) = listen(&played, Transport::Quic, &["audio"]).await;
            let (leaves, mut leaving) = listen(&played, Transport::Quic, &["audio"]).await;
            hear(&mut leaving, 1).await;
            hear(&mut staying, 1).await;
            assert_eq!(played.source.tracks.borrow()[0].listeners.len(), 2);
            drop(leaving);
            leaves.cut();
            while played.source.tracks.borrow()[0].listeners.len() == 2 {
                hear(&mut staying, 1).await;
            }
            hear(&mut staying, 5).await;
        })
        .await;
}

/// Three delegates of a rehearsal, whose scenario's seed is 1, before a source with this one.
async fn tried_with(seed: u64) -> Tried {
    tls::install_default();
    let identity = Identity::ephemeral().expect("a certificate");
    let fingerprint = identity.fingerprint().expect("it has one");
    let endpoint = open((Ipv4Addr::LOCALHOST, 0).into(), identity).expect("a port");
    let address = endpoint.local_addr().expect("an address");
    let (opening, keeping) = door::open(address, fingerprint).await.expect("a door");
    tokio::task::spawn_local(keeping);
    let source = Rc::new(Source::new(1, seed));
    tokio::task::spawn_local(async move { source.serve(&endpoint).await });
    let text = crate::capacity::scenario("perfect", 3, 1, 4);
    let trial = Trial {
        scenario: &Scenario::parse(&text, "test".as_ref()).expect("a good scenario"),
        door: (
            opening.door.parse().expect("a URL"),
            opening.certificate.into(),
        ),
        window: (2, 3),
    };
    trial.play(|| None).await.expect("it can be played")
}

#[tokio::test]
async fn delegates_of_a_rehearsal_come_in_by_the_door_and_hear_all_that_is_played() {
    LocalSet::new()
        .run_until(async {
            let tried = tried_with(1).await;
            assert_eq!((tried.delegates, tried.joined), (3, 3));
            assert_eq!((tried.lost, tried.wrong), (0, 0));
            assert!(tried.objects[0] > 0 && tried.objects[1] > tried.objects[0]);
        })
        .await;
}

#[tokio::test]
async fn a_source_that_plays_something_else_is_found_out_with_every_object() {
    LocalSet::new()
        .run_until(async {
            let tried = tried_with(2).await;
            assert_eq!(tried.joined, 3);
            assert_eq!(tried.wrong, tried.objects[1]);
        })
        .await;
}
