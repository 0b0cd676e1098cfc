//! Announcements: which peers publish under which namespaces, and what neighbours are told of it.

use crate::Command;
use crate::id::{InRequest, OutRequestId, SessionId};
use crate::relay::Relay;
use crate::session::{Asked, Incoming, Role};
use meridian_wire::control::{NamespaceRequest, RequestOk};
use meridian_wire::{Message, Namespace, Parameters, RequestErrorCode, ResetCode};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use std::time::Instant;

#[derive(Debug, Default)]
pub(crate) struct Namespaces {
    /// What each session publishes there.
    announcers: FxHashMap<Namespace, SmallVec<[(SessionId, Claims); 2]>>,
    /// What was announced to which neighbour.
    told: FxHashMap<(SessionId, Namespace), OutRequestId>,
}

/// How often a session publishes under a namespace.
#[derive(Clone, Copy, Debug, Default)]
struct Claims {
    /// By PUBLISH_NAMESPACE: it may be asked for any track there.
    namespaces: u32,
    /// By PUBLISH: it may be asked for nothing more (draft-22 §7.6), but neighbours have to know where to ask.
    tracks: u32,
}

/// How a session says that it publishes under a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    Namespace,
    Track,
}

impl Claims {
    fn count(&mut self, claim: Claim) -> &mut u32 {
        match claim {
            Claim::Namespace => &mut self.namespaces,
            Claim::Track => &mut self.tracks,
        }
    }
}

impl Namespaces {
    /// Sessions that announced `namespace` or a prefix of it, each once.
    pub(crate) fn announcers_of(&self, namespace: &Namespace) -> impl Iterator<Item = SessionId> {
        let mut found: SmallVec<[SessionId; 4]> = SmallVec::new();
        for len in 0..=namespace.0.len() {
            let prefix = Namespace(namespace.0[..len].into());
            for (session, claims) in self.announcers.get(&prefix).into_iter().flatten() {
                if claims.namespaces > 0 && !found.contains(session) {
                    found.push(*session);
                }
            }
        }
        found.into_iter()
    }

    /// Every namespace under which somebody publishes.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Namespace> {
        self.announcers.keys()
    }

    /// Who publishes under exactly this namespace.
    pub(crate) fn publishers_at(&self, namespace: &Namespace) -> impl Iterator<Item = SessionId> {
        let announcers = self.announcers.get(namespace).into_iter().flatten();
        announcers.map(|(session, _)| *session)
    }

    fn add(&mut self, namespace: &Namespace, session: SessionId, claim: Claim) {
        let announcers = self.announcers.entry(namespace.clone()).or_default();
        let known = announcers.iter().position(|(known, _)| *known == session);
        let at = known.unwrap_or_else(|| {
            announcers.push((session, Claims::default()));
            announcers.len() - 1
        });
        *announcers[at].1.count(claim) += 1;
    }

    fn remove(&mut self, namespace: &Namespace, session: SessionId, claim: Claim) {
        let Some(announcers) = self.announcers.get_mut(namespace) else {
            return;
        };
        for (_, claims) in announcers.iter_mut().filter(|(known, _)| *known == session) {
            let count = claims.count(claim);
            *count = count.saturating_sub(1);
        }
        announcers.retain(|(_, claims)| claims.namespaces + claims.tracks > 0);
        if announcers.is_empty() {
            self.announcers.remove(namespace);
        }
    }

    /// Forgets a session; where it published.
    fn remove_session(&mut self, session: SessionId) -> Vec<Namespace> {
        let mut left = Vec::new();
        self.announcers.retain(|namespace, announcers| {
            let before = announcers.len();
            announcers.retain(|(known, _)| *known != session);
            if announcers.len() < before {
                left.push(namespace.clone());
            }
            !announcers.is_empty()
        });
        left
    }
}

impl Relay {
    pub(crate) fn publish_namespace(
        &mut self,
        session: SessionId,
        ask: NamespaceRequest,
        now: Instant,
    ) {
        let request = InRequest {
            session,
            id: ask.request_id,
        };
        let peer = &self.sessions[session];
        if !peer.permissions.may_publish(&ask.namespace) {
            return self.refuse(
                request,
                RequestErrorCode::UNAUTHORIZED,
                "not yours to publish under",
            );
        }
        if peer.requests.len() >= self.config.requests_per_session {
            return self.refuse(
                request,
                RequestErrorCode::EXCESSIVE_LOAD,
                "too many requests",
            );
        }
        let incoming = Incoming::PublishNamespace(ask.namespace.clone());
        self.sessions[session]
            .requests
            .insert(ask.request_id, incoming);
        self.answer(request, Message::RequestOk(RequestOk::default()));
        self.announced(session, &ask.namespace, Claim::Namespace);
        self.publisher_arrived(session, &ask.namespace, now);
    }

