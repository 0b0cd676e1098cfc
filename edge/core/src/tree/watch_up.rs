//! Watches of ours at neighbours, on behalf of those below: each prefix once, whatever the audience.
//!
//! Parents are watched for both kinds. Of children and shortcuts the namespaces are known, as they announce them: they
//! are watched for tracks alone, where they announced something that is watched.

use crate::Command;
use crate::id::{InRequest, OutRequestId, SessionId};
use crate::relay::Relay;
use crate::session::{Asked, Role};
use crate::timer::Timer;
use crate::tree::watch::Kind;
use meridian_wire::control::NamespaceRequest;
use meridian_wire::{FullTrackName, Message, Namespace, Parameters, RequestErrorCode, ResetCode};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// A watch of ours at a neighbour.
#[derive(Debug)]
pub(crate) struct Watching {
    session: SessionId,
    kind: Kind,
    prefix: Namespace,
    /// `None`: it was refused, and is not asked for again before it is no longer needed.
    request: Option<OutRequestId>,
    /// Namespaces the neighbour told of.
    pub(crate) seen: BTreeSet<Namespace>,
}

/// How soon a watch is tried again that overlapped with one that was given up: the neighbour has heard of that by then.
const TRY_AGAIN: Duration = Duration::from_millis(200);

impl Relay {
    /// Watches what is to be watched, and no more.
    pub(crate) fn rewatch(&mut self) {
        let needed = self.needed_watches();
        let is_needed = |up: &Watching| needed.contains(&(up.session, up.kind, up.prefix.clone()));
        let (kept, given_up): (Vec<_>, Vec<_>) = std::mem::take(&mut self.watches.upstream)
            .into_iter()
            .partition(is_needed);
        self.watches.upstream = kept;
        for up in given_up {
            self.end_watching(up, true);
        }
        for (session, kind, prefix) in needed {
            let mut known = self.watches.upstream.iter();
            if !known.any(|up| up.session == session && up.kind == kind && up.prefix == prefix) {
                self.begin_watching(session, kind, prefix);
            }
        }
    }

    fn needed_watches(&self) -> BTreeSet<(SessionId, Kind, Namespace)> {
        let mut needed = BTreeSet::new();
        for (request, watch) in &self.watches.by_request {
            let from_below = self.role(request.session).is_some_and(Role::is_below);
            let parents = self.parents_in_use();
            for parent in parents.into_iter().filter(|_| from_below) {
                needed.insert((parent, watch.kind, watch.prefix.clone()));
            }
            if watch.kind == Kind::Tracks {
                for neighbour in self.announcing_under(&watch.prefix, request.session, from_below) {
                    needed.insert((neighbour, watch.kind, watch.prefix.clone()));
                }
            }
        }
        // A session's watches may not overlap: the shorter prefix covers the longer.
        let covered = |(session, kind, prefix): &(SessionId, Kind, Namespace)| {
            needed.iter().any(|(other, of, shorter)| {
                other == session && of == kind && shorter != prefix && shorter.is_prefix_of(prefix)
            })
        };
        let all = needed.iter().filter(|one| !covered(one));
        all.cloned().collect()
    }

    /// Children, and for those below shortcuts, that announced something that `prefix` matches.
    fn announcing_under(
        &self,
        prefix: &Namespace,
        asker: SessionId,
        from_below: bool,
    ) -> Vec<SessionId> {
        let is_asked = |session: &SessionId| {
            let is_in_reach = match self.role(*session) {
                Some(Role::Child) => true,
                Some(Role::Shortcut) => from_below,
                _ => false,
            };
            is_in_reach && *session != asker && self.may_be_asked(*session)
        };
        let overlaps = |other: &Namespace| prefix.is_prefix_of(other) || other.is_prefix_of(prefix);
        let announced = self.namespaces.all().filter(|other| overlaps(other));
        announced
            .flat_map(|namespace| self.namespaces.publishers_at(namespace))
            .filter(is_asked)
            .collect()
    }

    fn begin_watching(&mut self, session: SessionId, kind: Kind, prefix: Namespace) {
        let request = self.out_requests.insert(());
        let peer = &mut self.sessions[session];
        peer.outgoing.insert(request, Asked::Watch);
        let ask = NamespaceRequest {
            request_id: 0,
            namespace: prefix.clone(),
            params: Parameters::default(),
        };
        self.watches.upstream.push(Watching {
            session,
            kind,
            prefix,
            request: Some(request),
            seen: BTreeSet::new(),
        });
        let message = match kind {
            Kind::Namespaces => Message::SubscribeNamespace(ask),
            Kind::Tracks => Message::SubscribeTracks(ask),
        };
        self.commands.push_back(Command::Request {
            session,
            request,
            message,
        });
    }

