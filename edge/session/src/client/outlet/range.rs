//! Which locations a filter selects (draft-22 §5.1.2).

use meridian_wire::{Location, LocationFilter};

/// An inclusive range of locations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) start: Location,
    pub(super) end: Location,
}

const LAST: Location = Location {
    group: u64::MAX,
    object: u64::MAX,
};

impl Range {
    pub(super) fn contains(&self, location: Location) -> bool {
        (self.start..=self.end).contains(&location)
    }

    /// The range of a subscription made, or updated, when `largest` was the largest location.
    pub(super) fn of_subscription(
        filter: Option<LocationFilter>,
        largest: Option<Location>,
    ) -> Range {
        Range::new(filter.unwrap_or(LocationFilter::Unfiltered), largest)
    }

    /// The part of it from `start` on.
    pub(super) fn starting_at(self, start: Location) -> Range {
        Range {
            start: self.start.max(start),
            ..self
        }
    }

    /// The same range, but nothing that was published before now.
    pub(super) fn resumed(self, largest: Option<Location>) -> Range {
        self.starting_at(next_object(largest))
    }

    /// The range of a fetch; `None` if it begins after the largest location.
    pub(super) fn of_fetch(
        filter: Option<LocationFilter>,
        largest: Option<Location>,
    ) -> Option<Range> {
        let largest = largest?;
        let mut range = Range::new(filter.unwrap_or(LocationFilter::Unfiltered), Some(largest));
        range.end = range.end.min(largest);
        (range.start <= range.end).then_some(range)
    }

    fn new(filter: LocationFilter, largest: Option<Location>) -> Range {
        let open = |start| Range { start, end: LAST };
        match filter {
            LocationFilter::Unfiltered => open(Location::default()),
            LocationFilter::NextObject => open(next_object(largest)),
            LocationFilter::Relative { groups_back } => {
                let next_group = largest.map_or(0, |largest| largest.group.saturating_add(1));
                open(Location {
                    group: next_group.saturating_sub(groups_back),
                    object: 0,
                })
            }
            LocationFilter::Absolute {
                start,
                end_group,
                end_object,
            } => Range {
                start,
                end: end_group.map_or(LAST, |group| Location {
                    group,
                    object: end_object.unwrap_or(u64::MAX),
                }),
            },
        }
    }
}

fn next_object(largest: Option<Location>) -> Location {
    largest.map_or(Location::default(), |largest| Location {
        object: largest.object.saturating_add(1),
        ..largest
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGEST: Option<Location> = Some(Location {
        group: 10,
        object: 3,
    });

    fn at(group: u64, object: u64) -> Location {
        Location { group, object }
    }

    #[test]
    fn a_subscription_starts_where_its_filter_says() {
        let start = |filter| Range::of_subscription(filter, LARGEST).start;
        assert_eq!(start(None), at(0, 0));
        assert_eq!(start(Some(LocationFilter::NextObject)), at(10, 4));
        let back = |groups_back| Some(LocationFilter::Relative { groups_back });
        assert_eq!(start(back(0)), at(11, 0));
        assert_eq!(start(back(1)), at(10, 0));
        assert_eq!(start(back(99)), at(0, 0));
    }

    #[test]
    fn a_fetch_never_passes_the_largest_location() {
        let filter = LocationFilter::Absolute {
            start: at(9, 1),
            end_group: Some(20),
            end_object: None,
        };
        let range = Range::of_fetch(Some(filter), LARGEST).unwrap();
        assert_eq!((range.start, range.end), (at(9, 1), at(10, 3)));
        let next = Some(LocationFilter::NextObject);
        assert_eq!(Range::of_fetch(next, LARGEST), None);
        assert_eq!(Range::of_fetch(None, None), None);
    }

    #[test]
    fn a_resumed_subscription_takes_nothing_from_the_past() {
        let range = Range::of_subscription(None, None).resumed(LARGEST);
        assert!(!range.contains(at(10, 3)) && range.contains(at(10, 4)));
    }

    #[test]
    fn an_end_without_object_is_the_whole_group() {
        let filter = LocationFilter::Absolute {
            start: at(1, 0),
            end_group: Some(2),
            end_object: None,
        };
        let range = Range::of_subscription(Some(filter), None);
        assert!(range.contains(at(2, 1000)) && !range.contains(at(3, 0)));
    }
}
