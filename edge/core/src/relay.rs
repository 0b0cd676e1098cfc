//! The relay's state and its four verbs; each subject has a file of its own with its part of `impl Relay`.

use crate::command::{Command, Outgoing};
use crate::config::Config;
use crate::counters::Counters;
use crate::id::{
    InStreamId, OutRequestId, OutStreamId, SessionId, SubscriptionId, TrackId, UpstreamId,
};
use crate::past::fetching::Fetching;
use crate::past::serving::Serving;
use crate::publisher::source::InStream;
use crate::publisher::upstream::Upstream;
use crate::session::{Asked, Peer, Permissions, Role, Session};
use crate::subscriber::subscription::{OutStream, Subscription};
use crate::timer::{Timer, Timers};
use crate::track::Track;
use crate::tree::namespace::Namespaces;
use crate::tree::root_path::RootPath;
use crate::tree::watch::Watches;
use bytes::Bytes;
use meridian_wire::{FullTrackName, RequestErrorCode, WireError};
use rustc_hash::FxHashMap;
use slotmap::{SecondaryMap, SlotMap};
use std::collections::VecDeque;
use std::time::Instant;

/// A relay. Single-threaded by design: a process runs one for each worker.
pub struct Relay {
    pub(crate) config: Config,
    pub(crate) sessions: SlotMap<SessionId, Session>,
    pub(crate) tracks: SlotMap<TrackId, Track>,
    pub(crate) track_by_name: FxHashMap<FullTrackName, TrackId>,
    pub(crate) upstreams: SlotMap<UpstreamId, Upstream>,
    pub(crate) subscriptions: SlotMap<SubscriptionId, Subscription>,
    pub(crate) in_streams: SlotMap<InStreamId, InStream>,
    pub(crate) out_streams: SlotMap<OutStreamId, OutStream>,
    /// Keys only: what a request is stands in its session.
    pub(crate) out_requests: SlotMap<OutRequestId, ()>,
    /// Fetches and fills towards subscribers; each has an entry in `out_streams` for its ID's sake.
    pub(crate) servings: SecondaryMap<OutStreamId, Serving>,
    /// Fetches at publishers.
    pub(crate) fetches: SecondaryMap<OutRequestId, Fetching>,
    pub(crate) fetch_inputs: SecondaryMap<InStreamId, OutRequestId>,
    /// The session this edge has with itself, for what it publishes and reads of its neighbours.
    pub(crate) own: Option<SessionId>,
    pub(crate) is_draining: bool,
    pub(crate) root_path: RootPath,
    pub(crate) watches: Watches,
    pub(crate) namespaces: Namespaces,
    /// Tracks found malformed during the current call.
    pub(crate) malformed: Vec<TrackId>,
    pub(crate) timers: Timers,
    pub(crate) commands: VecDeque<Command>,
    pub(crate) deliveries: VecDeque<Outgoing>,
    pub(crate) counters: Counters,
    /// Bytes in all caches.
    pub(crate) cached_bytes: usize,
    /// The properties of the object that began last.
    pub(crate) arrival: Option<Bytes>,
    /// The next track alias; aliases are never used again.
    pub(crate) next_alias: u64,
}

impl Relay {
    /// A relay without peers.
    pub fn new(config: Config) -> Relay {
        Relay {
            config,
            sessions: SlotMap::with_key(),
            tracks: SlotMap::with_key(),
            track_by_name: FxHashMap::default(),
            upstreams: SlotMap::with_key(),
            subscriptions: SlotMap::with_key(),
            in_streams: SlotMap::with_key(),
            out_streams: SlotMap::with_key(),
            out_requests: SlotMap::with_key(),
            servings: SecondaryMap::new(),
            fetches: SecondaryMap::new(),
            fetch_inputs: SecondaryMap::new(),
            own: None,
            is_draining: false,
            root_path: RootPath::default(),
            watches: Watches::default(),
            namespaces: Namespaces::default(),
            malformed: Vec::new(),
            timers: Timers::default(),
            commands: VecDeque::new(),
            deliveries: VecDeque::new(),
            counters: Counters::default(),
            cached_bytes: 0,
            arrival: None,
            next_alias: 1,
        }
    }

