//! What publishers send: from a stream's chunks to the track's cache, and on to the fan-out.
//!
//! Copies of one subgroup from several publishers are merged byte by byte: whichever is ahead feeds the log, the others
//! follow it and are compared. If the one ahead stalls, the next goes on from the same byte.

use crate::DropReason;
use crate::id::{InStreamId, SessionId, TrackId};
use crate::publisher::source::{Feed, InStream, News, Place};
use crate::relay::Relay;
use crate::track::cache::OBJECT_OVERHEAD;
use crate::track::subgroup::{Head, Subgroup, is_same};
use bytes::Bytes;
use meridian_wire::data::{SubgroupEvent, SubgroupHeader};
use meridian_wire::{Location, ResetCode, WireError};
use std::time::Instant;

impl Relay {
    /// A peer opened a data stream that begins with a subgroup header. Its chunks follow, from the first byte.
    pub fn accept_stream(&mut self, session: SessionId) -> Option<InStreamId> {
        let peer = self.sessions.get_mut(session)?;
        let stream = self.in_streams.insert(InStream::new(session));
        peer.in_streams.insert(stream);
        Some(stream)
    }

    /// The same for a stream made of what was fetched of the group in progress (see
    /// [`handle_joining`](Relay::handle_joining)).
    pub fn accept_fetched_group(&mut self, session: SessionId) -> Option<InStreamId> {
        let stream = self.accept_stream(session)?;
        self.in_streams[stream].is_fetched = true;
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
        let mut news = News::default();
        let mut result = self.take_in(stream, &mut source, chunks, end, &mut news, now);
        if result.is_ok() && end && !matches!(source.place, Place::Waiting(_)) {
            result = self.source_ended(stream, &source, &mut news);
        }
        if let (Err(_), Place::Feeding(feed)) = (&result, &source.place) {
            news.lost = Some(*feed);
        }
        let is_over = result.is_err() || (end && !matches!(source.place, Place::Waiting(_)));
        if let Some(slot) = self.in_streams.get_mut(stream) {
            *slot = source;
        }
        self.pass_on(stream, news, now);
        if is_over {
            self.forget_stream(stream);
        }
        result
    }

    /// Hands out what one call has brought.
    fn pass_on(&mut self, stream: InStreamId, news: News, now: Instant) {
        if !self.malformed.is_empty() {
            self.end_malformed(now);
        }
        if let Some(span) = news.appended {
            self.fan_out(span, now);
            self.trim(span.track, now);
        }
        if let Some(feed) = news.lost {
            self.source_lost(stream, feed, Some(ResetCode::INTERNAL_ERROR), now);
        }
    }

    fn take_in(
        &mut self,
        id: InStreamId,
        source: &mut InStream,
        chunks: &[Bytes],
        end: bool,
        news: &mut News,
        now: Instant,
    ) -> Result<(), WireError> {
        if let Place::Waiting(header) = source.place {
            let Some(track) = self.track_of_stream(source, header.track_alias) else {
                self.hold(id, source, chunks, end);
                return Ok(());
            };
            source.place = Place::Ready(track, header);
        }
        source.held_end = end;
        let mut rest = chunks.iter();
        loop {
            while !matches!(source.place, Place::Waiting(_) | Place::Ignored)
                && let Some(event) = source.decoder.poll()?
            {
                self.take_event(id, source, event, news, now);
            }
            let Some(chunk) = rest.next() else {
                return Ok(());
            };
            match source.place {
                Place::Waiting(_) => self.hold(id, source, std::slice::from_ref(chunk), end),
                Place::Ignored => return Ok(()),
                _ => source.decoder.push(chunk.clone()),
            }
        }
    }

    fn take_event(
        &mut self,
        id: InStreamId,
        source: &mut InStream,
        event: SubgroupEvent,
        news: &mut News,
        now: Instant,
    ) {
        match event {
            SubgroupEvent::Header(header) => {
                source.place = match self.track_of_stream(source, header.track_alias) {
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
                    has_properties: false,
                };
                self.take_object(id, source, head, news, now);
            }
            SubgroupEvent::Payload(payload) => {
                if let Place::Feeding(feed) = &mut source.place {
                    self.take_payload(feed, payload, news);
                }
            }
            SubgroupEvent::ObjectEnd => {}
        }
    }

    fn take_object(
        &mut self,
        id: InStreamId,
        source: &mut InStream,
        head: Head,
        news: &mut News,
        now: Instant,
    ) {
        if let Place::Ready(track, header) = source.place {
            source.place = self.enter(id, track, header, head.header.id);
        }
        match &mut source.place {
            Place::Feeding(feed) => {
                if let Err(reason) = self.place_object(feed, head, news, now) {
                    self.counters.drop(reason, 1);
                    source.place = Place::Dropping(reason);
                }
            }
            Place::Dropping(reason) => self.counters.drop(*reason, 1),
            _ => {}
        }
    }

