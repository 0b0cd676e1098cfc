//! Who is at which dock, and what is on its way to and from them.

use super::roads::Roads;
use super::ways::{Home, Packet, Ways};
use crate::wan;
use quinn::AsyncUdpSocket;
use quinn::udp::Transmit;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Instant;
use tokio::task::AbortHandle;

/// All of one thread's.
#[derive(Debug, Default)]
pub(super) struct Board {
    docks: HashMap<u32, Dock>,
    berths: HashMap<u32, Place>,
    /// Docks and berths that there were; no number is used twice.
    count: u32,
    timetable: BinaryHeap<Reverse<(Instant, u32)>>,
    /// Whoever looks after the timetable, and until when they sleep.
    attendant: Option<(Waker, Option<Instant>)>,
    /// Whether there is such a task.
    pub(super) is_attended: bool,
}

#[derive(Debug)]
struct Dock {
    local: SocketAddr,
    socket: Arc<dyn AsyncUdpSocket>,
    berths: Vec<u32>,
    roads: Arc<Roads>,
    /// It takes in what the kernel has.
    task: Option<AbortHandle>,
}

#[derive(Debug)]
struct Place {
    dock: u32,
    ways: Ways,
    /// What has come, for the endpoint to take.
    arrived: VecDeque<(SocketAddr, Packet)>,
    endpoint: Option<Waker>,
    /// When it is on the timetable.
    due: Option<Instant>,
}

impl Board {
    /// A dock with room, bound like this.
    pub(super) fn room_at(&self, local: SocketAddr) -> Option<u32> {
        let mut docks = self.docks.iter();
        let has_room = |dock: &Dock| dock.local == local && dock.berths.len() < BERTHS;
        docks.find_map(|(number, dock)| has_room(dock).then_some(*number))
    }

    /// A new dock; its number.
    pub(super) fn build(
        &mut self,
        local: SocketAddr,
        socket: Arc<dyn AsyncUdpSocket>,
        roads: &Arc<Roads>,
    ) -> u32 {
        self.count += 1;
        let dock = Dock {
            local,
            socket,
            berths: Vec::new(),
            roads: roads.clone(),
            task: None,
        };
        self.docks.insert(self.count, dock);
        self.count
    }

    /// The task that is to end with a dock.
    pub(super) fn keep(&mut self, dock: u32, task: AbortHandle) {
        if let Some(dock) = self.docks.get_mut(&dock) {
            dock.task = Some(task);
        }
    }

    /// A new berth at a dock; its number and the dock's socket.
    pub(super) fn moor(&mut self, dock: u32, home: &Home) -> (u32, Arc<dyn AsyncUdpSocket>) {
        self.count += 1;
        let number = self.count;
        let place = Place {
            dock,
            ways: Ways::new(home),
            arrived: VecDeque::new(),
            endpoint: None,
            due: None,
        };
        self.berths.insert(number, place);
        let dock = self.docks.get_mut(&dock).expect("it is there");
        dock.berths.push(number);
        (number, dock.socket.clone())
    }

    /// A berth is empty; a dock goes with its last.
    pub(super) fn cast_off(&mut self, berth: u32) {
        let Some(place) = self.berths.remove(&berth) else {
            return;
        };
        let Some(dock) = self.docks.get_mut(&place.dock) else {
            return;
        };
        dock.berths.retain(|other| *other != berth);
        if dock.berths.is_empty() {
            self.docks.remove(&place.dock);
        }
    }

    /// A packet sets out from a berth.
    pub(super) fn handle_up(&mut self, berth: u32, to: SocketAddr, packet: Packet, now: Instant) {
        if let Some(place) = self.berths.get_mut(&berth) {
            place.ways.handle_up(to, packet, now);
            self.move_on(berth, now);
        }
    }

    /// A packet has come out of the kernel at a dock.
    pub(super) fn handle_down(
        &mut self,
        dock: u32,
        from: SocketAddr,
        packet: Packet,
        now: Instant,
    ) {
        let Some(at) = self.docks.get(&dock) else {
            return;
        };
        let berths = match super::berth::named(&packet.payload) {
            Some(one) if at.berths.contains(&one) => vec![one],
            // Whoever that was has gone.
            Some(one) if (1..=self.count).contains(&one) => return,
            // A stateless reset (RFC 9000 §10.3) names nobody: whoever knows its token takes it.
            _ => at.berths.clone(),
        };
        for berth in berths {
            if let Some(place) = self.berths.get_mut(&berth) {
                place.ways.handle_down(from, packet.clone(), now);
                self.move_on(berth, now);
            }
        }
    }

