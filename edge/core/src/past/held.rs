//! What is known of a track's past beyond the live cache: objects that were fetched, and where it is known that there is
//! nothing else. Bounded; what came first is let go first, and is then unknown again.

use bytes::Bytes;
use meridian_wire::Location;
use meridian_wire::data::FetchObject;
use smallvec::SmallVec;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// Payload as it came, in order.
pub(crate) type Slices = SmallVec<[Bytes; 1]>;

#[derive(Debug, Default)]
pub(crate) struct Past {
    kept: BTreeMap<Location, Kept>,
    /// In the order they came.
    by_age: VecDeque<Location>,
    known: Known,
    bytes: usize,
    /// Fetches and fills that need the track.
    pub(crate) users: usize,
}

/// A whole object that was fetched.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) head: FetchObject,
    pub(crate) payload: Slices,
    /// When it began to come.
    pub(crate) at: Instant,
}

impl Kept {
    fn cost(&self) -> usize {
        crate::track::cache::OBJECT_OVERHEAD
            + self.head.properties.len()
            + self.head.payload_len as usize
    }
}

impl Past {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The first object kept of a group at or after `from`.
    pub(crate) fn next_in_group(&self, from: Location) -> Option<&Kept> {
        let to = Location::new(from.group, u64::MAX);
        self.kept.range(from..=to).next().map(|(_, kept)| kept)
    }

    /// The next group above of which an object is kept.
    pub(crate) fn group_above(&self, group: u64) -> Option<u64> {
        let from = Location::new(group.checked_add(1)?, 0);
        self.kept.range(from..).next().map(|(at, _)| at.group)
    }

    /// The next group below.
    pub(crate) fn group_below(&self, group: u64) -> Option<u64> {
        let before = Location::new(group, 0);
        let below = self.kept.range(..before).next_back();
        below.map(|(at, _)| at.group)
    }

    /// Whether everything that exists from `at` on is here, and the last location of which that holds.
    pub(crate) fn known_from(&self, at: Location) -> (bool, Location) {
        self.known.from(at)
    }

    /// Everything that exists from one location to the other is here.
    pub(crate) fn note_known(&mut self, from: Location, to: Location) {
        self.known.add(from, to);
    }

    /// Keeps an object within `limit` bytes; what is let go for it is unknown from then on.
    pub(crate) fn keep(&mut self, kept: Kept, limit: usize) {
        let at = Location::new(kept.head.group, kept.head.object);
        if kept.cost() > limit || self.kept.contains_key(&at) {
            return;
        }
        self.bytes += kept.cost();
        self.kept.insert(at, kept);
        self.by_age.push_back(at);
        while self.bytes > limit {
            self.drop_oldest();
        }
    }

    /// Whether the object is kept.
    pub(crate) fn has(&self, at: Location) -> bool {
        self.kept.contains_key(&at)
    }

    /// The object is not here.
    pub(crate) fn forget(&mut self, at: Location) {
        self.known.remove(at);
    }

    /// Lets go what is older than a cache may serve (MAX_CACHE_DURATION).
    pub(crate) fn expire(&mut self, now: Instant, max: Option<Duration>) {
        let Some(max) = max else {
            return;
        };
        while let Some(oldest) = self.by_age.front().and_then(|at| self.kept.get(at)) {
            if now.saturating_duration_since(oldest.at) <= max {
                return;
            }
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        let Some(at) = self.by_age.pop_front() else {
            return;
        };
        if let Some(kept) = self.kept.remove(&at) {
            self.bytes -= kept.cost();
        }
        self.known.remove(at);
    }
}

/// Inclusive ranges, ascending, with something between any two.
#[derive(Debug, Default)]
struct Known(Vec<(Location, Location)>);

/// Ranges beyond which the lowest is forgotten.
const MAX_KNOWN: usize = 512;

impl Known {
    fn from(&self, at: Location) -> (bool, Location) {
        let next = self.0.partition_point(|(start, _)| *start <= at);
        if let Some((_, end)) = next.checked_sub(1).map(|n| self.0[n])
            && end >= at
        {
            return (true, end);
        }
        let end = self.0.get(next).and_then(|(start, _)| before(*start));
        (false, end.unwrap_or(Location::new(u64::MAX, u64::MAX)))
    }

