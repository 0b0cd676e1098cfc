//! One send and one receive stream for every transport, with waiting and non-waiting forms of everything.

use super::error::StreamError;
use super::qmux::{QmuxRecv, QmuxSend};
use super::quic::{QuicRecv, QuicSend};
use bytes::Bytes;
use meridian_wire::ResetCode;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// The sending half of a stream. Dropped unfinished, it is reset with CANCELLED: a stream cut short never looks complete.
///
/// The non-waiting and the polled forms share one place for a waker: a `try_` call after a `poll_` call on the same stream
/// may take away the latter's wake-up. Use one kind per task turn, and end with `poll_`.
#[derive(Debug)]
pub struct SendStream(SendKind);

#[derive(Debug)]
enum SendKind {
    Quic(QuicSend),
    Qmux(Box<QmuxSend>),
}

impl SendStream {
    pub(super) fn quic(stream: QuicSend) -> SendStream {
        SendStream(SendKind::Quic(stream))
    }

    pub(super) fn qmux(stream: QmuxSend) -> SendStream {
        SendStream(SendKind::Qmux(Box::new(stream)))
    }

    /// Writes as much of `chunk` as is accepted now, without copying, and takes that much off its front. What is left in
    /// `chunk` was not written; nothing is ever half-lost.
    ///
    /// # Errors
    /// Stopped by the peer, closed on this side before, or connection lost.
    pub fn try_write_chunk(&mut self, chunk: &mut Bytes) -> Result<(), StreamError> {
        match self.poll_write_chunk(&mut Context::from_waker(Waker::noop()), chunk) {
            Poll::Ready(result) => result,
            Poll::Pending => Ok(()),
        }
    }

    /// Like [`try_write_chunk`](Self::try_write_chunk), but pending, with the waker kept, when nothing at all is accepted.
    pub fn poll_write_chunk(
        &mut self,
        cx: &mut Context<'_>,
        chunk: &mut Bytes,
    ) -> Poll<Result<(), StreamError>> {
        match &mut self.0 {
            SendKind::Quic(stream) => stream.poll_write(cx, chunk),
            SendKind::Qmux(stream) => stream.poll_write(cx, chunk),
        }
    }

    /// Ready when the stream takes at least one byte.
    pub fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        match &mut self.0 {
            SendKind::Quic(stream) => stream.poll_writable(cx),
            SendKind::Qmux(stream) => stream.poll_writable(cx),
        }
    }

    /// Writes all of `chunk`, waiting as needed. Safe to drop: `chunk` then holds what was not written.
    pub async fn write_chunk(&mut self, chunk: &mut Bytes) -> Result<(), StreamError> {
        while !chunk.is_empty() {
            poll_fn(|cx| self.poll_write_chunk(cx, chunk)).await?;
        }
        Ok(())
    }

    /// Ends the stream after what was written.
    ///
    /// # Errors
    /// `Closed` if it was ended before.
    pub fn finish(&mut self) -> Result<(), StreamError> {
        match &mut self.0 {
            SendKind::Quic(stream) => stream.finish(),
            SendKind::Qmux(stream) => stream.finish(),
        }
    }

    /// Abandons the stream, with what has not left yet. After a `finish` that is not yet acknowledged it still has effect.
    ///
    /// # Errors
    /// `Closed` if there is nothing left to abandon.
    pub fn reset(&mut self, code: ResetCode) -> Result<(), StreamError> {
        match &mut self.0 {
            SendKind::Quic(stream) => stream.reset(code),
            SendKind::Qmux(stream) => stream.reset(code),
        }
    }

    /// Higher goes first; 0 at the start. Many different levels on one connection cost CPU.
    pub fn set_priority(&mut self, priority: i32) {
        match &mut self.0 {
            SendKind::Quic(stream) => stream.set_priority(priority),
            SendKind::Qmux(stream) => stream.set_priority(priority),
        }
    }

    /// Waits until the peer stops the stream (its code), or has acknowledged all of a finished one, or the connection is gone
    /// (`None`). Safe to drop.
    pub async fn stopped(&mut self) -> Option<ResetCode> {
        match self.watch_stopped() {
            Some(watch) => watch.await,
            None => poll_fn(|cx| self.poll_stopped(cx)).await,
        }
    }

    /// The future behind [`stopped`](Self::stopped), where the transport's is independent of the stream.
    pub(crate) fn watch_stopped(&self) -> Option<StopWatch> {
        match &self.0 {
            SendKind::Quic(stream) => Some(Box::pin(stream.stopped())),
            SendKind::Qmux(_) => None,
        }
    }

    /// The polled form of [`stopped`](Self::stopped), for those transports that `watch_stopped` has no future for.
    pub(crate) fn poll_stopped(&mut self, cx: &mut Context<'_>) -> Poll<Option<ResetCode>> {
        match &mut self.0 {
            SendKind::Quic(_) => Poll::Ready(None),
            SendKind::Qmux(stream) => stream.poll_stopped(cx),
        }
    }
}

