//! Relays, links, publishers and viewers on one virtual clock, and the mischief that befalls them.

use crate::clients::{Publisher, Taste, Viewer};
use crate::network::{After, Conn, ConnId, Packet, Side, Way};
use crate::node::{Node, Sent, Ways};
use crate::truth::{Kind, TICK, Track, kind};
use meridian_relay::{Peer, Permissions, Role};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

pub(crate) struct World {
    rng: StdRng,
    at: u64,
    base: Instant,
    sequence: u64,
    queue: BTreeMap<(u64, u64), Event>,
    nodes: Vec<Node>,
    conns: Vec<Conn>,
    /// Links there should be: child, parent and what the parent is to the child.
    links: Vec<Link>,
    /// The links of the healthy tree.
    plan: Vec<Link>,
    publishers: Vec<Publisher>,
    viewers: Vec<Viewer>,
    steps: u64,
    is_stormy: bool,
    trace: Trace,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trace {
    Off,
    Messages,
    Everything,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Link {
    below: usize,
    above: usize,
    role: Role,
    conn: Option<ConnId>,
}

enum Event {
    Arrive(ConnId, usize, Box<Packet>),
    /// A side of a dead connection notices.
    Down(ConnId, usize),
    Relink,
    Tick(usize),
    /// A publisher or viewer connects.
    Connect(Client),
    Mischief,
    Restarted(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    Publisher(usize),
    Viewer(usize),
}

/// More than this is a loop: a run takes some ten thousand.
const MOST_STEPS: u64 = 600_000;
const STORM_ENDS: u64 = 2_500;
const CHECKED_AT: u64 = 6_500;
const QUIET_AT: u64 = 10_500;

/// One run. Panics if anything is wrong.
pub(crate) fn run(seed: u64) {
    let mut world = World::new(seed);
    world.run_until(STORM_ENDS);
    world.heal();
    world.run_until(CHECKED_AT);
    world.check_alive();
    world.publishers_stop();
    world.run_until(QUIET_AT);
    world.check_gaps();
    world.everybody_leaves();
    world.run_until(QUIET_AT + 60_000);
    world.check_empty();
}

impl World {
    fn new(seed: u64) -> World {
        let mut rng = StdRng::seed_from_u64(seed);
        let nodes = rng.random_range(3..=15);
        let mut world = World {
            at: 0,
            base: Instant::now(),
            sequence: 0,
            queue: BTreeMap::new(),
            nodes: (0..nodes).map(|_| Node::new()).collect(),
            conns: Vec::new(),
            links: Vec::new(),
            plan: Vec::new(),
            publishers: Vec::new(),
            viewers: Vec::new(),
            steps: 0,
            is_stormy: true,
            trace: match std::env::var("SIMULATION_TRACE").as_deref() {
                Err(_) => Trace::Off,
                Ok("data") => Trace::Everything,
                Ok(_) => Trace::Messages,
            },
            rng,
        };
        world.plant();
        world.populate(seed);
        if world.rng.random_bool(0.8) {
            for _ in 0..world.rng.random_range(1..8) {
                let at = world.rng.random_range(300..STORM_ENDS);
                world.schedule(at, Event::Mischief);
            }
        } else {
            world.is_stormy = false;
        }
        world.schedule(0, Event::Relink);
        world
    }

    /// A tree, with second parents here and there, and perhaps a shortcut.
    fn plant(&mut self) {
        let n = self.nodes.len();
        let conn = None;
        for below in 1..n {
            let above = self.rng.random_range(0..below);
            let role = Role::Parent;
            self.plan.push(Link {
                below,
                above,
                role,
                conn,
            });
            let second = self.rng.random_range(0..below);
            if second != above && self.rng.random_bool(0.5) {
                self.plan.push(Link {
                    below,
                    above: second,
                    role: Role::BackupParent,
                    conn,
                });
            }
        }
        let (below, above) = (self.rng.random_range(1..n), self.rng.random_range(0..n));
        let is_free = |link: &Link| (link.below, link.above) != (below, above);
        let is_free = self.plan.iter().all(is_free) && below != above;
        if is_free && self.rng.random_bool(0.3) {
            self.plan.push(Link {
                below,
                above,
                role: Role::Shortcut,
                conn,
            });
        }
        self.links = self.plan.clone();
    }

    fn populate(&mut self, seed: u64) {
        let n = self.nodes.len();
        let publishers = self.rng.random_range(1..=2);
        for number in 0..publishers {
            let offers = self.rng.random_bool(0.5);
            let copies = if self.rng.random_bool(0.2) { 2 } else { 1 };
            for copy in 0..copies {
                let node = self.rng.random_range(0..n);
                let seed = seed.wrapping_mul(31) + u64::from(number * 2 + copy);
                let publisher = Publisher::new(node, number, offers, seed);
                self.publishers.push(publisher);
                let index = self.publishers.len() - 1;
                let at = self.rng.random_range(0..1000);
                self.schedule(at, Event::Connect(Client::Publisher(index)));
                self.schedule(TICK, Event::Tick(index));
            }
        }
        for index in 0..self.rng.random_range(2..=7) {
            let viewer = self.viewer(publishers);
            self.viewers.push(viewer);
            let at = self.rng.random_range(0..1500);
            self.schedule(at, Event::Connect(Client::Viewer(index)));
        }
    }

    fn viewer(&mut self, publishers: u8) -> Viewer {
        let rng = &mut self.rng;
        let tracks: Vec<Track> = (0..publishers * 3)
            .filter(|_| rng.random_bool(0.6))
            .collect();
        let taste = match rng.random_range(0..8) {
            0 => Taste::NextObject,
            1 => Taste::GroupsBack(3),
            2 => Taste::FirstObjects,
            _ => Taste::Everything,
        };
        let node = rng.random_range(0..self.nodes.len());
        let mut viewer = Viewer::new(node, tracks, taste);
        match rng.random_range(0..8) {
            0 => {
                viewer.rate = rng.random_range(1..20);
                viewer.pipe = 1500;
            }
            1 => viewer.window = rng.random_range(64..2000),
            2 => viewer.credit = rng.random_range(1..6),
            3 => {
                let from = rng.random_range(500..3000);
                viewer.stalls = Some((from, from + rng.random_range(300..4000)));
            }
            _ => {}
        }
        viewer
    }

    fn now(&self) -> Instant {
        self.base + Duration::from_millis(self.at)
    }

    fn schedule(&mut self, at: u64, event: Event) {
        self.sequence += 1;
        self.queue.insert((at, self.sequence), event);
    }

    fn soon(&mut self, within: std::ops::Range<u64>) -> u64 {
        self.at + self.rng.random_range(within)
    }

    fn run_until(&mut self, until: u64) {
        loop {
            let next_event = self.queue.keys().next().map(|key| key.0);
            let next_timer = self.next_timer();
            let next = match (next_event, next_timer) {
                (Some(event), Some((timer, _))) => event.min(timer),
                (Some(event), None) => event,
                (None, Some((timer, _))) => timer,
                (None, None) => break,
            };
            if next > until {
                break;
            }
            self.at = self.at.max(next);
            self.steps += 1;
            assert!(self.steps < MOST_STEPS, "this goes round in circles");
            match next_timer {
                Some((timer, node)) if timer <= next => {
                    let now = self.now();
                    self.nodes[node].relay.handle_timeout(now);
                    self.drain(node);
                }
                _ => {
                    let (_, event) = self.queue.pop_first().expect("just seen");
                    self.happen(event);
                }
            }
        }
        self.at = until;
    }

    fn next_timer(&self) -> Option<(u64, usize)> {
        let due = |(index, node): (usize, &Node)| {
            let at = node.relay.poll_timeout()?;
            // Rounded up, so that what is due is due.
            let after = at.saturating_duration_since(self.base).as_nanos();
            Some((after.div_ceil(1_000_000) as u64, index))
        };
        self.nodes.iter().enumerate().filter_map(due).min()
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive(conn, to, packet) => self.arrive(conn, to, *packet),
            Event::Down(conn, side) => self.down(conn, side),
            Event::Relink => self.relink(),
            Event::Tick(publisher) => self.tick(publisher),
            Event::Connect(client) => self.connect(client),
            Event::Mischief => self.mischief(),
            Event::Restarted(node) => {
                self.nodes[node].is_up = true;
                self.relink();
            }
        }
    }

    fn send(&mut self, conn: ConnId, from: usize, packet: Packet) {
        let jitter = self.rng.random_range(0..8);
        let link = &mut self.conns[conn];
        if !link.is_alive {
            return;
        }
        let delay = link.delay + jitter;
        let at = link.ways[from].arrival(&packet, self.at, delay);
        self.schedule(at, Event::Arrive(conn, 1 - from, Box::new(packet)));
    }

    fn arrive(&mut self, conn: ConnId, to: usize, packet: Packet) {
        self.trace(conn, to, &packet);
        if !self.conns[conn].is_alive {
            return;
        }
        match self.conns[conn].sides[to] {
            Side::Relay(node, session) => {
                if self.nodes[node].conn_of.get(&session) != Some(&conn) {
                    return;
                }
                if matches!(packet, Packet::Credit) {
                    let way = &mut self.conns[conn].ways[to];
                    way.credit += 1;
                    if !std::mem::replace(&mut way.waits_for_credit, false) {
                        return;
                    }
                }
                let (at, now) = (self.at, self.now());
                let mut ways = Links {
                    conns: &mut self.conns,
                    node,
                };
                let out = self.nodes[node].take(conn, session, packet, &mut ways, at, now);
                self.carry(node, out);
            }
            Side::Client(client) => self.arrive_at_client(conn, to, client, packet),
        }
        self.credit_books(conn, to);
    }

    fn arrive_at_client(&mut self, conn: ConnId, to: usize, client: usize, packet: Packet) {
        let publishers = self.publishers.len();
        if client < publishers {
            if self.publishers[client].conn != Some(conn) {
                return;
            }
            for packet in self.publishers[client].take(packet) {
                self.send(conn, to, packet);
            }
            return;
        }
        let index = client - publishers;
        if self.viewers[index].conn != Some(conn) {
            return;
        }
        let at = self.at;
        let whole = self.viewers[index].take(&packet, at);
        self.owed_got(conn, 1 - to, &whole);
        if let Packet::Data(stream, chunks, after) = &packet {
            let bytes = chunks.iter().map(bytes::Bytes::len).sum();
            self.consume(conn, to, *stream, bytes, *after != After::More, index);
        }
        if self.viewers[index].is_unhappy {
            self.viewers[index].conn = None;
            self.kill(conn);
        }
    }

    /// A viewer reads, and the relay may write more; not while it stalls.
    fn consume(
        &mut self,
        conn: ConnId,
        to: usize,
        stream: u64,
        bytes: usize,
        ends: bool,
        viewer: usize,
    ) {
        let stall = self.viewers[viewer].stalls;
        let until = stall.filter(|(from, to)| (*from..*to).contains(&self.at));
        let delay = self.conns[conn].delay;
        let at = until.map_or(self.at, |(_, until)| until) + delay;
        self.schedule(
            at,
            Event::Arrive(conn, 1 - to, Box::new(Packet::Consumed(stream, bytes))),
        );
        if ends {
            self.schedule(at, Event::Arrive(conn, 1 - to, Box::new(Packet::Credit)));
        }
    }

    /// With SIMULATION_TRACE set, what is said is printed; data too if it is `data`.
    fn trace(&self, conn: ConnId, to: usize, packet: &Packet) {
        if self.trace == Trace::Off || (packet.is_data() && self.trace != Trace::Everything) {
            return;
        }
        let sides = self.conns[conn].sides;
        let (from, to) = (sides[1 - to], sides[to]);
        println!("{} c{conn} {from} -> {to}: {}", self.at, packet.brief());
    }

    fn trace_link(&self, conn: ConnId, what: &str, side: Side) {
        if self.trace != Trace::Off {
            println!("{} c{conn} {what} {side}", self.at);
        }
    }

    fn owed_got(&mut self, conn: ConnId, from: usize, whole: &[(Track, u64, u64)]) {
        let Side::Relay(node, _) = self.conns[conn].sides[from] else {
            return;
        };
        for owed in self.nodes[node].books.owed.iter_mut() {
            if owed.0.0 == conn {
                let of_track = whole.iter().filter(|spot| spot.0 == owed.1.track);
                owed.1.got.extend(of_track.map(|spot| (spot.1, spot.2)));
            }
        }
    }

    /// What a relay got whole from a neighbour is noted in the neighbour's books.
    fn credit_books(&mut self, conn: ConnId, to: usize) {
        if let Side::Relay(node, _) = self.conns[conn].sides[to] {
            let whole = std::mem::take(&mut self.nodes[node].arrived);
            self.owed_got(conn, 1 - to, &whole);
        }
    }

    fn drain(&mut self, node: usize) {
        let (at, now) = (self.at, self.now());
        let mut ways = Links {
            conns: &mut self.conns,
            node,
        };
        let out = self.nodes[node].drain(&mut ways, at, now);
        self.carry(node, out);
    }

    fn carry(&mut self, node: usize, sent: Sent) {
        for (conn, packet) in sent {
            let from = side_of(&self.conns[conn], node);
            self.send(conn, from, packet);
        }
    }

    fn tick(&mut self, index: usize) {
        let (at, stormy) = (self.at, self.is_stormy);
        let publisher = &mut self.publishers[index];
        if let Some(conn) = publisher.conn {
            for packet in publisher.tick(at, stormy) {
                self.send(conn, 0, packet);
            }
        }
        if at + TICK < CHECKED_AT {
            self.schedule(at + TICK, Event::Tick(index));
        }
    }

    fn connect(&mut self, client: Client) {
        let node = match client {
            Client::Publisher(index) => self.publishers[index].node,
            Client::Viewer(index) => self.viewers[index].node,
        };
        if !self.nodes[node].is_up {
            let at = self.soon(100..400);
            return self.schedule(at, Event::Connect(client));
        }
        let number = match client {
            Client::Publisher(index) => index,
            Client::Viewer(index) => self.publishers.len() + index,
        };
        let delay = self.rng.random_range(1..30);
        let side = Side::Client(number);
        let conn = self.join(side, node, Role::Client, delay);
        let packets = match client {
            Client::Publisher(index) => self.publishers[index].connected(conn),
            Client::Viewer(index) => {
                let viewer = &mut self.viewers[index];
                let way = &mut self.conns[conn].ways[1];
                (way.rate, way.window, way.credit) = (viewer.rate, viewer.window, viewer.credit);
                way.pipe = viewer.pipe;
                viewer.connected(conn)
            }
        };
        for packet in packets {
            self.send(conn, 0, packet);
        }
        self.drain(node);
    }

    /// A connection from `side` to a node to which it is a `role`.
    fn join(&mut self, side: Side, node: usize, role: Role, delay: u64) -> ConnId {
        let session = self.session(node, role);
        let conn = self.conns.len();
        self.nodes[node].conn_of.insert(session, conn);
        self.conns.push(Conn {
            sides: [side, Side::Relay(node, session)],
            is_alive: true,
            delay,
            ways: [Way::new(0), Way::new(1)],
        });
        conn
    }

    fn session(&mut self, node: usize, role: Role) -> meridian_relay::SessionId {
        let permissions = Permissions::default();
        let now = self.now();
        self.nodes[node]
            .relay
            .add_session(Peer::new(role, permissions), now)
    }

    /// Makes the links there should be and are not.
    fn relink(&mut self) {
        for index in 0..self.links.len() {
            let Link {
                below,
                above,
                role,
                conn,
            } = self.links[index];
            if conn.is_some() || !self.nodes[below].is_up || !self.nodes[above].is_up {
                continue;
            }
            let session = self.session(below, role);
            let other = match role {
                Role::Shortcut => Role::Shortcut,
                _ => Role::Child,
            };
            let delay = self.rng.random_range(1..80);
            let side = Side::Relay(below, session);
            let conn = self.join(side, above, other, delay);
            self.nodes[below].conn_of.insert(session, conn);
            let window = self.rng.random_range(1000..100_000);
            for way in &mut self.conns[conn].ways {
                way.window = window;
            }
            self.trace_link(
                conn,
                &format!("{role:?} of {below}:"),
                self.conns[conn].sides[1],
            );
            self.links[index].conn = Some(conn);
            self.drain(below);
            self.drain(above);
        }
    }

    /// Nothing gets through any more; both sides notice after a while.
    fn kill(&mut self, conn: ConnId) {
        if !std::mem::replace(&mut self.conns[conn].is_alive, false) {
            return;
        }
        for side in 0..2 {
            let at = self.soon(0..400);
            self.schedule(at, Event::Down(conn, side));
        }
    }

    fn down(&mut self, conn: ConnId, side: usize) {
        self.trace_link(conn, "down at", self.conns[conn].sides[side]);
        match self.conns[conn].sides[side] {
            Side::Relay(node, session) => {
                if self.nodes[node].conn_of.get(&session) == Some(&conn) {
                    let now = self.now();
                    self.nodes[node].lose(conn, session, now);
                    self.drain(node);
                }
            }
            Side::Client(number) => self.client_down(conn, number),
        }
        for link in &mut self.links {
            if link.conn == Some(conn) {
                link.conn = None;
            }
        }
        let at = self.soon(100..800);
        self.schedule(at, Event::Relink);
    }

    fn client_down(&mut self, conn: ConnId, number: usize) {
        let publishers = self.publishers.len();
        if number < publishers {
            let publisher = &mut self.publishers[number];
            if publisher.conn == Some(conn) {
                publisher.conn = None;
                let at = self.soon(50..600);
                self.schedule(at, Event::Connect(Client::Publisher(number)));
            }
        } else {
            let viewer = &mut self.viewers[number - publishers];
            if viewer.conn == Some(conn) || viewer.is_unhappy {
                viewer.conn = None;
                viewer.is_unhappy = false;
                let at = self.soon(50..600);
                let client = Client::Viewer(number - publishers);
                self.schedule(at, Event::Connect(client));
            }
        }
    }

    fn mischief(&mut self) {
        let n = self.nodes.len();
        match self.rng.random_range(0..8) {
            0 | 1 => {
                let index = self.rng.random_range(0..self.links.len());
                if let Some(conn) = self.links[index].conn {
                    self.kill(conn);
                }
            }
            2 => {
                let node = self.rng.random_range(0..n);
                self.restart(node);
            }
            // Mixed snapshots: a parent may be taken from below.
            3 | 4 => {
                let index = self.rng.random_range(0..self.links.len());
                let above = self.rng.random_range(0..n);
                let link = self.links[index];
                let is_free = |other: &Link| (other.below, other.above) != (link.below, above);
                if above != link.below && self.links.iter().all(is_free) {
                    self.links[index].above = above;
                    self.links[index].conn = None;
                    if let Some(conn) = link.conn {
                        self.kill(conn);
                    }
                    self.relink();
                }
            }
            5 | 6 => {
                let below = self.rng.random_range(0..n);
                self.swap_parents(below);
            }
            _ => {
                let index = self.rng.random_range(0..self.publishers.len());
                if let Some(conn) = self.publishers[index].conn {
                    self.kill(conn);
                }
            }
        }
    }

    /// A node's parent becomes its backup, and the other way round. Its links go on.
    fn swap_parents(&mut self, below: usize) {
        for index in 0..self.links.len() {
            let link = self.links[index];
            let role = match link.role {
                Role::Parent => Role::BackupParent,
                Role::BackupParent => Role::Parent,
                _ => continue,
            };
            if link.below == below {
                self.give_role(index, role);
            }
        }
    }

    fn give_role(&mut self, index: usize, role: Role) {
        self.links[index].role = role;
        let Link { below, conn, .. } = self.links[index];
        let Some(conn) = conn else {
            return;
        };
        let Side::Relay(_, session) = self.conns[conn].sides[0] else {
            return;
        };
        let now = self.now();
        if self.nodes[below].conn_of.get(&session) == Some(&conn) {
            self.nodes[below].relay.set_role(session, role, now);
            self.drain(below);
        }
    }

    fn restart(&mut self, node: usize) {
        self.nodes[node] = Node::new();
        self.nodes[node].is_up = false;
        let touches = |side: &Side| matches!(side, Side::Relay(other, _) if *other == node);
        let conns: Vec<ConnId> = (0..self.conns.len())
            .filter(|conn| self.conns[*conn].sides.iter().any(touches))
            .collect();
        for conn in conns {
            self.kill(conn);
        }
        let at = self.soon(200..1500);
        self.schedule(at, Event::Restarted(node));
    }

    /// Everything is put right again.
    fn heal(&mut self) {
        self.is_stormy = false;
        let mut lost = Vec::new();
        for (link, planned) in self.links.iter_mut().zip(&self.plan) {
            if (link.below, link.above) != (planned.below, planned.above) {
                lost.extend(std::mem::replace(link, *planned).conn);
            }
        }
        for index in 0..self.links.len() {
            if self.links[index].role != self.plan[index].role {
                self.give_role(index, self.plan[index].role);
            }
        }
        for conn in lost {
            self.kill(conn);
        }
        self.relink();
    }

    /// Whoever can take it gets what is published now.
    fn check_alive(&self) {
        for (index, viewer) in self.viewers.iter().enumerate() {
            if !viewer.is_fast() || viewer.stalls.is_some_and(|(_, to)| to > STORM_ENDS + 2000) {
                continue;
            }
            for track in &viewer.tracks {
                let latest = viewer.latest.get(track).copied().unwrap_or(0);
                let most = match kind(*track) {
                    Kind::Video => 1500,
                    Kind::Audio | Kind::Datagram => 800,
                };
                assert!(
                    latest + most > self.at,
                    "viewer {index} at node {} has had nothing of track {track} since {latest}",
                    viewer.node
                );
            }
        }
    }

    fn publishers_stop(&mut self) {
        self.queue
            .retain(|_, event| !matches!(event, Event::Tick(_)));
    }

    fn check_gaps(&self) {
        for node in &self.nodes {
            node.check_gaps();
        }
    }

    fn everybody_leaves(&mut self) {
        self.queue.clear();
        self.links.clear();
        let now = self.now();
        for conn in 0..self.conns.len() {
            self.conns[conn].is_alive = false;
            for side in self.conns[conn].sides {
                let Side::Relay(node, session) = side else {
                    continue;
                };
                if self.nodes[node].conn_of.get(&session) == Some(&conn) {
                    self.nodes[node].lose(conn, session, now);
                }
            }
        }
        for node in 0..self.nodes.len() {
            self.drain(node);
        }
    }

    fn check_empty(&self) {
        for node in &self.nodes {
            assert_eq!(node.relay.population(), [0; 7], "something is left behind");
            assert_eq!(node.relay.cached_bytes(), 0);
            assert_eq!(node.relay.poll_timeout(), None);
        }
    }
}

fn side_of(conn: &Conn, node: usize) -> usize {
    let is_here = |side: &Side| matches!(side, Side::Relay(other, _) if *other == node);
    conn.sides.iter().position(is_here).expect("an end is here")
}

/// The connections as a node writes to them.
struct Links<'a> {
    conns: &'a mut Vec<Conn>,
    node: usize,
}

impl Ways for Links<'_> {
    fn open(&mut self, conn: ConnId) -> Option<u64> {
        let side = side_of(&self.conns[conn], self.node);
        let way = &mut self.conns[conn].ways[side];
        if way.credit == 0 {
            way.waits_for_credit = true;
            return None;
        }
        way.credit -= 1;
        way.next_stream += 1;
        Some(way.next_stream)
    }

    fn take_room(&mut self, conn: ConnId, under_way: usize, most: usize) -> usize {
        let side = side_of(&self.conns[conn], self.node);
        let way = &mut self.conns[conn].ways[side];
        let room = way.window.saturating_sub(under_way);
        let room = room.min(way.pipe.saturating_sub(way.under_way)).min(most);
        way.under_way += room;
        room
    }

    fn consumed(&mut self, conn: ConnId, bytes: usize) {
        let side = side_of(&self.conns[conn], self.node);
        self.conns[conn].ways[side].under_way -= bytes;
    }

    fn request_id(&mut self, conn: ConnId) -> u64 {
        let side = side_of(&self.conns[conn], self.node);
        self.conns[conn].ways[side].request_id()
    }
}
