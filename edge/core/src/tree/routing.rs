//! Whom to ask for a track. Forwarding is valley-free: a request from below may go to announcing peers, shortcuts and
//! parents; one from a parent or shortcut only to clients and announcing children. So no request can go in a circle.

use crate::id::{SessionId, TrackId, UpstreamId};
use crate::relay::Relay;
use crate::session::Role;
use crate::timer::Timer;
use meridian_wire::RequestErrorCode;
use smallvec::SmallVec;
use std::time::{Duration, Instant};

impl Relay {
    /// Whether a track can be handed to a session: there is a publisher, or one that has been asked, from which it may
    /// pass there. To parents and shortcuts passes only what is published below; to a neighbour not its own copy.
    pub(crate) fn can_serve(&self, track: TrackId, to: SessionId, established: bool) -> bool {
        let Some(role) = self.role(to) else {
            return false;
        };
        self.tracks[track].upstreams.iter().any(|id| {
            let upstream = &self.upstreams[*id];
            let may_pass = match role {
                Role::Client => true,
                Role::Child => upstream.session != to,
                Role::Parent | Role::BackupParent | Role::Shortcut => {
                    self.role(upstream.session).is_some_and(Role::is_below)
                }
            };
            may_pass && upstream.is_established() == established
        })
    }

    /// Whether all that have been asked were told to hold the request: who has the track would have said so long ago.
    pub(crate) fn is_held(&self, track: TrackId) -> bool {
        let mut upstreams = self.tracks[track].upstreams.iter();
        upstreams.all(|id| self.upstreams[*id].held_since.is_some())
    }

    /// Asks everybody who may have the track: who announces it, or else the parents. Whether anybody was asked.
    pub(crate) fn find_publishers(
        &mut self,
        track: TrackId,
        from_below: bool,
        now: Instant,
    ) -> bool {
        self.ask_announcers(track, from_below, now) || (from_below && self.ask_parents(track, now))
    }

    /// Asks who announces the track and has not been asked. Whether anybody was.
    pub(crate) fn ask_announcers(
        &mut self,
        track: TrackId,
        from_below: bool,
        now: Instant,
    ) -> bool {
        let announcers = self.announcers(track, from_below);
        let rendezvous = self.rendezvous_left(track, now);
        for session in &announcers {
            self.ask(*session, track, rendezvous, now);
        }
        !announcers.is_empty()
    }

    /// All that were asked have refused; the rest have their turn, parents last.
    pub(crate) fn refused(
        &mut self,
        track: TrackId,
        held_since: Option<Instant>,
        code: RequestErrorCode,
        now: Instant,
    ) {
        let from_below = self.is_wanted_from_below(track);
        let is_served = !self.tracks[track].upstreams.is_empty();
        if !is_served && self.find_publishers(track, from_below, now) {
            return;
        }
        self.nobody_has(track, code, now);
        let Some(entry) = self.tracks.get_mut(track).filter(|_| !is_served) else {
            return;
        };
        entry.refused.clear();
        if !from_below || !is_worth_another_try(held_since, code, now) {
            return;
        }
        // Who asked to wait is still there: parents hold the request.
        if self.rendezvous_left(track, now).is_some() {
            self.ask_parents(track, now);
        }
    }

    /// Asks the parents alone. Whether anybody was asked.
    pub(crate) fn ask_parents(&mut self, track: TrackId, now: Instant) -> bool {
        let parents = self.parents_for(track);
        let rendezvous = self.rendezvous_left(track, now);
        for parent in &parents {
            self.ask(*parent, track, rendezvous, now);
        }
        !parents.is_empty()
    }

    /// Audio comes through both parents always: what one link loses, the other brings.
    pub(crate) fn join_second_parent(&mut self, track: TrackId, now: Instant) {
        let Some(entry) = self.tracks.get(track) else {
            return;
        };
        let through_parent = entry.upstreams.iter().any(|id| {
            let upstream = &self.upstreams[*id];
            upstream.is_established() && self.role(upstream.session).is_some_and(Role::is_parent)
        });
        if !through_parent || !self.is_audio(track) {
            return;
        }
        for parent in self.all_parents() {
            if !self.is_asked(track, parent) {
                self.ask(parent, track, None, now);
            }
        }
    }

