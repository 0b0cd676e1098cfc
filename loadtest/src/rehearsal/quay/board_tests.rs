//! Who gets which packet, on a clock that only these tests turn.

use super::super::berth::Names;
use super::*;
use crate::scenario::Places;
use quinn::udp::RecvMeta;
use quinn::{ConnectionIdGenerator as _, UdpPoller};
use std::io::{self, IoSliceMut};
use std::pin::Pin;
use std::sync::Mutex;
use std::task::Poll;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

/// A socket that keeps what is sent.
#[derive(Debug, Default)]
struct Kept(Mutex<Vec<Vec<u8>>>);

impl AsyncUdpSocket for Kept {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        unreachable!("it is never full")
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let mut kept = self.0.lock().expect("one thread");
        kept.push(transmit.contents.to_vec());
        Ok(())
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
        Err(io::ErrorKind::AddrNotAvailable.into())
    }
}

struct Harbour {
    board: Board,
    socket: Arc<Kept>,
    home: Home,
    start: Instant,
}

impl Harbour {
    fn new(path: &str) -> Harbour {
        let roads = Roads::new(Places::default(), [(edge(), "geneva".to_owned())]);
        let params: wan::LinkParams = path.parse().expect("good");
        Harbour {
            board: Board::default(),
            socket: Arc::default(),
            home: Home {
                near: String::new(),
                up: params.clone(),
                down: params,
                seed: 7,
                roads: Arc::new(roads),
            },
            start: Instant::now(),
        }
    }

    fn moor(&mut self) -> u32 {
        let local = SocketAddr::from(([0, 0, 0, 0], 0));
        let room = self.board.room_at(local);
        let roads = &self.home.roads;
        let dock = room.unwrap_or_else(|| self.board.build(local, self.socket.clone(), roads));
        self.board.moor(dock, &self.home).0
    }

    fn arrived(&mut self, berth: u32) -> usize {
        let cx = &mut Context::from_waker(Waker::noop());
        std::iter::from_fn(|| self.board.poll_arrived(berth, cx)).count()
    }

    fn dock_of(&self, berth: u32) -> u32 {
        self.board.berths[&berth].dock
    }
}

fn edge() -> SocketAddr {
    ([127, 0, 0, 1], 4433).into()
}

fn packet(payload: &[u8]) -> Packet {
    Packet {
        payload: payload.to_vec().into(),
        ecn: None,
        to: None,
    }
}

fn to(berth: u32) -> Packet {
    packet(&[&[0x41][..], &Names(berth).generate_cid(), &[0; 30]].concat())
}

#[test]
fn a_packet_goes_to_the_berth_it_names_after_its_own_last_mile() {
    let mut harbour = Harbour::new("delay=5ms");
    let (one, other) = (harbour.moor(), harbour.moor());
    let (dock, start) = (harbour.dock_of(one), harbour.start);
    assert_eq!(harbour.dock_of(other), dock);
    harbour.board.handle_down(dock, edge(), to(other), start);
    assert_eq!(harbour.board.poll_timeout(), Some(start + 5 * MS));
    harbour.board.handle_timeout(start + 4 * MS);
    assert_eq!(harbour.arrived(other), 0);
    harbour.board.handle_timeout(start + 5 * MS);
    assert_eq!((harbour.arrived(one), harbour.arrived(other)), (0, 1));
    assert_eq!(harbour.board.poll_timeout(), None);
}

#[test]
fn what_is_sent_reaches_the_kernel_when_it_has_travelled() {
    let mut harbour = Harbour::new("delay=5ms");
    let (berth, start) = (harbour.moor(), harbour.start);
    harbour.board.handle_up(berth, edge(), packet(b"up"), start);
    assert!(harbour.socket.0.lock().expect("one thread").is_empty());
    harbour.board.handle_timeout(start + 5 * MS);
    assert_eq!(*harbour.socket.0.lock().expect("one thread"), [b"up"]);
}

#[test]
fn a_packet_that_names_nobody_is_for_all_at_its_dock() {
    let mut harbour = Harbour::new("");
    let berths: Vec<_> = (0..=BERTHS).map(|_| harbour.moor()).collect();
    let dock = harbour.dock_of(berths[0]);
    assert_ne!(harbour.dock_of(berths[BERTHS]), dock, "it is full");
    let reset = packet(&[0x5a; 40]);
    harbour
        .board
        .handle_down(dock, edge(), reset, harbour.start);
    let got: Vec<_> = berths.iter().map(|berth| harbour.arrived(*berth)).collect();
    assert_eq!(got[..BERTHS], [1; BERTHS]);
    assert_eq!(got[BERTHS], 0);
}

#[test]
fn a_packet_for_somebody_who_has_left_is_nobodys() {
    let mut harbour = Harbour::new("");
    let (gone, stays) = (harbour.moor(), harbour.moor());
    let (dock, start) = (harbour.dock_of(gone), harbour.start);
    harbour.board.cast_off(gone);
    harbour.board.handle_down(dock, edge(), to(gone), start);
    assert_eq!(harbour.arrived(stays), 0);
    // A number that was never given may be a stateless reset's.
    harbour.board.handle_down(dock, edge(), to(u32::MAX), start);
    assert_eq!(harbour.arrived(stays), 1);
}

#[test]
fn whoever_has_left_gets_nothing_and_a_dock_goes_with_its_last() {
    let mut harbour = Harbour::new("delay=5ms");
    let (gone, stays) = (harbour.moor(), harbour.moor());
    let (dock, start) = (harbour.dock_of(gone), harbour.start);
    harbour.board.handle_down(dock, edge(), to(gone), start);
    harbour.board.cast_off(gone);
    harbour.board.handle_timeout(start + 5 * MS);
    assert_eq!(harbour.arrived(stays), 0);
    harbour.board.cast_off(stays);
    assert!(harbour.board.docks.is_empty() && harbour.board.berths.is_empty());
    harbour.board.handle_down(dock, edge(), to(stays), start);
}
