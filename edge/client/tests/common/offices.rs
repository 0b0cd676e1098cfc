//! Real edges that follow a control plane.

use crate::plane::Plane;
use meridian_edge::Edge;
use meridian_edge::clients::Doors;
use meridian_edge::config::Config;
use meridian_edge::control::Control;
use meridian_edge::neighbours::Neighbours;
use meridian_edge::neighbours::tree::Tree;
use meridian_session::tls::Identity;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread::{self, JoinHandle};
use tokio::sync::oneshot;
use tokio::task::LocalSet;

/// An office's edge, on a thread of its own like the process it stands for. Dropped, it is gone without a word.
pub(crate) struct Office {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Office {
    /// Starts one that the control plane gives everything.
    pub(crate) fn start(plane: &Plane, office: &str) -> Office {
        let config = config(plane, office);
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime starts");
            LocalSet::new().block_on(&runtime, run(config, stopped));
        });
        Office {
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for Office {
    fn drop(&mut self) {
        // A thread that has ended by itself has panicked, and the test fails for that.
        let _ = self.stop.take().map(|stop| stop.send(()));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

async fn run(config: Config, stopped: oneshot::Receiver<()>) {
    let tls = &config.tls;
    let doors = Doors {
        address: config.listen.clients,
        identity: Identity::load(&tls.certificate, &tls.key).expect("just made"),
        access: config.access().expect("no keys of its own"),
        max_clients: 4096,
        congestion: config.congestion.clients,
    };
    let edge = Edge::start(config.relay(), doors, 1).await;
    let edge = edge.expect("a free port");
    let neighbours = Neighbours::start(edge.first(), &config);
    let tree = Rc::new(Tree::follow(neighbours.expect("the port is free")));
    let _control = Control::start(&edge, &tree, &config).expect("the files are there");
    let _ = stopped.await;
}

fn config(plane: &Plane, office: &str) -> Config {
    plane.sign(office);
    let file = |suffix: &str| plane.folder().join(format!("{office}{suffix}"));
    let path = |path: &Path| path.display().to_string();
    let (certificate, key) = (path(&file(".pem")), path(&file(".key")));
    let (ca, state) = (path(&plane.ca()), path(&file("-state")));
    let (replica, neighbours) = (plane.replica.address(), own_address());
    let text = format!(
        r#"
office = "{office}"
[listen]
clients = "127.0.0.1:0"
neighbours = "{neighbours}"
[tls]
certificate = "{certificate}"
key = "{key}"
[neighbour_tls]
ca = "{ca}"
certificate = "{certificate}"
key = "{key}"
[control]
addresses = ["https://{replica}"]
server_name = "localhost"
ca = "{ca}"
state = "{state}"
publish_certificate = true
"#
    );
    fs::write(file(".toml"), text).expect("the folder is ours");
    Config::load(&file(".toml")).expect("the configuration is good")
}

/// This process has an address of the loopback network to itself, and the ports are below those that the system hands
/// out.
fn own_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(20_000);
    let [_, a, b, c] = std::process::id().to_be_bytes();
    let port = NEXT.fetch_add(1, Ordering::Relaxed);
    SocketAddr::from(([127, a | 0x80, b, c], port))
}
