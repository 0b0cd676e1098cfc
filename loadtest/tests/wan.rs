//! The emulator with real UDP sockets on loopback: what passes, what does not, and how late.
#![allow(clippy::unwrap_used)]

use std::{
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use meridian_loadtest::wan::{Answer, Command, Direction, Emulator, EmulatorConfig, Network};

/// Far longer than anything here takes: only a lost datagram waits for it.
const PATIENCE: Duration = Duration::from_secs(10);

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn emulate(target: &UdpSocket, up: &str, down: &str) -> Emulator {
    Emulator::spawn(EmulatorConfig {
        listen: (Ipv4Addr::LOCALHOST, 0).into(),
        target: target.local_addr().unwrap(),
        up: up.parse().unwrap(),
        down: down.parse().unwrap(),
        seed: 5,
    })
    .unwrap()
}

fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = [0; 2048];
    let (length, from) = socket.recv_from(&mut buffer).unwrap();
    (buffer[..length].to_vec(), from)
}

#[test]
fn datagrams_reach_the_target_and_answers_come_back_to_whom_they_belong() {
    let target = socket();
    let link = emulate(&target, "", "");
    let clients = [socket(), socket(), socket()];
    for (client, name) in clients.iter().zip([b"a", b"b", b"c"]) {
        client.send_to(name, link.listen_addr()).unwrap();
    }
    for _ in &clients {
        let (name, from) = receive(&target);
        target
            .send_to(&[name[0].to_ascii_uppercase()], from)
            .unwrap();
    }
    for (client, name) in clients.iter().zip([b"A", b"B", b"C"]) {
        assert_eq!(receive(client), (name.to_vec(), link.listen_addr()));
    }
    let stats = link.stats().unwrap();
    assert_eq!(stats.clients, 3);
    assert_eq!((stats.up.in_packets, stats.up.out_packets), (3, 3));
    assert_eq!((stats.down.in_bytes, stats.down.out_bytes), (3, 3));
}

#[test]
fn a_client_keeps_its_address_until_it_is_rebound() {
    let target = socket();
    let link = emulate(&target, "", "");
    let client = socket();
    let seen_from = |text: &[u8]| {
        client.send_to(text, link.listen_addr()).unwrap();
        let (received, from) = receive(&target);
        assert_eq!(received, text);
        from
    };
    let first = seen_from(b"one");
    assert_eq!(seen_from(b"two"), first);
    link.request(Command::Rebind).unwrap();
    let second = seen_from(b"three");
    assert_ne!(second, first);
    target.send_to(b"four", second).unwrap();
    assert_eq!(receive(&client).0, b"four");
}

#[test]
fn each_direction_has_its_own_delay_and_nothing_is_early() {
    let target = socket();
    let link = emulate(&target, "delay=30ms", "delay=10ms");
    let client = socket();
    let sent = Instant::now();
    client.send_to(b"ping", link.listen_addr()).unwrap();
    let (_, from) = receive(&target);
    let up = sent.elapsed();
    let answered = Instant::now();
    target.send_to(b"pong", from).unwrap();
    receive(&client);
    let down = answered.elapsed();
    assert!(up >= Duration::from_millis(30), "{up:?}");
    assert!(down >= Duration::from_millis(10), "{down:?}");
}

#[test]
fn order_and_content_survive_jitter() {
    let target = socket();
    let link = emulate(&target, "delay=8ms,jitter=4ms", "");
    let client = socket();
    for i in 0..100u32 {
        client
            .send_to(&i.to_be_bytes(), link.listen_addr())
            .unwrap();
    }
    for i in 0..100u32 {
        assert_eq!(receive(&target).0, i.to_be_bytes());
    }
}

#[test]
fn datagrams_of_all_sizes_keep_their_boundaries() {
    let target = socket();
    let link = emulate(&target, "delay=2ms", "");
    let client = socket();
    let sizes = [0, 1, 1200, 1200, 1200, 300, 1452, 1452, 7, 0];
    for size in sizes {
        client
            .send_to(&vec![size as u8; size], link.listen_addr())
            .unwrap();
    }
    for size in sizes {
        assert_eq!(receive(&target).0, vec![size as u8; size]);
    }
}

