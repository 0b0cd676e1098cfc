//! What comes on the data streams of fetches of ours: through a bounded window to the subscriber, and whole objects to be
//! kept besides.

use crate::Command;
use crate::id::{InStreamId, OutRequestId, SessionId};
use crate::past::fetching::{Ended, Fetching, Piece};
use crate::past::held::Kept;
use crate::past::stretch::Stretch;
use crate::relay::Relay;
use bytes::Bytes;
use meridian_wire::data::{FetchEvent, RangeGap};
use meridian_wire::{Location, RequestErrorCode, ResetCode, WireError};
use smallvec::SmallVec;
use std::time::Instant;

impl Relay {
    /// A publisher opened the data stream of a fetch of ours. Its chunks follow, from the first byte. `None`: nobody
    /// waits for it (any more).
    pub fn accept_fetch_stream(
        &mut self,
        session: SessionId,
        request: OutRequestId,
    ) -> Option<InStreamId> {
        let fetch = self.fetches.get(request)?;
        if fetch.session != session || fetch.input.is_some() {
            return None;
        }
        let input = self.accept_stream(session)?;
        self.fetches[request].input = Some(input);
        self.fetch_inputs.insert(input, request);
        Some(input)
    }

    /// The next chunks of a fetch stream, in order, and whether its FIN follows them. Whether to read on: if not, the
    /// shell waits for [`Command::Resume`].
    ///
    /// # Errors
    ///
    /// The peer broke the protocol: the shell closes its session with the error's code.
    pub fn handle_fetch_stream(
        &mut self,
        stream: InStreamId,
        chunks: &[Bytes],
        end: bool,
        now: Instant,
    ) -> Result<bool, WireError> {
        let Some(&request) = self.fetch_inputs.get(stream) else {
            return Ok(true);
        };
        let result = self.take_fetched(request, chunks, end, now);
        if end || result.is_err() {
            self.fetch_inputs.remove(stream);
            self.handle_stream_reset(stream, ResetCode::CANCELLED, now);
            if let Some(fetch) = self.fetches.get_mut(request) {
                fetch.input = None;
            }
        }
        if result.is_err() {
            self.fetch_failed(request, RequestErrorCode::INTERNAL_ERROR, now);
        }
        result?;
        let Some(fetch) = self.fetches.get_mut(request) else {
            return Ok(true);
        };
        let waiting = fetch.stream;
        fetch.is_paused = !end && fetch.window_bytes > self.config.fetch_window;
        self.serve(waiting, now);
        Ok(self
            .fetches
            .get(request)
            .is_none_or(|fetch| !fetch.is_paused))
    }

    /// A fetch stream ended in a reset.
    pub fn handle_fetch_stream_reset(&mut self, stream: InStreamId, now: Instant) {
        let Some(request) = self.fetch_inputs.remove(stream) else {
            return;
        };
        self.handle_stream_reset(stream, ResetCode::CANCELLED, now);
        if let Some(fetch) = self.fetches.get_mut(request) {
            fetch.input = None;
        }
        self.fetch_failed(request, RequestErrorCode::INTERNAL_ERROR, now);
    }

    /// Whether there is something to hand on, if only the end.
    pub(crate) fn has_fetched(&self, request: OutRequestId) -> bool {
        self.fetches.get(request).is_some_and(|fetch| {
            !fetch.window.is_empty() || (fetch.is_answered && fetch.ended == Some(Ended::Done))
        })
    }

    /// Takes the next piece out of the window.
    pub(crate) fn next_fetched(&mut self, request: OutRequestId) -> Option<Piece> {
        let fetch = self.fetches.get_mut(request)?;
        let piece = fetch.window.pop_front()?;
        fetch.window_bytes -= piece.cost();
        if fetch.is_paused && fetch.window_bytes <= self.config.fetch_window / 2 {
            fetch.is_paused = false;
            if let Some(stream) = fetch.input {
                let session = fetch.session;
                self.commands.push_back(Command::Resume { session, stream });
            }
        }
        Some(piece)
    }

    /// How the fetch ended, once its answer has come too.
    pub(crate) fn fetch_end(&self, request: OutRequestId) -> Option<Ended> {
        let Some(fetch) = self.fetches.get(request) else {
            return Some(Ended::Failed(RequestErrorCode::INTERNAL_ERROR));
        };
        fetch
            .ended
            .filter(|ended| fetch.is_answered || *ended != Ended::Done)
    }

    fn take_fetched(
        &mut self,
        request: OutRequestId,
        chunks: &[Bytes],
        end: bool,
        now: Instant,
    ) -> Result<(), WireError> {
        for chunk in chunks {
            let Some(fetch) = self.fetches.get_mut(request) else {
                return Ok(());
            };
            fetch.decoder.push(chunk.clone());
            while let Some(event) = self.next_fetch_event(request)? {
                self.take_fetch_event(request, event, now);
            }
        }
        let Some(fetch) = self.fetches.get_mut(request).filter(|_| end) else {
            return Ok(());
        };
        if !fetch.decoder.is_at_boundary() {
            return Err(WireError::violation(
                "a fetch stream ended in the middle of an object",
            ));
        }
        if fetch.ended.is_none() {
            fetch.ended = Some(Ended::Done);
        }
        if let Some(last) = fetch.stretch.map(|stretch| stretch.last()) {
            self.now_known(request, last);
        }
        Ok(())
    }

