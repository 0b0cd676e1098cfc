//! Last miles inside this process: a UDP socket whose packets travel an emulated path each way before they reach the
//! kernel's, or come out of it. Nothing is bound or forwarded twice, so a thousand of them cost no system calls of their own.

mod roads;
mod ways;

pub use roads::Roads;
pub(super) use ways::Home;
use ways::{Packet, Ways};

use bytes::Bytes;
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;
use tokio::time::Sleep;

/// A socket at the end of a last mile. Must be made and used inside a tokio runtime, whose timers are a millisecond coarse:
/// packets are late by up to that.
pub struct Mile {
    socket: Arc<dyn AsyncUdpSocket>,
    road: Mutex<Road>,
}

struct Road {
    ways: Ways,
    timer: Pin<Box<Sleep>>,
    /// Until when the timer runs.
    armed: Option<Instant>,
    /// Whoever receives, and so looks after the timer.
    receiver: Option<Waker>,
}

impl fmt::Debug for Mile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mile").finish_non_exhaustive()
    }
}

impl Mile {
    /// Around a socket.
    pub(super) fn new(socket: Arc<dyn AsyncUdpSocket>, home: &Home) -> Mile {
        let road = Road {
            ways: Ways::new(home),
            timer: Box::pin(tokio::time::sleep_until(Instant::now().into())),
            armed: None,
            receiver: None,
        };
        Mile {
            socket,
            road: Mutex::new(road),
        }
    }

    fn road(&self) -> MutexGuard<'_, Road> {
        self.road.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What has travelled up to here goes on to the kernel.
    fn pass_on(&self, road: &mut Road, now: Instant) {
        while let Some((destination, packet)) = road.ways.poll_up(now) {
            let transmit = Transmit {
                destination,
                ecn: packet.ecn,
                contents: &packet.payload,
                segment_size: None,
                src_ip: None,
            };
            if self.socket.try_send(&transmit).is_err() {
                road.ways.note_overflow();
            }
        }
    }

    /// Takes all that the kernel has; its buffers are used for that, too.
    fn take_in(
        &self,
        road: &mut Road,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> io::Result<()> {
        for _ in 0..BATCHES {
            let Poll::Ready(received) = self.socket.poll_recv(cx, bufs, meta) else {
                return Ok(());
            };
            let now = Instant::now();
            for (meta, buf) in meta.iter().zip(bufs.iter()).take(received?) {
                for payload in buf[..meta.len].chunks(meta.stride.max(1)) {
                    let packet = Packet {
                        payload: Bytes::copy_from_slice(payload),
                        ecn: meta.ecn,
                        to: meta.dst_ip,
                    };
                    road.ways.handle_down(meta.addr, packet, now);
                }
            }
        }
        // There may be more: others are to have their turn first.
        cx.waker().wake_by_ref();
        Ok(())
    }
}

impl Road {
    /// Gives out what has travelled down to here; how many.
    fn hand_out(
        &mut self,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
        now: Instant,
    ) -> usize {
        let mut count = 0;
        while count < bufs.len().min(meta.len()) {
            let Some((addr, packet)) = self.ways.poll_down(now) else {
                break;
            };
            let len = packet.payload.len().min(bufs[count].len());
            bufs[count][..len].copy_from_slice(&packet.payload[..len]);
            meta[count] = RecvMeta {
                addr,
                len,
                stride: len,
                ecn: packet.ecn,
                dst_ip: packet.to,
            };
            count += 1;
        }
        count
    }

    /// Sets the timer for what comes next; ready if that is now.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(next) = self.ways.poll_timeout() else {
            self.armed = None;
            return Poll::Pending;
        };
        if self.armed != Some(next) {
            self.timer.as_mut().reset(next.into());
            self.armed = Some(next);
        }
        let rung = self.timer.as_mut().poll(cx);
        if rung.is_ready() {
            self.armed = None;
        }
        rung
    }
}

impl AsyncUdpSocket for Mile {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.socket.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let mut road = self.road();
        let now = Instant::now();
        let segment = transmit.segment_size.unwrap_or(transmit.contents.len());
        for payload in transmit.contents.chunks(segment.max(1)) {
            let packet = Packet {
                payload: Bytes::copy_from_slice(payload),
                ecn: transmit.ecn,
                to: None,
            };
            road.ways.handle_up(transmit.destination, packet, now);
        }
        self.pass_on(&mut road, now);
        let next = road.ways.poll_timeout();
        let is_sooner = next.is_some_and(|next| road.armed.is_none_or(|armed| next < armed));
        if is_sooner && let Some(receiver) = &road.receiver {
            receiver.wake_by_ref();
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut road = self.road();
        loop {
            self.take_in(&mut road, cx, bufs, meta)?;
            let now = Instant::now();
            self.pass_on(&mut road, now);
            let count = road.hand_out(bufs, meta, now);
            if count > 0 {
                return Poll::Ready(Ok(count));
            }
            if road.poll_timer(cx).is_pending() {
                if !road
                    .receiver
                    .as_ref()
                    .is_some_and(|w| w.will_wake(cx.waker()))
                {
                    road.receiver = Some(cx.waker().clone());
                }
                return Poll::Pending;
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.socket.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.socket.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.socket.may_fragment()
    }
}

/// Batches taken of the kernel at a time: more than a connection has on its way, so that only a flood is interrupted.
const BATCHES: usize = 16;
