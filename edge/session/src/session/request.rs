//! One request on its own bidirectional stream: the two halves, and the messages on them.

use super::core::{Core, lock};
use super::error::{Fault, SendError, SessionError};
use super::exchange::{Exchange, Opener};
use super::outbox::Outbox;
use crate::transport::{RecvStream, StopWatch, StreamError};
use bytes::Bytes;
use meridian_wire::control::RequestUpdate;
use meridian_wire::{ControlDecoder, Message, Parameters, ResetCode, TerminationCode};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Sleep, sleep, timeout};

/// The longest read at once: messages are small.
const MAX_CHUNK: usize = 4096;

/// How long an answer is waited for whose request has been stopped. Who answers and stops the rest of the request says
/// both at once, but they may come in either order (a lost packet; qmux, where a stop goes first).
const OVERTAKEN: Duration = Duration::from_secs(1);

/// A request stream. Dropped, or a half of it dropped before its end, the request is cancelled.
#[derive(Debug)]
pub struct RequestStream {
    sender: RequestSender,
    receiver: RequestReceiver,
}

/// What comes from the peer on a request stream.
// Each is moved once, from here to its reader; a box would only add an allocation.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestEvent {
    /// A message, its authorization tokens made plain (`UseValue`).
    Message(Message),
    /// The peer will say no more, but still listens.
    Fin,
    /// The peer abandoned its direction: the request is cancelled or failed.
    Reset(ResetCode),
    /// The peer no longer listens: the request is cancelled.
    Stopped(ResetCode),
    /// Both directions have ended in order. Nothing more comes.
    Done,
}

impl RequestStream {
    pub(super) fn new(
        core: Arc<Core>,
        id: u64,
        opener: Opener,
        ours: bool,
        outbox: Outbox,
        incoming: (ControlDecoder, RecvStream),
    ) -> RequestStream {
        let exchange = Arc::new(Mutex::new(Exchange::new(opener, ours)));
        let stopped: StopWatch = Box::pin(outbox.stopped());
        RequestStream {
            sender: RequestSender {
                core: core.clone(),
                id,
                outbox,
                exchange: exchange.clone(),
            },
            receiver: RequestReceiver {
                core,
                exchange,
                decoder: incoming.0,
                stream: incoming.1,
                fin: false,
                ours,
                stopped: Some(stopped),
                overtaken: None,
            },
        }
    }

    /// The request's ID.
    pub fn id(&self) -> u64 {
        self.sender.id
    }

    /// Both halves, for different owners.
    pub fn split(self) -> (RequestSender, RequestReceiver) {
        (self.sender, self.receiver)
    }

    /// See [`RequestSender::send`].
    pub fn send(&self, message: &Message) -> Result<(), SendError> {
        self.sender.send(message)
    }

    /// See [`RequestSender::update`].
    pub fn update(&self, params: Parameters) -> Result<u64, SendError> {
        self.sender.update(params)
    }

    /// See [`RequestSender::finish`].
    pub fn finish(&self) -> Result<(), SendError> {
        self.sender.finish()
    }

    /// See [`RequestReceiver::recv`].
    pub async fn recv(&mut self) -> Result<RequestEvent, SessionError> {
        self.receiver.recv().await
    }

    /// Cancels the request, in both directions.
    pub fn cancel(mut self, code: ResetCode) {
        self.sender.reset(code);
        self.receiver.stop(code);
    }
}

/// The half that sends. Never waits: what the transport does not take is kept, up to `Options::max_unsent` bytes.
#[derive(Debug)]
pub struct RequestSender {
    core: Arc<Core>,
    id: u64,
    outbox: Outbox,
    exchange: Arc<Mutex<Exchange>>,
}

impl RequestSender {
    /// The request's ID.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Sends a message after those before it.
    ///
    /// # Errors
    /// The message cannot be said in this draft, the stream has ended, or the session is over: also when the peer has left
    /// more than `Options::max_unsent` bytes unread, for which it is closed here.
    pub fn send(&self, message: &Message) -> Result<(), SendError> {
        let bytes = self.core.encode(message)?;
        // Before it leaves: the answer may be read by another task at any moment after.
        lock(&self.exchange).sent(message);
        self.core.put_encoded(&self.outbox, bytes)
    }

    /// Sends REQUEST_UPDATE and returns its ID, which fills are named by. Answers come in order, as `RequestOk` or
    /// `RequestError`.
    ///
    /// # Errors
    /// As `send`; and `TooManyUpdates` while as many are unanswered as the peer allows.
    pub fn update(&self, params: Parameters) -> Result<u64, SendError> {
        let max = self.core.peer_setup().max_request_updates.unwrap_or(0);
        let mut exchange = lock(&self.exchange);
        if !exchange.may_update(max) {
            return Err(SendError::TooManyUpdates);
        }
        let request_id = self.core.own_ids.next();
        let update = Message::RequestUpdate(RequestUpdate { request_id, params });
        let bytes = self.core.encode(&update)?;
        exchange.sent(&update);
        drop(exchange);
        self.core.put_encoded(&self.outbox, bytes)?;
        Ok(request_id)
    }

    /// Says that no message follows. It is no cancellation.
    ///
    /// # Errors
    /// `Closed` if the stream has ended before.
    pub fn finish(&self) -> Result<(), SendError> {
        Ok(self.outbox.finish()?)
    }

