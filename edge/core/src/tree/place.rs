//! A neighbour's place changes while its session goes on: a parent becomes the backup, a child a shortcut, and so on.
//!
//! Everything that follows from a role is derived anew: what it is told and tells of, what it may have of us and we of it,
//! root paths, and the second copy of audio. What the new role allows as the old did goes on untouched.

use crate::id::{SessionId, SubscriptionId, TrackId, UpstreamId};
use crate::publisher::upstream::Origin;
use crate::relay::Relay;
use crate::session::Role;
use meridian_wire::{RequestErrorCode, ResetCode};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

impl Relay {
    /// A neighbour is something else to this edge from now on. Its other end has to know: what a parent may ask for, a
    /// child's other end does not give. Between a parent and a backup parent nothing changes for the other end.
    ///
    /// Clients keep their role, and nobody becomes one.
    pub fn set_role(&mut self, id: SessionId, role: Role, now: Instant) {
        let Some(peer) = self.sessions.get_mut(id) else {
            return;
        };
        let before = peer.role;
        if before == role || before == Role::Client || role == Role::Client {
            return;
        }
        peer.role = role;
        let tracks = self.tracks_with(id);
        self.renew_announcements(id);
        self.renew_parentage(id, before, now);
        if role.is_parent() {
            self.parent_arrived(id, now);
        } else {
            self.leave_strays(id, now);
        }
        self.renew_subscriptions(id, now);
        for track in tracks {
            self.leave_needless(track);
            self.leave_above(track, now);
        }
        self.renew_watches(id, now);
        self.rewatch();
    }

    /// A neighbour is to be let go: it is told to leave, what comes from it is looked for elsewhere, and nothing new is
    /// asked there. Close its session when it [carries](Relay::carries) nothing any more, or when `within` is over.
    pub fn dismiss(&mut self, id: SessionId, within: Duration, now: Instant) {
        if self.sessions.contains_key(id) {
            let session = id;
            self.commands
                .push_back(crate::Command::Goaway { session, within });
            self.handle_goaway(id, now);
        }
    }

    /// Whether anything still comes from a session, or goes there. Root paths do not count.
    pub fn carries(&self, id: SessionId) -> bool {
        let Some(peer) = self.sessions.get(id) else {
            return false;
        };
        let mut subscriptions = peer.subscriptions.iter();
        let takes = subscriptions.any(|id| {
            let track = self.subscriptions[*id].track;
            !self.is_path(track) && self.tracks[track].subscribers.contains(id)
        });
        let mut upstreams = self.upstreams.values();
        takes
            || upstreams.any(|up| {
                up.session == id && up.is_established() && !up.is_retired && !self.is_path(up.track)
            })
    }

    /// Tracks that come from a session or go there, or would.
    fn tracks_with(&self, id: SessionId) -> BTreeSet<TrackId> {
        let taken = self.sessions[id].subscriptions.iter();
        let taken = taken.map(|id| self.subscriptions[*id].track);
        let brought = self.upstreams.values().filter(|up| up.session == id);
        let brought = brought.map(|up| up.track);
        taken
            .chain(brought)
            .filter(|track| !self.is_path(*track))
            .collect()
    }

    /// It hears another parent's path, or a parent's no more.
    fn renew_parentage(&mut self, id: SessionId, before: Role, now: Instant) {
        let is_parent = self.role(id).is_some_and(Role::is_parent);
        if before.is_parent() && !is_parent {
            self.unhear(id, now);
        } else if !before.is_parent() && is_parent {
            self.exchange_paths(id, now);
        }
        self.renew_path(now);
    }

    /// A parent's path is not heard any more, as it is no parent.
    fn unhear(&mut self, id: SessionId, now: Instant) {
        let peer = &mut self.sessions[id];
        peer.is_looped = false;
        let path = std::mem::take(&mut peer.path);
        let heard = path.track();
        if let Some(subscription) = path.subscription() {
            self.drop_subscription(subscription, now);
        }
        let mut upstreams = self.upstreams.iter();
        let asked = upstreams.find(|(_, up)| up.session == id && Some(up.track) == heard);
        if let Some((upstream, _)) = asked {
            self.cancel_upstream(upstream, ResetCode::CANCELLED);
        }
    }

    /// A child or shortcut is asked only for what it announces. The rest would be taken in a circle: it gets it from
    /// elsewhere, perhaps from here.
    fn leave_strays(&mut self, id: SessionId, now: Instant) {
        let at_peer = self.upstreams.iter().filter(|(_, up)| {
            let is_ours = matches!(up.origin, Origin::Subscribe(_));
            up.session == id && is_ours && !up.is_retired && !self.is_path(up.track)
        });
        let is_stray = |track: TrackId| {
            let namespace = &self.tracks[track].name.namespace;
            !self
                .namespaces
                .announcers_of(namespace)
                .any(|announcer| announcer == id)
        };
        let strays: Vec<(UpstreamId, TrackId)> = at_peer
            .filter(|(_, up)| is_stray(up.track))
            .map(|(id, up)| (id, up.track))
            .collect();
        for (upstream, track) in strays {
            self.give_up_upstream(upstream);
            self.orphaned(track, id, now);
        }
    }

    /// What it waits for may be had by its new role, or not at all.
    fn renew_subscriptions(&mut self, id: SessionId, now: Instant) {
        let from_below = self.role(id).is_some_and(Role::is_below);
        let subscriptions = self.sessions[id].subscriptions.iter().copied();
        let waiting: Vec<(SubscriptionId, TrackId)> = subscriptions
            .map(|id| (id, self.subscriptions[id].track))
            .filter(|(id, track)| self.tracks[*track].waiting.contains(id))
            .collect();
        for (subscription, track) in waiting {
            if self.can_serve(track, id, true) {
                let waiting = &mut self.tracks[track].waiting;
                waiting.retain(|other| *other != subscription);
                self.accept(subscription, now);
            } else if !from_below || !self.find_publishers(track, true, now) {
                self.nobody_has(track, RequestErrorCode::DOES_NOT_EXIST, now);
            }
        }
    }
}