#[test]
fn a_black_hole_is_in_effect_as_soon_as_the_call_returns() {
    let target = socket();
    let link = emulate(&target, "", "");
    let client = socket();
    link.set_blackhole(Direction::Up, true).unwrap();
    client.send_to(b"lost", link.listen_addr()).unwrap();
    // The datagram is in the emulator's socket by now, so it is read no later than the request is
    // served, or right after.
    while link.stats().unwrap().up.dropped_blackhole == 0 {}
    link.set_blackhole(Direction::Both, false).unwrap();
    client.send_to(b"kept", link.listen_addr()).unwrap();
    assert_eq!(receive(&target).0, b"kept");
}

#[test]
fn a_narrow_line_queues_then_drops_and_says_so() {
    let target = socket();
    let link = emulate(&target, "rate=1mbit,queue=12280", "");
    let client = socket();
    let started = Instant::now();
    for _ in 0..50 {
        client.send_to(&[0; 1200], link.listen_addr()).unwrap();
    }
    let up = loop {
        let up = link.stats().unwrap().up;
        if up.in_packets == 50 {
            break up;
        }
    };
    assert!(
        up.dropped_queue > 0 && up.queue_bytes_max <= 12_280,
        "{up:?}"
    );
    let arriving = 50 - up.dropped_queue as u32;
    (0..arriving).for_each(|_| drop(receive(&target)));
    let line_time = Duration::from_nanos(1228 * 8 * 1000) * arriving;
    assert!(
        started.elapsed() >= line_time,
        "{:?} for {arriving}",
        started.elapsed()
    );
}

#[test]
fn an_absent_target_harms_nobody_and_is_found_when_it_comes() {
    let target = socket();
    let address = target.local_addr().unwrap();
    let link = emulate(&target, "", "");
    drop(target);
    let client = socket();
    for _ in 0..5 {
        client.send_to(b"nobody there", link.listen_addr()).unwrap();
    }
    while link.stats().unwrap().up.out_packets < 5 {}
    let target = UdpSocket::bind(address).unwrap();
    target.set_read_timeout(Some(PATIENCE)).unwrap();
    client.send_to(b"now", link.listen_addr()).unwrap();
    assert_eq!(receive(&target).0, b"now");
}

#[test]
fn dropping_the_emulator_frees_its_port() {
    let target = socket();
    let link = emulate(&target, "delay=50s", "");
    let address = link.listen_addr();
    let taken = UdpSocket::bind(address).map_err(|error| error.kind());
    assert_eq!(taken.unwrap_err(), ErrorKind::AddrInUse);
    socket().send_to(b"in flight", address).unwrap();
    drop(link);
    UdpSocket::bind(address).unwrap();
}

#[test]
fn links_are_told_apart_by_name_and_several_obey_at_once() {
    let (target, client) = (socket(), socket());
    let address = target.local_addr().unwrap();
    let line = |name: &str| format!("{name} 127.0.0.1:0 {address} delay=1ms\n");
    let lines = Network::read(&(line("a>b") + &line("a>c") + &line("b>a"))).unwrap();
    let mut network = Network::default();
    let opened = lines.into_iter().map(|line| network.open(line, 1).unwrap());
    let doors: Vec<_> = opened.map(|stats| stats.listen).collect();
    let Answer::Sum(sum) = network.carry_out("a>* blackhole on").unwrap() else {
        panic!("the name stands for two links");
    };
    assert_eq!((sum.links, sum.up.blackhole), (2, true));
    for (door, text) in doors.iter().zip(["one", "two", "three"]) {
        client.send_to(text.as_bytes(), door).unwrap();
    }
    assert_eq!(receive(&target).0, b"three");
    assert!(network.carry_out("c>a stats").is_err());
    assert!(network.carry_out("a>b").is_err());
    let Answer::One(stats) = network.carry_out("a>b blackhole off").unwrap() else {
        panic!("the name is one link's");
    };
    assert!(!stats.up.blackhole);
    client.send_to(b"again", doors[0]).unwrap();
    assert_eq!(receive(&target).0, b"again");
}
