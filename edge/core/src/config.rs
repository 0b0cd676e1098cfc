//! What an operator may tune in the relay.

use std::time::Duration;

/// The relay's limits and delays. [`Config::default`] is what an office edge runs with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Cached payload and header bytes one track may hold.
    pub track_cache_bytes: usize,
    /// Groups one track may hold; audio has fifty a second.
    pub track_cache_groups: usize,
    /// Cached bytes over all tracks.
    pub cache_bytes: usize,
    /// An object older than this is not started for a subscriber that asked for no timeout of its own.
    pub late_after: Duration,
    /// The same for tracks at or above [`Config::audio_priority`].
    pub audio_late_after: Duration,
    /// Publisher priorities up to this number are audio: taken through both parents, never behind video.
    pub audio_priority: u8,
    /// How long a subgroup may stand still after its source was lost while another publisher might go on with it.
    pub stalled_after: Duration,
    /// How long an upstream subscription is kept after its last subscriber left.
    pub linger: Duration,
    /// How long subscribers of a track wait for a publisher to come back before PUBLISH_DONE.
    pub orphan_after: Duration,
    /// The longest rendezvous granted to a SUBSCRIBE.
    pub max_rendezvous: Duration,
    /// Subgroups one subscription may have waiting for credit or room.
    pub pending_subgroups: usize,
    /// Streams of one session that may wait for the response that names their alias.
    pub waiting_streams: usize,
    /// Bytes such a stream may hold while it waits.
    pub waiting_bytes: usize,
    /// How long such a stream waits.
    pub waiting_for: Duration,
    /// Subscriptions, announcements and watches one session may have.
    pub requests_per_session: usize,
    /// Namespaces one SUBSCRIBE_NAMESPACE may match.
    pub namespaces_per_watch: usize,
    /// This edge's office, if it has neighbours: how they know whether a path goes through it.
    pub office: Option<String>,
    /// Fetches and fills one session may have.
    pub fetches_per_session: usize,
    /// Bytes of one fetch that may have come from a publisher and not gone to the subscriber.
    pub fetch_window: usize,
    /// Bytes of fetched objects one track may keep.
    pub past_bytes: usize,
    /// The longest a fetch or fill waits for publishers in all, and how long it does if it does not say.
    pub fill_timeout: Duration,
    /// Ranges over all range filters of one request, as announced in MAX_FILTER_RANGES.
    pub max_filter_ranges: usize,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            // Two 2 s groups of 8 Mbit/s video.
            track_cache_bytes: 4 << 20,
            // Five seconds of audio.
            track_cache_groups: 256,
            cache_bytes: 512 << 20,
            late_after: Duration::from_secs(3),
            audio_late_after: Duration::from_secs(1),
            audio_priority: 16,
            // Twice the failure time of a neighbour link.
            stalled_after: Duration::from_secs(1),
            linger: Duration::from_secs(3),
            orphan_after: Duration::from_secs(60),
            max_rendezvous: Duration::from_secs(30),
            // Two seconds of audio.
            pending_subgroups: 100,
            waiting_streams: 256,
            waiting_bytes: 64 << 10,
            waiting_for: Duration::from_secs(2),
            requests_per_session: 4096,
            // Every participant and booth of a large meeting.
            namespaces_per_watch: 16384,
            office: None,
            fetches_per_session: 64,
            // A second of 2 Mbit/s: a subscriber across the world keeps its stream full.
            fetch_window: 256 << 10,
            past_bytes: 4 << 20,
            fill_timeout: Duration::from_secs(10),
            max_filter_ranges: 8,
        }
    }
}
