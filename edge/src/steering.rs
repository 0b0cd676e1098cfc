//! Packets to the worker they are for.
//!
//! The workers' UDP sockets share one address, and the kernel spreads packets by the addresses they come from. When a
//! client's address changes (NAT rebinding), its packets may come in at another worker's socket. That one knows by the
//! connection ID whose they are and hands them over; what it sends back goes out where the connection lives, as all
//! sockets have the same address.

use crate::connection_id::Seal;
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Bytes that may wait for one worker: 160 ms of 50 Mbit/s. Beyond them packets are dropped, as by a socket that is full.
const INBOX_BYTES: usize = 1024 * 1024;

/// What the sockets of all workers share.
#[derive(Debug)]
pub(crate) struct Switch {
    seal: Seal,
    inboxes: Vec<Mutex<Inbox>>,
    handed_over: AtomicU64,
    dropped: AtomicU64,
}

/// Packets for one worker that came in at others.
#[derive(Debug, Default)]
struct Inbox {
    parcels: VecDeque<Parcel>,
    bytes: usize,
    /// Of the worker's endpoint.
    waker: Option<Waker>,
}

/// Packets of one origin, as the kernel gave them: all but the last are `stride` bytes long.
#[derive(Debug)]
struct Parcel {
    meta: RecvMeta,
    packets: Box<[u8]>,
}

impl Switch {
    /// For this many workers.
    pub(crate) fn new(workers: usize) -> Arc<Switch> {
        Arc::new(Switch {
            seal: Seal::default(),
            inboxes: (0..workers).map(|_| Mutex::default()).collect(),
            handed_over: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        })
    }

    /// What knows the workers' connection IDs.
    pub(crate) fn seal(&self) -> &Seal {
        &self.seal
    }

    /// A worker's socket, which hands over what is for others, and takes in what others hand over.
    pub(crate) fn steer(
        self: &Arc<Self>,
        worker: usize,
        socket: Arc<dyn AsyncUdpSocket>,
    ) -> Arc<dyn AsyncUdpSocket> {
        let switch = self.clone();
        Arc::new(Steered {
            switch,
            worker,
            socket,
        })
    }

    /// Packets handed over since the start.
    pub(crate) fn handed_over(&self) -> u64 {
        self.handed_over.load(Ordering::Relaxed)
    }

    /// Packets dropped since the start, as too many waited for their worker.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// The other worker that a packet is for.
    fn addressee(&self, packet: &[u8], worker: usize) -> Option<usize> {
        let to = usize::from(self.seal.addressee(packet)?);
        (to != worker && to < self.inboxes.len()).then_some(to)
    }

