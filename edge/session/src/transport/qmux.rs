//! Streams over qmux on a WebSocket, for networks that block UDP.
//!
//! A blocked qmux write cannot be parked and polled again: its registration goes with its future. So a blocked stream hands
//! one fragment (at most 16 KiB) to a task that writes it. The bound on memory is one fragment a stream.

use super::error::{ConnectionLost, StreamError};
use bytes::Bytes;
use meridian_wire::{ResetCode, TerminationCode};
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use tokio::sync::oneshot;
use web_transport_quinn::generic::{Error as _, RecvStream as _, SendStream as _};

/// One record's worth: what a blocked stream may hold.
const FRAGMENT: usize = 16 * 1024;

/// The sending half.
pub(super) struct QmuxSend {
    state: SendState,
    priority: i32,
    ended: bool,
}

enum SendState {
    Idle(qmux::SendStream),
    /// A task writes a fragment and takes one order for afterwards.
    Busy(Arc<Handback>, Option<oneshot::Sender<Order>>),
    /// Left to its task.
    Gone,
}

/// How a stream is to end while a fragment is on its way.
#[derive(Clone, Copy, Debug)]
enum Order {
    Finish,
    Reset(ResetCode),
}

impl QmuxSend {
    pub(super) fn new(stream: qmux::SendStream) -> QmuxSend {
        QmuxSend {
            state: SendState::Idle(stream),
            priority: 0,
            ended: false,
        }
    }

    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        chunk: &mut Bytes,
    ) -> Poll<Result<(), StreamError>> {
        let stream = ready!(self.poll_idle(cx))?;
        let before = chunk.len();
        let now = pin!(stream.write_buf(chunk)).poll(&mut Context::from_waker(Waker::noop()));
        match now {
            Poll::Ready(Err(error)) => return Poll::Ready(Err(sending(error))),
            Poll::Pending if chunk.len() == before => {
                let fragment = chunk.split_to(before.min(FRAGMENT));
                self.hand_over(fragment);
            }
            _ => {}
        }
        Poll::Ready(Ok(()))
    }

    pub(super) fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        ready!(self.poll_idle(cx))?;
        Poll::Ready(Ok(()))
    }

    /// The stream, once no fragment is on its way.
    fn poll_idle(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<&mut qmux::SendStream, StreamError>> {
        if self.ended {
            return Poll::Ready(Err(StreamError::Closed));
        }
        if let SendState::Busy(handback, _) = &self.state {
            let (stream, result) = ready!(handback.poll(cx, |waiting| &mut waiting.writer));
            self.take_back(stream);
            result.map_err(sending)?;
        }
        match &mut self.state {
            SendState::Idle(stream) => Poll::Ready(Ok(stream)),
            _ => Poll::Ready(Err(StreamError::Closed)),
        }
    }

    fn hand_over(&mut self, fragment: Bytes) {
        if let SendState::Idle(stream) = std::mem::replace(&mut self.state, SendState::Gone) {
            let (order, orders) = oneshot::channel();
            let handback = Arc::<Handback>::default();
            // The session's end fails the write, so that the task never outlives it.
            tokio::spawn(write_fragment(stream, fragment, orders, handback.clone()));
            self.state = SendState::Busy(handback, Some(order));
        }
    }

    fn take_back(&mut self, mut stream: qmux::SendStream) {
        stream.set_priority(self.priority);
        self.state = SendState::Idle(stream);
    }

    pub(super) fn finish(&mut self) -> Result<(), StreamError> {
        if self.ended {
            return Err(StreamError::Closed);
        }
        self.ended = true;
        self.order(Order::Finish)
    }

    pub(super) fn reset(&mut self, code: ResetCode) -> Result<(), StreamError> {
        self.ended = true;
        self.order(Order::Reset(code))
    }

    fn order(&mut self, order: Order) -> Result<(), StreamError> {
        match &mut self.state {
            SendState::Idle(stream) => obey(stream, order),
            SendState::Busy(_, orders) => {
                let orders = orders.take().ok_or(StreamError::Closed)?;
                match orders.send(order) {
                    Ok(()) => Ok(()),
                    // The fragment has just been written.
                    Err(order) => self.order_after_all(order),
                }
            }
            SendState::Gone => Err(StreamError::Closed),
        }
    }

    fn order_after_all(&mut self, order: Order) -> Result<(), StreamError> {
        let SendState::Busy(handback, _) = &self.state else {
            return Err(StreamError::Closed);
        };
        let Some((mut stream, _)) = handback.lock().written.take() else {
            return Err(StreamError::Closed);
        };
        let result = obey(&mut stream, order);
        self.state = SendState::Idle(stream);
        result
    }

    pub(super) fn set_priority(&mut self, priority: i32) {
        self.priority = priority;
        if let SendState::Idle(stream) = &mut self.state {
            stream.set_priority(priority);
        }
    }

    /// The waker stays in the stream's channel, so that the future may be dropped.
    pub(super) fn poll_stopped(&mut self, cx: &mut Context<'_>) -> Poll<Option<ResetCode>> {
        if let SendState::Busy(handback, _) = &self.state {
            let (stream, result) = ready!(handback.poll(cx, |waiting| &mut waiting.watcher));
            self.take_back(stream);
            if let Err(qmux::Error::StreamStop(code)) = result {
                return Poll::Ready(Some(ResetCode(code.into_inner())));
            }
        }
        let SendState::Idle(stream) = &mut self.state else {
            return Poll::Ready(None);
        };
        let closed = ready!(pin!(stream.closed()).poll(cx));
        Poll::Ready(match closed {
            Err(qmux::Error::StreamStop(code)) => Some(ResetCode(code.into_inner())),
            _ => None,
        })
    }
}

