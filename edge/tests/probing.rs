//! Round-trip times to real edges, without a connection to them.

mod common;
#[path = "common/offices.rs"]
mod offices;

use common::run;
use meridian_edge::neighbours::place::Place;
use meridian_edge::probing::{OfficeRtt, Probing};
use offices::{Authority, own_addresses};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::UdpSocket;

/// A way to an edge that takes 10 ms in each direction.
async fn long_way(to: SocketAddr) -> SocketAddr {
    let near = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    let far = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    far.connect(to).await.expect("an address");
    let address = near.local_addr().expect("it is bound");
    let (near, far) = (Rc::new(near), Rc::new(far));
    tokio::task::spawn_local(async move {
        let (mut out, mut back) = ([0; 2048], [0; 2048]);
        let mut asker = None;
        loop {
            tokio::select! {
                Ok((len, from)) = near.recv_from(&mut out) => {
                    asker = Some(from);
                    later(far.clone(), None, out[..len].to_vec());
                }
                Ok(len) = far.recv(&mut back) => later(near.clone(), asker, back[..len].to_vec()),
            }
        }
    });
    address
}

fn later(socket: Rc<UdpSocket>, to: Option<SocketAddr>, packet: Vec<u8>) {
    tokio::task::spawn_local(async move {
        tokio::time::sleep(Duration::from_millis(10)).await;
        // What is lost here fails the test by itself.
        let _ = match to {
            Some(to) => socket.send_to(&packet, to).await,
            None => socket.send(&packet).await,
        };
    });
}

async fn measured(probing: &Probing, count: usize) -> Vec<OfficeRtt> {
    let mut looks = tokio::time::interval(Duration::from_millis(5));
    loop {
        looks.tick().await;
        let rtts = probing.rtts();
        if rtts.len() == count {
            return rtts;
        }
    }
}

#[test]
fn the_way_to_an_edge_is_measured_and_its_length_seen() {
    run(async {
        let authority = Authority::new();
        let [origin, nobody] = own_addresses();
        let geneva = authority.start("geneva", origin, "");
        let targets: BTreeMap<String, Place> = [
            ("geneva", origin),
            ("far", long_way(origin).await),
            ("clients", geneva.clients),
            ("nobody", nobody),
        ]
        .map(|(office, address)| (office.to_owned(), address.into()))
        .into();
        let probing = Probing::start(Default::default()).expect("a socket");
        probing.set_targets(targets);
        let rtts = measured(&probing, 3).await;
        let of = |office: &str| rtts.iter().find(|rtt| rtt.office == office);
        let (near, far) = (
            of("geneva").expect("it answers"),
            of("far").expect("it answers"),
        );
        assert!(far.min_us >= 20_000, "{far:?}");
        assert!(near.min_us < far.min_us, "{near:?} {far:?}");
        assert!(of("clients").is_some(), "any QUIC server answers");
        probing.set_targets(BTreeMap::new());
        assert_eq!(probing.rtts(), []);
    });
}
