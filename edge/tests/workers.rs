//! An edge with four workers behind one address.

mod common;
#[path = "common/offices.rs"]
mod offices;

use common::*;
use meridian_edge::Edge;
use meridian_edge::entries::Entry;
use meridian_session::session::{Options, RequestEvent, Session};
use meridian_session::tls::{self, Trust};
use meridian_session::transport::{WebSocketSettings, connect_web_socket};
use meridian_wire::{Draft, Location, Message, Parameters, RequestErrorCode};
use offices::{Authority, own_addresses};
use quinn::Runtime;
use quinn::udp::{RecvMeta, Transmit};
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const WORKERS: usize = 4;

async fn report(edge: &Edge) -> Value {
    edge.report().await.expect("all workers run")
}

/// A figure of each worker.
fn shares(report: &Value, figure: &str) -> Vec<u64> {
    let workers = report["workers"].as_array().expect("a list");
    let figures = workers.iter().map(|worker| worker[figure].as_u64());
    figures.map(|figure| figure.expect("a number")).collect()
}

fn patient() -> Parameters {
    Parameters {
        rendezvous_timeout: Some(20_000),
        ..Parameters::default()
    }
}

/// Connects until every worker has a client: the kernel chooses which gets whom.
async fn audience(edge: &Edge, connect: impl AsyncFn() -> Session) -> Vec<Session> {
    let mut audience = Vec::new();
    while shares(&report(edge).await, "sessions").contains(&0) {
        audience.push(connect().await);
    }
    audience
}

/// The group of the next frame, which must be as it was sent.
async fn hear(subscriber: &Session, alias: u64) -> u64 {
    let stream = receive_stream(subscriber).await;
    let group = (1000..10_000).find(|group| stream == audio(alias, *group, &[*group as u8; 160]));
    group.expect("every frame arrives as it was sent")
}

/// Has everybody subscribe to one track and checks that all of it reaches each, once.
async fn everybody_hears_everything_once(edge: &Edge, publisher: &Session, audience: &[Session]) {
    let _announced = announce(publisher).await;
    let mut asked = Vec::new();
    for subscriber in audience {
        asked.push(subscribe(subscriber, "audio", patient()).await);
    }
    let _upstream = accept_subscribe(publisher, 7).await;
    let mut aliases = Vec::new();
    for request in &mut asked {
        aliases.push(expect_subscribe_ok(request).await.track_alias);
    }
    for group in 1000..1050 {
        send_stream(publisher, audio(7, group, &[group as u8; 160])).await;
    }
    for (subscriber, alias) in audience.iter().zip(aliases) {
        let mut heard = BTreeSet::new();
        for _ in 0..50 {
            assert!(
                heard.insert(hear(subscriber, alias).await),
                "a frame came twice"
            );
        }
    }
    let report = report(edge).await;
    let came_in = shares(&report, "objects_in");
    assert_eq!(came_in, [50; WORKERS], "each worker takes a track once");
    let [in_, out, within] = ["bytes_in", "bytes_out", "bytes_within"];
    let sum = |figure| shares(&report, figure).into_iter().sum::<u64>();
    let of_track = shares(&report, in_)[0];
    assert_eq!(sum(within), of_track * (WORKERS as u64 - 1));
    assert_eq!(sum(out) - sum(within), of_track * audience.len() as u64);
    assert_eq!(report["duplicates"], 0);
    assert_eq!(report["sessions"], audience.len() + 1);
}

#[test]
fn subscribers_at_all_workers_get_every_object_once() {
    run(async {
        let (edge, address) = open_edge_with(WORKERS).await;
        let publisher = connect(address, Draft::D22).await;
        let audience = audience(&edge, async || connect(address, Draft::D22).await).await;
        everybody_hears_everything_once(&edge, &publisher, &audience).await;
    });
}

#[test]
fn subscribers_over_web_sockets_at_all_workers_get_every_object_once() {
    run(async {
        let (edge, address) = open_edge_with(WORKERS).await;
        let publisher = connect_over_web_socket(address).await;
        let audience = audience(&edge, async || connect_over_web_socket(address).await).await;
        everybody_hears_everything_once(&edge, &publisher, &audience).await;
    });
}

