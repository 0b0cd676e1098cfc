//! Carries out deliveries: opens streams, writes, ends them, and keeps what the transport does not take at once.

use crate::worker::{State, Worker};
use bytes::Bytes;
use meridian_relay::{Delivery, End, OutStreamId, SessionId};
use meridian_session::transport::{SendStream, StreamError};
use meridian_wire::ResetCode;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// A stream towards a subscriber.
pub(crate) struct Sending {
    pub(crate) stream: SendStream,
    session: SessionId,
    /// What has not been taken yet: at most one delivery.
    rest: VecDeque<Bytes>,
    end: End,
    /// Of the task that writes the rest.
    waker: Option<Waker>,
}

impl State {
    /// The hot path's last step. Nothing waits here: what is not taken at once is left to a task of the stream's.
    pub(crate) fn deliver(&mut self, worker: &Worker, delivery: Delivery) {
        if let End::Reset(code) = delivery.end {
            return self.reset(delivery.stream, code);
        }
        let Some(open) = &delivery.open else {
            return self.deliver_more(worker, delivery);
        };
        let Some(mut stream) = self.open(worker, delivery.session) else {
            return self.relay.handle_no_credit(delivery.stream);
        };
        self.stats.gives(delivery.session, || delivery.body.len());
        stream.set_priority(open.priority);
        let header = std::slice::from_ref(&open.header);
        let slices = header.iter().chain(delivery.body.slices());
        match write_now(&mut stream, slices) {
            Err(_) => self.relay.handle_stopped(delivery.stream, Instant::now()),
            Ok(rest) if rest.is_empty() => self.written(stream, &delivery),
            Ok(rest) => {
                self.insert(stream, &delivery, rest);
                self.blocked(worker, delivery.stream);
            }
        }
    }

    fn deliver_more(&mut self, worker: &Worker, delivery: Delivery) {
        let Some(sending) = self.sending.get_mut(delivery.stream) else {
            return;
        };
        debug_assert!(sending.rest.is_empty(), "the relay was told it is blocked");
        self.stats.gives(delivery.session, || delivery.body.len());
        match write_now(&mut sending.stream, delivery.body.slices().iter()) {
            Err(_) => {
                self.sending.remove(delivery.stream);
                self.relay.handle_stopped(delivery.stream, Instant::now());
            }
            Ok(rest) if rest.is_empty() => match delivery.end {
                End::Open => {}
                End::More => self.relay.handle_writable(delivery.stream, Instant::now()),
                _ => {
                    if let Some(sending) = self.sending.remove(delivery.stream) {
                        self.written(sending.stream, &delivery);
                    }
                }
            },
            Ok(rest) => {
                sending.rest = rest;
                sending.end = delivery.end;
                self.blocked(worker, delivery.stream);
            }
        }
    }

    /// Everything of a delivery has been written.
    fn written(&mut self, stream: SendStream, delivery: &Delivery) {
        if let End::Finish(timeout) = delivery.end {
            finish(stream, timeout);
            return self.relay.handle_finished(delivery.stream);
        }
        self.insert(stream, delivery, VecDeque::new());
        if delivery.end == End::More {
            self.relay.handle_writable(delivery.stream, Instant::now());
        }
    }

    fn insert(&mut self, stream: SendStream, delivery: &Delivery, rest: VecDeque<Bytes>) {
        let Delivery { session, end, .. } = *delivery;
        let sending = Sending {
            stream,
            session,
            rest,
            end,
            waker: None,
        };
        self.sending.insert(delivery.stream, sending);
    }

    fn blocked(&mut self, worker: &Worker, stream: OutStreamId) {
        self.relay.handle_blocked(stream, Instant::now());
        let worker = worker.clone();
        tokio::task::spawn_local(async move {
            poll_fn(|cx| worker.state(|state| state.poll_rest(stream, cx))).await;
        });
    }