    /// A session publishes under a namespace: neighbours above learn of it.
    pub(crate) fn announced(&mut self, session: SessionId, namespace: &Namespace, claim: Claim) {
        self.namespaces.add(namespace, session, claim);
        self.namespace_changed(namespace);
        self.rewatch();
        if !self.role(session).is_some_and(Role::is_below) {
            return;
        }
        for neighbour in self.listeners() {
            if neighbour != session {
                self.tell(neighbour, namespace);
            }
        }
    }

    /// A session publishes there no more.
    pub(crate) fn withdrawn(&mut self, session: SessionId, namespace: &Namespace, claim: Claim) {
        self.namespaces.remove(namespace, session, claim);
        self.tell_if_gone(namespace);
    }

    /// Neighbours learn that nobody publishes there any more, if so.
    fn tell_if_gone(&mut self, namespace: &Namespace) {
        self.namespace_changed(namespace);
        self.rewatch();
        if self.is_published_below(namespace) {
            return;
        }
        for neighbour in self.listeners() {
            self.untell(neighbour, namespace);
        }
    }

    fn untell(&mut self, session: SessionId, namespace: &Namespace) {
        let Some(request) = self.namespaces.told.remove(&(session, namespace.clone())) else {
            return;
        };
        self.sessions[session].outgoing.remove(&request);
        self.out_requests.remove(request);
        let code = ResetCode::CANCELLED;
        self.commands.push_back(Command::Cancel {
            session,
            request,
            code,
        });
    }

    /// A neighbour has refused, or dropped, an announcement of ours.
    pub(crate) fn announcement_ended(&mut self, session: SessionId, request: OutRequestId) {
        if let Some(Asked::Announce(namespace)) = self.sessions[session].outgoing.remove(&request) {
            self.namespaces.told.remove(&(session, namespace));
        }
        self.out_requests.remove(request);
    }

    pub(crate) fn announce_everything_to(&mut self, neighbour: SessionId) {
        let below: Vec<Namespace> = self.namespaces.announcers.keys().cloned().collect();
        for namespace in below {
            if self.is_published_below(&namespace) {
                self.tell(neighbour, &namespace);
            }
        }
    }

    pub(crate) fn namespaces_of_lost_session(&mut self, session: SessionId) {
        self.namespaces
            .told
            .retain(|(neighbour, _), _| *neighbour != session);
        for namespace in self.namespaces.remove_session(session) {
            self.tell_if_gone(&namespace);
        }
    }

    /// A neighbour's role has changed: what it is told follows, and what others are told of it.
    pub(crate) fn renew_announcements(&mut self, id: SessionId) {
        match self.role(id) {
            Some(role) if listens(role) => self.announce_everything_to(id),
            _ => self.untell_everything(id),
        }
        let announcers = self.namespaces.announcers.iter();
        let of_peer = announcers.filter(|(_, by)| by.iter().any(|(session, _)| *session == id));
        let namespaces: Vec<Namespace> = of_peer.map(|(namespace, _)| namespace.clone()).collect();
        for namespace in namespaces {
            self.tell_if_gone(&namespace);
            if !self.is_published_below(&namespace) {
                continue;
            }
            for neighbour in self.listeners() {
                if neighbour != id {
                    self.tell(neighbour, &namespace);
                }
            }
        }
    }

    /// It hears no more what is published below.
    fn untell_everything(&mut self, id: SessionId) {
        let told = self.namespaces.told.iter();
        let of_peer = told.filter(|((neighbour, _), _)| *neighbour == id);
        let told: Vec<Namespace> = of_peer
            .map(|((_, namespace), _)| namespace.clone())
            .collect();
        for namespace in told {
            self.untell(id, &namespace);
        }
    }

    fn tell(&mut self, neighbour: SessionId, namespace: &Namespace) {
        let key = (neighbour, namespace.clone());
        if self.namespaces.told.contains_key(&key) {
            return;
        }
        let request = self.out_requests.insert(());
        self.namespaces.told.insert(key, request);
        let asked = Asked::Announce(namespace.clone());
        self.sessions[neighbour].outgoing.insert(request, asked);
        let message = Message::PublishNamespace(NamespaceRequest {
            request_id: 0,
            namespace: namespace.clone(),
            params: Parameters::default(),
        });
        self.commands.push_back(Command::Request {
            session: neighbour,
            request,
            message,
        });
    }

    /// Neighbours that learn what is published below this edge.
    fn listeners(&self) -> SmallVec<[SessionId; 4]> {
        self.sessions
            .iter()
            .filter(|(_, peer)| listens(peer.role))
            .map(|(id, _)| id)
            .collect()
    }

    fn is_published_below(&self, namespace: &Namespace) -> bool {
        let announcers = self.namespaces.announcers.get(namespace);
        announcers
            .into_iter()
            .flatten()
            .any(|(session, _)| self.role(*session).is_some_and(Role::is_below))
    }
}

/// Whether a neighbour learns what is published below this edge.
fn listens(role: Role) -> bool {
    role.is_parent() || role == Role::Shortcut
}
