//! Clients are sent elsewhere, and taken back.

mod common;
#[path = "common/offices.rs"]
mod offices;
#[path = "common/talk.rs"]
mod talk;

use common::*;
use meridian_edge::Edge;
use meridian_edge::draining::Target;
use meridian_edge::entries::Entry;
use meridian_session::client::{Dialer, Line};
use meridian_session::session::Session;
use meridian_session::tls::Trust;
use meridian_session::transport::Transport;
use meridian_wire::control::Goaway;
use meridian_wire::{Draft, Parameters, TerminationCode};
use offices::{Authority, own_addresses};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;
use talk::{above, child};

fn to(place: &str, weight: u32) -> Target {
    Target {
        place: place.parse().expect("a place"),
        weight,
    }
}

/// What a client is told.
async fn told(session: &Session) -> Goaway {
    let mut goaway = session.goaway();
    let told = goaway.wait_for(Option::is_some).await;
    told.expect("the session lives")
        .clone()
        .expect("waited for")
}

fn uri(goaway: &Goaway) -> &str {
    str::from_utf8(&goaway.uri).expect("a URI is ASCII")
}

/// Waits until an edge serves so many: who has just dialled may not be in yet.
async fn serves(edge: &Edge, sessions: usize) {
    let mut looks = tokio::time::interval(Duration::from_millis(5));
    while edge.report().await.expect("the workers run")["sessions"] != sessions {
        looks.tick().await;
    }
}

async fn by(transport: Transport, edge: SocketAddr) -> Line {
    let scheme = match transport {
        Transport::Quic => "moqt",
        Transport::WebTransport => "https",
        Transport::Qmux => "wss",
    };
    let dialer = Dialer {
        url: format!("{scheme}://{edge}/").parse().expect("a URL"),
        transport,
        drafts: vec![Draft::D22],
        trust: Trust::Anyone,
        token: None,
        patience: Duration::from_secs(10),
        harbour: None,
    };
    dialer.dial().await.expect("the edge answers").line
}

#[test]
fn each_client_is_told_where_to_go_in_the_scheme_it_came_by_and_is_served_until_then() {
    run(async {
        let (edge, address) = open_edge_with(2).await;
        let publisher = connect(address, Draft::D22).await;
        let _announced = announce(&publisher).await;
        let browser = by(Transport::WebTransport, address).await;
        let behind_a_wall = by(Transport::Qmux, address).await;
        serves(&edge, 3).await;
        let drain = |seconds| {
            let targets = vec![to("geneva.example.org:443", 1)];
            edge.drain_clients(targets, Duration::from_secs(seconds));
        };
        drain(5);
        assert!(edge.is_draining());
        for (session, expected) in [
            (&publisher, "moqt://geneva.example.org:443/"),
            (&browser.session, "https://geneva.example.org:443/"),
            (&behind_a_wall.session, "wss://geneva.example.org:443/"),
        ] {
            let goaway = told(session).await;
            assert_eq!(uri(&goaway), expected);
            assert!((1..=5_000).contains(&goaway.timeout), "{goaway:?}");
        }
        // They have more time after all.
        drain(600);
        let mut asked = subscribe(&browser.session, "audio", Parameters::default()).await;
        let _upstream = accept_subscribe(&publisher, 7).await;
        expect_subscribe_ok(&mut asked).await;
        let report = edge.report().await.expect("the workers run");
        assert_eq!(report["draining"], true);
        drain(0);
        let why = publisher.closed().await;
        assert_eq!(why.code(), Some(TerminationCode::GOAWAY_TIMEOUT));
        assert!(why.to_string().contains("drained"), "{why}");
    });
}

