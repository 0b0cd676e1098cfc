//! A peer, as the relay sees it: its role in the tree, what it may do, and how congested it is.

use crate::id::{InStreamId, OutRequestId, OutStreamId, SessionId, SubscriptionId, UpstreamId};
use crate::tree::root_path::ParentPath;
use crate::tree::status::Inquiry;
use meridian_wire::{Draft, Namespace};
use rustc_hash::{FxHashMap, FxHashSet};

/// What a peer is to this edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// A delegate, encoder or load tester.
    Client,
    /// An edge below this one.
    Child,
    /// The edge above.
    Parent,
    /// A second edge above: audio comes through it always, the rest when the parent is gone.
    BackupParent,
    /// A direct link to another region's edge.
    Shortcut,
}

impl Role {
    /// Whether requests may be passed on from here to parents and shortcuts (valley-free forwarding).
    pub(crate) fn is_below(self) -> bool {
        matches!(self, Role::Client | Role::Child)
    }

    pub(crate) fn is_parent(self) -> bool {
        matches!(self, Role::Parent | Role::BackupParent)
    }
}

/// What a peer may do. `None` in place of a list: everything.
#[derive(Clone, Debug, Default)]
pub struct Permissions {
    /// Namespace prefixes it may publish under.
    pub publish: Option<Vec<Namespace>>,
    /// Namespace prefixes it may subscribe under.
    pub subscribe: Option<Vec<Namespace>>,
}

impl Permissions {
    /// Nothing.
    pub fn none() -> Permissions {
        Permissions {
            publish: Some(Vec::new()),
            subscribe: Some(Vec::new()),
        }
    }

    /// Adds what `more` allows.
    pub fn widen(&mut self, more: Permissions) {
        widen(&mut self.publish, more.publish);
        widen(&mut self.subscribe, more.subscribe);
    }

    /// Whether tracks of `namespace`, or the namespace itself, may be published.
    pub fn may_publish(&self, namespace: &Namespace) -> bool {
        covers(self.publish.as_deref(), namespace)
    }

    /// Whether `namespace` may be subscribed to.
    pub fn may_subscribe(&self, namespace: &Namespace) -> bool {
        covers(self.subscribe.as_deref(), namespace)
    }
}

fn widen(prefixes: &mut Option<Vec<Namespace>>, more: Option<Vec<Namespace>>) {
    let (Some(have), Some(more)) = (prefixes.as_mut(), more) else {
        *prefixes = None;
        return;
    };
    // A token that is sent again adds nothing.
    let new: Vec<_> = more
        .into_iter()
        .filter(|prefix| !have.contains(prefix))
        .collect();
    have.extend(new);
}

fn covers(prefixes: Option<&[Namespace]>, namespace: &Namespace) -> bool {
    prefixes.is_none_or(|prefixes| prefixes.iter().any(|prefix| prefix.is_prefix_of(namespace)))
}

/// A peer at the moment its session is established.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its place in the tree.
    pub role: Role,
    /// What its credentials allow.
    pub permissions: Permissions,
    /// What it speaks.
    pub draft: Draft,
    /// A neighbour's office.
    pub office: Option<String>,
}

impl Peer {
    /// A peer that speaks draft 22.
    pub fn new(role: Role, permissions: Permissions) -> Peer {
        Peer {
            role,
            permissions,
            draft: Draft::D22,
            office: None,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) role: Role,
    pub(crate) permissions: Permissions,
    pub(crate) draft: Draft,
    pub(crate) office: Option<String>,
    /// If it is a parent: its way to the root.
    pub(crate) path: ParentPath,
    /// What each live request of the peer is.
    pub(crate) requests: FxHashMap<u64, Incoming>,
    /// What each live request of ours is.
    pub(crate) outgoing: FxHashMap<OutRequestId, Asked>,
    pub(crate) upstream_by_alias: FxHashMap<u64, UpstreamId>,
    pub(crate) subscriptions: FxHashSet<SubscriptionId>,
    pub(crate) in_streams: FxHashSet<InStreamId>,
    /// What the peer calls tracks whose group in progress is being fetched from it.
    pub(crate) joining: FxHashSet<u64>,
    /// Streams that carry an alias no response has named yet, or a track that is being joined.
    pub(crate) waiting: Vec<InStreamId>,
    /// Streams that took less than they were given, with their priority (higher first).
    pub(crate) blocked: Vec<(i32, OutStreamId)>,
    /// No stream could be opened at the last try.
    pub(crate) out_of_credit: bool,
    /// Fetches and fills towards it, and those of them that wait for room or credit.
    pub(crate) servings: Vec<OutStreamId>,
    pub(crate) parked: Vec<OutStreamId>,
    /// A timer is set for what waits.
    pub(crate) begins_soon: bool,
    /// It has sent GOAWAY: nothing new is asked there.
    pub(crate) is_leaving: bool,
    /// It is a parent whose path to the root goes through this edge: nothing is asked there.
    pub(crate) is_looped: bool,
}

/// A request of a peer.
#[derive(Clone, Debug)]
pub(crate) enum Incoming {
    Subscription(SubscriptionId),
    Publish(UpstreamId),
    PublishNamespace(Namespace),
    Fetch(OutStreamId),
    /// A joining fetch that waits for its subscription.
    Joining(SubscriptionId),
    /// A TRACK_STATUS that was passed on: where, and as which request of ours.
    Status(SessionId, OutRequestId),
    /// SUBSCRIBE_NAMESPACE or SUBSCRIBE_TRACKS.
    Watch,
}

/// A request of ours.
#[derive(Clone, Debug)]
pub(crate) enum Asked {
    Subscribe(UpstreamId),
    Announce(Namespace),
    Fetch,
    Status(Box<Inquiry>),
    Watch,
    Publish(SubscriptionId),
}

impl Session {
    pub(crate) fn new(peer: Peer) -> Session {
        Session {
            role: peer.role,
            permissions: peer.permissions,
            draft: peer.draft,
            office: peer.office,
            path: ParentPath::default(),
            requests: FxHashMap::default(),
            outgoing: FxHashMap::default(),
            upstream_by_alias: FxHashMap::default(),
            subscriptions: FxHashSet::default(),
            in_streams: FxHashSet::default(),
            joining: FxHashSet::default(),
            waiting: Vec::new(),
            blocked: Vec::new(),
            out_of_credit: false,
            servings: Vec::new(),
            parked: Vec::new(),
            begins_soon: false,
            is_leaving: false,
            is_looped: false,
        }
    }

    /// Takes a stream off the blocked ones; whether it was one.
    pub(crate) fn unblock(&mut self, stream: OutStreamId) -> bool {
        let before = self.blocked.len();
        self.blocked.retain(|(_, blocked)| *blocked != stream);
        self.blocked.len() < before
    }

    /// Whether a new stream of this priority may be opened now: only what is more urgent than everything that waits.
    #[inline]
    pub(crate) fn has_room_for(&self, priority: i32) -> bool {
        !self.out_of_credit && self.blocked.iter().all(|(blocked, _)| priority > *blocked)
    }
}
