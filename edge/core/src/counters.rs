//! Plain counters. The shell exports them; tests compare them with what they saw.

/// What the relay has done since it started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Objects taken in from publishers, once each.
    pub objects_in: u64,
    /// Objects handed out, one for every subscriber that got it.
    pub objects_out: u64,
    /// Bytes of object heads and payload taken in.
    pub bytes_in: u64,
    /// The same, handed out.
    pub bytes_out: u64,
    /// Copies of objects that another publisher had delivered already.
    pub duplicates: u64,
    /// Objects not delivered, by [`DropReason`].
    pub drops: [u64; DropReason::ALL.len()],
    /// Groups evicted from caches.
    pub evicted_groups: u64,
    /// Tracks found malformed.
    pub malformed_tracks: u64,
    /// Times a parent's root path was found to go through this edge.
    pub looped_parents: u64,
}

/// Why something was not delivered. Every gap a subscriber sees has one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// Older than its delivery timeout before it could be started.
    Expired,
    /// A stream was reset because its next object was older than its delivery timeout.
    TimedOut,
    /// The subscriber fell behind what the cache holds.
    TooFarBehind,
    /// Too many subgroups waited for this subscription.
    PendingFull,
    /// The publisher's stream ended in a reset.
    SourceReset,
    /// The subscriber stopped the stream.
    Stopped,
    /// No track had the alias within the time a stream may wait.
    UnknownAlias,
    /// Older than what the cache has already let go.
    Late,
    /// The session had no room for a datagram.
    Datagram,
    /// A range that was asked for by a fetch or fill, and that nobody could deliver.
    Unknown,
}

impl DropReason {
    /// Every reason, in the order of [`Counters::drops`].
    pub const ALL: [DropReason; 10] = [
        DropReason::Expired,
        DropReason::TimedOut,
        DropReason::TooFarBehind,
        DropReason::PendingFull,
        DropReason::SourceReset,
        DropReason::Stopped,
        DropReason::UnknownAlias,
        DropReason::Late,
        DropReason::Datagram,
        DropReason::Unknown,
    ];

    /// The reason as a metric label.
    pub const fn label(self) -> &'static str {
        match self {
            DropReason::Expired => "expired",
            DropReason::TimedOut => "timed_out",
            DropReason::TooFarBehind => "too_far_behind",
            DropReason::PendingFull => "pending_full",
            DropReason::SourceReset => "source_reset",
            DropReason::Stopped => "stopped",
            DropReason::UnknownAlias => "unknown_alias",
            DropReason::Late => "late",
            DropReason::Datagram => "datagram",
            DropReason::Unknown => "unknown",
        }
    }
}

impl std::ops::AddAssign<&Counters> for Counters {
    fn add_assign(&mut self, other: &Counters) {
        let Counters {
            objects_in,
            objects_out,
            bytes_in,
            bytes_out,
            duplicates,
            drops,
            evicted_groups,
            malformed_tracks,
            looped_parents,
        } = other;
        self.objects_in += objects_in;
        self.objects_out += objects_out;
        self.bytes_in += bytes_in;
        self.bytes_out += bytes_out;
        self.duplicates += duplicates;
        for (sum, drops) in self.drops.iter_mut().zip(drops) {
            *sum += drops;
        }
        self.evicted_groups += evicted_groups;
        self.malformed_tracks += malformed_tracks;
        self.looped_parents += looped_parents;
    }
}

impl Counters {
    pub(crate) fn drop(&mut self, reason: DropReason, objects: u64) {
        self.drops[reason as usize] += objects;
    }

    /// How many objects were dropped for `reason`.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drops[reason as usize]
    }
}
