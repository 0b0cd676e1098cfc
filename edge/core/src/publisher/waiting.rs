//! Streams that carry a track alias no response has named yet: they may overtake the response, so they wait for it, within
//! bounds. So do streams of a track whose group in progress is still being fetched.

use crate::id::{InStreamId, SessionId};
use crate::publisher::source::{InStream, Place};
use crate::relay::Relay;
use crate::timer::Timer;
use crate::{Command, DropReason};
use bytes::Bytes;
use meridian_wire::ResetCode;
use meridian_wire::data::SubgroupHeader;
use std::time::Instant;

impl Relay {
    /// The group in progress of the track that a peer calls `alias` is fetched beside its subscription: the track's live
    /// streams wait for that, as they go on where it ends.
    pub fn handle_joining(&mut self, session: SessionId, alias: u64) {
        if let Some(peer) = self.sessions.get_mut(session) {
            peer.joining.insert(alias);
        }
    }

    /// That group has come, or will not.
    pub fn handle_joined(&mut self, session: SessionId, alias: u64, now: Instant) {
        if let Some(peer) = self.sessions.get_mut(session) {
            peer.joining.remove(&alias);
            self.alias_named(session, alias, now);
        }
    }

    /// A response has named `alias`, or its track has been joined: streams that waited for it go on.
    pub(crate) fn alias_named(&mut self, session: SessionId, alias: u64, now: Instant) {
        let Some(peer) = self.sessions.get_mut(session) else {
            return;
        };
        if peer.joining.contains(&alias) {
            return;
        }
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
        if !matches!(source.place, Place::Waiting(_)) {
            return;
        }
        let session = source.session;
        self.counters.drop(DropReason::UnknownAlias, 1);
        self.stop(session, stream, ResetCode::CANCELLED);
        self.forget_stream(stream);
    }

    pub(crate) fn wait_for_alias(
        &mut self,
        id: InStreamId,
        session: SessionId,
        header: SubgroupHeader,
        now: Instant,
    ) -> Place {
        let limit = self.config.waiting_streams;
        let Some(peer) = self.sessions.get_mut(session) else {
            return Place::Ignored;
        };
        if peer.waiting.len() >= limit {
            self.counters.drop(DropReason::UnknownAlias, 1);
            self.stop(session, id, ResetCode::EXCESSIVE_LOAD);
            return Place::Ignored;
        }
        peer.waiting.push(id);
        self.timers
            .set(now + self.config.waiting_for, Timer::Waiting(id));
        Place::Waiting(header)
    }

    pub(crate) fn hold(
        &mut self,
        id: InStreamId,
        source: &mut InStream,
        chunks: &[Bytes],
        end: bool,
    ) {
        source.held_bytes += chunks.iter().map(Bytes::len).sum::<usize>();
        source.held.extend_from_slice(chunks);
        source.held_end |= end;
        if source.held_bytes <= self.config.waiting_bytes {
            return;
        }
        source.place = Place::Ignored;
        source.held = Vec::new();
        self.counters.drop(DropReason::UnknownAlias, 1);
        self.stop(source.session, id, ResetCode::EXCESSIVE_LOAD);
        if let Some(peer) = self.sessions.get_mut(source.session) {
            peer.waiting.retain(|waiting| *waiting != id);
        }
    }

    fn stop(&mut self, session: SessionId, stream: InStreamId, code: ResetCode) {
        self.commands.push_back(Command::Stop {
            session,
            stream,
            code,
        });
    }
}