async fn connect_over_web_socket(edge: SocketAddr) -> Session {
    let tls = tls::client(&Trust::Anyone, None, vec![b"http/1.1".to_vec()]).expect("TLS settings");
    let stream = TcpStream::connect(edge).await.expect("the edge listens");
    let name = "localhost".try_into().expect("a valid name");
    let stream = TlsConnector::from(Arc::new(tls))
        .connect(name, stream)
        .await;
    let url = format!("wss://localhost:{}/", edge.port());
    let url = url.parse().expect("a URL");
    let settings = WebSocketSettings::default();
    let stream = stream.expect("TLS succeeds");
    let connection = connect_web_socket(stream, edge, &url, &[Draft::D22], &settings)
        .await
        .expect("the edge answers");
    Session::connect(connection, Options::default())
        .await
        .expect("SETUP succeeds")
}

#[test]
fn an_unknown_track_does_not_exist_at_any_worker() {
    run(async {
        let (edge, address) = open_edge_with(WORKERS).await;
        for subscriber in audience(&edge, async || connect(address, Draft::D22).await).await {
            let mut asked = subscribe(&subscriber, "audio", Parameters::default()).await;
            match asked.recv().await.expect("the session lives") {
                RequestEvent::Message(Message::RequestError(error)) => {
                    assert_eq!(error.code, RequestErrorCode::DOES_NOT_EXIST);
                }
                other => panic!("{other:?}"),
            }
        }
    });
}

#[test]
fn the_past_can_be_fetched_at_every_worker() {
    run(async {
        let (edge, address) = open_edge_with(WORKERS).await;
        let publisher = connect(address, Draft::D22).await;
        let _announced = announce(&publisher).await;
        let subscriber = connect(address, Draft::D22).await;
        let mut asked = subscribe(&subscriber, "audio", patient()).await;
        let _upstream = accept_subscribe(&publisher, 7).await;
        let alias = expect_subscribe_ok(&mut asked).await.track_alias;
        for group in 1000..1005 {
            send_stream(&publisher, audio(7, group, &[group as u8; 160])).await;
            hear(&subscriber, alias).await;
        }
        for late in audience(&edge, async || connect(address, Draft::D22).await).await {
            let mut request = fetch(&late, 1001, 1003).await;
            let (answer, stream) = tokio::join!(request.recv(), receive_stream(&late));
            let end = end_of(answer.expect("the session lives"));
            assert_eq!(end, Location::new(1003, 0));
            let expected: Vec<_> = (1001..=1003).map(|group| (group, group as u8)).collect();
            assert_eq!(objects(stream), expected);
        }
    });
}

#[test]
fn a_talk_crosses_offices_whichever_workers_its_publisher_and_listeners_have() {
    run(async {
        let authority = Authority::new();
        let [origin, east] = own_addresses();
        let child = "[[neighbour]]\noffice = \"bangkok\"\nrole = \"child\"\n";
        let geneva = authority.start_with(WORKERS, "geneva", origin, child);
        let parent = format!(
            "[[neighbour]]\noffice = \"geneva\"\nrole = \"parent\"\naddress = \"{origin}\"\n"
        );
        let bangkok = authority.start_with(WORKERS, "bangkok", east, &parent);
        let publisher = connect(bangkok.clients, Draft::D22).await;
        let _announced = announce(&publisher).await;
        let mut listeners = Vec::new();
        let mut asked = Vec::new();
        // So many that hardly a worker is without.
        for _ in 0..32 {
            let listener = connect(geneva.clients, Draft::D22).await;
            asked.push(subscribe(&listener, "audio", patient()).await);
            listeners.push(listener);
        }
        let _upstream = accept_subscribe(&publisher, 7).await;
        let mut aliases = Vec::new();
        for request in &mut asked {
            aliases.push(expect_subscribe_ok(request).await.track_alias);
        }
        for group in 1000..1020 {
            send_stream(&publisher, audio(7, group, &[group as u8; 160])).await;
            for (listener, alias) in listeners.iter().zip(&aliases) {
                assert_eq!(hear(listener, *alias).await, group);
            }
        }
        let came_in = geneva.counters().await.objects_in;
        // The first worker's own path is an object too.
        assert_eq!(
            came_in - 1,
            20,
            "the link between the offices carries a track once"
        );
    });
}

