//! Data from publishers: streams and datagrams, handed to the relay as soon as they are there.

use crate::worker::{State, Worker};
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
                worker.relay(|relay| relay.handle_datagram(id, object, now));
                worker.look(|state| state.passes_on(now));
            }
            Err(error) => return error,
        }
    }
}

/// A stream that is there as a whole, as with audio, is done with here; a longer one gets a task.
fn begin(worker: &Worker, session: &Session, id: SessionId, first: Bytes, mut stream: RecvStream) {
    let since = Instant::now();
    let mut chunks = Chunks::new();
    chunks.push(first);
    let after = gather(&mut stream, &mut chunks);
    let rest = matches!(after, Read::More).then(oneshot::channel);
    let (stop, stopped) = rest.unzip();
    let begun = worker.state(|state| {
        let source = state.relay.accept_stream(id)?;
        if let Some(stop) = stop {
            state.reading.insert(source, stop);
        }
        Some((source, state.take_in(source, &chunks, &after, since)))
    });
    let Some((source, taken)) = begun else {
        return;
    };
    settle(worker, session, taken, since);
    if let Some(stopped) = stopped {
        tokio::task::spawn_local(read(
            worker.clone(),
            session.clone(),
            source,
            stream,
            stopped,
        ));
    }
}

async fn read(
    worker: Worker,
    session: Session,
    source: InStreamId,
    mut stream: RecvStream,
    stopped: oneshot::Receiver<ResetCode>,
) {
    tokio::select! {
        () = read_on(&worker, &session, source, &mut stream) => {}
        Ok(code) = stopped => stream.stop(code),
    }
    worker.look(|state| state.reading.remove(source));
}

async fn read_on(worker: &Worker, session: &Session, source: InStreamId, stream: &mut RecvStream) {
    loop {
        let mut chunks = Chunks::new();
        let after = match stream.read_chunk(MAX_CHUNK).await {
            Ok(Some(chunk)) => {
                chunks.push(chunk);
                gather(stream, &mut chunks)
            }
            Ok(None) => Read::Fin,
            Err(StreamError::Reset(code)) => Read::Reset(code),
            Err(_) => Read::Reset(ResetCode::SESSION_CLOSED),
        };
        let since = Instant::now();
        let taken = worker.state(|state| state.take_in(source, &chunks, &after, since));
        if !settle(worker, session, taken, since) || !matches!(after, Read::More) {
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

impl State {
    /// Gives the relay what was read.
    fn take_in(
        &mut self,
        source: InStreamId,
        chunks: &[Bytes],
        after: &Read,
        now: Instant,
    ) -> Result<(), WireError> {
        let end = matches!(after, Read::Fin);
        if !chunks.is_empty() || end {
            self.relay.handle_stream(source, chunks, end, now)?;
        }
        if let Read::Reset(code) = after {
            self.relay.handle_stream_reset(source, *code, now);
        }
        Ok(())
    }
}

/// Measures what has just been passed on, or closes the session of who broke the protocol. Whether that is fine.
fn settle(
    worker: &Worker,
    session: &Session,
    taken: Result<(), WireError>,
    since: Instant,
) -> bool {
    worker.look(|state| {
        state.passes_on(since);
        if let Some(properties) = state.relay.take_arrival() {
            state.stats.arrived(&properties);
        }
    });
    if let Err(error) = &taken {
        session.close(error.code, error.what);
    }
    taken.is_ok()
}