    /// A session with a peer is established.
    pub fn add_session(&mut self, peer: Peer, now: Instant) -> SessionId {
        let role = peer.role;
        let id = self.sessions.insert(Session::new(peer));
        if role.is_parent() {
            self.parent_arrived(id, now);
        } else if role == Role::Shortcut {
            self.announce_everything_to(id);
        }
        if role != Role::Client {
            self.exchange_paths(id, now);
            self.rewatch();
        }
        id
    }

    /// A peer has shown that it may do more.
    pub fn permit(&mut self, session: SessionId, more: Permissions) {
        if let Some(session) = self.sessions.get_mut(session) {
            session.permissions.widen(more);
        }
    }

    /// A session is gone, with everything that hung on it.
    pub fn remove_session(&mut self, id: SessionId, now: Instant) {
        let Some(session) = self.sessions.remove(id) else {
            return;
        };
        self.path_lost(&session, now);
        self.drop_servings(session.servings, now);
        // Unlisted where they are read: the rest of a stream's entry is dropped when its subgroup goes on.
        self.out_streams.retain(|_, out| out.session != id);
        for subscription in session.subscriptions {
            self.drop_subscription(subscription, now);
        }
        // Others are asked before what is in progress is given up: they may go on with it.
        let lost: Vec<UpstreamId> = self
            .upstreams
            .iter()
            .filter(|(_, up)| up.session == id)
            .map(|(id, _)| id)
            .collect();
        for upstream in lost {
            self.upstream_lost(upstream, now);
        }
        self.fetches_of_lost_session(id, now);
        for stream in session.in_streams {
            self.stream_lost(stream, None, now);
        }
        for (request, asked) in session.outgoing {
            self.out_requests.remove(request);
            if let Asked::Status(inquiry) = asked {
                self.inquire(*inquiry, RequestErrorCode::DOES_NOT_EXIST);
            }
        }
        self.watches_of_lost_session(id);
        self.namespaces_of_lost_session(id);
    }

    /// The next write, in the order writes are to be done.
    #[inline]
    pub fn poll_delivery(&mut self) -> Option<Outgoing> {
        self.deliveries.pop_front()
    }

    /// Whether [`poll_delivery`](Self::poll_delivery) has one.
    pub fn has_deliveries(&self) -> bool {
        !self.deliveries.is_empty()
    }

    /// The next piece of slow work.
    pub fn poll_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// When [`Relay::handle_timeout`] is due. Early or late calls do no harm.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.timers.pop(now) {
            match timer {
                Timer::Rendezvous(subscription) => self.rendezvous_due(subscription, now),
                Timer::Linger(track) => self.linger_due(track, now),
                Timer::Orphan(track) => self.orphan_due(track, now),
                Timer::Delivery(stream) => self.delivery_due(stream, now),
                Timer::Fill(stream) => self.fill_due(stream, now),
                Timer::Growing(stream) => self.serve(stream, now),
                Timer::Expires(upstream) => self.expiry_due(upstream),
                Timer::Rewatch => self.rewatch(),
                Timer::Waiting(stream) => self.waiting_due(stream),
                Timer::Begin(session) => self.begin_due(session, now),
                Timer::Retired(upstream) => self.retired_due(upstream, now),
                Timer::Stalled(track, group, subgroup) => {
                    self.stalled_due(track, group, subgroup, now);
                }
            }
        }
    }

    /// What the relay has done so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The properties of the object that began last since the previous call, for those who measure lag.
    #[inline]
    pub fn take_arrival(&mut self) -> Option<Bytes> {
        self.arrival.take()
    }

    /// Bytes held in caches.
    pub fn cached_bytes(&self) -> usize {
        self.cached_bytes
    }

    /// Sessions, tracks, subscriptions and streams in both directions: all zero when nothing is left behind.
    pub fn population(&self) -> [usize; 7] {
        // The session with ourselves, and what is published there, is not counted.
        let own = usize::from(self.own.is_some());
        [
            self.sessions.len() - own,
            self.tracks.len() - own,
            self.upstreams.len() - own,
            self.subscriptions.len(),
            self.in_streams.len(),
            self.out_streams.len(),
            self.out_requests.len(),
        ]
    }

    /// A peer broke the protocol.
    pub(crate) fn close(&mut self, session: SessionId, error: WireError) {
        self.commands.push_back(Command::Close {
            session,
            code: error.code,
            reason: error.what,
        });
    }
}
