//! Round-trip times to other edges, measured without a connection: from one socket, to their neighbours' ports.
//!
//! Any QUIC server answers, whatever it speaks, and holds nothing for it.

mod packet;
mod prober;

pub use prober::{MAX_TARGETS, OfficeRtt};

use crate::neighbours::place::Place;
use meridian_session::endpoint::QuicSettings;
use prober::Prober;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

/// How often names are looked up again: as long as is usual for an address to stay.
const LOOK_UP_EVERY: Duration = Duration::from_secs(60);
/// An answer to 512 edges' probes fits many times.
const SOCKET_BUFFER: usize = 256 * 1024;
/// A Version Negotiation packet is far shorter.
const LONGEST: usize = 2048;

/// Measures for as long as it lives.
#[must_use = "it measures as long as it lives"]
pub struct Probing {
    shared: Rc<Shared>,
    reach: BTreeMap<String, Place>,
    tasks: [AbortHandle; 2],
}

struct Shared {
    prober: RefCell<Prober>,
    places: RefCell<BTreeMap<String, Place>>,
    /// Whom to probe has changed.
    changed: Notify,
    /// Something is due sooner.
    sooner: Notify,
}

impl Probing {
    /// Measures nothing yet. Offices in `reach` are dialled there, and so that way is measured. Must run inside a [`tokio::task::LocalSet`].
    ///
    /// # Errors
    /// There is no socket to be had.
    pub fn start(reach: BTreeMap<String, Place>) -> io::Result<Probing> {
        let socket = bind()?;
        let shared = Rc::new(Shared {
            prober: RefCell::default(),
            places: RefCell::default(),
            changed: Notify::new(),
            sooner: Notify::new(),
        });
        let run = tokio::task::spawn_local(run(shared.clone(), socket));
        let look_up = tokio::task::spawn_local(look_up(shared.clone()));
        Ok(Probing {
            shared,
            reach,
            tasks: [run.abort_handle(), look_up.abort_handle()],
        })
    }

    /// Measures the way to these offices from now on, and to no others; [`MAX_TARGETS`] of them at most. What is known of
    /// those that stay is kept.
    pub fn set_targets(&self, mut targets: BTreeMap<String, Place>) {
        for (office, place) in &mut targets {
            if let Some(reached) = self.reach.get(office) {
                place.clone_from(reached);
            }
        }
        self.shared
            .prober
            .borrow_mut()
            .retain(|office| targets.contains_key(office));
        *self.shared.places.borrow_mut() = targets;
        self.shared.changed.notify_one();
    }

    /// The offices that answer.
    pub fn rtts(&self) -> Vec<OfficeRtt> {
        self.shared.prober.borrow().rtts(Instant::now())
    }
}

impl Drop for Probing {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Finds the addresses of the targets, and finds them again: apart from the probing, which is not to wait for it.
async fn look_up(shared: Rc<Shared>) {
    loop {
        let places = shared.places.borrow().clone();
        for (office, place) in places {
            let found = place.addresses().await;
            let Some(address) = found.ok().and_then(|all| all.first().copied()) else {
                tracing::debug!(office, %place, "has no address");
                continue;
            };
            if shared.places.borrow().get(&office) == Some(&place) {
                let mut prober = shared.prober.borrow_mut();
                prober.target(&office, address, Instant::now(), &mut rand::rng());
                shared.sooner.notify_one();
            }
        }
        tokio::select! {
            () = shared.changed.notified() => {}
            () = tokio::time::sleep(LOOK_UP_EVERY) => {}
        }
    }
}

async fn run(shared: Rc<Shared>, socket: UdpSocket) {
    let mut buffer = [0; LONGEST];
    loop {
        let due = shared.prober.borrow().poll_timeout();
        let wait = async {
            match due {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            // Answers first: each waits for its time to be taken.
            received = socket.recv_from(&mut buffer) => {
                let now = Instant::now();
                // An error is about a packet that was sent, and that is lost.
                if let Ok((len, from)) = received {
                    let from = SocketAddr::new(from.ip().to_canonical(), from.port());
                    shared.prober.borrow_mut().handle_packet(from, &buffer[..len], now);
                }
            }
            () = wait => {
                let mut prober = shared.prober.borrow_mut();
                prober.handle_timeout(Instant::now(), &mut rand::rng());
                send(&mut prober, &socket);
            }
            () = shared.sooner.notified() => {}
        }
    }
}

fn send(prober: &mut Prober, socket: &UdpSocket) {
    let is_v6 = socket.local_addr().is_ok_and(|address| address.is_ipv6());
    while let Some((to, packet)) = prober.poll_transmit() {
        let ip = match to.ip() {
            IpAddr::V4(ip) if is_v6 => ip.to_ipv6_mapped().into(),
            ip => ip,
        };
        // What cannot be sent is lost, and counted so.
        let _ = socket.try_send_to(&packet, SocketAddr::new(ip, to.port()));
    }
}

/// One socket for both families, where there are both.
fn bind() -> io::Result<UdpSocket> {
    let settings = QuicSettings {
        socket_buffer: SOCKET_BUFFER,
        ..QuicSettings::client_side()
    };
    let both = settings.bind((Ipv6Addr::UNSPECIFIED, 0).into());
    let socket = both.or_else(|_| settings.bind((Ipv4Addr::UNSPECIFIED, 0).into()))?;
    UdpSocket::from_std(socket)
}
