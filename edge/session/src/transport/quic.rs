//! Streams over quinn: bare on raw QUIC, behind a short header on WebTransport (draft-ietf-webtrans-http3 §4).
//!
//! quinn offers futures only. Each is polled once here and dropped: reads and writes park their waker in the connection by
//! stream, so that dropping the future loses neither bytes nor the wake-up.

use super::error::{StreamError, from_http3, to_quic};
use super::header::{Head, HeadReader};
use bytes::Bytes;
use meridian_wire::ResetCode;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, ready};

/// The sending half.
#[derive(Debug)]
pub(super) struct QuicSend {
    stream: quinn::SendStream,
    /// What is left of the WebTransport header; empty on raw QUIC.
    head: &'static [u8],
    http3: bool,
    /// Finished or reset; else dropping resets, so that no half-written stream ever looks complete.
    ended: bool,
}

impl QuicSend {
    pub(super) fn raw(stream: quinn::SendStream) -> QuicSend {
        QuicSend {
            stream,
            head: &[],
            http3: false,
            ended: false,
        }
    }

    pub(super) fn web_transport(stream: quinn::SendStream, head: &'static [u8]) -> QuicSend {
        QuicSend {
            stream,
            head,
            http3: true,
            ended: false,
        }
    }

    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        chunk: &mut Bytes,
    ) -> Poll<Result<(), StreamError>> {
        if chunk.is_empty() {
            return Poll::Ready(Ok(()));
        }
        if !self.head.is_empty() {
            return self.poll_write_behind_head(cx, chunk);
        }
        let written = pin!(self.stream.write_chunks(std::slice::from_mut(chunk))).poll(cx);
        written.map_ok(|_| ()).map_err(StreamError::from)
    }

    /// Header and first bytes go in one write.
    fn poll_write_behind_head(
        &mut self,
        cx: &mut Context<'_>,
        chunk: &mut Bytes,
    ) -> Poll<Result<(), StreamError>> {
        let mut both = [Bytes::from_static(self.head), std::mem::take(chunk)];
        let written = pin!(self.stream.write_chunks(&mut both)).poll(cx);
        let [head, rest] = both;
        self.head = &self.head[self.head.len() - head.len()..];
        *chunk = rest;
        written.map_ok(|_| ()).map_err(StreamError::from)
    }

    pub(super) fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        ready!(self.poll_head(cx))?;
        let written = pin!(self.stream.write_chunks(&mut [])).poll(cx);
        written.map_ok(|_| ()).map_err(StreamError::from)
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        while !self.head.is_empty() {
            let mut chunk = [Bytes::from_static(self.head)];
            let written = ready!(pin!(self.stream.write_chunks(&mut chunk)).poll(cx))?;
            self.head = &self.head[written.bytes..];
        }
        Poll::Ready(Ok(()))
    }

    pub(super) fn finish(&mut self) -> Result<(), StreamError> {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        if self.poll_head(&mut cx)?.is_pending() {
            // An empty stream whose header does not fit cannot be ended cleanly without waiting.
            return self.reset(ResetCode::CANCELLED);
        }
        self.ended = true;
        self.stream.finish().map_err(|_| StreamError::Closed)
    }

    pub(super) fn reset(&mut self, code: ResetCode) -> Result<(), StreamError> {
        let code = to_quic(code.0, self.http3);
        self.ended = true;
        self.stream.reset(code).map_err(|_| StreamError::Closed)
    }

    pub(super) fn set_priority(&self, priority: i32) {
        // Fails only for a stream that has ended, which needs none.
        let _ = self.stream.set_priority(priority);
    }

    pub(super) fn stopped(
        &self,
    ) -> impl Future<Output = Option<ResetCode>> + Send + Sync + 'static + use<> {
        let stopped = self.stream.stopped();
        async move {
            let code = stopped.await.ok().flatten()?;
            Some(ResetCode(from_http3(code.into_inner())))
        }
    }
}

impl Drop for QuicSend {
    fn drop(&mut self) {
        if !self.ended {
            // Fails only for a stream that has ended.
            let _ = self.reset(ResetCode::CANCELLED);
        }
    }
}

/// The receiving half.
#[derive(Debug)]
pub(super) struct QuicRecv {
    stream: quinn::RecvStream,
    /// The WebTransport header that is still expected.
    head: Option<HeadReader>,
    http3: bool,
}

impl QuicRecv {
    pub(super) fn raw(stream: quinn::RecvStream) -> QuicRecv {
        QuicRecv {
            stream,
            head: None,
            http3: false,
        }
    }

    pub(super) fn web_transport(stream: quinn::RecvStream, head: Option<HeadReader>) -> QuicRecv {
        QuicRecv {
            stream,
            head,
            http3: true,
        }
    }

    pub(super) fn expects_header(&self) -> bool {
        self.head.is_some()
    }

    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        max: usize,
    ) -> Poll<Result<Option<Bytes>, StreamError>> {
        loop {
            let chunk = ready!(pin!(self.stream.read_chunk(max, true)).poll(cx))?;
            let Some(mut bytes) = chunk.map(|chunk| chunk.bytes) else {
                return Poll::Ready(Ok(None));
            };
            let Some(head) = &mut self.head else {
                return Poll::Ready(Ok(Some(bytes)));
            };
            match head.take(&mut bytes) {
                Head::Incomplete => continue,
                Head::Foreign => return Poll::Ready(Err(StreamError::Foreign)),
                Head::Complete => self.head = None,
            }
            if !bytes.is_empty() {
                return Poll::Ready(Ok(Some(bytes)));
            }
        }
    }

    pub(super) fn stop(&mut self, code: ResetCode) {
        // Fails only for a stream that has ended, which needs no stop.
        let _ = self.stream.stop(to_quic(code.0, self.http3));
    }
}

impl From<quinn::WriteError> for StreamError {
    fn from(error: quinn::WriteError) -> StreamError {
        match error {
            quinn::WriteError::Stopped(code) => {
                StreamError::Stopped(ResetCode(from_http3(code.into_inner())))
            }
            quinn::WriteError::ConnectionLost(error) => StreamError::Lost(error.into()),
            quinn::WriteError::ClosedStream | quinn::WriteError::ZeroRttRejected => {
                StreamError::Closed
            }
        }
    }
}

impl From<quinn::ReadError> for StreamError {
    fn from(error: quinn::ReadError) -> StreamError {
        match error {
            quinn::ReadError::Reset(code) => {
                StreamError::Reset(ResetCode(from_http3(code.into_inner())))
            }
            quinn::ReadError::ConnectionLost(error) => StreamError::Lost(error.into()),
            quinn::ReadError::ClosedStream
            | quinn::ReadError::IllegalOrderedRead
            | quinn::ReadError::ZeroRttRejected => StreamError::Closed,
        }
    }
}