    /// The next packet that has arrived at a berth; if there is none, the endpoint is woken for the next.
    pub(super) fn poll_arrived(
        &mut self,
        berth: u32,
        cx: &mut Context<'_>,
    ) -> Option<(SocketAddr, Packet)> {
        let place = self.berths.get_mut(&berth)?;
        let arrived = place.arrived.pop_front();
        if arrived.is_none()
            && !place
                .endpoint
                .as_ref()
                .is_some_and(|w| w.will_wake(cx.waker()))
        {
            place.endpoint = Some(cx.waker().clone());
        }
        arrived
    }

    /// Moves on what is due.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        while let Some(Reverse((due, berth))) = self.timetable.peek().copied()
            && due <= now
        {
            self.timetable.pop();
            if let Some(place) = self.berths.get_mut(&berth)
                && place.due == Some(due)
            {
                place.due = None;
                self.move_on(berth, now);
            }
        }
    }

    /// When something is due next.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.timetable.peek().map(|Reverse((due, _))| *due)
    }

    /// Whoever looks after the timetable sleeps until then, and is woken if something is due before.
    pub(super) fn wake_for(&mut self, until: Option<Instant>, cx: &mut Context<'_>) {
        match &mut self.attendant {
            Some((waker, sleeps_until)) if waker.will_wake(cx.waker()) => *sleeps_until = until,
            attendant => *attendant = Some((cx.waker().clone(), until)),
        }
    }

    /// Moves a berth's packets as far as they have come by now.
    fn move_on(&mut self, berth: u32, now: Instant) {
        let Some(place) = self.berths.get_mut(&berth) else {
            return;
        };
        if let Some(dock) = self.docks.get(&place.dock) {
            place.send(dock, now);
        }
        place.receive(now);
        let Some(next) = place.ways.poll_timeout() else {
            return;
        };
        if place.due.is_some_and(|due| due <= next) {
            return;
        }
        place.due = Some(next);
        self.timetable.push(Reverse((next, berth)));
        if let Some((waker, until)) = &mut self.attendant
            && until.is_none_or(|until| next < until)
        {
            *until = Some(next);
            waker.wake_by_ref();
        }
    }
}

impl Place {
    /// What has travelled up to here goes on to the kernel.
    fn send(&mut self, dock: &Dock, now: Instant) {
        while let Some((destination, packet)) = self.ways.poll_up(now) {
            let transmit = Transmit {
                destination,
                ecn: packet.ecn,
                contents: &packet.payload,
                segment_size: None,
                src_ip: None,
            };
            if dock.socket.try_send(&transmit).is_err() {
                dock.roads.note_overflow(1);
            }
        }
    }

    /// What has travelled down to here is the endpoint's.
    fn receive(&mut self, now: Instant) {
        let before = self.arrived.len();
        while let Some(packet) = self.ways.poll_down(now) {
            match self.arrived.len() < ARRIVED {
                true => self.arrived.push_back(packet),
                false => self.ways.note_overflow(),
            }
        }
        if self.arrived.len() > before
            && let Some(endpoint) = &self.endpoint
        {
            endpoint.wake_by_ref();
        }
    }
}

impl Drop for Dock {
    fn drop(&mut self) {
        // What the kernel had no room for has not been lost by any network.
        if let Ok(local) = self.socket.local_addr() {
            self.roads.note_overflow(wan::overflow([local]));
        }
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// Endpoints that share a socket: enough that a burst is taken in at few calls, and few enough that the kernel's buffer, where
/// it gives no more than its default, holds a keyframe of video for each.
const BERTHS: usize = 8;
/// Packets of one endpoint that wait for it: far more than its connections have on their way.
const ARRIVED: usize = 16_384;

#[cfg(test)]
#[path = "board_tests.rs"]
mod tests;