#[test]
fn newcomers_are_sent_on_until_the_drain_is_taken_back() {
    run(async {
        let (edge, address) = open_edge().await;
        let first = connect(address, Draft::D18).await;
        serves(&edge, 1).await;
        edge.drain_clients(vec![to("[::1]:443", 1)], Duration::from_secs(600));
        let newcomer = connect(address, Draft::D22).await;
        let goaway = told(&newcomer).await;
        assert_eq!(uri(&goaway), "moqt://[::1]:443/");
        let why = newcomer.closed().await;
        assert_eq!(why.code(), Some(TerminationCode::GOAWAY_TIMEOUT));
        assert_eq!(edge.entries().of(Entry::Drained), 1);
        edge.undrain();
        assert!(!edge.is_draining());
        let publisher = connect(address, Draft::D22).await;
        let _announced = announce(&publisher).await;
        let mut asked = subscribe(&first, "audio", Parameters::default()).await;
        let _upstream = accept_subscribe(&publisher, 7).await;
        expect_subscribe_ok(&mut asked).await;
        assert_eq!(edge.clients(), 2);
    });
}

#[test]
fn clients_are_shared_out_by_weight() {
    run(async {
        let (edge, address) = open_edge().await;
        let mut clients = Vec::new();
        for _ in 0..30 {
            clients.push(connect(address, Draft::D22).await);
        }
        serves(&edge, 30).await;
        let targets = vec![to("one:1", 1), to("two:2", 1), to("never:3", 0)];
        edge.drain_clients(targets, Duration::from_millis(500));
        let mut places = BTreeSet::new();
        for client in &clients {
            places.insert(uri(&told(client).await).to_owned());
        }
        // That all thirty are sent to one place happens once in half a thousand million runs.
        assert_eq!(
            places.into_iter().collect::<Vec<_>>(),
            ["moqt://one:1/", "moqt://two:2/"]
        );
    });
}

#[test]
fn without_another_edge_clients_are_let_in_until_the_time_is_over() {
    run(async {
        let (edge, address) = open_edge().await;
        let first = connect(address, Draft::D22).await;
        serves(&edge, 1).await;
        edge.drain_clients(Vec::new(), Duration::from_millis(1_500));
        let newcomer = connect(address, Draft::D22).await;
        assert_eq!(uri(&told(&first).await), "");
        for client in [&first, &newcomer] {
            let code = client.closed().await.code();
            assert_eq!(code, Some(TerminationCode::GOAWAY_TIMEOUT));
        }
        let late = match connect_with(address, Draft::D22, Default::default()).await {
            Ok(session) => session.closed().await,
            Err(error) => error,
        };
        assert_eq!(late.code(), Some(TerminationCode::GOAWAY_TIMEOUT));
    });
}

#[test]
fn neighbours_notice_nothing() {
    run(async {
        let authority = Authority::new();
        let [origin, east] = own_addresses();
        let geneva = authority.start("geneva", origin, &child("bangkok"));
        let bangkok = authority.start("bangkok", east, &above("geneva", "parent", origin));
        let speaker = connect(bangkok.clients, Draft::D22).await;
        let _announced = announce(&speaker).await;
        let listener = connect(geneva.clients, Draft::D22).await;
        let mut asked = subscribe(&listener, "audio", talk::patient()).await;
        let _upstream = accept_subscribe(&speaker, 7).await;
        let alias = expect_subscribe_ok(&mut asked).await.track_alias;
        let drain = |edge: &Edge| {
            edge.drain_clients(vec![to("one:1", 1)], Duration::from_millis(300));
        };
        let listen = async {
            talk::hear(&listener, alias).await;
            geneva.act(move |edge, _| drain(edge)).await;
            while listener.accept_data().await.is_ok() {}
            listener.closed().await.code()
        };
        tokio::select! {
            code = listen => assert_eq!(code, Some(TerminationCode::GOAWAY_TIMEOUT)),
            () = talk::speak(&speaker, 7) => unreachable!("it speaks for ever"),
        }
        geneva.is_joined_to(&["bangkok"]).await;
        assert!(bangkok.up_since("geneva").await.is_some());
    });
}
