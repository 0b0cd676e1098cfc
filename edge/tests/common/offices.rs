//! Offices joined by mTLS: certificates of one authority, and edges that know each other.

#![allow(dead_code, reason = "each test file uses its part")]

use crate::common;
use meridian_edge::access::Access;
use meridian_edge::config::Config;
use meridian_edge::{Edge, clients, config, neighbours};
use meridian_relay::Counters;
use meridian_session::tls::Identity;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread::{self, JoinHandle};
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot};

/// A folder with an authority's certificate, in which offices get theirs.
pub(crate) struct Authority {
    folder: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A running office, on a thread of its own like the process it stands for. Dropped, it is gone from one moment to the
/// next, without a word to its peers.
pub(crate) struct Office {
    pub(crate) clients: SocketAddr,
    asks: mpsc::UnboundedSender<oneshot::Sender<Counters>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Office {
    /// What it has counted so far.
    pub(crate) async fn counters(&self) -> Counters {
        let (answer, answered) = oneshot::channel();
        self.asks.send(answer).expect("the office runs");
        answered.await.expect("the office runs")
    }
}

impl Drop for Office {
    fn drop(&mut self) {
        // A thread that has ended by itself has panicked, and the test fails for that.
        let _ = self.stop.take().map(|stop| stop.send(()));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl Authority {
    pub(crate) fn new() -> Authority {
        let folder = TempDir::new().expect("a temporary folder");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        fs::write(folder.path().join("ca.pem"), issuer.pem()).expect("the folder is ours");
        Authority { folder, issuer }
    }

    /// Starts an office. `neighbours` are lines of its configuration.
    pub(crate) fn start(&self, office: &str, address: SocketAddr, neighbours: &str) -> Office {
        self.start_with(1, office, address, neighbours)
    }

    /// The same with several workers.
    pub(crate) fn start_with(
        &self,
        workers: usize,
        office: &str,
        address: SocketAddr,
        neighbours: &str,
    ) -> Office {
        let config = self.config(workers, office, address, neighbours);
        let (ready, is_ready) = std::sync::mpsc::channel();
        let (asks, mut asked) = mpsc::unbounded_channel::<oneshot::Sender<Counters>>();
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            common::block_on(async move {
                let tls = &config.tls;
                let doors = clients::Doors {
                    address: config.listen.clients,
                    identity: Identity::load(&tls.certificate, &tls.key).expect("just made"),
                    access: Access::Open,
                    max_clients: 100,
                    congestion: config.congestion.clients,
                };
                let workers = config::workers(config.workers);
                let edge = Edge::start(config.relay(), doors, workers).await;
                let edge = edge.expect("a free port");
                neighbours::start(edge.first(), &config).expect("the port is free");
                ready.send(edge.address()).expect("the test waits");
                let answer = async {
                    while let Some(ask) = asked.recv().await {
                        // Who asked may have given up.
                        let _ = ask.send(edge.first().counters());
                    }
                };
                // The test dropping its end stops the office too.
                tokio::select! {
                    _ = stopped => {}
                    () = answer => {}
                }
            });
        });
        let clients = is_ready.recv().expect("the office starts");
        Office {
            clients,
            asks,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    fn config(
        &self,
        workers: usize,
        office: &str,
        address: SocketAddr,
        neighbours: &str,
    ) -> Config {
        let folder = self.folder.path();
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new([office.to_owned()]).expect("a valid name");
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        let file = |suffix: &str| folder.join(format!("{office}{suffix}"));
        fs::write(file(".pem"), certificate.pem()).expect("the folder is ours");
        fs::write(file(".key"), key.serialize_pem()).expect("the folder is ours");
        let path = |path: &Path| path.display().to_string();
        let (certificate, key) = (path(&file(".pem")), path(&file(".key")));
        let ca = path(&folder.join("ca.pem"));
        let text = format!(
            r#"
office = "{office}"
workers = {workers}
[listen]
clients = "127.0.0.1:0"
neighbours = "{address}"
[tls]
certificate = "{certificate}"
key = "{key}"
[neighbour_tls]
ca = "{ca}"
certificate = "{certificate}"
key = "{key}"
[access]
open = true
{neighbours}
"#
        );
        fs::write(file(".toml"), text).expect("the folder is ours");
        Config::load(&file(".toml")).expect("the configuration is good")
    }
}

/// Addresses for neighbours that nobody else takes: this process has an address of the loopback network to itself, and
/// the ports are below those that the system hands out.
pub(crate) fn own_addresses<const N: usize>() -> [SocketAddr; N] {
    static NEXT: AtomicU16 = AtomicU16::new(20_000);
    let [_, a, b, c] = std::process::id().to_be_bytes();
    [(); N].map(|()| {
        let port = NEXT.fetch_add(1, Ordering::Relaxed);
        SocketAddr::from(([127, a | 0x80, b, c], port))
    })
}
