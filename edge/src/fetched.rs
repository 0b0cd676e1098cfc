//! The data streams of fetches of ours: handed to the relay as they come, and read no further than it has room.

use crate::joined::{self, Joining};
use crate::receiving::{Chunks, MAX_CHUNK, Read, gather};
use crate::worker::Worker;
use bytes::{Bytes, BytesMut};
use meridian_relay::{InStreamId, SessionId};
use meridian_session::session::Session;
use meridian_session::transport::{RecvStream, StreamError};
use meridian_wire::data::FetchHeader;
use meridian_wire::{ResetCode, WireError};
use std::time::Instant;
use tokio::sync::oneshot;

/// Reads a fetch stream in a task of its own.
pub(crate) fn begin(
    worker: &Worker,
    session: &Session,
    id: SessionId,
    first: Bytes,
    stream: RecvStream,
) {
    let (worker, session) = (worker.clone(), session.clone());
    tokio::task::spawn_local(async move {
        match enter(&worker, id, first, stream).await {
            Ok(Entered::Fetch(source, first, stream)) => {
                read(&worker, &session, source, first, stream).await;
            }
            Ok(Entered::Joined(joining, first, stream)) => {
                joined::read(&worker, &session, id, joining, first, stream).await;
            }
            Ok(Entered::Nowhere) => {}
            Err(error) => session.close(error.code, error.what),
        }
    });
}

/// What a stream answers, with what has been read of it.
enum Entered {
    /// A fetch of the relay's.
    Fetch(InStreamId, Bytes, RecvStream),
    /// A joining fetch.
    Joined(Joining, Bytes, RecvStream),
    /// Nothing that anybody waits for.
    Nowhere,
}

/// Finds the request that the stream names.
async fn enter(
    worker: &Worker,
    id: SessionId,
    first: Bytes,
    mut stream: RecvStream,
) -> Result<Entered, WireError> {
    let mut seen = first;
    let header = loop {
        if let Some((header, _)) = FetchHeader::decode(&seen)? {
            break header;
        }
        // A header cut in two, which is a few bytes long.
        let Ok(Some(more)) = stream.read_chunk(MAX_CHUNK).await else {
            return Ok(Entered::Nowhere);
        };
        let mut joined = BytesMut::from(&seen[..]);
        joined.extend_from_slice(&more);
        seen = joined.freeze();
    };
    let asked = header.request_id;
    let joined = worker.state(|state| state.links.get_mut(id)?.joining.remove(&asked));
    if let Some(joining) = joined {
        return Ok(Entered::Joined(joining, seen, stream));
    }
    let source = worker.state(|state| {
        let request = *state.links.get(id)?.fetches.get(&asked)?;
        state.relay.accept_fetch_stream(id, request)
    });
    match source {
        Some(source) => Ok(Entered::Fetch(source, seen, stream)),
        None => {
            stream.stop(ResetCode::CANCELLED);
            Ok(Entered::Nowhere)
        }
    }
}

async fn read(
    worker: &Worker,
    session: &Session,
    source: InStreamId,
    first: Bytes,
    mut stream: RecvStream,
) {
    let (stop, stopped) = oneshot::channel();
    worker.state(|state| state.reading.insert(source, stop));
    tokio::select! {
        () = read_on(worker, session, source, first, &mut stream) => {}
        Ok(code) = stopped => stream.stop(code),
    }
    worker.state(|state| {
        state.reading.remove(source);
        state.paused.remove(source);
    });
}

async fn read_on(
    worker: &Worker,
    session: &Session,
    source: InStreamId,
    first: Bytes,
    stream: &mut RecvStream,
) {
    let mut chunks = Chunks::new();
    chunks.push(first);
    let mut after = gather(stream, &mut chunks);
    loop {
        match hand_over(worker, source, &chunks, &after) {
            Ok(Next::Read) => {}
            Ok(Next::Wait(resumed)) => {
                if resumed.await.is_err() {
                    return;
                }
            }
            Ok(Next::Over) => return,
            Err(error) => return session.close(error.code, error.what),
        }
        chunks.clear();
        after = match stream.read_chunk(MAX_CHUNK).await {
            Ok(Some(chunk)) => {
                chunks.push(chunk);
                gather(stream, &mut chunks)
            }
            Ok(None) => Read::Fin,
            Err(StreamError::Reset(code)) => Read::Reset(code),
            Err(_) => Read::Reset(ResetCode::SESSION_CLOSED),
        };
    }
}

/// What to do after the relay has been given what was there.
enum Next {
    Read,
    /// The relay has no room for more, until this says so.
    Wait(oneshot::Receiver<()>),
    Over,
}

fn hand_over(
    worker: &Worker,
    source: InStreamId,
    chunks: &[Bytes],
    after: &Read,
) -> Result<Next, WireError> {
    let now = Instant::now();
    worker.state(|state| {
        let end = matches!(after, Read::Fin);
        let mut more = true;
        if !chunks.is_empty() || end {
            more = state.relay.handle_fetch_stream(source, chunks, end, now)?;
        }
        if matches!(after, Read::Reset(_)) {
            state.relay.handle_fetch_stream_reset(source, now);
        }
        if !matches!(after, Read::More) {
            return Ok(Next::Over);
        }
        if more {
            return Ok(Next::Read);
        }
        let (resume, resumed) = oneshot::channel();
        state.paused.insert(source, resume);
        Ok(Next::Wait(resumed))
    })
}
