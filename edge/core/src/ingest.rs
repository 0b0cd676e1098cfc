//! What publishers send: from a stream's chunks to the track's cache, and on to the fan-out.
//!
//! Copies of one subgroup from several publishers are merged byte by byte: whichever is ahead feeds the log, the others
//! follow it and are compared. If the one ahead stalls, the next goes on from the same byte.

use crate::cache::OBJECT_OVERHEAD;
use crate::fanout::Span;
use crate::id::{InStreamId, SessionId, TrackId};
use crate::relay::Relay;
use crate::subgroup::{Head, State, Subgroup};
use crate::timer::Timer;
use crate::{Command, DropReason};
use bytes::Bytes;
use meridian_wire::data::{SubgroupDecoder, SubgroupEvent, SubgroupHeader, SubgroupId};
use meridian_wire::{Location, ResetCode, WireError};
use std::time::Instant;

/// A data stream of a publisher.
#[derive(Debug)]
pub(crate) struct InStream {
    pub(crate) session: SessionId,
    decoder: SubgroupDecoder,
    place: Place,
    /// Chunks that wait for the alias to be named.
    held: Vec<Bytes>,
    held_bytes: usize,
    held_end: bool,
}

#[derive(Debug)]
enum Place {
    /// The header is not there yet.
    Start,
    /// Nobody has named this alias yet.
    Waiting(SubgroupHeader),
    /// The header is there, no object yet.
    Ready(TrackId, SubgroupHeader),
    /// In a subgroup.
    Feeding(Feed),
    /// Nobody wants the rest.
    Discarding,
}

/// Where a stream stands in a subgroup.
#[derive(Clone, Copy, Debug)]
struct Feed {
    track: TrackId,
    group: u64,
    subgroup: u64,
    /// The last object this stream began.
    object: Option<u64>,
    /// Its index in the log; `None`: the log does not take this object.
    index: Option<usize>,
    /// Bytes of its payload this stream has brought.
    offset: u64,
}

/// What one call has appended so far.
type Appended = Option<Span>;

impl Relay {
    /// A peer opened a data stream that begins with a subgroup header. Its chunks follow, from the first byte.
    pub fn accept_stream(&mut self, session: SessionId) -> Option<InStreamId> {
        let peer = self.sessions.get_mut(session)?;
        let stream = self.in_streams.insert(InStream::new(session));
        peer.in_streams.insert(stream);
        Some(stream)
    }

    /// The next chunks of a stream, in order, and whether its FIN follows them.
    ///
    /// This is the hot path: decode, append, hand out. An error means that the peer broke the protocol: the shell closes
    /// its session with the error's code.
    pub fn handle_stream(
        &mut self,
        stream: InStreamId,
        chunks: &[Bytes],
        end: bool,
        now: Instant,
    ) -> Result<(), WireError> {
        let Some(slot) = self.in_streams.get_mut(stream) else {
            return Ok(());
        };
        let vacant = InStream::new(slot.session);
        let mut source = std::mem::replace(slot, vacant);
        let result = self.take_in(stream, &mut source, chunks, end, now);
        let is_over = result.is_err() || (end && !matches!(source.place, Place::Waiting(_)));
        if let Some(slot) = self.in_streams.get_mut(stream) {
            *slot = source;
        }
        if is_over {
            self.forget_stream(stream);
        }
        result
    }

    /// A publisher's stream ended in a reset.
    pub fn handle_stream_reset(&mut self, stream: InStreamId, code: ResetCode, now: Instant) {
        let Some(source) = self.in_streams.get(stream) else {
            return;
        };
        if let Place::Feeding(feed) = source.place {
            self.source_lost(stream, feed, code, now);
        }
        self.forget_stream(stream);
    }

    /// A response has named `alias`: streams that waited for it go on.
    pub(crate) fn alias_named(&mut self, session: SessionId, alias: u64, now: Instant) {
        let Some(peer) = self.sessions.get_mut(session) else {
            return;
        };
        for stream in std::mem::take(&mut peer.waiting) {
            let Some(slot) = self.in_streams.get_mut(stream) else {
                continue;
            };
            if !matches!(slot.place, Place::Waiting(header) if header.track_alias == alias) {
                self.sessions[session].waiting.push(stream);
                continue;
            }
            let (held, end) = (std::mem::take(&mut slot.held), slot.held_end);
            if let Err(error) = self.handle_stream(stream, &held, end, now) {
                self.close(session, error);
                return;
            }
        }
    }

    /// A stream has waited long enough for its alias.
    pub(crate) fn waiting_due(&mut self, stream: InStreamId) {
        let Some(source) = self.in_streams.get(stream) else {
            return;
        };
        if matches!(source.place, Place::Waiting(_)) {
            self.give_up(stream, DropReason::UnknownAlias);
        }
    }

