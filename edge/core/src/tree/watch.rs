//! SUBSCRIBE_NAMESPACE and SUBSCRIBE_TRACKS from downstream (draft-22 §3.3, §9.17, §9.18).
//!
//! Who is below this edge sees everything; parents and shortcuts see what is published below.

use crate::Command;
use crate::id::{InRequest, SessionId, TrackId};
use crate::relay::Relay;
use crate::session::{Incoming, Role};
use meridian_wire::control::{NamespaceRequest, RequestOk};
use meridian_wire::{Message, Namespace, Parameters, RequestErrorCode, ResetCode};
use rustc_hash::FxHashSet;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

#[derive(Debug, Default)]
pub(crate) struct Watches {
    pub(crate) by_request: BTreeMap<InRequest, Watch>,
    /// Ours, at neighbours.
    pub(crate) upstream: Vec<crate::tree::watch_up::Watching>,
}

/// What is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Namespaces,
    Tracks,
}

#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) kind: Kind,
    pub(crate) prefix: Namespace,
    /// Parameters of the subscriptions that come of it.
    pub(crate) params: Parameters,
    /// Namespaces it was told of.
    told: BTreeSet<Namespace>,
    /// Tracks that were skipped, or that the subscriber did not want: until they are published anew.
    pub(crate) declined: FxHashSet<TrackId>,
}

impl Relay {
    pub(crate) fn watch(
        &mut self,
        session: SessionId,
        kind: Kind,
        ask: NamespaceRequest,
        now: Instant,
    ) {
        let request = InRequest {
            session,
            id: ask.request_id,
        };
        if let Err((code, what)) = self.may_watch(request, kind, &ask.namespace) {
            return self.refuse(request, code, what);
        }
        if self.sessions[session].requests.len() >= self.config.requests_per_session {
            let code = RequestErrorCode::EXCESSIVE_LOAD;
            return self.refuse(request, code, "too many requests");
        }
        let watch = Watch {
            kind,
            prefix: ask.namespace,
            params: ask.params,
            told: BTreeSet::new(),
            declined: FxHashSet::default(),
        };
        self.watches.by_request.insert(request, watch);
        let peer = &mut self.sessions[session];
        peer.requests.insert(request.id, Incoming::Watch);
        self.answer(request, Message::RequestOk(RequestOk::default()));
        self.catch_up(request, now);
        self.rewatch();
    }

    /// REQUEST_UPDATE: the prefix may change, and what future subscriptions begin with.
    pub(crate) fn update_watch(&mut self, request: InRequest, params: &Parameters, now: Instant) {
        let Some(watch) = self.watches.by_request.get(&request) else {
            return;
        };
        let kind = watch.kind;
        if let Some(prefix) = &params.track_namespace_prefix
            && let Err((code, what)) = self.may_watch(request, kind, prefix)
        {
            return self.watch_failed(request, code, what);
        }
        let Some(watch) = self.watches.by_request.get_mut(&request) else {
            return;
        };
        watch.params.forward = params.forward.or(watch.params.forward);
        for filter in &params.range_filters {
            let same = std::mem::discriminant(&filter.subject);
            let old = &mut watch.params.range_filters;
            old.retain(|old| std::mem::discriminant(&old.subject) != same);
        }
        let filters = params.range_filters.iter();
        let filters = filters.filter(|filter| !filter.ranges.is_empty());
        watch.params.range_filters.extend(filters.cloned());
        if let Some(prefix) = &params.track_namespace_prefix {
            watch.prefix = prefix.clone();
            // What is outside cannot be spoken of any more.
            watch
                .told
                .retain(|namespace| prefix.is_prefix_of(namespace));
        }
        self.answer(request, Message::RequestOk(RequestOk::default()));
        self.catch_up(request, now);
        self.rewatch();
    }

    /// A watch is refused after all.
    pub(crate) fn watch_failed(&mut self, request: InRequest, code: RequestErrorCode, what: &str) {
        self.refuse(request, code, what);
        self.unwatch(request);
    }

    /// The subscriber is no longer interested. Subscriptions that came of it go on.
    pub(crate) fn unwatch(&mut self, request: InRequest) {
        self.watches.by_request.remove(&request);
        if let Some(peer) = self.sessions.get_mut(request.session) {
            peer.requests.remove(&request.id);
        }
        self.rewatch();
    }

    /// A neighbour's role has changed, and with it what its watches see.
    pub(crate) fn renew_watches(&mut self, session: SessionId, now: Instant) {
        let watches = self.watches.by_request.iter();
        let of_peer = watches.filter(|(request, _)| request.session == session);
        let told: Vec<(InRequest, Vec<Namespace>)> = of_peer
            .map(|(request, watch)| (*request, watch.told.iter().cloned().collect()))
            .collect();
        for (request, told) in told {
            for namespace in told {
                self.tell_watch(request, &namespace);
            }
            self.catch_up(request, now);
        }
    }