impl Drop for QmuxSend {
    fn drop(&mut self) {
        if !self.ended {
            // Fails only for a stream that has ended.
            let _ = self.reset(ResetCode::CANCELLED);
        }
    }
}

impl std::fmt::Debug for QmuxSend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QmuxSend")
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

/// Where the task leaves the stream for its owner.
#[derive(Default)]
struct Handback(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    written: Option<(qmux::SendStream, Result<(), qmux::Error>)>,
    /// Whoever wants to write.
    writer: Option<Waker>,
    /// Whoever wants to know of the peer's stop.
    watcher: Option<Waker>,
}

impl Handback {
    fn poll(
        &self,
        cx: &Context<'_>,
        place: impl Fn(&mut Waiting) -> &mut Option<Waker>,
    ) -> Poll<(qmux::SendStream, Result<(), qmux::Error>)> {
        let mut waiting = self.lock();
        match waiting.written.take() {
            Some(written) => Poll::Ready(written),
            None => {
                *place(&mut waiting) = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn leave(&self, stream: qmux::SendStream, result: Result<(), qmux::Error>) {
        let wakers = {
            let mut waiting = self.lock();
            waiting.written = Some((stream, result));
            [waiting.writer.take(), waiting.watcher.take()]
        };
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn write_fragment(
    mut stream: qmux::SendStream,
    mut fragment: Bytes,
    mut orders: oneshot::Receiver<Order>,
    handback: Arc<Handback>,
) {
    let result = tokio::select! {
        biased;
        order = &mut orders => match order {
            Ok(Order::Finish) => {
                let result = write_all(&mut stream, &mut fragment).await;
                result.and_then(|()| stream.finish())
            }
            Ok(Order::Reset(code)) => {
                stream.reset(short(code));
                Err(qmux::Error::StreamClosed)
            }
            // The owner is gone, and with it all interest.
            Err(_) => return,
        },
        result = write_all(&mut stream, &mut fragment) => result,
    };
    orders.close();
    // An order that came in the last moment is still carried out.
    if let Ok(order) = orders.try_recv() {
        let _ = obey(&mut stream, order);
    }
    handback.leave(stream, result);
}

async fn write_all(stream: &mut qmux::SendStream, bytes: &mut Bytes) -> Result<(), qmux::Error> {
    while !bytes.is_empty() {
        stream.write_buf(bytes).await?;
    }
    Ok(())
}

fn obey(stream: &mut qmux::SendStream, order: Order) -> Result<(), StreamError> {
    match order {
        Order::Finish => stream.finish().map_err(sending),
        Order::Reset(code) => {
            stream.reset(short(code));
            Ok(())
        }
    }
}

/// The receiving half.
pub(super) struct QmuxRecv(qmux::RecvStream);

impl QmuxRecv {
    pub(super) fn new(stream: qmux::RecvStream) -> QmuxRecv {
        QmuxRecv(stream)
    }

    /// The waker stays in the stream's channel, so that the future may be dropped.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        max: usize,
    ) -> Poll<Result<Option<Bytes>, StreamError>> {
        let chunk = pin!(self.0.read_chunk(max)).poll(cx);
        chunk.map_err(receiving)
    }

    pub(super) fn stop(&mut self, code: ResetCode) {
        self.0.stop(short(code));
    }
}

impl std::fmt::Debug for QmuxRecv {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("QmuxRecv")
    }
}

fn short(code: ResetCode) -> u32 {
    u32::try_from(code.0).unwrap_or(u32::MAX)
}

fn sending(error: qmux::Error) -> StreamError {
    match error {
        qmux::Error::StreamStop(code) => StreamError::Stopped(ResetCode(code.into_inner())),
        qmux::Error::StreamReset(_) | qmux::Error::StreamClosed => StreamError::Closed,
        error => StreamError::Lost(error.into()),
    }
}

fn receiving(error: qmux::Error) -> StreamError {
    match error {
        qmux::Error::StreamReset(code) => StreamError::Reset(ResetCode(code.into_inner())),
        qmux::Error::StreamStop(_) | qmux::Error::StreamClosed => StreamError::Closed,
        error => StreamError::Lost(error.into()),
    }
}

impl From<qmux::Error> for ConnectionLost {
    fn from(error: qmux::Error) -> ConnectionLost {
        if let Some((code, reason)) = error.session_error() {
            let code = TerminationCode(u64::from(code));
            return ConnectionLost::ClosedByPeer { code, reason };
        }
        match error {
            qmux::Error::IdleTimeout => ConnectionLost::TimedOut,
            other => ConnectionLost::Transport(other.to_string()),
        }
    }
}
