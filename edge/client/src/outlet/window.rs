//! Which locations a subscription takes (draft-22 §5.1.2).

use meridian_wire::{Location, LocationFilter};

/// An inclusive range of locations, open at the end if there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    start: Location,
    end: Option<(u64, Option<u64>)>,
}

impl Window {
    /// What `filter` means when `largest` is the largest location published.
    pub(super) fn resolve(filter: Option<LocationFilter>, largest: Option<Location>) -> Window {
        let from = |start| Window { start, end: None };
        match filter {
            None | Some(LocationFilter::Unfiltered) => from(Location::default()),
            Some(LocationFilter::NextObject) => from(next_object(largest)),
            Some(LocationFilter::Relative { groups_back }) => {
                let next_group = largest.map_or(0, |largest| largest.group.saturating_add(1));
                from(Location {
                    group: next_group.saturating_sub(groups_back),
                    object: 0,
                })
            }
            Some(LocationFilter::Absolute {
                start,
                end_group,
                end_object,
            }) => Window {
                start,
                end: end_group.map(|group| (group, end_object)),
            },
        }
    }

    /// The same range, but nothing that was published before now.
    pub(super) fn resumed(self, largest: Option<Location>) -> Window {
        Window {
            start: self.start.max(next_object(largest)),
            ..self
        }
    }

    /// Whether `at` is in the range.
    pub(super) fn contains(&self, at: Location) -> bool {
        let before_end = match self.end {
            None => true,
            Some((group, None)) => at.group <= group,
            Some((group, Some(object))) => at <= Location { group, object },
        };
        at >= self.start && before_end
    }
}

fn next_object(largest: Option<Location>) -> Location {
    largest.map_or(Location::default(), |largest| Location {
        group: largest.group,
        object: largest.object.saturating_add(1),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(group: u64, object: u64) -> Location {
        Location { group, object }
    }

    #[test]
    fn one_group_back_is_the_current_group() {
        let window = Window::resolve(
            Some(LocationFilter::Relative { groups_back: 1 }),
            Some(at(7, 3)),
        );
        assert!(window.contains(at(7, 0)) && window.contains(at(9, 5)));
        assert!(!window.contains(at(6, 9)));
    }

    #[test]
    fn the_next_object_is_the_one_after_the_largest() {
        let window = Window::resolve(Some(LocationFilter::NextObject), Some(at(7, 3)));
        assert!(window.contains(at(7, 4)) && !window.contains(at(7, 3)));
        assert!(Window::resolve(Some(LocationFilter::NextObject), None).contains(at(0, 0)));
    }

    #[test]
    fn an_absolute_range_ends_where_it_says() {
        let filter = LocationFilter::Absolute {
            start: at(5, 1),
            end_group: Some(6),
            end_object: Some(2),
        };
        let window = Window::resolve(Some(filter), None);
        assert!(window.contains(at(5, 1)) && window.contains(at(6, 2)));
        assert!(!window.contains(at(5, 0)) && !window.contains(at(6, 3)));
    }

    #[test]
    fn a_resumed_subscription_takes_nothing_from_the_past() {
        let window = Window::resolve(None, None).resumed(Some(at(7, 3)));
        assert!(!window.contains(at(7, 3)) && window.contains(at(7, 4)));
    }
}
