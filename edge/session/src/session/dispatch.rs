//! Tells the peer's unidirectional streams apart by their first bytes.
//!
//! A stream whose first bytes are there when it is accepted, as with one-packet streams, passes at once. The others wait
//! in a set of bounded size, each with a deadline; while it is full no further stream is accepted.

use super::core::{Core, lock};
use super::error::{Fault, SessionError};
use crate::transport::{Connection, RecvStream, StreamError, TryRead};
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
use tokio::time::timeout;

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
    /// Nothing for the session.
    Nothing(Nothing),
}

/// Why a stream is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nothing {
    /// HTTP/3's own.
    Foreign,
    Padding,
    /// Said too little for too long.
    Silent,
    /// Reset before it said what it is.
    Cancelled,
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
        loop {
            let next = {
                let mut accept = pin!(self.connection().accept_uni());
                poll_fn(|cx| self.poll_uni(cx, accept.as_mut())).await
            };
            let found = match next {
                Next::Accepted(Ok(stream)) => self.look_at(stream),
                Next::Accepted(Err(lost)) => return Err(self.closer.lost(lost)),
                Next::Slow(found) => found.map(Some),
            };
            match found {
                Ok(Some(Uni::Nothing(why))) => self.count(why),
                Ok(Some(uni)) => return Ok(uni),
                Ok(None) => {}
                Err(fault) => return Err(self.closer.fail(fault)),
            }
        }
    }

    fn count(&self, why: Nothing) {
        match why {
            Nothing::Foreign => {}
            Nothing::Padding => self.counters.padding.count(),
            Nothing::Silent => self.counters.silent.count(),
            Nothing::Cancelled => self.counters.cancelled.count(),
        }
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

    /// Looks at a fresh stream; `None` if it has said too little and is put aside.
    fn look_at(&self, mut stream: RecvStream) -> Result<Option<Uni>, Fault> {
        let first = match stream.try_read_chunk(MAX_CHUNK) {
            Ok(TryRead::Chunk(first)) => first,
            Ok(TryRead::Pending) => Bytes::new(),
            Ok(TryRead::Fin) => return Err(EMPTY),
            Err(error) => return Ok(Some(useless(self.connection(), stream, &error))),
        };
        match StreamKind::peek(&first)? {
            Some(kind) => Ok(Some(sorted(kind, first, stream))),
            None => {
                self.put_aside(first, stream);
                Ok(None)
            }
        }
    }

    fn put_aside(&self, first: Bytes, mut stream: RecvStream) {
        let connection = self.connection().clone();
        let patience = self.options.message_timeout;
        let slow = Box::pin(async move {
            match timeout(patience, first_bytes(&mut stream, first)).await {
                Ok(Ok(Ok((kind, first)))) => Ok(sorted(kind, first, stream)),
                Ok(Ok(Err(error))) => Ok(useless(&connection, stream, &error)),
                Ok(Err(fault)) => Err(fault),
                Err(_) => Ok(given_up(&connection, stream)),
            }
        });
        lock(&self.dispatch.slow).push(slow);
    }

    /// Keeps data that came before SETUP; beyond the bound it is refused.
    pub(super) fn keep_early(&self, data: DataStream) {
        let mut early = lock(&self.dispatch.early);
        if early.len() < self.options.max_undispatched {
            early.push_back(data);
        } else {
            self.counters.early.count();
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
                Uni::Nothing(_) => {}
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

/// Reads until the stream's kind is known, or it fails.
async fn first_bytes(
    stream: &mut RecvStream,
    first: Bytes,
) -> Result<Result<(StreamKind, Bytes), StreamError>, Fault> {
    let mut seen = BytesMut::from(&first[..]);
    loop {
        match stream.read_chunk(MAX_CHUNK).await {
            Ok(Some(chunk)) => seen.extend_from_slice(&chunk),
            Ok(None) => return Err(EMPTY),
            Err(error) => return Ok(Err(error)),
        }
        if let Some(kind) = StreamKind::peek(&seen)? {
            return Ok(Ok((kind, seen.freeze())));
        }
    }
}

/// A stream that failed before its kind was known.
fn useless(connection: &Connection, stream: RecvStream, error: &StreamError) -> Uni {
    if *error == StreamError::Foreign {
        // One too many is dropped, and thereby stopped.
        let _ = connection.keep_foreign(stream);
        return Uni::Nothing(Nothing::Foreign);
    }
    Uni::Nothing(Nothing::Cancelled)
}

/// A stream whose kind did not become known in time.
///
/// Browsers reserve QPACK streams before those of the session, and say nothing on them until they have to. Stopping one
/// ends the connection (RFC 9204 §4.2).
fn given_up(connection: &Connection, stream: RecvStream) -> Uni {
    let kept = match stream.expects_header() {
        true => connection.keep_foreign(stream),
        false => Err(stream),
    };
    match kept {
        Ok(()) => Uni::Nothing(Nothing::Foreign),
        Err(mut stream) => {
            stream.stop(ResetCode::CANCELLED);
            Uni::Nothing(Nothing::Silent)
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
            Uni::Nothing(Nothing::Padding)
        }
    }
}

const EMPTY: Fault = Fault::violation("a stream ended before its type");
