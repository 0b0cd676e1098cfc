//! Our subscriptions at publishers: one for each publisher of a track, whatever the audience.

use crate::Command;
use crate::id::{InStreamId, OutRequestId, SessionId, TrackId, UpstreamId};
use crate::publisher::source::InStream;
use crate::relay::Relay;
use crate::session::Asked;
use crate::timer::Timer;
use crate::tree::namespace::Claim;
use meridian_wire::control::{RequestUpdate, Subscribe, SubscribeOk};
use meridian_wire::error::PublishDoneCode;
use meridian_wire::{
    Location, LocationFilter, Message, Namespace, Parameters, RequestErrorCode, ResetCode,
};
use smallvec::SmallVec;
use std::time::Instant;

#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) track: TrackId,
    pub(crate) session: SessionId,
    pub(crate) origin: Origin,
    pub(crate) alias: Option<u64>,
    pub(crate) forward: bool,
    /// When it was asked to hold the request until it has the track, if it was.
    pub(crate) held_since: Option<Instant>,
    /// It has ended; its alias is kept for what may still arrive.
    pub(crate) is_retired: bool,
}

/// How it came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Our SUBSCRIBE.
    Subscribe(OutRequestId),
    /// The peer's PUBLISH with this request ID.
    Publish(u64),
}

impl Upstream {
    pub(crate) fn is_established(&self) -> bool {
        self.alias.is_some()
    }
}

impl Relay {
    /// Subscribes to a track at a publisher.
    pub(crate) fn ask(
        &mut self,
        session: SessionId,
        track: TrackId,
        rendezvous: Option<u64>,
        now: Instant,
    ) {
        let request = self.out_requests.insert(());
        let upstream = self.upstreams.insert(Upstream {
            track,
            session,
            origin: Origin::Subscribe(request),
            alias: None,
            forward: true,
            held_since: rendezvous.map(|_| now),
            is_retired: false,
        });
        let entry = &mut self.tracks[track];
        entry.upstreams.push(upstream);
        let params = Parameters {
            forward: Some(true),
            rendezvous_timeout: rendezvous,
            // From the newest group's start: what subscribers join at is then in the cache.
            location_filter: Some(LocationFilter::Relative { groups_back: 1 }),
            new_group_request: entry.new_group_asked,
            ..Parameters::default()
        };
        let track = entry.name.clone();
        let message = Message::Subscribe(Subscribe {
            request_id: 0,
            track,
            params,
        });
        self.sessions[session]
            .outgoing
            .insert(request, Asked::Subscribe(upstream));
        self.commands.push_back(Command::Request {
            session,
            request,
            message,
        });
    }

    /// A publisher has accepted our SUBSCRIBE.
    pub(crate) fn subscribe_accepted(&mut self, id: UpstreamId, ok: SubscribeOk, now: Instant) {
        let Some(upstream) = self.upstreams.get_mut(id) else {
            return;
        };
        let (track, session) = (upstream.track, upstream.session);
        if ok.properties.block().unsupported_mandatory().is_some() {
            self.cancel_upstream(id, ResetCode::CANCELLED);
            return self.unsupported(track, session, now);
        }
        upstream.alias = Some(ok.track_alias);
        let entry = &mut self.tracks[track];
        entry.describe(ok.properties);
        if let Some(largest) = ok.params.largest_object {
            entry.saw(largest);
        }
        self.note_expiry(id, ok.params.expires, now);
        self.name_alias(session, ok.track_alias, id, now);
        self.established(track, now);
    }

    /// A publisher's track needs what is not known here (draft-22 §2.5.1): it is as though it had refused.
    fn unsupported(&mut self, track: TrackId, session: SessionId, now: Instant) {
        if let Some(entry) = self.tracks.get_mut(track) {
            entry.refused.push(session);
            if !self.is_pending(track) {
                let code = RequestErrorCode::UNSUPPORTED_EXTENSION;
                self.refused(track, None, code, now);
            }
        }
    }

    /// Notes what a publisher calls a track. The same alias for two tracks ends the session.
    pub(crate) fn name_alias(
        &mut self,
        session: SessionId,
        alias: u64,
        id: UpstreamId,
        now: Instant,
    ) {
        let track = self.upstreams[id].track;
        let Some(peer) = self.sessions.get_mut(session) else {
            return;
        };
        if let Some(other) = peer.upstream_by_alias.insert(alias, id)
            && self
                .upstreams
                .get(other)
                .is_some_and(|other| other.track != track && !other.is_retired)
        {
            return self.close(
                session,
                meridian_wire::WireError {
                    code: meridian_wire::TerminationCode::DUPLICATE_TRACK_ALIAS,
                    what: "one track alias for two tracks",
                },
            );
        }
        self.alias_named(session, alias, now);
    }

