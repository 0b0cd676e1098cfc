//! QUIC through an emulated link: what the link is for.
#![allow(clippy::unwrap_used)]

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use meridian_loadtest::wan::{Command, Direction, Emulator, EmulatorConfig};
use quinn::{Connection, Endpoint, ServerConfig};
use rustls::{RootCertStore, pki_types::PrivateKeyDer};

/// A server that sends every stream's bytes back, with a link in front of it and a client behind.
struct Net {
    link: Emulator,
    client: Endpoint,
    server: Endpoint,
}

impl Net {
    fn new(link: &str) -> Self {
        // Another test of this process may have installed it first.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let made = rcgen::generate_simple_self_signed(["geneva".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let chain = vec![made.cert.der().clone()];
        let config = ServerConfig::with_single_cert(chain.clone(), key).unwrap();
        let server = Endpoint::server(config, loopback()).unwrap();
        tokio::spawn(echo(server.clone()));
        let mut roots = RootCertStore::empty();
        roots.add(chain[0].clone()).unwrap();
        let mut client = Endpoint::client(loopback()).unwrap();
        let config = quinn::ClientConfig::with_root_certificates(Arc::new(roots)).unwrap();
        client.set_default_client_config(config);
        let link = Emulator::spawn(EmulatorConfig {
            listen: loopback(),
            target: server.local_addr().unwrap(),
            up: link.parse().unwrap(),
            down: link.parse().unwrap(),
            seed: 9,
        });
        Self {
            link: link.unwrap(),
            client,
            server,
        }
    }

    async fn connect(&self) -> Connection {
        self.client
            .connect(self.link.listen_addr(), "geneva")
            .unwrap()
            .await
            .unwrap()
    }
}

fn loopback() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

async fn echo(server: Endpoint) {
    while let Some(incoming) = server.accept().await {
        let connection = incoming.await.unwrap();
        tokio::spawn(async move {
            while let Ok((mut send, mut receive)) = connection.accept_bi().await {
                let bytes = receive.read_to_end(usize::MAX).await.unwrap();
                send.write_all(&bytes).await.unwrap();
                send.finish().unwrap();
            }
        });
    }
}

async fn round_trip(connection: &Connection, bytes: &[u8]) -> Vec<u8> {
    let (mut send, mut receive) = connection.open_bi().await.unwrap();
    send.write_all(bytes).await.unwrap();
    send.finish().unwrap();
    receive.read_to_end(usize::MAX).await.unwrap()
}

#[tokio::test]
async fn a_connection_sees_the_links_round_trip_time_and_all_its_bytes() {
    let net = Net::new("delay=20ms,jitter=2ms,loss=1%,rate=50mbit");
    let started = Instant::now();
    let connection = net.connect().await;
    assert!(
        started.elapsed() >= Duration::from_millis(36),
        "{:?}",
        started.elapsed()
    );
    let bytes: Vec<u8> = (0..500_000u32).map(|i| i as u8).collect();
    assert_eq!(round_trip(&connection, &bytes).await, bytes);
    assert!(
        connection.rtt() >= Duration::from_millis(36),
        "{:?}",
        connection.rtt()
    );
    let stats = net.link.stats().unwrap();
    assert!(
        stats.up.dropped_loss + stats.down.dropped_loss > 0,
        "{stats:?}"
    );
    assert_eq!(stats.clients, 1);
}

#[tokio::test]
async fn a_connection_survives_a_rebinding_and_a_black_hole() {
    let net = Net::new("delay=2ms");
    let connection = net.connect().await;
    assert_eq!(round_trip(&connection, b"before").await, b"before");
    net.link.request(Command::Rebind).unwrap();
    assert_eq!(round_trip(&connection, b"elsewhere").await, b"elsewhere");
    net.link.set_blackhole(Direction::Both, true).unwrap();
    let waiting = tokio::spawn({
        let connection = connection.clone();
        async move { round_trip(&connection, b"through the dark").await }
    });
    while net.link.stats().unwrap().up.dropped_blackhole == 0 {
        tokio::task::yield_now().await;
    }
    assert!(!waiting.is_finished());
    net.link.set_blackhole(Direction::Both, false).unwrap();
    assert_eq!(waiting.await.unwrap(), b"through the dark");
    net.server.close(0u32.into(), b"done");
}