    fn take_in(
        &mut self,
        id: InStreamId,
        source: &mut InStream,
        chunks: &[Bytes],
        end: bool,
        now: Instant,
    ) -> Result<(), WireError> {
        if let Place::Waiting(header) = source.place {
            let Some(track) = self.track_by_alias(source.session, header.track_alias) else {
                self.hold(id, source, chunks, end);
                return Ok(());
            };
            source.place = Place::Ready(track, header);
        }
        let mut appended = None;
        let mut rest = chunks.iter();
        loop {
            while let Some(event) = self.next_event(source)? {
                self.take_event(id, source, event, &mut appended, now);
            }
            let Some(chunk) = rest.next() else {
                break;
            };
            if matches!(source.place, Place::Waiting(_)) {
                self.hold(id, source, std::slice::from_ref(chunk), end);
                continue;
            }
            source.decoder.push(chunk.clone());
        }
        source.held_end |= end;
        if end && !matches!(source.place, Place::Waiting(_)) {
            self.source_ended(id, source, &mut appended)?;
        }
        if let Some(span) = appended {
            self.fan_out(span, now);
            self.trim(span.track);
        }
        if !self.malformed.is_empty() {
            self.end_malformed(now);
        }
        Ok(())
    }

    /// The decoder's next event; none while the stream waits for its alias.
    #[inline]
    fn next_event(&self, source: &mut InStream) -> Result<Option<SubgroupEvent>, WireError> {
        if matches!(source.place, Place::Waiting(_)) {
            return Ok(None);
        }
        source.decoder.poll()
    }

    fn take_event(
        &mut self,
        id: InStreamId,
        source: &mut InStream,
        event: SubgroupEvent,
        appended: &mut Appended,
        now: Instant,
    ) {
        match event {
            SubgroupEvent::Header(header) => {
                source.place = match self.track_by_alias(source.session, header.track_alias) {
                    Some(track) => Place::Ready(track, header),
                    None => self.wait_for_alias(id, source.session, header, now),
                };
            }
            SubgroupEvent::Object {
                header,
                wire,
                head_len,
            } => {
                let head = Head {
                    header,
                    wire,
                    head_len,
                    previous: None,
                };
                self.take_object(id, source, head, appended, now);
            }
            SubgroupEvent::Payload(payload) => {
                if let Place::Feeding(feed) = &mut source.place {
                    self.take_payload(feed, payload, appended);
                }
            }
            SubgroupEvent::ObjectEnd => {}
        }
    }

    fn take_object(
        &mut self,
        id: InStreamId,
        source: &mut InStream,
        mut head: Head,
        appended: &mut Appended,
        now: Instant,
    ) {
        if let Place::Ready(track, header) = source.place {
            source.place = self.enter(id, track, header, head.header.id);
        }
        let Place::Feeding(feed) = &mut source.place else {
            return;
        };
        head.previous = feed.object;
        let Some(track) = self.tracks.get_mut(feed.track) else {
            return source.place = Place::Discarding;
        };
        let Some(held) = track.cache.subgroup_mut(feed.group, feed.subgroup) else {
            self.counters.drop(DropReason::Late, 1);
            return source.place = Place::Discarding;
        };
        let object = head.header.id;
        feed.object = Some(object);
        feed.offset = (head.wire.len() - head.head_len) as u64;
        if let Some(index) = held.find(object) {
            feed.index = Some(index);
            self.counters.duplicates += 1;
            let payload = head.wire.slice(head.head_len..);
            let same = held.objects[index].header == head.header;
            feed.offset = 0;
            return if same {
                self.take_payload(feed, payload, appended);
            } else {
                self.malformed(feed.track);
            };
        }
        let follows = held
            .last()
            .is_none_or(|last| last.is_whole() && last.header.id < object);
        if !follows || held.state == State::Complete {
            feed.index = None;
            return self.counters.drop(DropReason::Late, 1);
        }
        feed.index = Some(held.objects.len());
        let from = held.log.len();
        let bytes = head.wire.len();
        self.arrival = Some(head.header.properties.clone());
        held.begin(head, now);
        track.saw(Location {
            group: feed.group,
            object,
        });
        track.cache.grew(feed.group, bytes + OBJECT_OVERHEAD);
        self.cached_bytes += bytes + OBJECT_OVERHEAD;
        self.counters.objects_in += 1;
        self.counters.bytes_in += bytes as u64;
        let span = appended.get_or_insert(feed.span(from));
        span.objects += 1;
    }

    /// Payload of the object the stream is in: compared as far as the log has it, appended from there on.
    fn take_payload(&mut self, feed: &mut Feed, payload: Bytes, appended: &mut Appended) {
        let Some(index) = feed.index else {
            return;
        };
        let Some(track) = self.tracks.get_mut(feed.track) else {
            return;
        };
        let Some(held) = track.cache.subgroup_mut(feed.group, feed.subgroup) else {
            return;
        };
        let offset = feed.offset;
        feed.offset += payload.len() as u64;
        let known = (held.objects[index].received.saturating_sub(offset)).min(payload.len() as u64);
        if known > 0 && !held.agrees(index, offset, &payload[..known as usize]) {
            return self.malformed(feed.track);
        }
        let news = payload.slice(known as usize..);
        if news.is_empty() {
            return;
        }
        let from = held.log.len();
        let bytes = news.len();
        held.append(news);
        track.cache.grew(feed.group, bytes);
        self.cached_bytes += bytes;
        self.counters.bytes_in += bytes as u64;
        appended.get_or_insert(feed.span(from));
    }