    /// Abandons this direction. Together with [`RequestReceiver::stop`] it cancels the request.
    pub fn reset(&self, code: ResetCode) {
        self.outbox.reset(code);
    }
}

impl Drop for RequestSender {
    fn drop(&mut self) {
        // What is finished still goes out.
        if !self.outbox.is_finishing() {
            self.outbox.reset(ResetCode::CANCELLED);
        }
    }
}

/// The half that receives.
pub struct RequestReceiver {
    core: Arc<Core>,
    exchange: Arc<Mutex<Exchange>>,
    decoder: ControlDecoder,
    stream: RecvStream,
    fin: bool,
    /// The request is ours, and what comes is its answer.
    ours: bool,
    /// Until the peer's stop, or the acknowledged end, of our direction.
    stopped: Option<StopWatch>,
    /// A stop that came before the answer's end, and until when that is waited for.
    overtaken: Option<(ResetCode, Pin<Box<Sleep>>)>,
}

impl std::fmt::Debug for RequestReceiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RequestReceiver")
            .field("exchange", &self.exchange)
            .finish_non_exhaustive()
    }
}

impl RequestReceiver {
    /// What comes next. Safe to drop. After `Reset`, `Stopped` and `Done` there is nothing more to wait for.
    ///
    /// # Errors
    /// The session is over. If the peer broke the protocol on this stream, it has just been closed for it.
    pub async fn recv(&mut self) -> Result<RequestEvent, SessionError> {
        loop {
            match self.decoder.poll() {
                Ok(Some(message)) => return self.take(message),
                Ok(None) => {}
                Err(error) => return Err(self.core.closer.fail(error)),
            }
            if let Some(event) = self.read().await? {
                return Ok(event);
            }
        }
    }

    fn take(&mut self, mut message: Message) -> Result<RequestEvent, SessionError> {
        let max = self.core.options.setup.max_request_updates.unwrap_or(0);
        let checked = lock(&self.exchange).received(&message, max);
        let admitted = checked.and_then(|()| self.core.admit(&mut message));
        match admitted {
            Ok(()) => Ok(RequestEvent::Message(message)),
            Err(fault) => Err(self.core.closer.fail(fault)),
        }
    }

    async fn read(&mut self) -> Result<Option<RequestEvent>, SessionError> {
        let whole = self.decoder.is_at_boundary();
        let patience = self.core.options.message_timeout;
        let arrival = self.arrival();
        let arrival = match whole {
            true => arrival.await,
            false => match timeout(patience, arrival).await {
                Ok(arrival) => arrival,
                Err(_) => return Err(self.core.closer.fail(SLOW)),
            },
        };
        match arrival {
            Arrival::Chunk(chunk) => {
                self.decoder.push(&chunk);
                Ok(None)
            }
            Arrival::Event(RequestEvent::Fin) if !whole => Err(self
                .core
                .closer
                .fail(Fault::violation("a message was cut off"))),
            Arrival::Event(event) => Ok(Some(event)),
            Arrival::Lost(lost) => Err(self.core.closer.lost(lost)),
        }
    }

    /// The next thing that the transport has to say of either direction.
    async fn arrival(&mut self) -> Arrival {
        poll_fn(|cx| {
            if !self.fin
                && let Poll::Ready(read) = self.stream.poll_read_chunk(cx, MAX_CHUNK)
            {
                return Poll::Ready(match read {
                    Ok(Some(chunk)) => Arrival::Chunk(chunk),
                    Err(StreamError::Reset(code)) => Arrival::Event(RequestEvent::Reset(code)),
                    Err(StreamError::Lost(lost)) => Arrival::Lost(lost),
                    Ok(None) | Err(_) => {
                        self.fin = true;
                        Arrival::Event(RequestEvent::Fin)
                    }
                });
            }
            if let Some(stopped) = &mut self.stopped
                && let Poll::Ready(code) = stopped.as_mut().poll(cx)
            {
                self.stopped = None;
                self.overtaken = code.map(|code| (code, Box::pin(sleep(OVERTAKEN))));
            }
            if let Some(code) = self.poll_overtaken(cx) {
                return Poll::Ready(Arrival::Event(RequestEvent::Stopped(code)));
            }
            match self.fin && self.stopped.is_none() {
                true => Poll::Ready(Arrival::Event(RequestEvent::Done)),
                false => Poll::Pending,
            }
        })
        .await
    }

    /// The peer's stop, as soon as nothing may come any more that was said before it.
    fn poll_overtaken(&mut self, cx: &mut Context<'_>) -> Option<ResetCode> {
        let (code, patience) = self.overtaken.as_mut()?;
        if self.ours && !self.fin && patience.as_mut().poll(cx).is_pending() {
            return None;
        }
        let code = *code;
        self.overtaken = None;
        Some(code)
    }

    /// Tells the peer that nothing more is wanted.
    pub fn stop(&mut self, code: ResetCode) {
        self.stream.stop(code);
        self.fin = true;
    }
}

// Moved once, within one function.
#[allow(clippy::large_enum_variant)]
enum Arrival {
    Chunk(Bytes),
    Event(RequestEvent),
    Lost(crate::transport::ConnectionLost),
}

pub(super) const SLOW: Fault = Fault::new(
    TerminationCode::CONTROL_MESSAGE_TIMEOUT,
    "a message was not completed in time",
);

// The halves go to different tasks.
const _: fn() = || {
    fn movable<T: Send + Sync + 'static>() {}
    movable::<RequestSender>();
    movable::<RequestReceiver>();
};
