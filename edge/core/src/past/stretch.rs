//! A range of a track in the order it is asked for: which location follows which.
//!
//! Within a group objects ascend always; the order is that of the groups (draft-22 §9.11).

use meridian_wire::{GroupOrder, Location, LocationFilter};

/// An inclusive range and the order of its groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) start: Location,
    pub(crate) end: Location,
    pub(crate) order: GroupOrder,
}

impl Stretch {
    /// What a FETCH or fill with `filter` asks for when `largest` is the track's largest location; `None` if that is
    /// nothing (draft-22 §5.1.2, §9.11).
    pub(crate) fn resolve(
        filter: Option<LocationFilter>,
        largest: Location,
        order: GroupOrder,
    ) -> Option<Stretch> {
        let (start, end) = match filter.unwrap_or(LocationFilter::Unfiltered) {
            LocationFilter::Unfiltered => (Location::default(), largest),
            LocationFilter::NextObject => return None,
            LocationFilter::Relative { groups_back } => {
                let next = largest.group.saturating_add(1);
                (Location::new(next.saturating_sub(groups_back), 0), largest)
            }
            LocationFilter::Absolute {
                start,
                end_group,
                end_object,
            } => {
                let asked =
                    end_group.map(|group| Location::new(group, end_object.unwrap_or(u64::MAX)));
                (start, asked.map_or(largest, |asked| asked.min(largest)))
            }
        };
        (start <= end).then_some(Stretch { start, end, order })
    }

    /// The stretch as an absolute filter.
    pub(crate) fn as_filter(&self) -> LocationFilter {
        LocationFilter::Absolute {
            start: self.start,
            end_group: Some(self.end.group),
            end_object: (self.end.object != u64::MAX).then_some(self.end.object),
        }
    }

    /// The location that comes first.
    pub(crate) fn first(&self) -> Location {
        match self.order {
            GroupOrder::Ascending => self.start,
            GroupOrder::Descending => self.start_of(self.end.group),
        }
    }

    /// The location that comes last.
    pub(crate) fn last(&self) -> Location {
        match self.order {
            GroupOrder::Ascending => self.end,
            GroupOrder::Descending => self.end_of(self.start.group),
        }
    }

    /// The first location of `group` that is in the range.
    pub(crate) fn start_of(&self, group: u64) -> Location {
        let is_first = group == self.start.group;
        Location::new(group, if is_first { self.start.object } else { 0 })
    }

    /// The last location of `group` that is in the range.
    pub(crate) fn end_of(&self, group: u64) -> Location {
        let is_last = group == self.end.group;
        Location::new(group, if is_last { self.end.object } else { u64::MAX })
    }

    /// The location after `at`.
    pub(crate) fn after(&self, at: Location) -> Option<Location> {
        if at.object < self.end_of(at.group).object {
            return Some(Location::new(at.group, at.object + 1));
        }
        let group = match self.order {
            GroupOrder::Ascending => (at.group < self.end.group).then(|| at.group + 1),
            GroupOrder::Descending => (at.group > self.start.group).then(|| at.group - 1),
        };
        group.map(|group| self.start_of(group))
    }

    pub(crate) fn contains(&self, at: Location) -> bool {
        self.start <= at && at <= self.end
    }

    /// Whether `a` comes before `b`.
    pub(crate) fn is_before(&self, a: Location, b: Location) -> bool {
        match self.order {
            GroupOrder::Descending if a.group != b.group => a.group > b.group,
            _ => a < b,
        }
    }

    /// What can be asked for at once of what lies from `from` to `to`: a contiguous range that begins at `from`.
    pub(crate) fn part(&self, from: Location, to: Location) -> Stretch {
        let order = self.order;
        let (start, end) = match order {
            GroupOrder::Descending if from.group != to.group => {
                if from == self.start_of(from.group) {
                    (self.start_of(to.group), self.end_of(from.group))
                } else {
                    (from, self.end_of(from.group))
                }
            }
            _ => (from, to),
        };
        Stretch { start, end, order }
    }

    /// The ascending ranges that lie from `from` to `to`, both included.
    pub(crate) fn spans(&self, from: Location, to: Location) -> Vec<(Location, Location)> {
        if self.order == GroupOrder::Ascending || from.group == to.group {
            return vec![(from, to)];
        }
        let mut spans = vec![(from, self.end_of(from.group))];
        if from.group - to.group > 1 {
            spans.push((self.start_of(to.group + 1), self.end_of(from.group - 1)));
        }
        spans.push((self.start_of(to.group), to));
        spans
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(group: u64, object: u64) -> Location {
        Location::new(group, object)
    }

    fn stretch(order: GroupOrder) -> Stretch {
        let (start, end) = (at(3, 2), at(5, 1));
        Stretch { start, end, order }
    }

    #[test]
    fn groups_descend_while_objects_ascend() {
        let down = stretch(GroupOrder::Descending);
        assert_eq!(down.first(), at(5, 0));
        assert_eq!(down.after(at(5, 0)), Some(at(5, 1)));
        assert_eq!(down.after(at(5, 1)), Some(at(4, 0)));
        assert_eq!(down.after(at(4, u64::MAX)), Some(at(3, 2)));
        assert_eq!(down.after(down.last()), None);
        assert!(down.is_before(at(5, 1), at(4, 0)));
    }

    #[test]
    fn a_range_never_goes_past_the_largest_object() {
        let filter = LocationFilter::Absolute {
            start: at(1, 0),
            end_group: Some(9),
            end_object: None,
        };
        let order = GroupOrder::Ascending;
        let found = Stretch::resolve(Some(filter), at(4, 7), order);
        assert_eq!(found.map(|found| found.end), Some(at(4, 7)));
        assert_eq!(Stretch::resolve(Some(filter), at(0, 7), order), None);
        let back = LocationFilter::Relative { groups_back: 2 };
        let found = Stretch::resolve(Some(back), at(4, 7), order);
        assert_eq!(found.map(|found| found.start), Some(at(3, 0)));
        let next = Some(LocationFilter::NextObject);
        assert_eq!(Stretch::resolve(next, at(4, 7), order), None);
    }

    #[test]
    fn only_whole_groups_can_be_asked_for_downwards() {
        let down = stretch(GroupOrder::Descending);
        let whole = down.part(at(5, 0), down.last());
        assert_eq!((whole.start, whole.end), (at(3, 2), at(5, 1)));
        let rest = down.part(at(4, 6), down.last());
        assert_eq!((rest.start, rest.end), (at(4, 6), at(4, u64::MAX)));
        assert_eq!(
            down.spans(at(5, 1), at(3, 4)),
            [
                (at(5, 1), at(5, 1)),
                (at(4, 0), at(4, u64::MAX)),
                (at(3, 2), at(3, 4))
            ]
        );
    }
}
