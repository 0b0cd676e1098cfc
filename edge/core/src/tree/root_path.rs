//! Root paths: which edges lie between an edge and its root. An edge that finds itself on a parent's path does not use
//! that parent, so that no request goes in a circle while offices are being joined anew.
//!
//! Each edge publishes its path as a track of its own, and subscribes to those of its parents. A group is a path: one
//! object, the ids of the offices from that edge up to its root, a line each.

use crate::id::{OutStreamId, SessionId, SubscriptionId, TrackId};
use crate::publisher::upstream::{self, Upstream};
use crate::relay::Relay;
use crate::session::{Peer, Permissions, Role, Session};
use crate::subscriber::filter::Ranges;
use crate::subscriber::subscription::{Origin, Subscription};
use crate::track::subgroup::State;
use bytes::{Bytes, BytesMut};
use meridian_wire::data::{ObjectHeader, ObjectStatus, SubgroupHeader, SubgroupId};
use meridian_wire::property::Properties;
use meridian_wire::{FullTrackName, Namespace, Parameters};
use smallvec::SmallVec;
use std::time::Instant;

/// First field of the namespace of what edges say of themselves to each other: `(meridian-edge, <office>)`. Not with a
/// leading period: such names are the protocol's (draft-22 §6.4).
pub(crate) const EDGES: &[u8] = b"meridian-edge";
const NAME: &[u8] = b"root-path";
/// What the track is called in the session with ourselves.
const ALIAS: u64 = 0;
/// As urgent as captions and state.
const PRIORITY: u8 = 48;
/// Offices on a path, and bytes of an office's id. A longer path is no path.
const MAX_PATH: usize = 32;
const MAX_OFFICE: usize = 63;

/// This edge's own path.
#[derive(Debug, Default)]
pub(crate) struct RootPath {
    offices: Vec<String>,
    group: u64,
    next_request: u64,
}

/// What is known of a parent's path.
#[derive(Debug, Default)]
pub(crate) struct ParentPath {
    subscription: Option<SubscriptionId>,
    track: Option<TrackId>,
    offices: Vec<String>,
}

impl ParentPath {
    pub(crate) fn subscription(&self) -> Option<SubscriptionId> {
        self.subscription
    }

    pub(crate) fn track(&self) -> Option<TrackId> {
        self.track
    }
}

impl Relay {
    /// The offices from this edge up to its root, as its neighbours are told. Empty if this edge was not told its id.
    pub fn root_path(&self) -> &[String] {
        &self.root_path.offices
    }

    /// Whether a session is a parent that is not used, as its path goes through this edge.
    pub fn is_looped(&self, session: SessionId) -> bool {
        self.sessions
            .get(session)
            .is_some_and(|peer| peer.is_looped)
    }

    /// Begins to say what this edge's path is, and to hear a parent's.
    pub(crate) fn exchange_paths(&mut self, neighbour: SessionId, now: Instant) {
        let Some(office) = self.config.office.clone() else {
            return;
        };
        if self.own.is_none() {
            self.open_own_session(&office);
            self.renew_path(now);
        }
        let peer = &self.sessions[neighbour];
        if let Some(theirs) = peer.office.clone().filter(|_| peer.role.is_parent()) {
            self.hear_from(neighbour, &theirs, now);
        }
    }

    /// Whether a namespace is that of this edge's own path.
    pub(crate) fn is_own_path(&self, namespace: &Namespace) -> bool {
        let office = self.config.office.as_deref();
        office.is_some_and(|office| namespace_of(office).as_ref() == Some(namespace))
    }

    /// Whether a track is somebody's path: it is asked for nowhere but there.
    pub(crate) fn is_path(&self, track: TrackId) -> bool {
        let first = self.tracks[track].name.namespace.0.first();
        first.is_some_and(|field| &field[..] == EDGES)
    }

    /// A parent is gone, and its path with it.
    pub(crate) fn path_lost(&mut self, session: &Session, now: Instant) {
        if let Some(subscription) = session.path.subscription {
            self.drop_subscription(subscription, now);
        }
        if session.role.is_parent() {
            self.renew_path(now);
        }
    }

