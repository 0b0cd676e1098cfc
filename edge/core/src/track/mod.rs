//! A track: its cache, who publishes it to us, and who gets it from us.

pub(crate) mod cache;
pub(crate) mod evict;
pub(crate) mod subgroup;
pub(crate) mod talk;

use crate::id::{SessionId, SubscriptionId, UpstreamId};
use crate::past::held::Past;
use crate::track::cache::Cache;
use crate::track::subgroup::{Timeouts, millis};
use meridian_wire::property::Properties;
use meridian_wire::{FullTrackName, Location};
use smallvec::SmallVec;
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(crate) struct Track {
    pub(crate) name: FullTrackName,
    /// What the track is called on every data stream this relay opens. One for all sessions, so that what is written
    /// for one subscriber can be written for all.
    pub(crate) alias: u64,
    pub(crate) properties: Properties,
    pub(crate) default_priority: u8,
    pub(crate) timeouts: Timeouts,
    pub(crate) cache: Cache,
    /// What is held besides, for fetches.
    pub(crate) past: Past,
    /// What came of it, without what came twice.
    pub(crate) bytes_in: u64,
    /// How long an object may be served after it came (MAX_CACHE_DURATION).
    pub(crate) cache_for: Option<Duration>,
    /// The largest location an upstream told of or sent (draft-22 §9.20.17).
    pub(crate) largest: Option<Location>,
    /// Our subscriptions to it, pending and established.
    pub(crate) upstreams: SmallVec<[UpstreamId; 2]>,
    /// Established downstream subscriptions.
    pub(crate) subscribers: Vec<SubscriptionId>,
    /// Publishers that refused it since it was last asked for.
    pub(crate) refused: SmallVec<[SessionId; 2]>,
    /// Downstream subscriptions that wait for an upstream.
    pub(crate) waiting: Vec<SubscriptionId>,
    /// The largest NEW_GROUP_REQUEST that is still unanswered.
    pub(crate) new_group_asked: Option<u64>,
    /// Entries of its subscribers' pending lists.
    pub(crate) pending: usize,
    /// While it has no publisher: until when its subscribers wait for one.
    pub(crate) orphan_until: Option<Instant>,
    /// While it has no subscribers: until when its upstream is kept.
    pub(crate) linger_until: Option<Instant>,
}

/// The publisher priority of a track that names none (draft-22 §11.5).
pub(crate) const DEFAULT_PRIORITY: u8 = 128;

impl Track {
    pub(crate) fn new(name: FullTrackName, alias: u64) -> Track {
        Track {
            name,
            alias,
            properties: Properties::default(),
            default_priority: DEFAULT_PRIORITY,
            timeouts: Timeouts::default(),
            cache: Cache::default(),
            past: Past::default(),
            bytes_in: 0,
            cache_for: None,
            largest: None,
            upstreams: SmallVec::new(),
            subscribers: Vec::new(),
            refused: SmallVec::new(),
            waiting: Vec::new(),
            new_group_asked: None,
            pending: 0,
            orphan_until: None,
            linger_until: None,
        }
    }

    pub(crate) fn saw(&mut self, at: Location) {
        if self.largest.is_none_or(|largest| at > largest) {
            if self.largest.is_none_or(|largest| at.group > largest.group) {
                self.new_group_asked = None;
            }
            self.largest = Some(at);
        }
    }

    /// Whether nobody publishes it, takes it or waits for it.
    pub(crate) fn is_idle(&self) -> bool {
        self.upstreams.is_empty()
            && self.subscribers.is_empty()
            && self.waiting.is_empty()
            && self.past.users == 0
    }

    /// Takes over what a publisher says of the track. The newest set replaces the older one (draft-22 §7.8).
    pub(crate) fn describe(&mut self, properties: Properties) {
        let block = properties.block();
        self.default_priority = block
            .default_publisher_priority()
            .unwrap_or(DEFAULT_PRIORITY);
        self.timeouts = Timeouts {
            object: block.object_delivery_timeout().and_then(millis),
            subgroup: block.subgroup_delivery_timeout().and_then(millis),
        };
        self.cache_for = block.max_cache_duration().map(Duration::from_millis);
        self.properties = properties;
    }
}