    /// Forgets a watch of ours, with what was seen there.
    fn end_watching(&mut self, up: Watching, cancel: bool) {
        let session = up.session;
        if let Some(request) = up.request {
            self.out_requests.remove(request);
            if let Some(peer) = self.sessions.get_mut(session) {
                peer.outgoing.remove(&request);
                if cancel {
                    self.commands.push_back(Command::Cancel {
                        session,
                        request,
                        code: ResetCode::CANCELLED,
                    });
                }
            }
        }
        for namespace in &up.seen {
            self.namespace_changed(namespace);
        }
    }

    pub(crate) fn forget_watching_at(&mut self, session: SessionId) {
        let (gone, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut self.watches.upstream)
            .into_iter()
            .partition(|up| up.session == session);
        self.watches.upstream = kept;
        for up in gone {
            self.end_watching(up, false);
        }
    }

    /// A neighbour has refused a watch of ours.
    pub(crate) fn watching_refused(
        &mut self,
        session: SessionId,
        request: OutRequestId,
        code: RequestErrorCode,
        now: Instant,
    ) {
        self.commands
            .push_back(Command::FinishRequest { session, request });
        self.watching_over(
            session,
            request,
            code == RequestErrorCode::PREFIX_OVERLAP,
            now,
        );
    }

    /// A neighbour serves a watch of ours no longer: that is as though every namespace were withdrawn.
    pub(crate) fn watching_over(
        &mut self,
        session: SessionId,
        request: OutRequestId,
        again: bool,
        now: Instant,
    ) {
        if let Some(peer) = self.sessions.get_mut(session) {
            peer.outgoing.remove(&request);
        }
        self.out_requests.remove(request);
        let mut ups = self.watches.upstream.iter_mut();
        let Some(up) = ups.find(|up| up.request == Some(request)) else {
            return;
        };
        up.request = None;
        let seen = std::mem::take(&mut up.seen);
        if again {
            let is_other = |up: &Watching| up.request.is_some() || up.session != session;
            self.watches.upstream.retain(is_other);
            self.timers.set(now + TRY_AGAIN, Timer::Rewatch);
        }
        for namespace in &seen {
            self.namespace_changed(namespace);
        }
    }

    /// A neighbour told of a namespace, or that it is no longer there.
    pub(crate) fn namespace_told(
        &mut self,
        session: SessionId,
        request: OutRequestId,
        suffix: &Namespace,
        is_there: bool,
        now: Instant,
    ) {
        let limit = self.config.namespaces_per_watch;
        let mut ups = self.watches.upstream.iter_mut();
        let Some(up) = ups.find(|up| up.request == Some(request)) else {
            return;
        };
        let Ok(namespace) = up.prefix.join(suffix) else {
            return;
        };
        if !is_there {
            up.seen.remove(&namespace);
        } else if up.seen.len() < limit {
            up.seen.insert(namespace.clone());
        } else {
            let code = ResetCode::EXCESSIVE_LOAD;
            self.commands.push_back(Command::Cancel {
                session,
                request,
                code,
            });
            return self.watching_over(session, request, false, now);
        }
        self.namespace_changed(&namespace);
    }

    /// A neighbour will not publish a track by itself: it is subscribed to there, if somebody watches it.
    pub(crate) fn publish_skipped(
        &mut self,
        session: SessionId,
        request: OutRequestId,
        name: FullTrackName,
        now: Instant,
    ) {
        let mut ups = self.watches.upstream.iter();
        let Some(up) = ups.find(|up| up.request == Some(request)) else {
            return;
        };
        let Ok(namespace) = up.prefix.join(&name.namespace) else {
            return;
        };
        let mut watches = self.watches.by_request.iter();
        let is_watched = watches.any(|(other, watch): (&InRequest, _)| {
            let matches = watch.kind == Kind::Tracks && watch.prefix.is_prefix_of(&namespace);
            matches && other.session != session
        });
        let Ok(name) = FullTrackName::new(namespace, name.name) else {
            return;
        };
        let is_known = self.track_by_name.get(&name);
        let has_upstream = is_known.is_some_and(|track| !self.tracks[*track].upstreams.is_empty());
        let has_room = self
            .sessions
            .get(session)
            .is_some_and(|peer| peer.outgoing.len() < self.config.requests_per_session);
        if is_watched && !has_upstream && has_room {
            let track = self.track(&name);
            self.ask(session, track, None, now);
        }
    }
}