    fn add(&mut self, from: Location, to: Location) {
        let mut all = (from, to);
        self.0.retain(|&(start, end)| {
            let is_below = before(all.0).is_some_and(|before| end < before);
            let is_above = after(all.1).is_some_and(|after| start > after);
            if !is_below && !is_above {
                all = (all.0.min(start), all.1.max(end));
            }
            is_below || is_above
        });
        let place = self.0.partition_point(|(start, _)| *start < all.0);
        self.0.insert(place, all);
        if self.0.len() > MAX_KNOWN {
            self.0.remove(0);
        }
    }

    fn remove(&mut self, at: Location) {
        let holds = |(start, end): &(Location, Location)| *start <= at && at <= *end;
        let Some(n) = self.0.iter().position(holds) else {
            return;
        };
        let (start, end) = self.0.remove(n);
        if let Some(next) = after(at).filter(|next| *next <= end) {
            self.0.insert(n, (next, end));
        }
        if let Some(last) = before(at).filter(|last| *last >= start) {
            self.0.insert(n, (start, last));
        }
    }
}

/// The location after this one, in ascending order.
fn after(at: Location) -> Option<Location> {
    match at.object.checked_add(1) {
        Some(object) => Some(Location::new(at.group, object)),
        None => Some(Location::new(at.group.checked_add(1)?, 0)),
    }
}

/// The location before this one, in ascending order.
fn before(at: Location) -> Option<Location> {
    match at.object.checked_sub(1) {
        Some(object) => Some(Location::new(at.group, object)),
        None => Some(Location::new(at.group.checked_sub(1)?, u64::MAX)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(group: u64, object: u64) -> Location {
        Location::new(group, object)
    }

    fn kept(group: u64, object: u64, len: usize, now: Instant) -> Kept {
        let head = FetchObject {
            group,
            subgroup: Some(0),
            object,
            priority: 128,
            properties: Bytes::new(),
            payload_len: len as u64,
        };
        let payload = SmallVec::from_iter([Bytes::from(vec![0; len])]);
        Kept {
            head,
            payload,
            at: now,
        }
    }

    #[test]
    fn ranges_that_touch_become_one() {
        let mut known = Known::default();
        known.add(at(1, 0), at(1, 4));
        known.add(at(1, 6), at(1, u64::MAX));
        known.add(at(2, 0), at(2, 3));
        assert_eq!(known.from(at(1, 5)), (false, at(1, 5)));
        known.add(at(1, 5), at(1, 5));
        assert_eq!(known.0, [(at(1, 0), at(2, 3))]);
        known.remove(at(1, 2));
        assert_eq!(known.from(at(1, 0)), (true, at(1, 1)));
        assert_eq!(known.from(at(1, 2)), (false, at(1, 2)));
    }

    #[test]
    fn what_is_let_go_is_unknown_again() {
        let now = Instant::now();
        let mut past = Past::default();
        past.note_known(at(1, 0), at(1, 9));
        for object in 0..3 {
            past.keep(kept(1, object, 1000, now), 3000);
        }
        assert!(past.bytes() <= 3000);
        assert!(!past.has(at(1, 0)));
        assert_eq!(past.known_from(at(1, 0)), (false, at(1, 0)));
        assert_eq!(past.known_from(at(1, 1)), (true, at(1, 9)));
        past.expire(now + Duration::from_secs(2), Some(Duration::from_secs(1)));
        assert_eq!(past.bytes(), 0);
        assert_eq!(past.known_from(at(1, 2)), (false, at(1, 2)));
    }
}