    /// Writes what is left of a stream's last delivery, then tells the relay.
    fn poll_rest(&mut self, id: OutStreamId, cx: &mut Context<'_>) -> Poll<()> {
        let Some(sending) = self.sending.get_mut(id) else {
            return Poll::Ready(());
        };
        while let Some(chunk) = sending.rest.front_mut() {
            match sending.stream.poll_write_chunk(cx, chunk) {
                Poll::Pending => {
                    sending.waker = Some(cx.waker().clone());
                    return Poll::Pending;
                }
                Poll::Ready(Err(_)) => {
                    self.sending.remove(id);
                    self.relay.handle_stopped(id, Instant::now());
                    return Poll::Ready(());
                }
                Poll::Ready(Ok(())) if chunk.is_empty() => {
                    sending.rest.pop_front();
                }
                Poll::Ready(Ok(())) => {}
            }
        }
        if let End::Finish(timeout) = sending.end
            && let Some(sending) = self.sending.remove(id)
        {
            finish(sending.stream, timeout);
        }
        self.relay.handle_writable(id, Instant::now());
        Poll::Ready(())
    }

    fn reset(&mut self, stream: OutStreamId, code: ResetCode) {
        if let Some(mut sending) = self.sending.remove(stream) {
            let _ = sending.stream.reset(code);
            if let Some(waker) = sending.waker {
                waker.wake();
            }
        }
    }

    /// A new stream, if the peer allows one now.
    fn open(&mut self, worker: &Worker, session: SessionId) -> Option<SendStream> {
        let link = self.links.get_mut(session)?;
        if let Some(stream) = link.spare.take() {
            return Some(stream);
        }
        if let Ok(Some(stream)) = link.session.connection().try_open_uni() {
            return Some(stream);
        }
        if !std::mem::replace(&mut link.waits_for_credit, true) {
            tokio::task::spawn_local(wait_for_credit(worker.clone(), session));
        }
        None
    }

    pub(crate) fn send_datagram(&mut self, session: SessionId, bytes: Bytes) {
        let sent = self
            .links
            .get(session)
            .map(|link| link.session.connection().send_datagram(bytes));
        if !matches!(sent, Some(Ok(()))) {
            self.relay.handle_datagram_dropped();
        }
    }

    /// Forgets the streams of a session that is gone.
    pub(crate) fn drop_sending(&mut self, session: SessionId) {
        self.sending.retain(|_, sending| {
            if sending.session == session
                && let Some(waker) = sending.waker.take()
            {
                waker.wake();
            }
            sending.session != session
        });
    }
}

/// Writes what is taken now; what is left comes back.
fn write_now<'a>(
    stream: &mut SendStream,
    slices: impl Iterator<Item = &'a Bytes>,
) -> Result<VecDeque<Bytes>, StreamError> {
    let mut rest = VecDeque::new();
    for slice in slices {
        let mut chunk = slice.clone();
        if rest.is_empty() {
            stream.try_write_chunk(&mut chunk)?;
        }
        if !chunk.is_empty() {
            rest.push_back(chunk);
        }
    }
    Ok(rest)
}

/// Ends a stream. With a time it is reset unless the peer has it all by then.
fn finish(mut stream: SendStream, timeout: Option<Duration>) {
    // It can only have been stopped: then there is nothing more to end.
    let _ = stream.finish();
    if let Some(timeout) = timeout {
        tokio::task::spawn_local(reset_unless_acknowledged(stream, timeout));
    }
}

/// SUBGROUP_DELIVERY_TIMEOUT: what is not acknowledged by then is given up (draft-22 §8).
async fn reset_unless_acknowledged(mut stream: SendStream, timeout: Duration) {
    if tokio::time::timeout(timeout, stream.stopped())
        .await
        .is_err()
    {
        let _ = stream.reset(ResetCode::DELIVERY_TIMEOUT);
    }
}

/// The stream that comes of it is the next one used.
async fn wait_for_credit(worker: Worker, session: SessionId) {
    let link = worker.state(|state| state.links.get(session).map(|link| link.session.clone()));
    let Some(link) = link else {
        return;
    };
    let opened = link.connection().open_uni().await;
    drop(link);
    worker.state(|state| {
        let Some(link) = state.links.get_mut(session) else {
            return;
        };
        link.waits_for_credit = false;
        if let Ok(stream) = opened {
            link.spare = Some(stream);
            state.relay.handle_credit(session, Instant::now());
        }
    });
}