#[test]
fn nothing_is_lost_when_addresses_change_and_packets_come_in_at_other_workers() {
    run(async {
        let (edge, address) = open_edge_with(WORKERS).await;
        let (at_publisher, at_subscriber) = (endpoint(), endpoint());
        let publisher = roaming_client(&at_publisher, address).await;
        let _announced = announce(&publisher).await;
        let subscriber = roaming_client(&at_subscriber, address).await;
        let mut asked = subscribe(&subscriber, "audio", patient()).await;
        let _upstream = accept_subscribe(&publisher, 7).await;
        let alias = expect_subscribe_ok(&mut asked).await.track_alias;
        let mut groups = 1000..;
        for roaming in [&at_subscriber, &at_publisher] {
            let before = handed_over(&edge).await;
            // Three of four new addresses belong to other workers.
            while handed_over(&edge).await < before + 10 {
                let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback has free ports");
                roaming.rebind(socket).expect("the endpoint lives");
                for group in groups.by_ref().take(10) {
                    send_stream(&publisher, audio(7, group, &[group as u8; 160])).await;
                    assert_eq!(hear(&subscriber, alias).await, group);
                }
            }
        }
        let report = report(&edge).await;
        assert_eq!(report["packets"]["dropped"]["worker_busy"], 0);
        assert_eq!(report["sessions"], 2);
    });
}

async fn roaming_client(endpoint: &quinn::Endpoint, edge: SocketAddr) -> Session {
    let connected = connect_from(endpoint, edge, Draft::D22, Options::default()).await;
    connected.expect("SETUP succeeds")
}

async fn handed_over(edge: &Edge) -> u64 {
    let report = report(edge).await;
    report["packets"]["handed_over"].as_u64().expect("a number")
}

#[test]
fn a_client_that_must_prove_its_address_gets_in_while_half_open_handshakes_fill_all_workers() {
    run(async {
        let (edge, address) = open_edge_with(WORKERS).await;
        // More than one worker takes from unproven addresses, fewer than that at each.
        let deaf: Vec<_> = (0..WORKERS).map(|_| deaf_endpoint()).collect();
        let mut half_open = Vec::new();
        for n in 0..300 {
            half_open.push(begin(&deaf[n % WORKERS], address));
        }
        while report(&edge).await["handshakes"].as_u64() < Some(256) {
            tokio::task::yield_now().await;
        }
        let before = edge.entries().of(Entry::Retried);
        let audience = audience(&edge, async || connect(address, Draft::D22).await).await;
        let retried = edge.entries().of(Entry::Retried) - before;
        assert!(retried >= audience.len() as u64, "{retried}");
    });
}

fn begin(from: &quinn::Endpoint, edge: SocketAddr) -> quinn::Connecting {
    let settings = meridian_session::endpoint::QuicSettings::client_side();
    let tls = tls::client(&Trust::Anyone, None, tls::moqt_protocols(&[Draft::D22]));
    let config = settings.client_config(tls.expect("TLS settings"));
    from.connect_with(config.expect("TLS 1.3"), edge, "localhost")
        .expect("a valid name")
}

/// An endpoint that never hears an answer.
fn deaf_endpoint() -> quinn::Endpoint {
    let runtime = Arc::new(quinn::TokioRuntime);
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback has free ports");
    let socket = Arc::new(Deaf(runtime.wrap_udp_socket(socket).expect("it is open")));
    quinn::Endpoint::new_with_abstract_socket(
        quinn::EndpointConfig::default(),
        None,
        socket,
        runtime,
    )
    .expect("an endpoint starts")
}

#[derive(Debug)]
struct Deaf(Arc<dyn quinn::AsyncUdpSocket>);

impl quinn::AsyncUdpSocket for Deaf {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn quinn::UdpPoller>> {
        self.0.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.0.try_send(transmit)
    }

    fn poll_recv(
        &self,
        _: &mut Context<'_>,
        _: &mut [IoSliceMut<'_>],
        _: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        Poll::Pending
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

#[test]
fn all_workers_drain() {
    run(async {
        let (edge, address) = open_edge_with(WORKERS).await;
        let audience = audience(&edge, async || connect(address, Draft::D22).await).await;
        let peers = async {
            for client in &audience {
                let mut goaway = client.goaway();
                goaway
                    .wait_for(Option::is_some)
                    .await
                    .expect("the edge says GOAWAY first");
                client.close(meridian_wire::TerminationCode::NO_ERROR, "as it was told");
            }
        };
        let (drained, ()) = tokio::join!(edge.drain(), peers);
        drained.expect("no worker has failed");
    });
}
