//! Caches kept within their limits: the oldest group goes first; the newest is shortened when nothing else is left.

use crate::DropReason;
use crate::id::{OutStreamId, SubscriptionId, TrackId};
use crate::relay::Relay;
use crate::subscriber::subscription::OutState;
use crate::track::subgroup::Subgroup;
use meridian_wire::ResetCode;
use std::time::Instant;

impl Relay {
    /// Keeps a track's cache within its limits, and all caches within theirs.
    #[inline]
    pub(crate) fn trim(&mut self, id: TrackId, now: Instant) {
        let (bytes, groups) = (
            self.config.track_cache_bytes,
            self.config.track_cache_groups,
        );
        let is_over = |relay: &Relay| {
            let track = relay.tracks.get(id);
            track.is_some_and(|track| track.cache.is_over(bytes, groups))
        };
        while is_over(self) && self.evict(id, now) {}
        if self.cached_bytes > self.config.cache_bytes {
            self.trim_all(now);
        }
    }

    /// Lets groups of the largest caches go. A little more than needed, so that it is not done for every object.
    #[cold]
    fn trim_all(&mut self, now: Instant) {
        let target = self.config.cache_bytes - self.config.cache_bytes / 16;
        while self.cached_bytes > target {
            let largest = self.tracks.iter().max_by_key(|(_, track)| {
                let spare = !track.cache.is_down_to_one();
                (spare, track.cache.bytes())
            });
            let Some((id, half)) = largest.map(|(id, track)| (id, track.cache.bytes() / 2)) else {
                return;
            };
            while self.cached_bytes > target && self.tracks[id].cache.bytes() > half {
                if !self.evict(id, now) {
                    return;
                }
            }
        }
    }

    /// Lets a track's oldest group go, or part of the only one. Whether there was anything to let go.
    fn evict(&mut self, id: TrackId, now: Instant) -> bool {
        let cache = &mut self.tracks[id].cache;
        if cache.is_down_to_one() {
            return self.shorten(id, now);
        }
        let Some(group) = cache.evict_oldest() else {
            return false;
        };
        self.cached_bytes -= group.bytes();
        self.counters.evicted_groups += 1;
        self.unpend(id, group.id, &group.subgroups);
        for held in group.subgroups {
            for stream in &held.readers {
                self.evict_reader(*stream, &held, now);
            }
        }
        true
    }

    /// Ends a stream whose subgroup is gone.
    fn evict_reader(&mut self, stream: OutStreamId, held: &Subgroup, now: Instant) {
        let Some(out) = self.out_streams.get(stream) else {
            return;
        };
        let missed = match out.state {
            OutState::Ending => return,
            OutState::Cut(_) => 0,
            _ => self.missed(out, held),
        };
        let code = ResetCode::TOO_FAR_BEHIND;
        let session = out.session;
        self.cut_off(stream, DropReason::TooFarBehind, Some(code), missed);
        self.out_streams.remove(stream);
        self.begin_soon(session, now);
    }

    /// Shortens the only group. Who has not got to where it will begin is cut.
    fn shorten(&mut self, id: TrackId, now: Instant) -> bool {
        let Some(group) = self.tracks[id].cache.newest() else {
            return false;
        };
        let number = group.id;
        let leaving = group.leaving();
        self.skip_pending(id, number);
        for stream in self.behind_the_middle(id, &leaving) {
            let code = ResetCode::TOO_FAR_BEHIND;
            let session = self.out_streams[stream].session;
            self.cut(stream, DropReason::TooFarBehind, Some(code));
            self.begin_soon(session, now);
        }
        let freed = self.tracks[id].cache.shorten_newest(&leaving);
        self.cached_bytes -= freed;
        freed > 0
    }

    fn behind_the_middle(&self, id: TrackId, leaving: &[u64]) -> Vec<OutStreamId> {
        let is_behind = |stream: &OutStreamId, held: &Subgroup| {
            let Some(out) = self.out_streams.get(*stream) else {
                return false;
            };
            let goes = leaving.contains(&held.id) || out.cursor < held.middle();
            goes && !matches!(out.state, OutState::Cut(_) | OutState::Ending)
        };
        let subgroups = self.tracks[id].cache.newest().into_iter();
        subgroups
            .flat_map(|group| &group.subgroups)
            .flat_map(|held| held.readers.iter().filter(|id| is_behind(id, held)))
            .copied()
            .collect()
    }

    /// Nobody waits any more for what there is of a group.
    fn skip_pending(&mut self, id: TrackId, group: u64) {
        if self.tracks[id].pending == 0 {
            return;
        }
        for subscription in self.tracks[id].subscribers.clone() {
            for (group, subgroup) in self.take_pending(subscription, group) {
                self.skip(subscription, group, subgroup, DropReason::TooFarBehind);
            }
        }
    }

    /// Takes a group off a subscription's pending list.
    fn take_pending(&mut self, id: SubscriptionId, group: u64) -> Vec<(u64, u64)> {
        let subscription = &mut self.subscriptions[id];
        let pending = &mut subscription.pending;
        let from = pending.partition_point(|waiting| *waiting < (group, 0));
        let to = pending.partition_point(|waiting| *waiting <= (group, u64::MAX));
        let taken: Vec<(u64, u64)> = pending.drain(from..to).collect();
        self.tracks[subscription.track].pending -= taken.len();
        taken
    }

    /// Nobody waits any more for a group that is gone; what is missed of it is counted.
    fn unpend(&mut self, track: TrackId, group: u64, subgroups: &[Subgroup]) {
        if self.tracks[track].pending == 0 {
            return;
        }
        for id in self.tracks[track].subscribers.clone() {
            for (_, subgroup) in self.take_pending(id, group) {
                if let Some(held) = subgroups.iter().find(|held| held.id == subgroup) {
                    let missed = self.wanted(id, group, held, 0);
                    self.counters.drop(DropReason::TooFarBehind, missed);
                }
            }
        }
    }
}
