//! The last groups of a track, kept to answer FETCH and fills.

use super::object::ObjectData;
use super::range::Range;
use meridian_wire::Location;
use std::collections::{BTreeMap, VecDeque};

/// An object with where it belongs.
#[derive(Clone, Debug)]
pub(super) struct KeptObject {
    pub(super) group: u64,
    /// `None`: sent as a datagram.
    pub(super) subgroup: Option<u64>,
    pub(super) priority: u8,
    pub(super) data: ObjectData,
}

/// A bounded number of groups and bytes; the oldest written go first.
#[derive(Debug)]
pub(super) struct Kept {
    max_groups: usize,
    max_bytes: usize,
    bytes: usize,
    /// Group IDs in the order they were begun.
    order: VecDeque<u64>,
    objects_by_group: BTreeMap<u64, BTreeMap<u64, KeptObject>>,
    /// The largest location that was forgotten.
    forgotten: Option<Location>,
}

impl Kept {
    pub(super) fn new(max_groups: usize, max_bytes: usize) -> Kept {
        Kept {
            max_groups,
            max_bytes,
            bytes: 0,
            order: VecDeque::new(),
            objects_by_group: BTreeMap::new(),
            forgotten: None,
        }
    }

    pub(super) fn push(&mut self, object: KeptObject) {
        let group = object.group;
        if !self.objects_by_group.contains_key(&group) {
            self.order.push_back(group);
        }
        self.bytes += size(&object);
        let objects = self.objects_by_group.entry(group).or_default();
        if let Some(replaced) = objects.insert(object.data.id, object) {
            self.bytes -= size(&replaced);
        }
        while self.order.len() > self.max_groups || self.bytes > self.max_bytes {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some(group) = self.order.pop_front() else {
            return;
        };
        for object in self.objects_by_group.remove(&group).into_iter().flatten() {
            self.bytes -= size(&object.1);
            let location = Location {
                group,
                object: object.0,
            };
            self.forgotten = self.forgotten.max(Some(location));
        }
    }

    /// What is kept of `range`, in ascending order.
    pub(super) fn range(&self, range: Range) -> Vec<KeptObject> {
        let groups = self
            .objects_by_group
            .range(range.start.group..=range.end.group);
        let objects = groups.flat_map(|(_, objects)| objects.values());
        let within = |object: &&KeptObject| {
            range.contains(Location {
                group: object.group,
                object: object.data.id,
            })
        };
        objects.filter(within).cloned().collect()
    }

    /// The last forgotten location at or after the start of `range`.
    pub(super) fn forgotten_in(&self, range: Range) -> Option<Location> {
        self.forgotten.filter(|location| range.contains(*location))
    }
}

fn size(object: &KeptObject) -> usize {
    object.data.payload.len() + object.data.properties.0.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn object(group: u64, id: u64, len: usize) -> KeptObject {
        let data = ObjectData {
            id,
            payload: Bytes::from(vec![0; len]),
            ..ObjectData::default()
        };
        KeptObject {
            group,
            subgroup: Some(0),
            priority: 128,
            data,
        }
    }

    fn all() -> Range {
        Range::of_subscription(None, None)
    }

    fn ids(kept: &Kept) -> Vec<(u64, u64)> {
        let objects = kept.range(all());
        objects
            .iter()
            .map(|object| (object.group, object.data.id))
            .collect()
    }

    #[test]
    fn only_the_last_groups_are_kept() {
        let mut kept = Kept::new(2, 1000);
        for group in 1..=3 {
            kept.push(object(group, 0, 10));
            kept.push(object(group, 1, 10));
        }
        assert_eq!(ids(&kept), [(2, 0), (2, 1), (3, 0), (3, 1)]);
        assert_eq!(
            kept.forgotten_in(all()),
            Some(Location {
                group: 1,
                object: 1
            })
        );
        assert_eq!(kept.bytes, 40);
    }

    #[test]
    fn bytes_are_bounded_even_within_one_group() {
        let mut kept = Kept::new(2, 100);
        for id in 0..50 {
            kept.push(object(1, id, 10));
        }
        assert!(kept.bytes <= 100);
    }
}