/// Waits for the end of a sending stream.
pub(crate) type StopWatch = Pin<Box<dyn Future<Output = Option<ResetCode>> + Send + Sync>>;

/// What [`RecvStream::try_read_chunk`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TryRead {
    /// The stream's next bytes. Never empty.
    Chunk(Bytes),
    /// The stream ended in order.
    Fin,
    /// Nothing yet.
    Pending,
}

/// The receiving half of a stream. Dropped early, it tells the peer to stop.
#[derive(Debug)]
pub struct RecvStream(RecvKind);

#[derive(Debug)]
enum RecvKind {
    Quic(QuicRecv),
    Qmux(Box<QmuxRecv>),
}

impl RecvStream {
    pub(super) fn quic(stream: QuicRecv) -> RecvStream {
        RecvStream(RecvKind::Quic(stream))
    }

    pub(super) fn qmux(stream: QmuxRecv) -> RecvStream {
        RecvStream(RecvKind::Qmux(Box::new(stream)))
    }

    /// The stream's next bytes, at most `max`, in order and uncopied; `None` at its end. Safe to drop.
    ///
    /// # Errors
    /// `Reset` with the peer's code, `Closed` after `stop`, or connection lost.
    pub async fn read_chunk(&mut self, max: usize) -> Result<Option<Bytes>, StreamError> {
        poll_fn(|cx| self.poll_read_chunk(cx, max)).await
    }

    /// What is there now, without waiting.
    pub fn try_read_chunk(&mut self, max: usize) -> Result<TryRead, StreamError> {
        match self.poll_read_chunk(&mut Context::from_waker(Waker::noop()), max) {
            Poll::Ready(Ok(Some(chunk))) => Ok(TryRead::Chunk(chunk)),
            Poll::Ready(Ok(None)) => Ok(TryRead::Fin),
            Poll::Ready(Err(error)) => Err(error),
            Poll::Pending => Ok(TryRead::Pending),
        }
    }

    /// The polled form of [`read_chunk`](Self::read_chunk).
    pub fn poll_read_chunk(
        &mut self,
        cx: &mut Context<'_>,
        max: usize,
    ) -> Poll<Result<Option<Bytes>, StreamError>> {
        match &mut self.0 {
            RecvKind::Quic(stream) => stream.poll_read(cx, max),
            RecvKind::Qmux(stream) => stream.poll_read(cx, max),
        }
    }

    /// Tells the peer that the rest is not wanted, and drops it.
    pub fn stop(&mut self, code: ResetCode) {
        match &mut self.0 {
            RecvKind::Quic(stream) => stream.stop(code),
            RecvKind::Qmux(stream) => stream.stop(code),
        }
    }

    /// Whether the WebTransport header is still to come, so that the stream may turn out to be HTTP/3's own.
    pub(crate) fn expects_header(&self) -> bool {
        matches!(&self.0, RecvKind::Quic(stream) if stream.expects_header())
    }
}
