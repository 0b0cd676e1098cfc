//! What stands at a location of a track: an object that is held, nothing, or something unknown.
//!
//! The live cache and what was fetched before are looked at together. That an object is not there does not say that it
//! does not exist: that takes word of the publisher (draft-22 §9.11).

use crate::past::held::{Kept, Slices};
use crate::past::stretch::Stretch;
use crate::subscriber::filter::Ranges;
use crate::track::Track;
use crate::track::cache::Group;
use crate::track::subgroup::{State, Subgroup};
use bytes::Bytes;
use meridian_wire::data::{FetchObject, ObjectDatagram, ObjectHeader, ObjectStatus};
use meridian_wire::property::Block;
use meridian_wire::{GroupOrder, Location};
use std::time::Instant;

/// What is found at a location.
#[derive(Debug)]
pub(crate) enum Look<'a> {
    /// The object.
    Object(Found<'a>),
    /// No object from here to `end`, in the stretch's order.
    Hole {
        end: Location,
        /// None exists. Otherwise that is not known.
        absent: bool,
    },
}

/// An object that is held.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Found<'a> {
    Live {
        group: u64,
        held: &'a Subgroup,
        index: usize,
        priority: u8,
    },
    Datagram(&'a ObjectDatagram, u8),
    Kept(&'a Kept),
}

/// Looks at `at`, which is in `stretch`.
pub(crate) fn look<'a>(
    track: &'a Track,
    stretch: &Stretch,
    at: Location,
    now: Instant,
) -> Look<'a> {
    let to = stretch.end_of(at.group);
    let end_of_group = track.cache.group(at.group).and_then(end_of);
    match next_in_group(track, at, now) {
        Some(found) if found.object() == at.object => Look::Object(found),
        Some(found) if found.object() <= to.object => {
            let end = Location::new(at.group, found.object() - 1);
            let missing = found.object() - at.object;
            let says_so = found.properties().prior_object_id_gap();
            hole(track, at, end, says_so.is_some_and(|gap| gap >= missing))
        }
        Some(_) => hole(track, at, to, false),
        None if end_of_group.is_some_and(|end| end <= at.object) => hole(track, at, to, true),
        None if has_group(track, at.group) => {
            let last = end_of_group.map_or(u64::MAX, |end| end - 1);
            let end = to.min(Location::new(at.group, last));
            hole(track, at, end, false)
        }
        None => between(track, stretch, at),
    }
}

/// A hole within a group, or upwards over several, as far as one thing is known of it.
fn hole<'a>(track: &Track, at: Location, end: Location, absent: bool) -> Look<'a> {
    if absent {
        return Look::Hole { end, absent };
    }
    let (absent, until) = track.past.known_from(at);
    let end = end.min(until);
    Look::Hole { end, absent }
}

/// The hole of groups of which nothing is held.
fn between<'a>(track: &Track, stretch: &Stretch, at: Location) -> Look<'a> {
    match stretch.order {
        GroupOrder::Ascending => {
            let next = group_above(track, at.group).filter(|next| *next <= stretch.end.group);
            let end = next.map_or(stretch.end, |next| Location::new(next - 1, u64::MAX));
            let gap = next.and_then(|next| group_gap(track, next).map(|gap| (next, gap)));
            let says_so = gap.is_some_and(|(next, gap)| gap >= next - at.group);
            hole(track, at, end, says_so)
        }
        GroupOrder::Descending => {
            let below = group_below(track, at.group).filter(|below| *below >= stretch.start.group);
            let lowest = below.map_or(stretch.start.group, |below| below + 1);
            let end = stretch.end_of(lowest);
            let gap = at
                .group
                .checked_add(1)
                .and_then(|above| group_gap(track, above));
            let says_so = gap.is_some_and(|gap| gap > at.group - lowest);
            let (known, until) = track.past.known_from(stretch.start_of(lowest));
            let absent = says_so || (known && until >= stretch.end_of(at.group));
            Look::Hole { end, absent }
        }
    }
}

