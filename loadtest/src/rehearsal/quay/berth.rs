//! One endpoint's place at a dock.

use super::Shared;
use super::ways::Packet;
use bytes::Bytes;
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, ConnectionId, ConnectionIdGenerator, UdpPoller};
use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// What an endpoint takes for a socket of its own. It is gone with it.
pub(super) struct Berth {
    pub(super) shared: Arc<Shared>,
    pub(super) number: u32,
    /// Of the dock.
    pub(super) socket: Arc<dyn AsyncUdpSocket>,
}

impl fmt::Debug for Berth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Berth").finish_non_exhaustive()
    }
}

impl AsyncUdpSocket for Berth {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.socket.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let (now, mut board) = (Instant::now(), self.shared.board());
        let segment = transmit.segment_size.unwrap_or(transmit.contents.len());
        for payload in transmit.contents.chunks(segment.max(1)) {
            let packet = Packet {
                payload: Bytes::copy_from_slice(payload),
                ecn: transmit.ecn,
                to: None,
            };
            board.handle_up(self.number, transmit.destination, packet, now);
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut board = self.shared.board();
        let mut count = 0;
        for (buf, meta) in bufs.iter_mut().zip(meta.iter_mut()) {
            let Some((addr, packet)) = board.poll_arrived(self.number, cx) else {
                break;
            };
            let len = packet.payload.len().min(buf.len());
            buf[..len].copy_from_slice(&packet.payload[..len]);
            *meta = RecvMeta {
                addr,
                len,
                stride: len,
                ecn: packet.ecn,
                dst_ip: packet.to,
            };
            count += 1;
        }
        match count {
            0 => Poll::Pending,
            count => Poll::Ready(Ok(count)),
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn may_fragment(&self) -> bool {
        self.socket.may_fragment()
    }
}

impl Drop for Berth {
    fn drop(&mut self) {
        self.shared.board().cast_off(self.number);
    }
}

/// Connection IDs that begin with a berth's number.
pub(super) struct Names(pub(super) u32);

impl ConnectionIdGenerator for Names {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id = [0; ID];
        let (number, rest) = id.split_at_mut(NUMBER);
        number.copy_from_slice(&self.0.to_be_bytes());
        rest.copy_from_slice(&rand::random::<u32>().to_be_bytes());
        ConnectionId::new(&id)
    }

    fn cid_len(&self) -> usize {
        ID
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

/// The berth that a packet's destination connection ID begins with (RFC 9000 §17), if it is long enough for any.
pub(super) fn named(packet: &[u8]) -> Option<u32> {
    let is_long = packet.first()? & 0x80 != 0;
    let id = match is_long {
        // The version, and the ID's length.
        true if usize::from(*packet.get(5)?) != ID => return None,
        true => packet.get(6..)?,
        false => packet.get(1..)?,
    };
    let number = id.first_chunk::<NUMBER>()?;
    Some(u32::from_be_bytes(*number))
}

const NUMBER: usize = 4;
/// Bytes of a connection ID, as many as quinn's own have.
const ID: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_names_the_berth_that_its_id_was_made_for() {
        let id = Names(0x0102_0304).generate_cid();
        let short = [&[0x41][..], &id, &[9; 20]].concat();
        let long = [&[0xc1, 0, 0, 0, 1, 8][..], &id, &[0, 9, 9]].concat();
        assert_eq!(named(&short), Some(0x0102_0304));
        assert_eq!(named(&long), Some(0x0102_0304));
        assert_ne!(Names(7).generate_cid(), Names(7).generate_cid());
    }

    #[test]
    fn garbage_names_nobody_and_does_not_panic() {
        for packet in [
            &[][..],
            &[0x41],
            &[0x41, 1, 2, 3],
            &[0xc1; 6],
            &[0xc1, 0, 0, 0, 1, 8],
        ] {
            assert_eq!(named(packet), None, "{packet:?}");
        }
    }
}
