//! A socket that several endpoints share: what the kernel has is taken in and goes down their last miles.

use super::Shared;
use super::ways::Packet;
use bytes::Bytes;
use quinn::AsyncUdpSocket;
use quinn::udp::{BATCH_SIZE, RecvMeta};
use std::future::poll_fn;
use std::io::IoSliceMut;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Instant;

/// Takes in all that comes, until the quay or the socket is gone.
pub(super) async fn take_in(shared: Weak<Shared>, dock: u32, socket: Arc<dyn AsyncUdpSocket>) {
    let mut room = vec![0; BATCH_SIZE * LARGEST * socket.max_receive_segments()];
    poll_fn(|cx| match shared.upgrade() {
        Some(shared) => poll_take(&shared, dock, &*socket, &mut room, cx),
        None => Poll::Ready(()),
    })
    .await;
}

fn poll_take(
    shared: &Shared,
    dock: u32,
    socket: &dyn AsyncUdpSocket,
    room: &mut [u8],
    cx: &mut Context<'_>,
) -> Poll<()> {
    let mut metas = [RecvMeta::default(); BATCH_SIZE];
    let mut slots = room
        .chunks_mut(room.len() / BATCH_SIZE)
        .map(IoSliceMut::new);
    let mut bufs: [IoSliceMut<'_>; BATCH_SIZE] =
        std::array::from_fn(|_| slots.next().expect("as many as there are"));
    for _ in 0..BATCHES {
        let received = match socket.poll_recv(cx, &mut bufs, &mut metas) {
            Poll::Pending => return Poll::Pending,
            // Of some other packet, which its sender will miss by itself.
            Poll::Ready(Err(_)) => continue,
            Poll::Ready(Ok(received)) => received,
        };
        let (now, mut board) = (Instant::now(), shared.board());
        for (meta, buf) in metas.iter().zip(bufs.iter()).take(received) {
            for payload in buf[..meta.len].chunks(meta.stride.max(1)) {
                let packet = Packet {
                    payload: Bytes::copy_from_slice(payload),
                    ecn: meta.ecn,
                    to: meta.dst_ip,
                };
                board.handle_down(dock, meta.addr, packet, now);
            }
        }
    }
    // There may be more: others are to have their turn first.
    cx.waker().wake_by_ref();
    Poll::Pending
}

/// Bytes of a datagram, at most: what fits an Ethernet frame.
const LARGEST: usize = 1_500;
/// Batches taken of the kernel at a time: more than connections have on their way, so that only a flood is interrupted.
const BATCHES: usize = 16;
