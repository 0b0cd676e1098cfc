//! The last groups of a track, kept for those who join and those who fetch.

use super::range::Range;
use crate::client::Object;
use meridian_wire::Location;
use std::collections::VecDeque;

/// Whole groups, at most [`MAX_GROUPS`] and [`MAX_BYTES`]; the oldest go first.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    /// In the order of groups and objects.
    objects: VecDeque<Object>,
    groups: usize,
    bytes: usize,
    /// The largest location that is no longer here.
    forgotten: Option<Location>,
}

/// A FETCH for the group that was current at SUBSCRIBE comes a round trip later: 640 ms of sound, a group per 20 ms.
const MAX_GROUPS: usize = 32;
/// Ten seconds at 6 Mbit/s. Of a larger group nothing is kept: a joiner waits for the next.
const MAX_BYTES: usize = 8 << 20;

impl Kept {
    /// Adds the track's next object.
    pub(super) fn push(&mut self, object: Object) {
        let is_of = |at: Location| at.group == object.group;
        if self.forgotten.is_some_and(is_of) {
            self.forgotten = Some(object.location());
            return;
        }
        let last = self.objects.back().map(Object::location);
        self.groups += usize::from(!last.is_some_and(is_of));
        self.bytes += size(&object);
        self.objects.push_back(object);
        while self.groups > MAX_GROUPS || self.bytes > MAX_BYTES {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some(oldest) = self.objects.front().map(|object| object.group) else {
            return;
        };
        let count = self
            .objects
            .partition_point(|object| object.group <= oldest);
        for object in self.objects.drain(..count) {
            self.bytes -= size(&object);
            self.forgotten = Some(object.location());
        }
        self.groups -= 1;
    }

    /// What is kept of `range`, ascending.
    pub(super) fn range(&self, range: Range) -> impl Iterator<Item = &Object> {
        let start = self
            .objects
            .partition_point(|object| object.location() < range.start);
        let until_end = move |object: &&Object| object.location() <= range.end;
        self.objects.range(start..).take_while(until_end)
    }

    /// The last location at or after the start of `range` that is no longer here.
    pub(super) fn forgotten_in(&self, range: Range) -> Option<Location> {
        let at = self.forgotten.filter(|at| *at >= range.start)?;
        Some(at.min(range.end))
    }
}

fn size(object: &Object) -> usize {
    object.payload.len() + object.properties.0.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use meridian_wire::property::Properties;

    fn object(group: u64, object: u64, len: usize) -> Object {
        Object {
            group,
            object,
            properties: Properties::default(),
            payload: Bytes::from(vec![0; len]),
        }
    }

    fn all() -> Range {
        Range::of_subscription(None, None)
    }

    fn places(kept: &Kept) -> Vec<Location> {
        kept.range(all()).map(Object::location).collect()
    }

    #[test]
    fn only_the_last_groups_are_kept() {
        let mut kept = Kept::default();
        let last = 1 + MAX_GROUPS as u64;
        for group in 1..=last {
            kept.push(object(group, 0, 10));
            kept.push(object(group, 1, 10));
        }
        let expected: Vec<_> = (2..=last)
            .flat_map(|group| [0, 1].map(|object| Location::new(group, object)))
            .collect();
        assert_eq!(places(&kept), expected);
        assert_eq!(kept.forgotten_in(all()), Some(Location::new(1, 1)));
        assert_eq!(kept.bytes, 20 * MAX_GROUPS);
    }

    #[test]
    fn of_a_group_without_its_start_nothing_is_kept() {
        let mut kept = Kept::default();
        for id in 0..10 {
            kept.push(object(1, id, MAX_BYTES / 8));
        }
        assert_eq!((places(&kept), kept.bytes), (Vec::new(), 0));
        assert_eq!(kept.forgotten_in(all()), Some(Location::new(1, 9)));
        kept.push(object(2, 0, 10));
        assert_eq!(places(&kept), [Location::new(2, 0)]);
    }
}