    /// Finds or makes the subgroup a stream belongs to.
    fn enter(
        &mut self,
        id: InStreamId,
        track: TrackId,
        header: SubgroupHeader,
        first: u64,
    ) -> Place {
        let Some(entry) = self.tracks.get_mut(track) else {
            return Place::Discarding;
        };
        let subgroup = match header.subgroup {
            SubgroupId::Zero => 0,
            SubgroupId::FirstObject => first,
            SubgroupId::Explicit(id) => id,
        };
        let alias = entry.alias;
        let Some(group) = entry.cache.group_or_insert(header.group) else {
            self.counters.drop(DropReason::Late, 1);
            return Place::Discarding;
        };
        let known = group.subgroups.iter_mut().find(|held| held.id == subgroup);
        let held = match known {
            Some(held) => held,
            None => {
                let header = SubgroupHeader {
                    track_alias: alias,
                    ..header
                };
                group.subgroups.push(Subgroup::new(subgroup, header));
                group.subgroups.last_mut().expect("it was just pushed")
            }
        };
        if held.header.priority != header.priority {
            self.malformed(track);
            return Place::Discarding;
        }
        held.sources.push(id);
        Place::Feeding(Feed {
            track,
            group: header.group,
            subgroup,
            object: None,
            index: None,
            offset: 0,
        })
    }

    /// A publisher's stream ended with FIN.
    fn source_ended(
        &mut self,
        id: InStreamId,
        source: &InStream,
        appended: &mut Appended,
    ) -> Result<(), WireError> {
        if !source.decoder.is_at_boundary() {
            return Err(WireError {
                code: meridian_wire::TerminationCode::PROTOCOL_VIOLATION,
                what: "a stream ended in the middle of an object",
            });
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
        held.sources.retain(|source| *source != id);
        let last = held.last().map(|last| last.header.id);
        if held.state == State::Open && (last <= feed.object || held.sources.is_empty()) {
            held.state = State::Complete;
            appended.get_or_insert(feed.span(held.log.len()));
        }
        Ok(())
    }

    /// A publisher's stream is gone without FIN. Another may go on from where it stopped.
    fn source_lost(&mut self, id: InStreamId, feed: Feed, code: ResetCode, now: Instant) {
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
        if has_other {
            let at = now + self.config.stalled_after;
            self.timers
                .set(at, Timer::Stalled(feed.track, feed.group, feed.subgroup));
        } else {
            self.break_off(feed.track, feed.group, feed.subgroup, code, now);
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
            let from = held.log.len();
            self.counters.drop(DropReason::SourceReset, 1);
            self.fan_out(
                Span {
                    track,
                    group,
                    subgroup,
                    from,
                    objects: 0,
                },
                now,
            );
        }
    }

    fn wait_for_alias(
        &mut self,
        id: InStreamId,
        session: SessionId,
        header: SubgroupHeader,
        now: Instant,
    ) -> Place {
        let limit = self.config.waiting_streams;
        let Some(peer) = self.sessions.get_mut(session) else {
            return Place::Discarding;
        };
        if peer.waiting.len() >= limit {
            self.counters.drop(DropReason::UnknownAlias, 1);
            let code = ResetCode::EXCESSIVE_LOAD;
            self.commands.push_back(Command::Stop {
                session,
                stream: id,
                code,
            });
            return Place::Discarding;
        }
        peer.waiting.push(id);
        self.timers
            .set(now + self.config.waiting_for, Timer::Waiting(id));
        Place::Waiting(header)
    }

    fn hold(&mut self, id: InStreamId, source: &mut InStream, chunks: &[Bytes], end: bool) {
        source.held_bytes += chunks.iter().map(Bytes::len).sum::<usize>();
        source.held.extend_from_slice(chunks);
        source.held_end |= end;
        if source.held_bytes > self.config.waiting_bytes {
            source.place = Place::Discarding;
            source.held.clear();
            self.counters.drop(DropReason::UnknownAlias, 1);
            let (session, code) = (source.session, ResetCode::EXCESSIVE_LOAD);
            self.commands.push_back(Command::Stop {
                session,
                stream: id,
                code,
            });
        }
    }

    fn give_up(&mut self, stream: InStreamId, reason: DropReason) {
        self.counters.drop(reason, 1);
        let session = self.in_streams[stream].session;
        self.commands.push_back(Command::Stop {
            session,
            stream,
            code: ResetCode::CANCELLED,
        });
        self.forget_stream(stream);
    }

    fn forget_stream(&mut self, stream: InStreamId) {
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
    fn new(session: SessionId) -> InStream {
        InStream {
            session,
            decoder: SubgroupDecoder::new(),
            place: Place::Start,
            held: Vec::new(),
            held_bytes: 0,
            held_end: false,
        }
    }
}

impl Feed {
    fn span(&self, from: usize) -> Span {
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