    /// Whether a publisher below has the track and is established.
    pub(crate) fn is_served_from_below(&self, track: TrackId) -> bool {
        let mut upstreams = self.tracks[track].upstreams.iter();
        upstreams.any(|id| {
            let upstream = &self.upstreams[*id];
            upstream.is_established() && self.role(upstream.session).is_some_and(Role::is_below)
        })
    }

    /// Ends upstream subscriptions that are not needed any more, now that there is a better one: with a publisher below,
    /// those at parents and shortcuts, so that no two edges take a track from each other; with the primary parent, that
    /// at the backup, unless it is audio.
    pub(crate) fn leave_needless(&mut self, track: TrackId) {
        let Some(entry) = self.tracks.get(track) else {
            return;
        };
        let role = |id: &UpstreamId| self.role(self.upstreams[*id].session);
        let from_below = self.is_served_from_below(track);
        let has_primary = entry.upstreams.iter().any(|id| {
            let upstream = &self.upstreams[*id];
            let stays = upstream.is_established() && self.may_be_asked(upstream.session);
            stays && role(id) == Some(Role::Parent)
        });
        let one_parent_does = has_primary && !self.is_audio(track);
        let is_needless = |id: &UpstreamId| match role(id) {
            Some(Role::Parent | Role::Shortcut) => from_below,
            Some(Role::BackupParent) => from_below || one_parent_does,
            _ => false,
        };
        let upstreams = entry.upstreams.iter().copied();
        let needless: SmallVec<[UpstreamId; 2]> = upstreams.filter(is_needless).collect();
        for id in needless {
            self.give_up_upstream(id);
        }
    }

    /// A parent is there: it learns what is published here, and is asked for what is missing.
    pub(crate) fn parent_arrived(&mut self, parent: SessionId, now: Instant) {
        self.announce_everything_to(parent);
        let wanted: Vec<TrackId> = self.tracks.keys().collect();
        for track in wanted {
            self.tracks[track].refused.clear();
            if !self.is_wanted_from_below(track) {
                continue;
            }
            let is_primary = self.role(parent) == Some(Role::Parent);
            let upstreams = &self.tracks[track].upstreams;
            let through_parents = upstreams.iter().all(|id| {
                self.role(self.upstreams[*id].session)
                    .is_some_and(Role::is_parent)
            });
            if upstreams.is_empty() {
                self.find_publishers(track, true, now);
            } else if through_parents
                && (is_primary || self.is_audio(track))
                && !self.is_asked(track, parent)
            {
                let rendezvous = self.rendezvous_left(track, now);
                self.ask(parent, track, rendezvous, now);
            }
        }
    }

    /// Whether a track is audio: by the publisher's priority, as nobody here looks into the media.
    pub(crate) fn is_audio(&self, track: TrackId) -> bool {
        self.tracks[track].default_priority <= self.config.audio_priority
    }

    pub(crate) fn role(&self, session: SessionId) -> Option<Role> {
        self.sessions.get(session).map(|session| session.role)
    }

    /// Whether clients or children want the track.
    pub(crate) fn is_wanted_from_below(&self, track: TrackId) -> bool {
        let entry = &self.tracks[track];
        entry.subscribers.iter().chain(&entry.waiting).any(|id| {
            let session = self.subscriptions[*id].session;
            // What this edge reads of a neighbour is that neighbour's alone.
            self.own != Some(session) && self.role(session).is_some_and(Role::is_below)
        })
    }

    /// Peers that announced the track's namespace or a prefix of it, and have not been asked yet.
    fn announcers(&self, track: TrackId, from_below: bool) -> SmallVec<[SessionId; 4]> {
        let entry = &self.tracks[track];
        let from_below = from_below && !self.is_served_from_below(track);
        self.namespaces
            .announcers_of(&entry.name.namespace)
            .filter(|session| {
                let Some(role) = self.role(*session) else {
                    return false;
                };
                (role.is_below() || (from_below && role == Role::Shortcut))
                    && self.may_ask(track, *session)
                    && (role == Role::Client || self.is_wanted_by_other(track, *session))
            })
            .collect()
    }

    /// Whether somebody other than `session` wants the track.
    fn is_wanted_by_other(&self, track: TrackId, session: SessionId) -> bool {
        let entry = &self.tracks[track];
        let mut wanting = entry.subscribers.iter().chain(&entry.waiting);
        wanting.any(|id| self.subscriptions[*id].session != session)
    }

