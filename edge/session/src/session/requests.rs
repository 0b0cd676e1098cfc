//! The peer's requests, each from the first message of its stream.

use super::core::{Core, REQUEST_PRIORITY, lock};
use super::error::{Fault, SendError, SessionError};
use super::exchange::Opener;
use super::outbox::Outbox;
use super::request::{RequestStream, SLOW};
use crate::transport::{ConnectionLost, RecvStream, SendStream, TryRead};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, Stream};
use meridian_wire::{ControlDecoder, Message};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use tokio::time::timeout;

/// A request of the peer's.
#[derive(Debug)]
pub struct IncomingRequest {
    /// Its ID, checked.
    pub id: u64,
    /// What kind it is.
    pub opener: Opener,
    /// The message, its authorization tokens made plain (`UseValue`).
    pub message: Message,
    /// For the answer and what follows.
    pub stream: RequestStream,
}

/// The longest read at once: messages are small.
const MAX_CHUNK: usize = 4096;

type Opened = (SendStream, RecvStream);
type First = Result<Option<Box<Started>>, Fault>;

/// A stream with its first message.
struct Started {
    message: Message,
    decoder: ControlDecoder,
    stream: Opened,
}

/// Request streams whose first message has not all come.
#[derive(Default)]
pub(super) struct Slow(Mutex<FuturesUnordered<BoxFuture<'static, First>>>);

impl std::fmt::Debug for Slow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Slow").field(&lock(&self.0).len()).finish()
    }
}

enum Next {
    Accepted(Result<Opened, ConnectionLost>),
    First(First),
}

/// The peer's next request. Safe to drop.
pub(super) async fn next(core: &Arc<Core>) -> Result<IncomingRequest, SessionError> {
    loop {
        let next = {
            let mut accept = pin!(core.connection().accept_bi());
            poll_fn(|cx| poll_next(core, cx, accept.as_mut())).await
        };
        let first = match next {
            Next::Accepted(Ok(stream)) => look_at(core, stream),
            Next::Accepted(Err(lost)) => return Err(core.closer.lost(lost)),
            Next::First(first) => first,
        };
        let request = first.and_then(|first| first.map(|first| admit(core, first)).transpose());
        match request {
            Ok(Some(request)) => return Ok(request),
            Ok(None) => {}
            Err(fault) => return Err(core.closer.fail(fault)),
        }
    }
}

fn poll_next<F>(core: &Core, cx: &mut Context<'_>, accept: Pin<&mut F>) -> Poll<Next>
where
    F: Future<Output = Result<Opened, ConnectionLost>>,
{
    let waiting = {
        let mut slow = lock(&core.slow_requests.0);
        if let Poll::Ready(Some(first)) = Pin::new(&mut *slow).poll_next(cx) {
            return Poll::Ready(Next::First(first));
        }
        slow.len()
    };
    if waiting >= core.options.max_undispatched {
        return Poll::Pending;
    }
    accept.poll(cx).map(Next::Accepted)
}

/// Takes the first message if it is there; else the stream is put aside.
fn look_at(core: &Core, mut stream: Opened) -> First {
    let mut decoder = ControlDecoder::new(core.draft());
    match stream.1.try_read_chunk(MAX_CHUNK) {
        Ok(TryRead::Chunk(chunk)) => decoder.push(&chunk),
        Ok(TryRead::Pending) => {}
        Ok(TryRead::Fin) => return Err(CUT_OFF),
        Err(_) => return Ok(None),
    }
    if let Some(message) = decoder.poll()? {
        return Ok(Some(Box::new(Started {
            message,
            decoder,
            stream,
        })));
    }
    let patience = core.options.message_timeout;
    let first = Box::pin(async move {
        let first = timeout(patience, first_message(decoder, stream)).await;
        first.unwrap_or(Err(SLOW))
    });
    lock(&core.slow_requests.0).push(first);
    Ok(None)
}

async fn first_message(mut decoder: ControlDecoder, mut stream: Opened) -> First {
    loop {
        let chunk: Bytes = match stream.1.read_chunk(MAX_CHUNK).await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => return Err(CUT_OFF),
            // Cancelled before it began, or HTTP/3's own.
            Err(_) => return Ok(None),
        };
        decoder.push(&chunk);
        if let Some(message) = decoder.poll()? {
            return Ok(Some(Box::new(Started {
                message,
                decoder,
                stream,
            })));
        }
    }
}

fn admit(core: &Arc<Core>, first: Box<Started>) -> Result<IncomingRequest, Fault> {
    let Started {
        mut message,
        decoder,
        stream: (mut send, recv),
    } = *first;
    let (opener, id) = Opener::of(&message).ok_or(NOT_AN_OPENER)?;
    core.admit(&mut message)?;
    send.set_priority(REQUEST_PRIORITY);
    let outbox = Outbox::new(send);
    let stream = RequestStream::new(core.clone(), id, opener, false, outbox, (decoder, recv));
    Ok(IncomingRequest {
        id,
        opener,
        message,
        stream,
    })
}

/// Sends a request of ours on a fresh stream.
pub(super) fn open(
    core: &Arc<Core>,
    (mut send, recv): Opened,
    build: impl FnOnce(u64) -> Message,
) -> Result<RequestStream, SendError> {
    let id = core.own_ids.next();
    let message = build(id);
    let (opener, _) = Opener::of(&message).ok_or(SendError::NotARequest)?;
    send.set_priority(REQUEST_PRIORITY);
    let outbox = Outbox::new(send);
    core.put(&outbox, &message)?;
    let decoder = ControlDecoder::new(core.draft());
    Ok(RequestStream::new(
        core.clone(),
        id,
        opener,
        true,
        outbox,
        (decoder, recv),
    ))
}

const CUT_OFF: Fault = Fault::violation("a request stream ended before its first message");
const NOT_AN_OPENER: Fault = Fault::violation("a request stream begins with no request");
