//! Tells the peer's unidirectional streams apart by their first bytes.
//!
//! A stream whose first bytes are there when it is accepted, as with one-packet streams, passes at once. The others wait
//! in a set of bounded size, each with a deadline; while it is full no further stream is accepted.

use super::core::{Core, lock};
use super::error::{Fault, SessionError};
use crate::transport::{RecvStream, StreamError, TryRead};
use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, Stream};
use meridian_wire::ResetCode;
use meridian_wire::data::StreamKind;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Mutex;
use std::task::{Context, Poll};

/// A stream of objects, from its first byte.
#[derive(Debug)]
pub enum DataStream {
    /// A subgroup: feed a [`SubgroupDecoder`](meridian_wire::data::SubgroupDecoder) with `first`, then with what is read.
    Subgroup {
        /// The stream's first chunk, type included. Never empty.
        first: Bytes,
        /// The rest.
        stream: RecvStream,
    },
    /// The answer to a FETCH, or a fill: its header names the request.
    Fetch {
        /// The stream's first chunk, type included. Never empty.
        first: Bytes,
        /// The rest.
        stream: RecvStream,
    },
}

/// What a unidirectional stream turned out to be.
#[derive(Debug)]
pub(super) enum Uni {
    Control(Bytes, RecvStream),
    Data(DataStream),
    /// Nothing for the session: padding, HTTP/3's own, or gone before it said anything.
    Nothing,
}

/// Streams on their way to the user.
#[derive(Debug, Default)]
pub(super) struct Dispatch {
    slow: Mutex<FuturesUnordered<BoxFuture<'static, Result<Uni, Fault>>>>,
    /// Data that overtook the peer's SETUP.
    early: Mutex<VecDeque<DataStream>>,
}

/// The most a stream's first read takes; chunks are packets, hence smaller, but the transport may join them.
const MAX_CHUNK: usize = 64 * 1024;

impl Core {
    /// The next stream, whatever it is. Safe to drop.
    pub(super) async fn next_uni(&self) -> Result<Uni, SessionError> {
        let stream = {
            let mut accept = pin!(self.connection().accept_uni());
            poll_fn(|cx| self.poll_uni(cx, accept.as_mut())).await
        };
        let found = match stream {
            Next::Accepted(Ok(stream)) => self.look_at(stream),
            Next::Accepted(Err(lost)) => return Err(self.closer.lost(lost)),
            Next::Slow(found) => found,
        };
        found.map_err(|fault| self.closer.fail(fault))
    }

    fn poll_uni<F, E>(&self, cx: &mut Context<'_>, accept: Pin<&mut F>) -> Poll<Next<E>>
    where
        F: Future<Output = Result<RecvStream, E>>,
    {
        let waiting = {
            let mut slow = lock(&self.dispatch.slow);
            if let Poll::Ready(Some(found)) = Pin::new(&mut *slow).poll_next(cx) {
                return Poll::Ready(Next::Slow(found));
            }
            slow.len()
        };
        if waiting >= self.options.max_undispatched {
            return Poll::Pending;
        }
        accept.poll(cx).map(Next::Accepted)
    }

    /// Looks at a fresh stream; if it has said too little it is put aside.
    fn look_at(&self, mut stream: RecvStream) -> Result<Uni, Fault> {
        let first = match stream.try_read_chunk(MAX_CHUNK) {
            Ok(TryRead::Chunk(first)) => first,
            Ok(TryRead::Pending) => Bytes::new(),
            Ok(TryRead::Fin) => return Err(EMPTY),
            Err(StreamError::Foreign) => {
                self.connection().keep_foreign(stream);
                return Ok(Uni::Nothing);
            }
            Err(_) => return Ok(Uni::Nothing),
        };
        match StreamKind::peek(&first)? {
            Some(kind) => Ok(sorted(kind, first, stream)),
            None => {
                self.put_aside(first, stream);
                Ok(Uni::Nothing)
            }
        }
    }

    fn put_aside(&self, first: Bytes, stream: RecvStream) {
        let connection = self.connection().clone();
        let patience = self.options.message_timeout;
        let slow = Box::pin(async move {
            let mut stream = stream;
            match tokio::time::timeout(patience, first_bytes(&mut stream, first)).await {
                Ok(Ok(Some((kind, first)))) => Ok(sorted(kind, first, stream)),
                Ok(Ok(None)) => {
                    connection.keep_foreign(stream);
                    Ok(Uni::Nothing)
                }
                Ok(Err(fault)) => Err(fault),
                Err(_) => {
                    stream.stop(ResetCode::CANCELLED);
                    Ok(Uni::Nothing)
                }
            }
        });
        lock(&self.dispatch.slow).push(slow);
    }

    /// Keeps data that came before SETUP; beyond the bound it is refused.
    pub(super) fn keep_early(&self, data: DataStream) {
        let mut early = lock(&self.dispatch.early);
        if early.len() < self.options.max_undispatched {
            early.push_back(data);
        }
    }

    /// The next stream of objects. Safe to drop.
    pub(super) async fn next_data(&self) -> Result<DataStream, SessionError> {
        if let Some(early) = lock(&self.dispatch.early).pop_front() {
            return Ok(early);
        }
        loop {
            match self.next_uni().await? {
                Uni::Data(data) => return Ok(data),
                Uni::Nothing => {}
                Uni::Control(..) => {
                    return Err(self
                        .closer
                        .fail(Fault::violation("a second control stream")));
                }
            }
        }
    }
}

enum Next<E> {
    Accepted(Result<RecvStream, E>),
    Slow(Result<Uni, Fault>),
}

/// Reads until the stream's kind is known; `None` if it is not MoQT's or ends by reset.
async fn first_bytes(
    stream: &mut RecvStream,
    first: Bytes,
) -> Result<Option<(StreamKind, Bytes)>, Fault> {
    let mut seen = BytesMut::from(&first[..]);
    loop {
        match stream.read_chunk(MAX_CHUNK).await {
            Ok(Some(chunk)) => seen.extend_from_slice(&chunk),
            Ok(None) => return Err(EMPTY),
            Err(_) => return Ok(None),
        }
        if let Some(kind) = StreamKind::peek(&seen)? {
            return Ok(Some((kind, seen.freeze())));
        }
    }
}

fn sorted(kind: StreamKind, first: Bytes, mut stream: RecvStream) -> Uni {
    match kind {
        StreamKind::Control => Uni::Control(first, stream),
        StreamKind::Subgroup => Uni::Data(DataStream::Subgroup { first, stream }),
        StreamKind::Fetch => Uni::Data(DataStream::Fetch { first, stream }),
        StreamKind::Padding => {
            // Either side may cancel it (draft-22 §10.5.1): the cheapest way to discard.
            stream.stop(ResetCode::CANCELLED);
            Uni::Nothing
        }
    }
}

const EMPTY: Fault = Fault::violation("a stream ended before its type");
