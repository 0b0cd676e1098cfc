//! The ways from one person's home to each edge they send to. Pure: time is an argument.

use super::roads::Roads;
use crate::wan::{Link, LinkParams};
use bytes::Bytes;
use quinn::udp::EcnCodepoint;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Somebody's end of the network.
#[derive(Clone, Debug)]
pub(in crate::rehearsal) struct Home {
    /// The office they live near.
    pub(in crate::rehearsal) near: String,
    /// The last mile towards edges.
    pub(in crate::rehearsal) up: LinkParams,
    /// The last mile from edges.
    pub(in crate::rehearsal) down: LinkParams,
    /// Fixes losses and jitter.
    pub(in crate::rehearsal) seed: u64,
    /// The rest of the way.
    pub(in crate::rehearsal) roads: Arc<Roads>,
}

/// A packet on its way.
#[derive(Clone, Debug)]
pub(super) struct Packet {
    pub(super) payload: Bytes,
    pub(super) ecn: Option<EcnCodepoint>,
    /// The address here that it came to.
    pub(super) to: Option<IpAddr>,
}

/// A way up and a way down for each edge: few, so that looking through all is quick.
#[derive(Debug)]
pub(super) struct Ways {
    home: Home,
    ways: Vec<Way>,
}

#[derive(Debug)]
struct Way {
    edge: SocketAddr,
    up: Link<Packet>,
    down: Link<Packet>,
    is_cut: Arc<AtomicBool>,
}

impl Ways {
    /// None yet.
    pub(super) fn new(home: &Home) -> Ways {
        Ways {
            home: home.clone(),
            ways: Vec::new(),
        }
    }

    /// A packet sets out towards an edge.
    pub(super) fn handle_up(&mut self, to: SocketAddr, packet: Packet, now: Instant) {
        let len = packet.payload.len();
        self.way(to, now).up.handle_datagram(packet, len, now);
    }

    /// A packet of an edge's sets out towards here.
    pub(super) fn handle_down(&mut self, from: SocketAddr, packet: Packet, now: Instant) {
        let len = packet.payload.len();
        self.way(from, now).down.handle_datagram(packet, len, now);
    }

    /// The next packet that is at its edge, and which that is.
    pub(super) fn poll_up(&mut self, now: Instant) -> Option<(SocketAddr, Packet)> {
        let mut ways = self.ways.iter_mut();
        ways.find_map(|way| {
            way.heed_cut();
            Some((way.edge, way.up.poll_datagram(now)?))
        })
    }

    /// The next packet that has come, and from which edge.
    pub(super) fn poll_down(&mut self, now: Instant) -> Option<(SocketAddr, Packet)> {
        let mut ways = self.ways.iter_mut();
        ways.find_map(|way| {
            way.heed_cut();
            Some((way.edge, way.down.poll_datagram(now)?))
        })
    }

    /// When something may arrive next.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let of = |way: &Way| {
            let either = [way.up.poll_timeout(), way.down.poll_timeout()];
            either.into_iter().flatten().min()
        };
        self.ways.iter().filter_map(of).min()
    }

    /// There was no room for one.
    pub(super) fn note_overflow(&self) {
        self.home.roads.note_overflow(1);
    }

    fn way(&mut self, edge: SocketAddr, now: Instant) -> &mut Way {
        let known = self.ways.iter().position(|way| way.edge == edge);
        let at = known.unwrap_or_else(|| {
            self.ways.push(Way::new(&self.home, edge, now));
            self.ways.len() - 1
        });
        let way = &mut self.ways[at];
        way.heed_cut();
        way
    }
}

impl Way {
    fn new(home: &Home, edge: SocketAddr, now: Instant) -> Way {
        let beyond = home.roads.between(&home.near, &edge);
        let link = |params: &LinkParams, seed| {
            let mut params = params.clone();
            params.delay += beyond;
            Link::new(params, seed, now)
        };
        Way {
            edge,
            up: link(&home.up, home.seed),
            down: link(&home.down, !home.seed),
            is_cut: home.roads.is_cut(&edge),
        }
    }

    /// What is on its way when an edge is cut off is lost, too.
    fn heed_cut(&mut self) {
        let is_cut = self.is_cut.load(Ordering::Relaxed);
        self.up.set_blackhole(is_cut);
        self.down.set_blackhole(is_cut);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Places;
    use std::time::Duration;

    const MS: Duration = Duration::from_millis(1);

    fn edge() -> SocketAddr {
        ([127, 0, 0, 1], 4433).into()
    }

    fn packet(byte: u8) -> Packet {
        Packet {
            payload: Bytes::from(vec![byte; 100]),
            ecn: None,
            to: None,
        }
    }

    fn home(path: &str) -> (Home, Arc<Roads>) {
        let mut places = Places::default();
        let ends = ("bangkok".to_owned(), "geneva".to_owned());
        places.one_way.insert(ends, 79 * MS);
        let roads = Arc::new(Roads::new(places, [(edge(), "geneva".to_owned())]));
        let params: LinkParams = path.parse().expect("good");
        let home = Home {
            near: "bangkok".to_owned(),
            up: params.clone(),
            down: params,
            seed: 7,
            roads: roads.clone(),
        };
        (home, roads)
    }

    #[test]
    fn a_packet_takes_the_last_mile_and_the_way_between_offices() {
        let (home, _) = home("delay=5ms");
        let start = Instant::now();
        let mut ways = Ways::new(&home);
        ways.handle_up(edge(), packet(1), start);
        assert_eq!(ways.poll_timeout(), Some(start + 84 * MS));
        assert!(ways.poll_up(start + 83 * MS).is_none());
        let (to, arrived) = ways.poll_up(start + 84 * MS).expect("it is there");
        assert_eq!((to, arrived.payload[0]), (edge(), 1));
        ways.handle_down(edge(), packet(2), start + 84 * MS);
        assert!(ways.poll_down(start + 167 * MS).is_none());
        assert!(ways.poll_down(start + 168 * MS).is_some());
        assert_eq!(ways.poll_timeout(), None);
    }

    #[test]
    fn nothing_comes_over_a_path_that_loses_everything() {
        let (home, _) = home("loss=100%");
        let start = Instant::now();
        let mut ways = Ways::new(&home);
        for n in 0..100 {
            ways.handle_up(edge(), packet(n), start);
            ways.handle_down(edge(), packet(n), start);
        }
        let late = start + 10_000 * MS;
        assert!(ways.poll_up(late).is_none() && ways.poll_down(late).is_none());
    }

    #[test]
    fn an_edge_that_is_cut_off_loses_what_is_on_its_way_and_what_is_sent() {
        let (home, roads) = home("delay=5ms");
        let start = Instant::now();
        let mut ways = Ways::new(&home);
        ways.handle_up(edge(), packet(1), start);
        roads.cut("geneva", true);
        ways.handle_up(edge(), packet(2), start + 10 * MS);
        assert!(ways.poll_up(start + 500 * MS).is_none());
        roads.cut("geneva", false);
        ways.handle_up(edge(), packet(3), start + 500 * MS);
        let (_, arrived) = ways.poll_up(start + 600 * MS).expect("it is healed");
        assert_eq!(arrived.payload[0], 3);
    }
}
