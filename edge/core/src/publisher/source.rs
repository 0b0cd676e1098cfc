//! Publishers' data streams: where each stands, and what becomes of a subgroup when one ends.

use crate::DropReason;
use crate::id::{InStreamId, SessionId, TrackId};
use crate::relay::Relay;
use crate::subscriber::fanout::Span;
use crate::timer::Timer;
use crate::track::subgroup::State;
use bytes::Bytes;
use meridian_wire::data::{SubgroupDecoder, SubgroupHeader};
use meridian_wire::{ResetCode, WireError};
use std::time::Instant;

/// A data stream of a publisher.
#[derive(Debug)]
pub(crate) struct InStream {
    pub(crate) session: SessionId,
    /// It is made of what was fetched of the group in progress.
    pub(crate) is_fetched: bool,
    pub(crate) decoder: SubgroupDecoder,
    pub(crate) place: Place,
    /// Chunks that wait for the alias to be named.
    pub(crate) held: Vec<Bytes>,
    pub(crate) held_bytes: usize,
    pub(crate) held_end: bool,
}

#[derive(Debug)]
pub(crate) enum Place {
    /// The header is not there yet.
    Start,
    /// Nobody has named this alias yet.
    Waiting(SubgroupHeader),
    /// The header is there, no object yet.
    Ready(TrackId, SubgroupHeader),
    /// In a subgroup.
    Feeding(Feed),
    /// There is no place for the rest: each object is counted.
    Dropping(DropReason),
    /// Nobody looks at the rest.
    Ignored,
}

/// Where a stream stands in a subgroup.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Feed {
    pub(crate) track: TrackId,
    pub(crate) group: u64,
    pub(crate) subgroup: u64,
    /// The stream's objects carry a properties field.
    pub(crate) has_properties: bool,
    /// The last object this stream began.
    pub(crate) object: Option<u64>,
    /// Whether the log has that object; what it has not is not taken.
    pub(crate) is_taken: bool,
    /// Bytes of its payload this stream has brought.
    pub(crate) offset: u64,
}

/// What one call has changed in a stream's subgroup.
#[derive(Debug, Default)]
pub(crate) struct News {
    pub(crate) appended: Option<Span>,
    /// The stream can bring the subgroup no further.
    pub(crate) lost: Option<Feed>,
}

impl Relay {
    /// A publisher's stream ended in a reset.
    pub fn handle_stream_reset(&mut self, stream: InStreamId, code: ResetCode, now: Instant) {
        self.stream_lost(stream, Some(code), now);
    }

    /// A stream is gone: by a reset of the publisher's with this code, or with its session.
    pub(crate) fn stream_lost(
        &mut self,
        stream: InStreamId,
        code: Option<ResetCode>,
        now: Instant,
    ) {
        let Some(source) = self.in_streams.get(stream) else {
            return;
        };
        match source.place {
            Place::Feeding(feed) => self.source_lost(stream, feed, code, now),
            Place::Waiting(_) | Place::Ready(..) => self.counters.drop(DropReason::SourceReset, 1),
            Place::Start | Place::Dropping(_) | Place::Ignored => {}
        }
        self.forget_stream(stream);
    }

    /// A stream will bring no more, and it is not known whether its subgroup goes on: the subgroup stays open for whoever
    /// brings its next object.
    pub fn handle_stream_left(&mut self, stream: InStreamId) {
        if let Some(Place::Feeding(feed)) = self.in_streams.get(stream).map(|source| &source.place)
            && let Some(track) = self.tracks.get_mut(feed.track)
            && let Some(held) = track.cache.subgroup_mut(feed.group, feed.subgroup)
        {
            held.sources.retain(|source| *source != stream);
        }
        self.forget_stream(stream);
    }