    /// A track has a publisher: whoever waited for it is served.
    pub(crate) fn established(&mut self, track: TrackId, now: Instant) {
        let entry = &mut self.tracks[track];
        entry.orphan_until = None;
        for id in entry.waiting.clone() {
            let session = self.subscriptions[id].session;
            if self.can_serve(track, session, true) {
                self.tracks[track].waiting.retain(|other| *other != id);
                self.accept(id, now);
            }
        }
        self.update_forward(track);
        self.leave_needless(track);
        self.join_second_parent(track, now);
        self.leave_leaving(track);
        self.offer_track(track, now);
        if self.tracks[track].subscribers.is_empty() {
            self.let_linger(track, now);
        }
    }

    /// Tells publishers whether anybody wants objects now (draft-22 §7.2).
    pub(crate) fn update_forward(&mut self, track: TrackId) {
        let Some(entry) = self.tracks.get(track) else {
            return;
        };
        let wanted = entry
            .subscribers
            .iter()
            .any(|id| self.subscriptions[*id].forward);
        let upstreams: SmallVec<[UpstreamId; 2]> = entry.upstreams.clone();
        for id in upstreams {
            let upstream = &mut self.upstreams[id];
            if upstream.is_established() && wanted && !upstream.forward {
                upstream.forward = true;
                self.update_upstream(
                    id,
                    Parameters {
                        forward: Some(true),
                        ..Parameters::default()
                    },
                );
            }
        }
    }

    /// Sends REQUEST_UPDATE for one of our upstream subscriptions.
    pub(crate) fn update_upstream(&mut self, id: UpstreamId, params: Parameters) {
        let Upstream {
            session, origin, ..
        } = self.upstreams[id];
        let message = Message::RequestUpdate(RequestUpdate {
            request_id: 0,
            params,
        });
        self.commands.push_back(match origin {
            Origin::Subscribe(request) => Command::Update {
                session,
                request,
                message,
                finish: false,
            },
            Origin::Publish(request) => Command::Respond {
                session,
                request,
                message,
                finish: false,
            },
        });
    }

    /// A publisher has refused our subscription, or an update of it.
    pub(crate) fn upstream_refused(
        &mut self,
        id: UpstreamId,
        code: RequestErrorCode,
        now: Instant,
    ) {
        let Some(upstream) = self.upstreams.get(id) else {
            return;
        };
        let (track, session, held_since) = (upstream.track, upstream.session, upstream.held_since);
        if upstream.is_established() {
            return self.upstream_lost(id, now);
        }
        self.forget_upstream(id);
        if let Some(entry) = self.tracks.get_mut(track) {
            entry
                .refused
                .retain(|other| self.sessions.contains_key(*other));
            entry.refused.push(session);
            if !self.is_pending(track) {
                self.refused(track, held_since, code, now);
            }
        }
    }

    /// Whether a publisher has not answered yet.
    pub(crate) fn is_pending(&self, track: TrackId) -> bool {
        let mut upstreams = self.tracks[track].upstreams.iter();
        upstreams.any(|id| !self.upstreams[*id].is_established())
    }

    /// A peer announces a namespace no more: requests it has not answered are taken back, and others asked.
    pub(crate) fn announcer_left(
        &mut self,
        session: SessionId,
        namespace: &Namespace,
        now: Instant,
    ) {
        let is_taken_back = |upstream: &Upstream| {
            let name = &self.tracks[upstream.track].name.namespace;
            let mut announcers = self.namespaces.announcers_of(name);
            namespace.is_prefix_of(name) && !announcers.any(|other| other == session)
        };
        let pending: Vec<UpstreamId> = self
            .upstreams
            .iter()
            .filter(|(_, up)| up.session == session && !up.is_established() && is_taken_back(up))
            .map(|(id, _)| id)
            .collect();
        for id in pending {
            let Upstream { track, .. } = self.upstreams[id];
            self.cancel_upstream(id, ResetCode::CANCELLED);
            if self.tracks.contains_key(track) && !self.is_pending(track) {
                self.refused(track, None, RequestErrorCode::DOES_NOT_EXIST, now);
            }
        }
    }

    /// A publisher's session, or our subscription there, is gone.
    pub(crate) fn upstream_lost(&mut self, id: UpstreamId, now: Instant) {
        let Some(upstream) = self.upstreams.get(id) else {
            return;
        };
        let (track, was_retired) = (upstream.track, upstream.is_retired);
        let session = upstream.session;
        self.forget_upstream(id);
        if !was_retired {
            self.leave_above(track, now);
            self.orphaned(track, session, now);
        }
    }