/// The first object of the group at or after `at` that may be served now.
fn next_in_group<'a>(track: &'a Track, at: Location, now: Instant) -> Option<Found<'a>> {
    let kept = track.past.next_in_group(at).map(Found::Kept);
    let Some(group) = track.cache.group(at.group) else {
        return kept;
    };
    let mut best = kept;
    let mut offer = |found: Found<'a>| {
        if best.is_none_or(|best| found.object() <= best.object()) {
            best = Some(found);
        }
    };
    for held in &group.subgroups {
        if let Some(index) = servable(track, held, at.object, now) {
            let priority = held.header.priority.unwrap_or(track.default_priority);
            offer(Found::Live {
                group: group.id,
                held,
                index,
                priority,
            });
        }
    }
    // When a datagram came is not noted: what may not grow old is not served from here.
    if track.cache_for.is_none() {
        for object in &group.datagrams {
            if object.object >= at.object && object.status == ObjectStatus::Normal {
                let priority = object.priority.unwrap_or(track.default_priority);
                offer(Found::Datagram(object, priority));
            }
        }
    }
    best
}

/// The index of the first object from `from` on that is there from its head on, young enough, and not given up.
fn servable(track: &Track, held: &Subgroup, from: u64, now: Instant) -> Option<usize> {
    let is_young = |at: Instant| {
        track
            .cache_for
            .is_none_or(|max| now.saturating_duration_since(at) <= max)
    };
    let first = held.first_from(from);
    held.objects
        .iter()
        .skip(first)
        .position(|object| {
            let will_be_whole = object.is_whole() || held.state == State::Open;
            object.header.status == ObjectStatus::Normal && will_be_whole && is_young(object.at)
        })
        .map(|n| first + n)
}

/// The first object ID of a group that is known not to be, as its end has been told.
fn end_of(group: &Group) -> Option<u64> {
    let by_subgroup = group.subgroups.iter().filter_map(|held| {
        let last = held.objects.last()?;
        if last.header.status != ObjectStatus::Normal {
            return Some(last.header.id);
        }
        let is_over = held.header.end_of_group && held.state == State::Complete;
        is_over.then(|| last.header.id.saturating_add(1))
    });
    let by_datagram = group.datagrams.iter().filter_map(|object| {
        let has_status = object.status != ObjectStatus::Normal;
        let after = object.object.saturating_add(1);
        let end = if has_status { object.object } else { after };
        (has_status || object.end_of_group).then_some(end)
    });
    by_subgroup.chain(by_datagram).min()
}

/// The end of a stretch, and if that is a whole group's whose last object is known, that object's: some receivers take
/// the largest object ID there is for an error.
pub(crate) fn end_as_known(track: &Track, stretch: &Stretch) -> Location {
    let end = stretch.end;
    let past_last = track.cache.group(end.group).and_then(end_of);
    match past_last.and_then(|past| past.checked_sub(1)) {
        Some(last) if end.object == u64::MAX => Location::new(end.group, last).max(stretch.start),
        _ => end,
    }
}

/// Where the track ends, if its publisher has said so: nothing is at or after that location.
pub(crate) fn end_of_track(track: &Track) -> Option<Location> {
    let group = track.cache.newest()?;
    let is_end = |status: ObjectStatus| status == ObjectStatus::EndOfTrack;
    let last = group
        .subgroups
        .iter()
        .filter_map(|held| held.objects.last());
    let last = last.filter(|object| is_end(object.header.status));
    let datagrams = group
        .datagrams
        .iter()
        .filter(|object| is_end(object.status));
    let ids = last.map(|object| object.header.id);
    let ids = ids.chain(datagrams.map(|object| object.object));
    ids.min().map(|object| Location::new(group.id, object))
}

/// Whether anything is held of the group.
fn has_group(track: &Track, group: u64) -> bool {
    let is_live = |group: &Group| !group.subgroups.is_empty() || !group.datagrams.is_empty();
    track.cache.group(group).is_some_and(is_live)
        || track.past.next_in_group(Location::new(group, 0)).is_some()
}