    /// A publisher's stream ended with FIN.
    pub(crate) fn source_ended(
        &mut self,
        id: InStreamId,
        source: &InStream,
        news: &mut News,
    ) -> Result<(), WireError> {
        if matches!(source.place, Place::Ignored) {
            return Ok(());
        }
        if !source.decoder.is_at_boundary() {
            let what = "a stream ended in the middle of an object";
            return Err(WireError::violation(what));
        }
        let Place::Feeding(feed) = source.place else {
            return Ok(());
        };
        let Some(track) = self.tracks.get_mut(feed.track) else {
            return Ok(());
        };
        let Some(held) = track.cache.subgroup_mut(feed.group, feed.subgroup) else {
            return Ok(());
        };
        if held.state != State::Open {
            held.sources.retain(|source| *source != id);
            return Ok(());
        }
        let last = held.last().map(|last| last.header.id);
        let has_all = feed.is_taken && last == feed.object;
        let is_alone = held.sources.iter().all(|source| *source == id);
        if has_all || (is_alone && held.is_at_boundary()) {
            held.sources.retain(|source| *source != id);
            held.state = State::Complete;
            news.appended.get_or_insert(feed.span(held.end()));
        } else {
            news.lost = Some(feed);
        }
        Ok(())
    }

    /// A publisher's stream is gone without FIN. Another publisher may go on from where it stopped; so may the same one
    /// when it comes back, unless it has reset the stream itself, with a `code`.
    pub(crate) fn source_lost(
        &mut self,
        id: InStreamId,
        feed: Feed,
        code: Option<ResetCode>,
        now: Instant,
    ) {
        let has_other = self.has_other_upstream(feed.track, id);
        let Some(track) = self.tracks.get_mut(feed.track) else {
            return;
        };
        let Some(held) = track.cache.subgroup_mut(feed.group, feed.subgroup) else {
            return;
        };
        held.sources.retain(|source| *source != id);
        if held.state != State::Open || !held.sources.is_empty() {
            return;
        }
        match code {
            Some(code) if !has_other => {
                self.break_off(feed.track, feed.group, feed.subgroup, code, now);
            }
            _ => {
                let at = now + self.config.stalled_after;
                self.timers
                    .set(at, Timer::Stalled(feed.track, feed.group, feed.subgroup));
            }
        }
    }

    /// Nobody has gone on with a subgroup whose source was lost.
    pub(crate) fn stalled_due(&mut self, track: TrackId, group: u64, subgroup: u64, now: Instant) {
        let held = self
            .tracks
            .get(track)
            .and_then(|track| track.cache.subgroup(group, subgroup));
        if held.is_some_and(|held| held.state == State::Open && held.sources.is_empty()) {
            self.break_off(track, group, subgroup, ResetCode::INTERNAL_ERROR, now);
        }
    }

    fn break_off(
        &mut self,
        track: TrackId,
        group: u64,
        subgroup: u64,
        code: ResetCode,
        now: Instant,
    ) {
        let cache = &mut self.tracks[track].cache;
        if let Some(held) = cache.subgroup_mut(group, subgroup) {
            held.state = State::Broken(code);
            let from = held.end();
            self.counters.drop(DropReason::SourceReset, 1);
            let span = Span {
                track,
                group,
                subgroup,
                from,
                objects: 0,
            };
            self.fan_out(span, now);
        }
    }

    pub(crate) fn forget_stream(&mut self, stream: InStreamId) {
        let Some(source) = self.in_streams.remove(stream) else {
            return;
        };
        if let Some(peer) = self.sessions.get_mut(source.session) {
            peer.in_streams.remove(&stream);
            if !peer.waiting.is_empty() {
                peer.waiting.retain(|waiting| *waiting != stream);
            }
        }
    }
}

impl InStream {
    pub(crate) fn new(session: SessionId) -> InStream {
        InStream {
            session,
            is_fetched: false,
            decoder: SubgroupDecoder::new(),
            place: Place::Start,
            held: Vec::new(),
            held_bytes: 0,
            held_end: false,
        }
    }
}

impl Feed {
    #[inline]
    pub(crate) fn span(&self, from: usize) -> Span {
        let Feed {
            track,
            group,
            subgroup,
            ..
        } = *self;
        Span {
            track,
            group,
            subgroup,
            from,
            objects: 0,
        }
    }
}
