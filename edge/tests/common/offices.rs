//! Offices joined by mTLS: certificates of one authority, and edges that know each other.

#![allow(dead_code, reason = "each test file uses its part")]

use crate::common;
use meridian_edge::config::Config;
use meridian_edge::control::Control;
use meridian_edge::control::status::Status;
use meridian_edge::neighbours::tree::Tree;
use meridian_edge::neighbours::{LinkState, Neighbours};
use meridian_edge::{Edge, clients, config};
use meridian_relay::Counters;
use meridian_session::tls::Identity;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Instant;
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot, watch};

/// A folder with an authority's certificate, in which offices get theirs.
pub(crate) struct Authority {
    folder: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A running office, on a thread of its own like the process it stands for. Dropped, it is gone from one moment to the
/// next, without a word to its peers.
pub(crate) struct Office {
    pub(crate) clients: SocketAddr,
    /// How it stands with the control plane, if it has one.
    pub(crate) control: Option<watch::Receiver<Status>>,
    acts: mpsc::UnboundedSender<Act>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Something done on an office's thread.
type Act = Box<dyn FnOnce(&Edge, &Tree) + Send>;

impl Office {
    /// Does something on the office's thread.
    pub(crate) async fn act<R: Send + 'static>(
        &self,
        act: impl FnOnce(&Edge, &Tree) -> R + Send + 'static,
    ) -> R {
        let (answer, answered) = oneshot::channel();
        let act: Act = Box::new(move |edge, tree| {
            // Who asked may have given up.
            let _ = answer.send(act(edge, tree));
        });
        assert!(self.acts.send(act).is_ok(), "the office runs");
        answered.await.expect("the office runs")
    }

    /// Gives it these neighbours, as lines of a configuration.
    pub(crate) async fn has_neighbours(&self, lines: &str) {
        #[derive(serde::Deserialize)]
        struct Set {
            #[serde(default)]
            neighbour: Vec<config::Neighbour>,
        }
        let set: Set = toml::from_str(lines).expect("well-formed");
        let applied = self
            .act(|_, tree| tree.neighbours().apply(set.neighbour))
            .await;
        applied.expect("the set makes sense");
    }

    /// Waits until no link is up.
    pub(crate) async fn has_nobody(&self) {
        self.links_are(|links| links.iter().all(|link| link.up_since.is_none()))
            .await;
    }

    /// Waits until it has no link to an office.
    pub(crate) async fn is_down(&self, office: &'static str) {
        self.links_are(move |links| {
            let mut to_it = links.iter().filter(|link| link.office == office);
            to_it.all(|link| link.up_since.is_none())
        })
        .await;
    }

    /// Since when its link to an office is up.
    pub(crate) async fn up_since(&self, office: &'static str) -> Option<Instant> {
        let links = self.act(|_, tree| tree.neighbours().links()).await;
        let link = links.into_iter().find(|link| link.office == office);
        link.and_then(|link| link.up_since)
    }

    async fn links_are(&self, right: impl Fn(&[LinkState]) -> bool) {
        let mut changes = self.act(|_, tree| tree.neighbours().changes()).await;
        while !right(&self.act(|_, tree| tree.neighbours().links()).await) {
            changes.changed().await.expect("the office runs");
        }
    }

    /// Waits until it has exactly these links, and all of them are up.
    pub(crate) async fn is_joined_to(&self, offices: &[&str]) {
        self.links_are(|links| {
            let up = links.iter().filter(|link| link.up_since.is_some());
            let mut up: Vec<&str> = up.map(|link| link.office.as_str()).collect();
            up.sort_unstable();
            up == offices && up.len() == links.len()
        })
        .await;
    }

    /// What it has counted so far.
    pub(crate) async fn counters(&self) -> Counters {
        self.act(|edge, _| edge.first().counters()).await
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
        let rest = format!("[access]\nopen = true\n{neighbours}");
        run(self.config(workers, office, address, &rest))
    }

    /// An office that takes everything from a control plane. `lines` are its section.
    pub(crate) fn start_controlled(
        &self,
        office: &str,
        address: SocketAddr,
        lines: &str,
    ) -> Office {
        run(self.config(1, office, address, &format!("[control]\n{lines}\n")))
    }

    /// Where its own certificate and what else belongs to it are.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A certificate for this name, and its key.
    pub(crate) fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new([name.to_owned()]).expect("a valid name");
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        (certificate.pem(), key.serialize_pem())
    }

    fn config(&self, workers: usize, office: &str, address: SocketAddr, rest: &str) -> Config {
        let folder = self.folder.path();
        let (certificate, key) = self.issue(office);
        let file = |suffix: &str| folder.join(format!("{office}{suffix}"));
        fs::write(file(".pem"), certificate).expect("the folder is ours");
        fs::write(file(".key"), key).expect("the folder is ours");
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
{rest}
"#
        );
        fs::write(file(".toml"), text).expect("the folder is ours");
        Config::load(&file(".toml")).expect("the configuration is good")
    }
}

/// Runs an office on a thread of its own.
fn run(config: Config) -> Office {
    let (ready, is_ready) = std::sync::mpsc::channel();
    let (acts, mut asked) = mpsc::unbounded_channel::<Act>();
    let (stop, stopped) = oneshot::channel();
    let thread = thread::spawn(move || {
        common::block_on(async move {
            let tls = &config.tls;
            let doors = clients::Doors {
                address: config.listen.clients,
                identity: Identity::load(&tls.certificate, &tls.key).expect("just made"),
                access: config.access().expect("the keys are there"),
                max_clients: 100,
                congestion: config.congestion.clients,
            };
            let workers = config::workers(config.workers);
            let edge = Edge::start(config.relay(), doors, workers).await;
            let edge = edge.expect("a free port");
            let neighbours = Neighbours::start(edge.first(), &config);
            let tree = Rc::new(Tree::follow(neighbours.expect("the port is free")));
            let control = Control::start(&edge, &tree, &config).expect("the files are there");
            let status = control.as_ref().map(Control::status);
            ready
                .send((edge.address(), status))
                .expect("the test waits");
            let answer = async {
                while let Some(act) = asked.recv().await {
                    act(&edge, &tree);
                }
            };
            // The test dropping its end stops the office too.
            tokio::select! {
                _ = stopped => {}
                () = answer => {}
            }
        });
    });
    let (clients, control) = is_ready.recv().expect("the office starts");
    Office {
        clients,
        control,
        acts,
        stop: Some(stop),
        thread: Some(thread),
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
