//! Which objects of a track a subscription wants (draft-22 §5.1.2).

use meridian_wire::data::ObjectHeader;
use meridian_wire::param::{FilterSubject, RangeFilter};
use meridian_wire::property::Block;
use meridian_wire::{Location, LocationFilter};

/// A location filter, resolved to absolute locations at the moment it took effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) start: Location,
    /// Last group and, within it, last object. `None`: open-ended.
    pub(crate) end: Option<(u64, Option<u64>)>,
}

impl Window {
    /// Resolves `filter` against the largest location the relay knows.
    ///
    /// Without a filter a subscription starts with the newest group: everything in it is still of interest, and nothing
    /// older turns a join storm into a data storm.
    pub(crate) fn resolve(filter: Option<LocationFilter>, largest: Option<Location>) -> Window {
        match filter.unwrap_or(LocationFilter::Unfiltered) {
            LocationFilter::Unfiltered => Window::from_start(relative(largest, 1)),
            LocationFilter::NextObject => Window::from_start(next_object(largest)),
            LocationFilter::Relative { groups_back } => {
                Window::from_start(relative(largest, groups_back))
            }
            LocationFilter::Absolute {
                start,
                end_group,
                end_object,
            } => Window {
                start,
                end: end_group.map(|group| (group, end_object)),
            },
        }
    }

    fn from_start(start: Location) -> Window {
        Window { start, end: None }
    }

    /// Whether any object of `group` may pass.
    #[inline]
    pub(crate) fn touches(&self, group: u64) -> bool {
        group >= self.start.group && self.end.is_none_or(|(end, _)| group <= end)
    }

    #[inline]
    pub(crate) fn contains(&self, at: Location) -> bool {
        at >= self.start
            && self.end.is_none_or(|(group, object)| {
                at.group < group
                    || (at.group == group && object.is_none_or(|object| at.object <= object))
            })
    }

    /// Whether the window ends in no group up to this one.
    #[inline]
    pub(crate) fn has_all_from(&self, group: u64) -> bool {
        self.end.is_none_or(|(end, _)| group < end)
    }

    /// Whether nothing at or after this location passes.
    pub(crate) fn is_past(&self, at: Location) -> bool {
        self.end.is_some_and(|(group, object)| {
            at.group > group
                || (at.group == group && object.is_some_and(|object| at.object > object))
        })
    }

    /// The first object of `group` that may pass.
    #[inline]
    pub(crate) fn first_object(&self, group: u64) -> u64 {
        if group == self.start.group {
            self.start.object
        } else {
            0
        }
    }
}

fn next_object(largest: Option<Location>) -> Location {
    largest.map_or(Location::default(), |largest| Location {
        group: largest.group,
        object: largest.object.saturating_add(1),
    })
}

/// `{largest.group + 1 - groups_back, 0}`, clamped.
fn relative(largest: Option<Location>, groups_back: u64) -> Location {
    let next = largest.map_or(0, |largest| largest.group.saturating_add(1));
    Location {
        group: next.saturating_sub(groups_back),
        object: 0,
    }
}

/// Range filters (draft-22 §5.1.3): filters of one set are ANDed, sets are ORed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ranges(Vec<RangeFilter>);

impl Ranges {
    /// What holds after an update: a subject that is named is replaced as a whole, or removed if nothing is given for it.
    pub(crate) fn updated(old: Option<Box<Ranges>>, new: &[RangeFilter]) -> Option<Box<Ranges>> {
        let mut filters = old.map_or_else(Vec::new, |old| old.0);
        let same_kind = |a: FilterSubject, b: FilterSubject| {
            std::mem::discriminant(&a) == std::mem::discriminant(&b)
        };
        filters.retain(|filter| !new.iter().any(|new| same_kind(filter.subject, new.subject)));
        filters.extend(
            new.iter()
                .filter(|filter| !filter.ranges.is_empty())
                .cloned(),
        );
        (!filters.is_empty()).then(|| Box::new(Ranges(filters)))
    }

    /// Filters that let everything through.
    pub(crate) fn everything() -> Ranges {
        Ranges(Vec::new())
    }

    /// Whether an object passes.
    pub(crate) fn pass(&self, subgroup: Option<u64>, priority: u8, object: &ObjectHeader) -> bool {
        let on_objects =
            |filter: &&RangeFilter| !matches!(filter.subject, FilterSubject::TrackProperty(_));
        let mut sets: Vec<(u8, bool)> = Vec::new();
        for filter in self.0.iter().filter(on_objects) {
            let passes = value(filter.subject, subgroup, priority, object)
                .is_some_and(|value| contains(&filter.ranges, value));
            match sets.iter_mut().find(|(set, _)| *set == filter.set) {
                Some((_, all)) => *all &= passes,
                None => sets.push((filter.set, passes)),
            }
        }
        sets.is_empty() || sets.iter().any(|(_, all)| *all)
    }
}

fn value(
    subject: FilterSubject,
    subgroup: Option<u64>,
    priority: u8,
    object: &ObjectHeader,
) -> Option<u64> {
    match subject {
        FilterSubject::Subgroup => subgroup,
        FilterSubject::ObjectId => Some(object.id),
        FilterSubject::Priority => Some(u64::from(priority)),
        FilterSubject::ObjectProperty(kind) => Block::new(&object.properties).int(kind),
        FilterSubject::TrackProperty(_) => None,
    }
}

fn contains(ranges: &[(u64, Option<u64>)], value: u64) -> bool {
    ranges
        .iter()
        .any(|(start, end)| value >= *start && end.is_none_or(|end| value <= end))
}

impl Ranges {
    /// What is left for the objects of a track with these properties; `None`: the track does not pass. A set whose track
    /// filters fail is out; one that has nothing but track filters that pass lets everything through.
    #[allow(clippy::option_option)]
    pub(crate) fn for_track(&self, properties: Block<'_>) -> Option<Option<Box<Ranges>>> {
        let is_of_track = |filter: &RangeFilter| match filter.subject {
            FilterSubject::TrackProperty(kind) => Some(kind),
            _ => None,
        };
        let passes = |set: u8| {
            let mut of_set = self.0.iter().filter(|filter| filter.set == set);
            of_set.all(|filter| {
                is_of_track(filter).is_none_or(|kind| {
                    let value = properties.int(kind);
                    value.is_some_and(|value| contains(&filter.ranges, value))
                })
            })
        };
        let mut sets: Vec<u8> = self.0.iter().map(|filter| filter.set).collect();
        sets.sort_unstable();
        sets.dedup();
        sets.retain(|set| passes(*set));
        if sets.is_empty() {
            return None;
        }
        let is_free = |set: &u8| {
            let mut of_set = self.0.iter().filter(|filter| filter.set == *set);
            of_set.all(|filter| is_of_track(filter).is_some())
        };
        if sets.iter().any(is_free) {
            return Some(None);
        }
        let left = self
            .0
            .iter()
            .filter(|filter| sets.contains(&filter.set) && is_of_track(filter).is_none());
        Some(Some(Box::new(Ranges(left.cloned().collect()))))
    }
}
