//! A track's recent groups. Bounded in bytes and groups; the oldest group goes first, the newest always stays.

use crate::track::subgroup::{State, Subgroup};
use meridian_wire::data::ObjectDatagram;
use smallvec::SmallVec;
use std::collections::VecDeque;

#[derive(Debug, Default)]
pub(crate) struct Cache {
    /// Ascending by ID.
    groups: VecDeque<Group>,
    bytes: usize,
    /// Groups up to here have been let go: what comes for them now is late, or a duplicate.
    floor: Option<u64>,
}

#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) id: u64,
    pub(crate) subgroups: SmallVec<[Subgroup; 1]>,
    /// Objects that came as datagrams, in the order they came.
    pub(crate) datagrams: Vec<ObjectDatagram>,
    bytes: usize,
    /// Subgroups, and objects that came as datagrams, up to these IDs may have been let go.
    past_subgroup: Option<u64>,
    past_datagram: Option<u64>,
}

impl Cache {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn groups(&self) -> impl DoubleEndedIterator<Item = &Group> {
        self.groups.iter()
    }

    /// Whether `group` has been let go already.
    pub(crate) fn is_past(&self, group: u64) -> bool {
        self.floor.is_some_and(|floor| group <= floor)
    }

    pub(crate) fn group(&self, id: u64) -> Option<&Group> {
        self.position(id).ok().map(|at| &self.groups[at])
    }

    pub(crate) fn subgroup(&self, group: u64, subgroup: u64) -> Option<&Subgroup> {
        self.group(group)?
            .subgroups
            .iter()
            .find(|held| held.id == subgroup)
    }

    pub(crate) fn subgroup_mut(&mut self, group: u64, subgroup: u64) -> Option<&mut Subgroup> {
        self.group_mut(group)?
            .subgroups
            .iter_mut()
            .find(|held| held.id == subgroup)
    }

    /// The group, made if it is not there. `None` if it has been let go.
    pub(crate) fn group_or_insert(&mut self, id: u64) -> Option<&mut Group> {
        if self.is_past(id) {
            return None;
        }
        let at = match self.position(id) {
            Ok(at) => at,
            Err(at) => {
                self.groups.insert(at, Group::new(id));
                at
            }
        };
        Some(&mut self.groups[at])
    }

    pub(crate) fn group_mut(&mut self, id: u64) -> Option<&mut Group> {
        let at = self.position(id).ok()?;
        Some(&mut self.groups[at])
    }

    /// Notes that `bytes` were added to `group`.
    pub(crate) fn grew(&mut self, group: u64, bytes: usize) {
        self.bytes += bytes;
        if let Ok(at) = self.position(group) {
            self.groups[at].bytes += bytes;
        }
    }

    /// Whether the cache is over its limits.
    pub(crate) fn is_over(&self, max_bytes: usize, max_groups: usize) -> bool {
        self.bytes > max_bytes || self.groups.len() > max_groups.max(1)
    }

    /// Whether there is nothing but the newest group.
    pub(crate) fn is_down_to_one(&self) -> bool {
        self.groups.len() <= 1
    }

    /// Lets about half of the newest group go, oldest first, the subgroups `leaving` as a whole; how many bytes that was.
    pub(crate) fn shorten_newest(&mut self, leaving: &[u64]) -> usize {
        let newest = self.groups.back_mut();
        let freed = newest.map_or(0, |group| group.shorten(leaving));
        self.bytes -= freed;
        freed
    }

    pub(crate) fn newest(&self) -> Option<&Group> {
        self.groups.back()
    }

    pub(crate) fn evict_oldest(&mut self) -> Option<Group> {
        let group = self.groups.pop_front()?;
        self.floor = Some(group.id);
        self.bytes -= group.bytes;
        Some(group)
    }

    /// Most lookups are for the newest group; the rest are found by bisection.
    fn position(&self, id: u64) -> Result<usize, usize> {
        match self.groups.back() {
            None => Err(0),
            Some(back) if back.id == id => Ok(self.groups.len() - 1),
            Some(back) if back.id < id => Err(self.groups.len()),
            Some(_) => self.groups.binary_search_by_key(&id, |group| group.id),
        }
    }
}

impl Group {
    fn new(id: u64) -> Group {
        Group {
            id,
            subgroups: SmallVec::new(),
            datagrams: Vec::new(),
            bytes: 0,
            past_subgroup: None,
            past_datagram: None,
        }
    }

    /// Bytes this group counts for.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether a subgroup that is not here may have been, and was let go.
    pub(crate) fn is_past_subgroup(&self, id: u64) -> bool {
        self.past_subgroup.is_some_and(|past| id <= past)
    }

    /// The same of an object that came as a datagram.
    pub(crate) fn is_past_datagram(&self, id: u64) -> bool {
        self.past_datagram.is_some_and(|past| id <= past)
    }

    /// Whether the object came as a datagram, or in a subgroup other than `subgroup`.
    #[inline]
    pub(crate) fn is_elsewhere(&self, object: u64, subgroup: Option<u64>) -> bool {
        let in_other = |held: &Subgroup| Some(held.id) != subgroup && held.find(object).is_some();
        self.subgroups.iter().any(in_other)
            || (subgroup.is_some() && self.datagrams.iter().any(|held| held.object == object))
    }

    /// Subgroups that go when the group is shortened: the older half, as far as they have ended.
    pub(crate) fn leaving(&self) -> Vec<u64> {
        let older = self.subgroups.iter().take(self.subgroups.len() / 2);
        let settled = older.filter(|held| held.state != State::Open);
        settled.map(|held| held.id).collect()
    }

    fn shorten(&mut self, leaving: &[u64]) -> usize {
        let mut freed = self.shorten_datagrams();
        let goes = |held: &Subgroup| leaving.contains(&held.id);
        let gone = self.subgroups.iter().filter(|held| goes(held));
        freed += gone.map(Subgroup::bytes).sum::<usize>();
        self.subgroups.retain(|held| !goes(held));
        self.past_subgroup = self.past_subgroup.max(leaving.iter().copied().max());
        freed += self
            .subgroups
            .iter_mut()
            .map(Subgroup::shorten)
            .sum::<usize>();
        self.bytes -= freed;
        freed
    }

    fn shorten_datagrams(&mut self) -> usize {
        let half = self.datagrams.len().div_ceil(2);
        let mut freed = 0;
        for object in self.datagrams.drain(..half) {
            freed += object.payload.len() + OBJECT_OVERHEAD;
            self.past_datagram = self.past_datagram.max(Some(object.object));
        }
        freed
    }
}

/// What an object costs in a cache beyond its bytes: index, headers, stream bookkeeping.
pub(crate) const OBJECT_OVERHEAD: usize = 256;