    /// A session with ourselves: what this edge publishes comes in there as from anybody else.
    fn open_own_session(&mut self, office: &str) {
        let (Some(name), Ok(properties)) = (
            track_of(office),
            Properties::builder()
                .default_publisher_priority(PRIORITY)
                .build(),
        ) else {
            return;
        };
        let peer = Peer::new(Role::Client, Permissions::default());
        let own = self.sessions.insert(Session::new(peer));
        self.own = Some(own);
        let track = self.track(&name);
        let upstream = self.upstreams.insert(Upstream {
            track,
            session: own,
            origin: upstream::Origin::Publish(ALIAS),
            alias: Some(ALIAS),
            forward: true,
            held_since: None,
            is_retired: false,
        });
        let entry = &mut self.tracks[track];
        entry.upstreams.push(upstream);
        entry.describe(properties);
        self.sessions[own].upstream_by_alias.insert(ALIAS, upstream);
    }

    /// Subscribes to a parent's path.
    fn hear_from(&mut self, parent: SessionId, office: &str, now: Instant) {
        let (Some(own), Some(name)) = (self.own, track_of(office)) else {
            return;
        };
        let track = self.track(&name);
        let request = self.root_path.next_request;
        self.root_path.next_request += 1;
        let origin = Origin::Subscribe(request);
        let params = Parameters::default();
        let mut subscription = Subscription::new(own, track, origin, &params, now);
        // With filters it is looked at object by object, which is where it is read: see `hear`.
        subscription.ranges = Some(Box::new(Ranges::everything()));
        let id = self.subscriptions.insert(subscription);
        self.sessions[own].subscriptions.insert(id);
        self.tracks[track].waiting.push(id);
        self.sessions[parent].path = ParentPath {
            subscription: Some(id),
            track: Some(track),
            offices: Vec::new(),
        };
        self.ask(parent, track, None, now);
    }

    /// There is something on a stream towards ourselves: a parent's path, once it is whole.
    pub(crate) fn hear(&mut self, stream: OutStreamId, now: Instant) {
        let Some(out) = self.out_streams.get(stream) else {
            return;
        };
        let (track, group, subgroup) = (out.track, out.group, out.subgroup);
        let cache = self.tracks.get(track).map(|track| &track.cache);
        let Some(held) = cache.and_then(|cache| cache.subgroup(group, subgroup)) else {
            self.out_streams.remove(stream);
            return;
        };
        let whole = held.objects.iter().rposition(|object| object.is_whole());
        let path = whole.map(|index| {
            let object = &held.objects[index];
            let mut bytes = BytesMut::new();
            for (n, chunk) in held
                .chunks(object.chunk, held.end_of(index))
                .iter()
                .enumerate()
            {
                bytes.extend_from_slice(if n == 0 {
                    &chunk[object.head_len..]
                } else {
                    chunk
                });
            }
            bytes.freeze()
        });
        let is_newest = self.tracks[track].largest.is_none_or(|l| l.group <= group);
        if held.state != State::Open {
            self.forget_reader(stream);
        }
        if let Some(offices) = path.filter(|_| is_newest).and_then(|path| offices(&path)) {
            self.path_heard(track, offices, now);
        }
    }

    /// A parent's path has come. While a link to it is being replaced there are two sessions that it is about.
    fn path_heard(&mut self, track: TrackId, offices: Vec<String>, now: Instant) {
        let sessions = self.sessions.iter();
        let is_new =
            |peer: &Session| peer.path.track == Some(track) && peer.path.offices != offices;
        let parents: SmallVec<[SessionId; 2]> = sessions
            .filter(|(_, peer)| is_new(peer))
            .map(|(id, _)| id)
            .collect();
        for parent in &parents {
            self.path_of_parent(*parent, offices.clone(), now);
        }
        if !parents.is_empty() {
            self.rewatch();
            self.renew_path(now);
        }
    }