    fn next_fetch_event(&mut self, request: OutRequestId) -> Result<Option<FetchEvent>, WireError> {
        match self.fetches.get_mut(request) {
            Some(fetch) => fetch.decoder.poll(),
            None => Ok(None),
        }
    }

    fn take_fetch_event(&mut self, request: OutRequestId, event: FetchEvent, now: Instant) {
        let limit = self.config.past_bytes as u64;
        let Some(fetch) = self.fetches.get_mut(request) else {
            return;
        };
        if fetch.ended.is_some() {
            return;
        }
        match event {
            FetchEvent::Header(_) => {}
            FetchEvent::Object {
                header,
                wire,
                head_len,
            } => {
                if !fetch.goes_on_at(Location::new(header.group, header.object)) {
                    fetch.ended = Some(Ended::Failed(RequestErrorCode::INTERNAL_ERROR));
                    return;
                }
                fetch.push(Piece::Object(header.clone()));
                // One that is too large to be kept is only handed through.
                fetch.object = (header.payload_len <= limit).then(|| Kept {
                    head: header,
                    payload: SmallVec::new(),
                    at: now,
                });
                fetch.push_payload(wire.slice(head_len..));
            }
            FetchEvent::Payload(payload) => fetch.push_payload(payload),
            FetchEvent::ObjectEnd => {
                fetch.push(Piece::End);
                let object = fetch.object.take();
                if let Some(at) = fetch.last {
                    self.keep(request, at, object);
                }
            }
            FetchEvent::EndOfRange { kind, end } => self.take_gap(request, kind, end),
        }
    }

    fn take_gap(&mut self, request: OutRequestId, kind: RangeGap, end: Location) {
        let Some(fetch) = self.fetches.get_mut(request) else {
            return;
        };
        let end = match fetch.stretch {
            Some(stretch) if stretch.is_before(stretch.last(), end) => stretch.last(),
            _ => end,
        };
        if !fetch.goes_on_at(end) {
            fetch.ended = Some(Ended::Failed(RequestErrorCode::INTERNAL_ERROR));
            return;
        }
        fetch.push(Piece::Gap(kind, end));
        if kind == RangeGap::NonExistent {
            self.now_known(request, end);
        } else {
            fetch.move_cursor(end);
        }
    }

    /// Keeps the object at `at`, which has come whole, if there is room.
    fn keep(&mut self, request: OutRequestId, at: Location, object: Option<Kept>) {
        self.now_known(request, at);
        let Some(fetch) = self.fetches.get(request) else {
            return;
        };
        let Some(track) = self.tracks.get_mut(fetch.track) else {
            return;
        };
        let before = track.past.bytes();
        if let Some(object) = object
            && self.cached_bytes <= self.config.cache_bytes
        {
            track.past.keep(object, self.config.past_bytes);
        }
        self.cached_bytes = self.cached_bytes + track.past.bytes() - before;
        if !track.past.has(at) {
            track.past.forget(at);
        }
    }

    /// Everything that exists up to `to` has come.
    fn now_known(&mut self, request: OutRequestId, to: Location) {
        let Some(fetch) = self.fetches.get_mut(request) else {
            return;
        };
        let (from, stretch) = (fetch.cursor, fetch.stretch);
        fetch.move_cursor(to);
        let (Some(from), Some(stretch)) = (from, stretch) else {
            return;
        };
        let is_ahead = from == to || stretch.is_before(from, to);
        if let Some(track) = self.tracks.get_mut(fetch.track).filter(|_| is_ahead) {
            for (from, to) in stretch.spans(from, to) {
                track.past.note_known(from, to);
            }
        }
    }
}

impl Fetching {
    fn push(&mut self, piece: Piece) {
        self.window_bytes += piece.cost();
        self.window.push_back(piece);
    }

    fn push_payload(&mut self, payload: Bytes) {
        if payload.is_empty() {
            return;
        }
        if let Some(object) = &mut self.object {
            object.payload.push(payload.clone());
        }
        self.push(Piece::Payload(payload));
    }

    /// Notes where the stream is; whether that is in order and within what was asked for.
    fn goes_on_at(&mut self, at: Location) -> bool {
        let whole = Stretch {
            start: Location::default(),
            end: Location::new(u64::MAX, u64::MAX),
            order: self.order,
        };
        let stretch = self.stretch.unwrap_or(whole);
        let follows = self.last.is_none_or(|last| stretch.is_before(last, at));
        self.last = Some(at);
        follows && stretch.contains(at)
    }

    fn move_cursor(&mut self, past: Location) {
        self.cursor = self.stretch.and_then(|stretch| stretch.after(past));
    }
}

impl Piece {
    /// What it counts for in the window.
    fn cost(&self) -> usize {
        match self {
            Piece::Object(head) => 64 + head.properties.len(),
            Piece::Payload(bytes) => bytes.len(),
            Piece::End | Piece::Gap(..) => 16,
        }
    }
}