    /// The parents to ask: the primary; the backup only when there is no primary.
    fn parents_for(&self, track: TrackId) -> SmallVec<[SessionId; 4]> {
        let parents = self.all_parents();
        let primary = |id: &SessionId| self.role(*id) == Some(Role::Parent);
        if parents
            .iter()
            .any(|id| primary(id) && self.is_asked(track, *id))
        {
            return SmallVec::new();
        }
        let chosen: SmallVec<[SessionId; 4]> = parents
            .iter()
            .copied()
            .filter(primary)
            .filter(|id| self.may_ask(track, *id))
            .collect();
        if !chosen.is_empty() {
            return chosen;
        }
        parents
            .into_iter()
            .filter(|id| self.may_ask(track, *id))
            .collect()
    }

    /// The parents for what is of no track we subscribe to: the primary; the backup only when there is no primary.
    pub(crate) fn parents_in_use(&self) -> SmallVec<[SessionId; 4]> {
        let parents = self.all_parents();
        let is_primary = |id: &SessionId| self.role(*id) == Some(Role::Parent);
        match parents.iter().copied().find(is_primary) {
            Some(primary) => SmallVec::from_iter([primary]),
            None => parents,
        }
    }

    fn all_parents(&self) -> SmallVec<[SessionId; 4]> {
        self.sessions
            .iter()
            .filter(|(_, peer)| peer.role.is_parent() && !peer.is_leaving && !peer.is_looped)
            .map(|(id, _)| id)
            .collect()
    }

    fn may_ask(&self, track: TrackId, session: SessionId) -> bool {
        self.may_be_asked(session)
            && !self.tracks[track].refused.contains(&session)
            && !self.is_asked(track, session)
    }

    fn is_asked(&self, track: TrackId, session: SessionId) -> bool {
        self.tracks[track]
            .upstreams
            .iter()
            .any(|id| self.upstreams[*id].session == session)
    }

    /// The longest time somebody will still wait for the track, in milliseconds.
    fn rendezvous_left(&self, track: TrackId, now: Instant) -> Option<u64> {
        let entry = &self.tracks[track];
        let waiting = entry.waiting.iter();
        waiting
            .filter_map(|id| self.subscriptions[*id].rendezvous)
            .chain(entry.orphan_until)
            .map(|at| at.saturating_duration_since(now).as_millis() as u64)
            .max()
            .filter(|ms| *ms > 0)
    }

    /// A publisher has come for a namespace: whoever wants tracks under it is served by it too (draft-22 §7.6).
    pub(crate) fn publisher_arrived(
        &mut self,
        session: SessionId,
        namespace: &meridian_wire::Namespace,
        now: Instant,
    ) {
        let matching: Vec<TrackId> = self
            .tracks
            .iter()
            .filter(|(_, track)| namespace.is_prefix_of(&track.name.namespace))
            .filter(|(_, track)| !track.subscribers.is_empty() || !track.waiting.is_empty())
            .map(|(id, _)| id)
            .collect();
        for track in matching {
            self.tracks[track]
                .refused
                .retain(|refused| *refused != session);
            let from_below = self.is_wanted_from_below(track);
            if self.announcers(track, from_below).contains(&session) {
                let rendezvous = self.rendezvous_left(track, now);
                self.ask(session, track, rendezvous, now);
            }
        }
    }

    /// Has a track's upstream let go some time after its last subscriber left.
    pub(crate) fn let_linger(&mut self, track: TrackId, now: Instant) {
        let until = now + self.config.linger;
        self.tracks[track].linger_until = Some(until);
        self.timers.set(until, Timer::Linger(track));
    }
}

/// Whether parents are asked once more, to hold the request: they were not told to, or have held it for as long as they do.
fn is_worth_another_try(held_since: Option<Instant>, code: RequestErrorCode, now: Instant) -> bool {
    match held_since {
        None => matches!(
            code,
            RequestErrorCode::DOES_NOT_EXIST | RequestErrorCode::TIMEOUT
        ),
        Some(since) => code == RequestErrorCode::TIMEOUT && now >= since + SHORTEST_HOLD,
    }
}

/// A parent that gives up sooner does not hold requests; asking again would only go to and fro.
pub(crate) const SHORTEST_HOLD: Duration = Duration::from_secs(1);
