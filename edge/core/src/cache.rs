//! A track's recent groups. Bounded in bytes and groups; the oldest group goes first, the newest always stays.

use crate::subgroup::Subgroup;
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
        let at = self.position(group).ok()?;
        self.groups[at]
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

    /// Notes that `bytes` were added to `group`.
    pub(crate) fn grew(&mut self, group: u64, bytes: usize) {
        self.bytes += bytes;
        if let Ok(at) = self.position(group) {
            self.groups[at].bytes += bytes;
        }
    }

    /// Whether the cache is over its limits and has a group to spare.
    pub(crate) fn is_over(&self, max_bytes: usize, max_groups: usize) -> bool {
        self.groups.len() > 1 && (self.bytes > max_bytes || self.groups.len() > max_groups)
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
        }
    }

    /// Bytes this group counts for.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// What an object costs in a cache beyond its bytes: index, headers, stream bookkeeping.
pub(crate) const OBJECT_OVERHEAD: usize = 256;