    /// A publisher has ended our subscription with PUBLISH_DONE. Streams may still be on their way: the alias is kept for
    /// as long as streams wait for theirs.
    pub(crate) fn upstream_done(&mut self, id: UpstreamId, code: PublishDoneCode, now: Instant) {
        let Some(upstream) = self.upstreams.get_mut(id) else {
            return;
        };
        let (track, session, origin) = (upstream.track, upstream.session, upstream.origin);
        if !upstream.is_established() || upstream.is_retired {
            return self.upstream_lost(id, now);
        }
        upstream.is_retired = true;
        let until = now + self.config.waiting_for;
        self.timers.set(until, Timer::Retired(id));
        if let Origin::Subscribe(request) = origin {
            self.sessions[session].outgoing.remove(&request);
            self.out_requests.remove(request);
        }
        let entry = &mut self.tracks[track];
        entry.upstreams.retain(|other| *other != id);
        if code == PublishDoneCode::INTERNAL_ERROR {
            self.leave_above(track, now);
        }
        if code != PublishDoneCode::TRACK_ENDED {
            return self.orphaned(track, session, now);
        }
        let Some(entry) = self.tracks.get_mut(track) else {
            return;
        };
        if entry.upstreams.is_empty() && !entry.is_idle() {
            entry.orphan_until = Some(until);
            self.timers.set(until, Timer::Orphan(track));
        }
        self.reap(track);
    }

    /// Nothing more is expected of an upstream subscription that has ended.
    pub(crate) fn retired_due(&mut self, id: UpstreamId, now: Instant) {
        if let Some(upstream) = self.upstreams.get(id) {
            let track = upstream.track;
            self.forget_upstream(id);
            self.leave_above(track, now);
        }
    }

    /// Forgets an upstream subscription, with nothing said to the publisher.
    pub(crate) fn forget_upstream(&mut self, id: UpstreamId) {
        let Some(upstream) = self.upstreams.remove(id) else {
            return;
        };
        if let Some(peer) = self.sessions.get_mut(upstream.session) {
            if let Some(alias) = upstream.alias
                && peer.upstream_by_alias.get(&alias) == Some(&id)
            {
                peer.upstream_by_alias.remove(&alias);
            }
            if let Origin::Subscribe(request) = upstream.origin {
                peer.outgoing.remove(&request);
            }
        }
        if let Origin::Subscribe(request) = upstream.origin {
            self.out_requests.remove(request);
        }
        if let Some(track) = self.tracks.get_mut(upstream.track) {
            track.upstreams.retain(|other| *other != id);
        }
        self.reap(upstream.track);
    }

    /// Ends an upstream subscription that nobody needs any more. A publisher's own offer is paused instead.
    pub(crate) fn give_up_upstream(&mut self, id: UpstreamId) {
        let upstream = &mut self.upstreams[id];
        if matches!(upstream.origin, Origin::Subscribe(_)) {
            return self.cancel_upstream(id, ResetCode::CANCELLED);
        }
        if std::mem::replace(&mut upstream.forward, false) {
            let params = Parameters {
                forward: Some(false),
                ..Parameters::default()
            };
            self.update_upstream(id, params);
        }
    }

    /// Ends an upstream subscription, whoever began it.
    pub(crate) fn cancel_upstream(&mut self, id: UpstreamId, code: ResetCode) {
        let Upstream {
            session,
            origin,
            track,
            ..
        } = self.upstreams[id];
        match origin {
            Origin::Subscribe(request) => self.commands.push_back(Command::Cancel {
                session,
                request,
                code,
            }),
            Origin::Publish(request) => {
                self.commands.push_back(Command::Reject {
                    session,
                    request,
                    code,
                });
                self.sessions[session].requests.remove(&request);
                let namespace = self.tracks[track].name.namespace.clone();
                self.withdrawn(session, &namespace, Claim::Track);
            }
        }
        self.forget_upstream(id);
    }

    pub(crate) fn note_largest(&mut self, upstream: UpstreamId, largest: Option<Location>) {
        if let (Some(upstream), Some(largest)) = (self.upstreams.get(upstream), largest) {
            self.tracks[upstream.track].saw(largest);
        }
    }

    /// The track a publisher calls `alias`.
    #[inline]
    pub(crate) fn track_by_alias(&self, session: SessionId, alias: u64) -> Option<TrackId> {
        let upstream = self.sessions.get(session)?.upstream_by_alias.get(&alias)?;
        self.track_of_upstream(*upstream)
    }

    /// The same for a stream, unless it has to wait.
    #[inline]
    pub(crate) fn track_of_stream(&self, source: &InStream, alias: u64) -> Option<TrackId> {
        let peer = self.sessions.get(source.session)?;
        if !peer.joining.is_empty() && !source.is_fetched && peer.joining.contains(&alias) {
            return None;
        }
        self.track_of_upstream(*peer.upstream_by_alias.get(&alias)?)
    }

    #[inline]
    fn track_of_upstream(&self, upstream: UpstreamId) -> Option<TrackId> {
        let track = self.upstreams.get(upstream)?.track;
        self.tracks.contains_key(track).then_some(track)
    }

    /// Whether a publisher other than that of `stream` may go on with a track.
    pub(crate) fn has_other_upstream(&self, track: TrackId, stream: InStreamId) -> bool {
        let session = self.in_streams.get(stream).map(|source| source.session);
        self.tracks.get(track).is_some_and(|track| {
            track.upstreams.iter().any(|id| {
                let upstream = &self.upstreams[*id];
                Some(upstream.session) != session
            })
        })
    }
}
