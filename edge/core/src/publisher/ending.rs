//! How a track ends here: its publishers are gone for too long, nobody wants it, or its copies differ.

use crate::id::{SessionId, TrackId};
use crate::relay::Relay;
use crate::session::Role;
use crate::timer::Timer;
use meridian_wire::error::PublishDoneCode;
use meridian_wire::{RequestErrorCode, ResetCode};
use std::time::Instant;

impl Relay {
    /// A track's last publisher may be gone: others are asked, then time is given. A neighbour may hold the request until
    /// it has the track again; a client that let go of it has to come back by itself.
    pub(crate) fn orphaned(&mut self, track: TrackId, lost: SessionId, now: Instant) {
        let is_client = self.role(lost) == Some(Role::Client);
        let Some(entry) = self.tracks.get_mut(track) else {
            return;
        };
        let upstreams = entry.upstreams.iter();
        let mut established = upstreams.filter(|id| self.upstreams[**id].is_established());
        let is_wanted = !entry.subscribers.is_empty() || !entry.waiting.is_empty();
        if !is_wanted || established.next().is_some() {
            return self.reap(track);
        }
        if entry.orphan_until.is_none() {
            let until = now + self.config.orphan_after;
            entry.orphan_until = Some(until);
            self.timers.set(until, Timer::Orphan(track));
        }
        entry.refused.clear();
        if is_client {
            entry.refused.push(lost);
        }
        let from_below = self.is_wanted_from_below(track);
        let mut is_asked = self.find_publishers(track, from_below, now);
        if from_below {
            // Who announces the track may wait for it just as long as we do.
            is_asked |= self.ask_parents(track, now);
        }
        if !is_asked && self.tracks[track].upstreams.is_empty() {
            self.nobody_has(track, RequestErrorCode::DOES_NOT_EXIST, now);
        }
    }

    pub(crate) fn orphan_due(&mut self, track: TrackId, now: Instant) {
        let Some(entry) = self.tracks.get_mut(track) else {
            return;
        };
        if entry.orphan_until.is_none_or(|until| until > now) {
            return;
        }
        entry.orphan_until = None;
        let code = PublishDoneCode::TRACK_ENDED;
        for subscription in entry.subscribers.clone() {
            self.end_subscription(subscription, code, "the publisher is gone", now);
        }
    }

    /// Parents and shortcuts are served only what is published below: when that is gone, their subscriptions end, and
    /// they look elsewhere. So no two edges ever wait for each other.
    pub(crate) fn leave_above(&mut self, track: TrackId, now: Instant) {
        let Some(entry) = self.tracks.get(track) else {
            return;
        };
        for id in entry.subscribers.clone() {
            let session = self.subscriptions[id].session;
            let is_above = self.role(session).is_some_and(|role| !role.is_below());
            if is_above && !self.can_serve(track, session, true) {
                let code = PublishDoneCode::INTERNAL_ERROR;
                self.end_subscription(id, code, "the publisher is gone", now);
            }
        }
    }

    /// Nobody has come for a track within its time: its upstream goes.
    pub(crate) fn linger_due(&mut self, track: TrackId, now: Instant) {
        let Some(entry) = self.tracks.get(track) else {
            return;
        };
        let is_due = entry.linger_until.is_some_and(|until| until <= now);
        if !is_due || !entry.subscribers.is_empty() || !entry.waiting.is_empty() {
            return;
        }
        if entry.past.users > 0 {
            return self.let_linger(track, now);
        }
        for id in entry.upstreams.clone() {
            self.give_up_upstream(id);
        }
    }

    /// A publisher's copies of one object differ, or break the track's rules (draft-22 §2.4.2): the track ends here.
    pub(crate) fn malformed(&mut self, track: TrackId) {
        self.counters.malformed_tracks += 1;
        self.malformed.push(track);
    }

    /// Ends the tracks found malformed since the last call.
    pub(crate) fn end_malformed(&mut self, now: Instant) {
        for track in std::mem::take(&mut self.malformed) {
            let Some(entry) = self.tracks.get(track) else {
                continue;
            };
            let code = PublishDoneCode::MALFORMED_TRACK;
            for subscription in entry.subscribers.clone() {
                self.end_subscription(subscription, code, "two copies of an object differ", now);
            }
            let upstreams = self.tracks.get(track).map(|entry| entry.upstreams.clone());
            for upstream in upstreams.into_iter().flatten() {
                self.cancel_upstream(upstream, ResetCode::MALFORMED_TRACK);
            }
        }
    }
}