    fn hand_over(&self, to: usize, meta: RecvMeta, packets: &[u8]) {
        let count = packets.len().div_ceil(meta.stride.max(1)) as u64;
        let waker = {
            let mut inbox = self.inbox(to);
            if inbox.bytes + packets.len() > INBOX_BYTES {
                self.dropped.fetch_add(count, Ordering::Relaxed);
                return;
            }
            inbox.bytes += packets.len();
            let packets = packets.into();
            inbox.parcels.push_back(Parcel { meta, packets });
            inbox.waker.take()
        };
        self.handed_over.fetch_add(count, Ordering::Relaxed);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn inbox(&self, worker: usize) -> MutexGuard<'_, Inbox> {
        let inbox = &self.inboxes[worker];
        inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inbox {
    /// Fills buffers with what waits, and registers for more. How many were filled.
    fn take(
        &mut self,
        cx: &Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> usize {
        let mut filled = 0;
        for (buf, meta) in bufs.iter_mut().zip(metas) {
            let Some(parcel) = self.parcels.pop_front() else {
                break;
            };
            self.bytes -= parcel.packets.len();
            // All sockets are read into buffers of one size; were it not so, the rest would be lost on the way.
            let len = parcel.packets.len().min(buf.len());
            buf[..len].copy_from_slice(&parcel.packets[..len]);
            *meta = RecvMeta { len, ..parcel.meta };
            filled += 1;
        }
        if !self.waker.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
        }
        filled
    }
}

/// One worker's socket.
struct Steered {
    switch: Arc<Switch>,
    worker: usize,
    socket: Arc<dyn AsyncUdpSocket>,
}

impl Steered {
    /// Hands over what is for other workers, and moves together what stays.
    fn sort(&self, buf: &mut [u8], meta: &mut RecvMeta) {
        let stride = meta.stride.max(1);
        let addressee = |packets: &[u8], at: usize| {
            let end = packets.len().min(at + stride);
            self.switch.addressee(&packets[at..end], self.worker)
        };
        let (mut kept, mut at) = (0, 0);
        while at < meta.len {
            let to = addressee(&buf[..meta.len], at);
            let mut end = at + stride;
            while end < meta.len && addressee(&buf[..meta.len], end) == to {
                end += stride;
            }
            let run = at..end.min(meta.len);
            at = run.end;
            match to {
                Some(to) => {
                    let len = run.len();
                    self.switch
                        .hand_over(to, RecvMeta { len, ..*meta }, &buf[run]);
                }
                None if run.start == kept => kept = run.end,
                None => {
                    let len = run.len();
                    buf.copy_within(run, kept);
                    kept += len;
                }
            }
        }
        // Nothing may be left: quinn skips empty buffers.
        meta.len = kept;
    }
}

impl AsyncUdpSocket for Steered {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.socket.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.socket.try_send(transmit)
    }

    /// Half of the buffers at most are for what was handed over, so that neither way in starves the other.
    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let half = bufs.len().div_ceil(2);
        let handed = self
            .switch
            .inbox(self.worker)
            .take(cx, &mut bufs[..half], &mut metas[..half]);
        if handed == bufs.len() {
            return Poll::Ready(Ok(handed));
        }
        let (bufs, metas) = (&mut bufs[handed..], &mut metas[handed..]);
        match self.socket.poll_recv(cx, bufs, metas) {
            Poll::Ready(Ok(read)) => {
                for (buf, meta) in bufs.iter_mut().zip(metas).take(read) {
                    self.sort(buf, meta);
                }
                Poll::Ready(Ok(handed + read))
            }
            // What was handed over is not lost to an error of the socket's, which tells it again if it lasts.
            _ if handed > 0 => Poll::Ready(Ok(handed)),
            other => other,
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

impl fmt::Debug for Steered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Steered")
            .field("worker", &self.worker)
            .field("socket", &self.socket)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quinn::udp::EcnCodepoint;
    use std::net::Ipv4Addr;

    /// A socket to which these have come, each with its stride.
    #[derive(Debug)]
    struct Fake(Mutex<VecDeque<(Vec<u8>, usize)>>);

    impl AsyncUdpSocket for Fake {
        fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
            unreachable!("nothing is sent")
        }

        fn try_send(&self, _: &Transmit<'_>) -> io::Result<()> {
            unreachable!("nothing is sent")
        }

        fn poll_recv(
            &self,
            _: &mut Context<'_>,
            bufs: &mut [IoSliceMut<'_>],
            metas: &mut [RecvMeta],
        ) -> Poll<io::Result<usize>> {
            let Some((bytes, stride)) = self.0.lock().expect("no panic").pop_front() else {
                return Poll::Pending;
            };
            bufs[0][..bytes.len()].copy_from_slice(&bytes);
            metas[0] = RecvMeta {
                addr: origin(),
                len: bytes.len(),
                stride,
                ecn: Some(EcnCodepoint::Ect0),
                dst_ip: Some(Ipv4Addr::LOCALHOST.into()),
            };
            Poll::Ready(Ok(1))
        }

        fn local_addr(&self) -> io::Result<SocketAddr> {
            unreachable!("nobody asks")
        }
    }

    fn origin() -> SocketAddr {
        (Ipv4Addr::LOCALHOST, 7).into()
    }

    fn socket(switch: &Arc<Switch>, worker: usize) -> (Arc<Fake>, Arc<dyn AsyncUdpSocket>) {
        let fake = Arc::new(Fake(Mutex::default()));
        let steered = switch.steer(worker, fake.clone());
        (fake, steered)
    }

    fn comes(to: &Fake, packets: &[&[u8]]) {
        let stride = packets[0].len();
        to.0.lock()
            .expect("no panic")
            .push_back((packets.concat(), stride));
    }

    /// What is read now: bytes and stride of each buffer that holds something.
    fn read(socket: &dyn AsyncUdpSocket) -> Vec<(Vec<u8>, RecvMeta)> {
        let mut storage = [[0; 4096]; 4];
        let mut bufs = storage.each_mut().map(|buf| IoSliceMut::new(buf));
        let mut metas = [RecvMeta::default(); 4];
        let mut cx = Context::from_waker(Waker::noop());
        match socket.poll_recv(&mut cx, &mut bufs, &mut metas) {
            Poll::Ready(Ok(count)) => (0..count)
                .map(|n| (bufs[n][..metas[n].len].to_vec(), metas[n]))
                .filter(|(bytes, _)| !bytes.is_empty())
                .collect(),
            Poll::Ready(Err(error)) => panic!("{error}"),
            Poll::Pending => Vec::new(),
        }
    }

    fn packet(switch: &Switch, worker: u8, len: usize, fill: u8) -> Vec<u8> {
        let id = switch.seal.generator(worker).generate_cid();
        let mut packet = [&[0x40], &id[..]].concat();
        packet.resize(len, fill);
        packet
    }

    #[test]
    fn a_train_of_packets_is_taken_apart_and_each_reaches_its_worker_as_it_came() {
        let switch = Switch::new(3);
        let (wire, first) = socket(&switch, 0);
        let [(_, second), (_, third)] = [socket(&switch, 1), socket(&switch, 2)];
        let own = [1, 2, 3].map(|fill| packet(&switch, 0, 100, fill));
        let theirs = [4, 5].map(|fill| packet(&switch, 1, 100, fill));
        let last = packet(&switch, 2, 60, 6);
        comes(
            &wire,
            &[&own[0], &theirs[0], &theirs[1], &own[1], &own[2], &last],
        );

        let [(bytes, meta)] = &read(&*first)[..] else {
            panic!("one buffer stays");
        };
        assert_eq!((bytes, meta.stride), (&own.concat(), 100));
        let [(bytes, meta)] = &read(&*second)[..] else {
            panic!("one parcel comes");
        };
        assert_eq!((bytes, meta.stride), (&theirs.concat(), 100));
        assert_eq!((meta.addr, meta.ecn), (origin(), Some(EcnCodepoint::Ect0)));
        assert_eq!(meta.dst_ip, Some(Ipv4Addr::LOCALHOST.into()));
        let [(bytes, _)] = &read(&*third)[..] else {
            panic!("one parcel comes");
        };
        assert_eq!(bytes, &last);
        assert_eq!((switch.handed_over(), switch.dropped()), (3, 0));
    }

    #[test]
    fn packets_of_no_worker_stay_where_they_came_in() {
        let switch = Switch::new(2);
        let (wire, first) = socket(&switch, 0);
        let unknown = packet(&Switch::new(2), 1, 100, 1);
        let beyond = packet(&switch, 9, 100, 2);
        comes(&wire, &[&unknown, &beyond]);
        assert_eq!(read(&*first)[0].0, [unknown, beyond].concat());
        assert_eq!(switch.handed_over(), 0);
    }

    #[test]
    fn what_a_busy_worker_has_no_room_for_is_dropped_and_counted() {
        let switch = Switch::new(2);
        let (wire, first) = socket(&switch, 0);
        let (_, second) = socket(&switch, 1);
        let train = packet(&switch, 1, 4096, 0);
        let room = INBOX_BYTES / train.len();
        for _ in 0..room + 5 {
            comes(&wire, &[&train]);
            assert!(read(&*first).is_empty());
        }
        assert_eq!((switch.handed_over(), switch.dropped()), (room as u64, 5));
        let mut taken = 0;
        while let Some(more) = Some(read(&*second).len()).filter(|more| *more > 0) {
            taken += more;
        }
        assert_eq!(taken, room);
        comes(&wire, &[&train]);
        assert!(read(&*first).is_empty());
        assert_eq!(read(&*second).len(), 1, "there is room again");
    }

    #[test]
    fn a_workers_own_packets_are_read_however_many_are_handed_over() {
        let switch = Switch::new(2);
        let (wire, first) = socket(&switch, 0);
        let (elsewhere, second) = socket(&switch, 1);
        let own = packet(&switch, 0, 100, 1);
        let foreign = packet(&switch, 0, 100, 2);
        for _ in 0..8 {
            comes(&elsewhere, &[&foreign]);
            assert!(read(&*second).is_empty());
        }
        comes(&wire, &[&own]);
        let bytes: Vec<_> = read(&*first).into_iter().map(|(bytes, _)| bytes).collect();
        assert_eq!(bytes, [foreign.clone(), foreign, own]);
    }
}
