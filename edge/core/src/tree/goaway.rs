//! Sessions that are about to end: theirs, and ours (draft-22 §6.6, §9.2).

use crate::Command;
use crate::id::{SessionId, TrackId, UpstreamId};
use crate::publisher::upstream::Origin;
use crate::relay::Relay;
use std::time::{Duration, Instant};

impl Relay {
    /// A peer has sent GOAWAY: nothing new is asked there, and what comes from there is looked for elsewhere. It is left
    /// when another has it, or when its session ends.
    pub fn handle_goaway(&mut self, session: SessionId, now: Instant) {
        let Some(peer) = self.sessions.get_mut(session) else {
            return;
        };
        if std::mem::replace(&mut peer.is_leaving, true) {
            return;
        }
        self.ask_others(session, now);
        self.rewatch();
        self.renew_path(now);
    }

    /// This edge is about to end: every peer is told to leave within this time, before anything is left upstream
    /// (draft-22 §6.6.1). New requests are refused with GOING_AWAY from now on.
    pub fn drain(&mut self, within: Duration) {
        self.is_draining = true;
        let told = self.sessions.keys().filter(|id| Some(*id) != self.own);
        self.commands
            .extend(told.map(|session| Command::Goaway { session, within }));
    }

    /// This edge goes on after all: new requests are taken again. Those who were told to leave may have to be let go.
    pub fn undrain(&mut self) {
        self.is_draining = false;
    }

    /// Whether anything new may be asked of a session.
    pub(crate) fn may_be_asked(&self, session: SessionId) -> bool {
        let peer = self.sessions.get(session);
        peer.is_some_and(|peer| !peer.is_leaving && !peer.is_looped)
    }

    /// Asks others for the tracks that come from a session.
    pub(crate) fn ask_others(&mut self, session: SessionId, now: Instant) {
        for track in self.tracks_from(session) {
            if self.tracks.contains_key(track) {
                let from_below = self.is_wanted_from_below(track);
                self.find_publishers(track, from_below, now);
            }
        }
    }

    fn tracks_from(&self, session: SessionId) -> Vec<TrackId> {
        let upstreams = self.upstreams.values();
        upstreams
            .filter(|upstream| upstream.session == session && !upstream.is_retired)
            .filter(|upstream| matches!(upstream.origin, Origin::Subscribe(_)))
            .filter(|upstream| !self.is_path(upstream.track))
            .map(|upstream| upstream.track)
            .collect()
    }

    /// A track has another publisher: those that are leaving are left.
    pub(crate) fn leave_leaving(&mut self, track: TrackId) {
        let Some(entry) = self.tracks.get(track) else {
            return;
        };
        let stays = |id: &UpstreamId| {
            let upstream = &self.upstreams[*id];
            upstream.is_established() && self.may_be_asked(upstream.session)
        };
        if !entry.upstreams.iter().any(stays) {
            return;
        }
        let leaving: Vec<UpstreamId> = entry
            .upstreams
            .iter()
            .copied()
            .filter(|id| !self.may_be_asked(self.upstreams[*id].session))
            .filter(|id| matches!(self.upstreams[*id].origin, Origin::Subscribe(_)))
            .collect();
        for upstream in leaving {
            self.give_up_upstream(upstream);
        }
    }
}