    /// Puts an object on its subgroup's log, or compares it with what is there. The error says why neither is possible,
    /// for this object and all after it on the stream.
    fn place_object(
        &mut self,
        feed: &mut Feed,
        mut head: Head,
        news: &mut News,
        now: Instant,
    ) -> Result<(), DropReason> {
        head.previous = feed.object;
        head.has_properties = feed.has_properties;
        let track = self.tracks.get_mut(feed.track).ok_or(DropReason::Late)?;
        let group = track.cache.group_mut(feed.group).ok_or(DropReason::Late)?;
        let object = head.header.id;
        let is_elsewhere = group.is_elsewhere(object, Some(feed.subgroup));
        let mut subgroups = group.subgroups.iter_mut();
        let held = subgroups.find(|held| held.id == feed.subgroup);
        let held = held.ok_or(DropReason::Late)?;
        feed.object = Some(object);
        feed.offset = 0;
        feed.is_taken = true;
        if let Some(index) = held.find(object) {
            self.counters.duplicates += 1;
            if is_same(&held.objects[index].header, &head.header) {
                self.take_payload(feed, head.wire.slice(head.head_len..), news);
            } else {
                feed.is_taken = false;
                self.malformed(feed.track);
            }
            return Ok(());
        }
        if is_elsewhere {
            feed.is_taken = false;
            self.malformed(feed.track);
            return Ok(());
        }
        if !held.is_next(&head) {
            feed.is_taken = false;
            let is_past = held.last().is_some_and(|last| object < last.header.id);
            return self.leave_out(is_past, feed, news);
        }
        feed.offset = (head.wire.len() - head.head_len) as u64;
        let (from, bytes) = (held.end(), head.wire.len());
        self.arrival = Some(head.header.properties.clone());
        let grown = held.begin(head, now) + OBJECT_OVERHEAD;
        track.saw(Location {
            group: feed.group,
            object,
        });
        track.cache.grew(feed.group, grown);
        track.bytes_in += bytes as u64;
        self.cached_bytes += grown;
        self.counters.objects_in += 1;
        self.counters.bytes_in += bytes as u64;
        news.appended.get_or_insert(feed.span(from)).objects += 1;
        Ok(())
    }

    /// An object has no place on its log: it is older than the log goes, and the stream may get to where the log is; or
    /// something is missing before it, and the stream is of no more use.
    fn leave_out(&mut self, is_past: bool, feed: &Feed, news: &mut News) -> Result<(), DropReason> {
        if is_past {
            self.counters.drop(DropReason::Late, 1);
            return Ok(());
        }
        news.lost = Some(*feed);
        Err(DropReason::SourceReset)
    }

    /// Payload of the object the stream is in: compared as far as the log has it, appended from there on.
    fn take_payload(&mut self, feed: &mut Feed, payload: Bytes, news: &mut News) {
        if !feed.is_taken {
            return;
        }
        let Some(track) = self.tracks.get_mut(feed.track) else {
            return;
        };
        let Some(held) = track.cache.subgroup_mut(feed.group, feed.subgroup) else {
            return;
        };
        let Some(index) = feed.object.and_then(|object| held.find(object)) else {
            return;
        };
        let offset = feed.offset;
        feed.offset += payload.len() as u64;
        let received = held.objects[index].received;
        let known = received.saturating_sub(offset).min(payload.len() as u64) as usize;
        if known > 0 && !held.agrees(index, offset, &payload[..known]) {
            feed.is_taken = false;
            return self.malformed(feed.track);
        }
        if known == payload.len() {
            return;
        }
        let from = held.end();
        let bytes = payload.len() - known;
        held.append(payload.slice(known..));
        track.cache.grew(feed.group, bytes);
        track.bytes_in += bytes as u64;
        self.cached_bytes += bytes;
        self.counters.bytes_in += bytes as u64;
        news.appended.get_or_insert(feed.span(from));
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
            return Place::Ignored;
        };
        let subgroup = header.subgroup.resolve(first);
        let (alias, default, timeouts) = (entry.alias, entry.default_priority, entry.timeouts);
        let Some(group) = entry.cache.group_or_insert(header.group) else {
            return Place::Dropping(DropReason::Late);
        };
        let known = group.subgroups.iter().position(|held| held.id == subgroup);
        if known.is_none() && group.is_past_subgroup(subgroup) {
            return Place::Dropping(DropReason::Late);
        }
        let at = known.unwrap_or_else(|| {
            let header = SubgroupHeader {
                track_alias: alias,
                ..header
            };
            group
                .subgroups
                .push(Subgroup::new(subgroup, header, timeouts));
            group.subgroups.len() - 1
        });
        let held = &mut group.subgroups[at];
        if held.header.priority.unwrap_or(default) != header.priority.unwrap_or(default) {
            self.malformed(track);
            return Place::Ignored;
        }
        held.sources.push(id);
        Place::Feeding(Feed {
            track,
            group: header.group,
            subgroup,
            has_properties: header.has_properties,
            object: None,
            is_taken: false,
            offset: 0,
        })
    }
}