    pub(crate) fn watches_of_lost_session(&mut self, session: SessionId) {
        let watches = &mut self.watches.by_request;
        watches.retain(|request, _| request.session != session);
        self.forget_watching_at(session);
        self.rewatch();
    }

    /// Whether a session may watch a prefix, besides its other watches of that kind.
    fn may_watch(
        &self,
        request: InRequest,
        kind: Kind,
        prefix: &Namespace,
    ) -> Result<(), (RequestErrorCode, &'static str)> {
        let permissions = &self.sessions[request.session].permissions;
        if !permissions.may_subscribe(prefix) {
            return Err((RequestErrorCode::UNAUTHORIZED, "not yours to watch"));
        }
        let overlaps = |(other, watch): (&InRequest, &Watch)| {
            *other != request
                && other.session == request.session
                && watch.kind == kind
                && (watch.prefix.is_prefix_of(prefix) || prefix.is_prefix_of(&watch.prefix))
        };
        if self.watches.by_request.iter().any(overlaps) {
            let what = "another watch of this session overlaps";
            return Err((RequestErrorCode::PREFIX_OVERLAP, what));
        }
        if kind == Kind::Namespaces {
            let matching = self.visible_under(request.session, prefix);
            if matching.len() > self.config.namespaces_per_watch {
                let what = "too many namespaces";
                return Err((RequestErrorCode::NAMESPACE_TOO_LARGE, what));
            }
        }
        Ok(())
    }

    /// Tells a watch what there is.
    fn catch_up(&mut self, request: InRequest, now: Instant) {
        let Some(watch) = self.watches.by_request.get(&request) else {
            return;
        };
        match watch.kind {
            Kind::Namespaces => {
                for namespace in self.visible_under(request.session, &watch.prefix.clone()) {
                    self.tell_watch(request, &namespace);
                }
            }
            Kind::Tracks => self.offer_all(request, now),
        }
    }

    /// A namespace may have come or gone: whoever watches it is told.
    pub(crate) fn namespace_changed(&mut self, namespace: &Namespace) {
        let of = |(request, watch): (&InRequest, &Watch)| {
            let matches = watch.kind == Kind::Namespaces && watch.prefix.is_prefix_of(namespace);
            matches.then_some(*request)
        };
        let watching: Vec<InRequest> = self.watches.by_request.iter().filter_map(of).collect();
        for request in watching {
            self.tell_watch(request, namespace);
        }
    }

    /// Says NAMESPACE or NAMESPACE_DONE, if what was said last is no longer so.
    fn tell_watch(&mut self, request: InRequest, namespace: &Namespace) {
        let is_there = self.is_visible(request.session, namespace);
        let limit = self.config.namespaces_per_watch;
        let Some(watch) = self.watches.by_request.get_mut(&request) else {
            return;
        };
        let Some(suffix) = namespace.strip_prefix(&watch.prefix) else {
            return;
        };
        let has_changed = match is_there {
            true => watch.told.insert(namespace.clone()),
            false => watch.told.remove(namespace),
        };
        if watch.told.len() > limit {
            let (session, id) = (request.session, request.id);
            self.unwatch(request);
            return self.commands.push_back(Command::Reject {
                session,
                request: id,
                code: ResetCode::EXCESSIVE_LOAD,
            });
        }
        if has_changed {
            let message = match is_there {
                true => Message::Namespace(suffix),
                false => Message::NamespaceDone(suffix),
            };
            self.answer(request, message);
        }
    }

    /// Namespaces under a prefix that a session may know of.
    fn visible_under(&self, session: SessionId, prefix: &Namespace) -> Vec<Namespace> {
        let here = self.namespaces.all();
        let above = self.watches.upstream.iter().flat_map(|up| &up.seen);
        let all: BTreeSet<&Namespace> = here.chain(above).collect();
        all.into_iter()
            .filter(|namespace| prefix.is_prefix_of(namespace))
            .filter(|namespace| self.is_visible(session, namespace))
            .cloned()
            .collect()
    }

    fn is_visible(&self, session: SessionId, namespace: &Namespace) -> bool {
        let from_below = self.role(session).is_some_and(Role::is_below);
        let mut publishers = self.namespaces.publishers_at(namespace);
        let is_here = publishers
            .any(|publisher| from_below || self.role(publisher).is_some_and(Role::is_below));
        let mut upstream = self.watches.upstream.iter();
        is_here || (from_below && upstream.any(|up| up.seen.contains(namespace)))
    }
}
