//! Which namespaces this edge's own clients publish and want, and how much comes of each: for whoever plans the network.

use crate::id::{SessionId, SubscriptionId};
use crate::relay::Relay;
use crate::session::Role;
use crate::track::Track;
use meridian_wire::Namespace;
use rustc_hash::FxHashMap;

/// What is known of one namespace, over all its tracks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Talk {
    /// A client publishes a track of it.
    pub is_published: bool,
    /// Subscriptions of clients.
    pub subscriptions: u32,
    /// Bytes of it that came, since its tracks began to be held.
    pub bytes_in: u64,
}

impl Relay {
    /// The namespaces that clients publish or want. Looks at every subscription: for reports, a few times a minute.
    pub fn talks(&self) -> FxHashMap<Namespace, Talk> {
        let mut talks = FxHashMap::<Namespace, Talk>::default();
        for track in self.tracks.values() {
            let (is_published, subscriptions) = (self.is_published(track), self.subscribed(track));
            if !is_published && subscriptions == 0 {
                continue;
            }
            let talk = talks.entry(track.name.namespace.clone()).or_default();
            talk.is_published |= is_published;
            talk.subscriptions = talk.subscriptions.saturating_add(subscriptions);
            talk.bytes_in = talk.bytes_in.saturating_add(track.bytes_in);
        }
        talks
    }

    fn is_published(&self, track: &Track) -> bool {
        let upstreams = track.upstreams.iter();
        let mut upstreams = upstreams.filter_map(|id| self.upstreams.get(*id));
        upstreams.any(|upstream| !upstream.is_retired && self.is_client(upstream.session))
    }

    fn subscribed(&self, track: &Track) -> u32 {
        let is_clients = |id: &&SubscriptionId| {
            let subscription = self.subscriptions.get(**id);
            subscription.is_some_and(|subscription| self.is_client(subscription.session))
        };
        let all = track.subscribers.iter().chain(&track.waiting);
        all.filter(is_clients).count() as u32
    }

    /// Whether it is a client's session, and not the one this edge has with itself.
    fn is_client(&self, session: SessionId) -> bool {
        let role = self.sessions.get(session).map(|session| session.role);
        role == Some(Role::Client) && self.own != Some(session)
    }
}
