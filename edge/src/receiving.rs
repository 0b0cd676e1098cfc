//! Data from publishers: streams and datagrams, handed to the relay as soon as they are there.

use crate::worker::Worker;
use bytes::Bytes;
use meridian_relay::{InStreamId, SessionId};
use meridian_session::session::{DataStream, Session, SessionError};
use meridian_session::transport::{RecvStream, StreamError, TryRead};
use meridian_wire::{ResetCode, WireError};
use smallvec::SmallVec;
use std::time::Instant;
use tokio::sync::oneshot;

/// The most one read takes.
pub(crate) const MAX_CHUNK: usize = 64 * 1024;
/// Chunks handed to the relay at once; more are a further turn, so that one stream does not hold up the rest.
const MAX_CHUNKS: usize = 16;

pub(crate) type Chunks = SmallVec<[Bytes; 4]>;

/// Takes the peer's streams until the session ends.
pub(crate) async fn take_data(worker: &Worker, session: &Session, id: SessionId) -> SessionError {
    loop {
        match session.accept_data().await {
            Ok(DataStream::Subgroup { first, stream }) => begin(worker, session, id, first, stream),
            Ok(DataStream::Fetch { first, stream }) => {
                crate::fetched::begin(worker, session, id, first, stream);
            }
            Err(error) => return error,
        }
    }
}

/// Takes the peer's datagrams until the session ends.
pub(crate) async fn take_datagrams(
    worker: &Worker,
    session: &Session,
    id: SessionId,
) -> SessionError {
    loop {
        match session.accept_datagram().await {
            Ok(object) => {
                let now = Instant::now();
                worker.state(|state| {
                    state.relay.handle_datagram(id, object, now);
                    state.stats.passed_on(now);
                });
            }
            Err(error) => return error,
        }
    }
}

/// A stream that is there as a whole, as with audio, is done with here; a longer one gets a task.
fn begin(worker: &Worker, session: &Session, id: SessionId, first: Bytes, mut stream: RecvStream) {
    let now = Instant::now();
    let Some(source) = worker.relay(|relay| relay.accept_stream(id)) else {
        return;
    };
    let mut chunks = Chunks::new();
    chunks.push(first);
    let more = gather(&mut stream, &mut chunks);
    if !hand_over(worker, session, source, &chunks, more, now) {
        return;
    }
    let (stop, stopped) = oneshot::channel();
    worker.state(|state| state.reading.insert(source, stop));
    let (worker, session) = (worker.clone(), session.clone());
    tokio::task::spawn_local(async move {
        tokio::select! {
            () = read_on(&worker, &session, source, &mut stream) => {}
            Ok(code) = stopped => stream.stop(code),
        }
        worker.state(|state| state.reading.remove(source));
    });
}

async fn read_on(worker: &Worker, session: &Session, source: InStreamId, stream: &mut RecvStream) {
    loop {
        let mut chunks = Chunks::new();
        let more = match stream.read_chunk(MAX_CHUNK).await {
            Ok(Some(chunk)) => {
                chunks.push(chunk);
                gather(stream, &mut chunks)
            }
            Ok(None) => Read::Fin,
            Err(StreamError::Reset(code)) => Read::Reset(code),
            Err(_) => Read::Reset(ResetCode::SESSION_CLOSED),
        };
        if !hand_over(worker, session, source, &chunks, more, Instant::now()) {
            return;
        }
    }
}

/// What follows the chunks that were there.
pub(crate) enum Read {
    More,
    Fin,
    Reset(ResetCode),
}

/// Reads what is there without waiting.
pub(crate) fn gather(stream: &mut RecvStream, chunks: &mut Chunks) -> Read {
    while chunks.len() < MAX_CHUNKS {
        match stream.try_read_chunk(MAX_CHUNK) {
            Ok(TryRead::Chunk(chunk)) => chunks.push(chunk),
            Ok(TryRead::Fin) => return Read::Fin,
            Ok(TryRead::Pending) => return Read::More,
            Err(StreamError::Reset(code)) => return Read::Reset(code),
            Err(_) => return Read::Reset(ResetCode::SESSION_CLOSED),
        }
    }
    Read::More
}

/// Gives the relay what was read. Whether the stream is to be read on.
fn hand_over(
    worker: &Worker,
    session: &Session,
    source: InStreamId,
    chunks: &[Bytes],
    after: Read,
    since: Instant,
) -> bool {
    let result: Result<(), WireError> = worker.state(|state| {
        let end = matches!(after, Read::Fin);
        if !chunks.is_empty() || end {
            state.relay.handle_stream(source, chunks, end, since)?;
        }
        if let Read::Reset(code) = after {
            state.relay.handle_stream_reset(source, code, since);
        }
        Ok(())
    });
    worker.state(|state| {
        state.stats.passed_on(since);
        if let Some(properties) = state.relay.take_arrival() {
            state.stats.arrived(&properties);
        }
    });
    if let Err(error) = result {
        session.close(error.code, error.what);
        return false;
    }
    matches!(after, Read::More)
}