    fn path_of_parent(&mut self, parent: SessionId, offices: Vec<String>, now: Instant) {
        let Some(peer) = self.sessions.get_mut(parent) else {
            return;
        };
        let is_looped = self
            .config
            .office
            .as_ref()
            .is_some_and(|own| offices.contains(own));
        peer.path.offices = offices;
        let was_looped = std::mem::replace(&mut peer.is_looped, is_looped);
        if is_looped && !was_looped {
            tracing::warn!(path = ?peer.path.offices, "a parent's path goes through this edge");
            self.counters.looped_parents += 1;
            self.leave_looped(parent, now);
        } else if was_looped && !is_looped {
            tracing::info!("a parent's path is clean again");
            self.parent_arrived(parent, now);
        }
    }

    /// Nothing comes from a parent that would have to ask this edge: others are asked.
    fn leave_looped(&mut self, parent: SessionId, now: Instant) {
        let at_parent = self.upstreams.iter().filter(|(_, up)| up.session == parent);
        let left: Vec<_> = at_parent
            .filter(|(_, up)| !self.is_path(up.track) && !up.is_retired)
            .map(|(id, up)| (id, up.track))
            .collect();
        for (upstream, track) in left {
            self.give_up_upstream(upstream);
            self.orphaned(track, parent, now);
        }
    }

    /// Says the path anew, if it has changed.
    pub(crate) fn renew_path(&mut self, now: Instant) {
        let (Some(own), Some(office)) = (self.own, self.config.office.clone()) else {
            return;
        };
        let path = self.path_from(office);
        if self.root_path.offices == path {
            return;
        }
        self.root_path.offices = path;
        let group = self.root_path.group;
        self.root_path.group += 1;
        let bytes = object(group, &self.root_path.offices);
        if let Some(stream) = self.accept_stream(own) {
            let taken = self.handle_stream(stream, &[bytes], true, now);
            debug_assert!(taken.is_ok(), "what this edge writes can be read");
        }
    }

    /// This office, and the path of the parent in use. If all of them go through this edge, the first up to it: were that
    /// left out, two edges that are each other's parents would find each other clean, then not, for ever.
    fn path_from(&self, office: String) -> Vec<String> {
        let parents = self.sessions.values().filter(|peer| peer.role.is_parent());
        let known = parents.filter(|peer| !peer.path.offices.is_empty());
        let best =
            known.min_by_key(|peer| (peer.is_looped, peer.is_leaving, peer.role != Role::Parent));
        let above = best.map_or(&[][..], |peer| &peer.path.offices);
        let above = above.iter().take_while(|above| **above != office).cloned();
        let above: Vec<String> = above.take(MAX_PATH - 1).collect();
        std::iter::once(office).chain(above).collect()
    }
}

fn namespace_of(office: &str) -> Option<Namespace> {
    let fields = [EDGES, office.as_bytes()];
    Namespace::new(fields.map(Bytes::copy_from_slice)).ok()
}

fn track_of(office: &str) -> Option<FullTrackName> {
    FullTrackName::new(namespace_of(office)?, Bytes::from_static(NAME)).ok()
}

fn object(group: u64, offices: &[String]) -> Bytes {
    let payload = offices.join("\n");
    let mut bytes = BytesMut::with_capacity(payload.len() + 32);
    let header = SubgroupHeader {
        track_alias: ALIAS,
        group,
        subgroup: SubgroupId::Zero,
        priority: None,
        has_properties: false,
        end_of_group: true,
        first_object: true,
    };
    header.encode(&mut bytes);
    let head = ObjectHeader {
        id: 0,
        properties: Bytes::new(),
        payload_len: payload.len() as u64,
        status: ObjectStatus::Normal,
    };
    head.encode(None, false, &mut bytes);
    bytes.extend_from_slice(payload.as_bytes());
    bytes.freeze()
}

/// The offices of a path; `None` if it is none.
fn offices(path: &[u8]) -> Option<Vec<String>> {
    let path = std::str::from_utf8(path).ok()?;
    let offices: Vec<String> = path.split('\n').map(str::to_owned).collect();
    let is_office = |office: &String| !office.is_empty() && office.len() <= MAX_OFFICE;
    (offices.len() <= MAX_PATH && offices.iter().all(is_office)).then_some(offices)
}