fn group_above(track: &Track, group: u64) -> Option<u64> {
    let live = track
        .cache
        .groups()
        .map(|held| held.id)
        .find(|id| *id > group);
    let kept = track.past.group_above(group);
    live.into_iter().chain(kept).min()
}

fn group_below(track: &Track, group: u64) -> Option<u64> {
    let live = track.cache.groups().rev().map(|held| held.id);
    let live = live.into_iter().find(|id| *id < group);
    let kept = track.past.group_below(group);
    live.into_iter().chain(kept).max()
}

/// How many groups before this one do not exist, as far as an object of it says so.
fn group_gap(track: &Track, group: u64) -> Option<u64> {
    let of = |properties: &[u8]| Block::new(properties).prior_group_id_gap();
    let held = track.cache.group(group);
    let objects = held.into_iter().flat_map(|held| {
        let first = held
            .subgroups
            .iter()
            .filter_map(|held| held.objects.first());
        let first = first.map(|object| &object.header.properties);
        first.chain(held.datagrams.iter().filter_map(|o| o.properties.as_ref()))
    });
    let kept = track.past.next_in_group(Location::new(group, 0));
    let kept = kept.map(|kept| &kept.head.properties);
    objects
        .chain(kept)
        .filter_map(|properties| of(properties))
        .max()
}

impl<'a> Found<'a> {
    pub(crate) fn object(&self) -> u64 {
        match self {
            Found::Live { held, index, .. } => held.objects[*index].header.id,
            Found::Datagram(object, _) => object.object,
            Found::Kept(kept) => kept.head.object,
        }
    }

    fn properties(&self) -> Block<'a> {
        match self {
            Found::Live { held, index, .. } => Block::new(&held.objects[*index].header.properties),
            Found::Datagram(object, _) => Block::new(object.properties.as_deref().unwrap_or(&[])),
            Found::Kept(kept) => Block::new(&kept.head.properties),
        }
    }

    /// The object as it stands on a fetch stream.
    pub(crate) fn head(&self) -> FetchObject {
        match self {
            Found::Live {
                group,
                held,
                index,
                priority,
            } => {
                let header = &held.objects[*index].header;
                FetchObject {
                    group: *group,
                    subgroup: Some(held.id),
                    object: header.id,
                    priority: *priority,
                    properties: header.properties.clone(),
                    payload_len: header.payload_len,
                }
            }
            Found::Datagram(object, priority) => FetchObject {
                group: object.group,
                subgroup: None,
                object: object.object,
                priority: *priority,
                properties: object.properties.clone().unwrap_or_default(),
                payload_len: object.payload.len() as u64,
            },
            Found::Kept(kept) => kept.head.clone(),
        }
    }

    /// The payload that is there from `offset` on.
    pub(crate) fn payload(&self, offset: u64) -> Slices {
        match self {
            Found::Live { held, index, .. } => {
                let object = &held.objects[*index];
                let chunks = held.chunks(object.chunk, held.end_of(*index));
                let first = chunks.first().map(|first| first.slice(object.head_len..));
                let rest = chunks.iter().skip(1).cloned();
                from_offset(first.into_iter().chain(rest), offset)
            }
            Found::Datagram(object, _) => {
                from_offset(std::iter::once(object.payload.clone()), offset)
            }
            Found::Kept(kept) => from_offset(kept.payload.iter().cloned(), offset),
        }
    }
}

fn from_offset(slices: impl Iterator<Item = Bytes>, mut offset: u64) -> Slices {
    let mut rest = Slices::new();
    for slice in slices {
        let skip = offset.min(slice.len() as u64) as usize;
        offset -= skip as u64;
        if skip < slice.len() {
            rest.push(slice.slice(skip..));
        }
    }
    rest
}

/// Whether a fetched object passes range filters.
pub(crate) fn passes(ranges: Option<&Ranges>, head: &FetchObject) -> bool {
    let Some(ranges) = ranges else {
        return true;
    };
    let header = ObjectHeader {
        id: head.object,
        properties: head.properties.clone(),
        payload_len: head.payload_len,
        status: ObjectStatus::Normal,
    };
    ranges.pass(head.subgroup, head.priority, &header)
}
