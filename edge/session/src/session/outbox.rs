//! Messages on their way out on one stream: written at once if the transport takes them, else kept, up to a bound.

use crate::transport::{SendStream, StreamError};
use bytes::Bytes;
use meridian_wire::ResetCode;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

/// One stream's sending half, shared between its user and, while it is blocked, the task that empties it.
#[derive(Clone, Debug)]
pub(crate) struct Outbox(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    stream: SendStream,
    unsent: VecDeque<Bytes>,
    unsent_bytes: usize,
    /// A task is emptying the queue.
    flushing: bool,
    /// End the stream when the queue is empty.
    finish: bool,
    ended: bool,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Put {
    /// The transport has it, or the running task will hand it over.
    Done,
    /// It waits; the caller must spawn [`Outbox::flush`].
    NeedsFlush,
    /// More waits than `limit` allows.
    Overflow,
}

impl Outbox {
    pub(crate) fn new(stream: SendStream) -> Outbox {
        Outbox(Arc::new(Mutex::new(State {
            stream,
            unsent: VecDeque::new(),
            unsent_bytes: 0,
            flushing: false,
            finish: false,
            ended: false,
        })))
    }

    /// Sends `bytes` after all that came before.
    pub(crate) fn put(&self, mut bytes: Bytes, limit: usize) -> Result<Put, StreamError> {
        let state = &mut *self.lock();
        if state.ended || state.finish {
            return Err(StreamError::Closed);
        }
        if state.unsent.is_empty() {
            state.stream.try_write_chunk(&mut bytes)?;
        }
        if bytes.is_empty() {
            return Ok(Put::Done);
        }
        state.unsent_bytes += bytes.len();
        state.unsent.push_back(bytes);
        if state.unsent_bytes > limit {
            return Ok(Put::Overflow);
        }
        Ok(match std::mem::replace(&mut state.flushing, true) {
            false => Put::NeedsFlush,
            true => Put::Done,
        })
    }

    /// Hands over what waits, and ends when nothing does or the stream fails.
    pub(crate) async fn flush(self) {
        poll_fn(|cx| self.lock().poll_flush(cx)).await;
    }

    /// Ends the stream after what waits.
    pub(crate) fn finish(&self) -> Result<(), StreamError> {
        let state = &mut *self.lock();
        if state.ended || state.finish {
            return Err(StreamError::Closed);
        }
        state.finish = true;
        match state.unsent.is_empty() {
            true => state.end(),
            false => Ok(()),
        }
    }

    /// Whether `finish` was called, or the stream has ended.
    pub(crate) fn is_finishing(&self) -> bool {
        let state = self.lock();
        state.finish || state.ended
    }

    /// Abandons the stream, unless it has ended in order.
    pub(crate) fn reset(&self, code: ResetCode) {
        let state = &mut *self.lock();
        if !state.ended {
            state.ended = true;
            state.unsent.clear();
            // Fails only for a stream that has ended.
            let _ = state.stream.reset(code);
        }
    }

    /// Waits until the peer stops the stream, or has all of it after `finish`, or the connection is gone.
    pub(crate) fn stopped(
        &self,
    ) -> impl Future<Output = Option<ResetCode>> + Send + Sync + 'static + use<> {
        let watch = self.lock().stream.watch_stopped();
        let outbox = self.clone();
        async move {
            match watch {
                Some(watch) => watch.await,
                None => poll_fn(|cx| outbox.lock().stream.poll_stopped(cx)).await,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(front) = self.unsent.front_mut() {
            let before = front.len();
            match self.stream.poll_write_chunk(cx, front) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(_)) => {
                    self.unsent.clear();
                    self.ended = true;
                    break;
                }
                Poll::Ready(Ok(())) => {}
            }
            self.unsent_bytes -= before - front.len();
            if front.is_empty() {
                self.unsent.pop_front();
            }
        }
        self.flushing = false;
        if self.finish && !self.ended {
            // The stream cannot have ended yet, and what fails besides is the connection.
            let _ = self.end();
        }
        Poll::Ready(())
    }

    fn end(&mut self) -> Result<(), StreamError> {
        self.ended = true;
        self.stream.finish()
    }
}
