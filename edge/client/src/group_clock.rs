//! How groups are numbered: from capture time, never repeating and never lower than before.

/// Numbers the groups of one track.
///
/// The rule: a group's id is its capture time in units of the track, and at least one more than the id before it. So
/// - a clock that steps back lowers nothing: ids go on one by one until the clock has caught up;
/// - two frames within one unit get two ids;
/// - a publisher that starts again after its last frame resumes above its last id, as long as the wall clock has not
///   been set back in between; one that knows its last id says so with [`GroupClock::resume_above`].
///
/// Capture times come from a wall clock read once and a monotonic one since (see [`CaptureClock`]), so only a restart
/// can see a step at all.
#[derive(Clone, Debug)]
pub struct GroupClock {
    unit_us: u64,
    last: Option<u64>,
}

/// A group's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupNumber {
    /// Group ID.
    pub id: u64,
    /// How many ids right below were skipped for ever; `None` for a publisher's first group, which cannot know.
    pub gap: Option<u64>,
}

impl GroupClock {
    /// For a track with a group per 20 ms of sound.
    pub const fn audio() -> GroupClock {
        GroupClock::with_unit(20_000)
    }

    /// For a track with a group per keyframe: numbered in milliseconds. Catalogs are numbered likewise.
    pub const fn video() -> GroupClock {
        GroupClock::with_unit(1_000)
    }

    const fn with_unit(unit_us: u64) -> GroupClock {
        GroupClock {
            unit_us,
            last: None,
        }
    }

    /// Makes every further id larger than `id`.
    pub fn resume_above(&mut self, id: u64) {
        self.last = self.last.max(Some(id));
    }

    /// The number of a group whose first frame was captured at `capture_us`, microseconds since the Unix epoch.
    pub fn number(&mut self, capture_us: u64) -> GroupNumber {
        let by_clock = capture_us / self.unit_us;
        let id = self.last.map_or(by_clock, |last| by_clock.max(last + 1));
        let gap = self.last.map(|last| id - last - 1);
        self.last = Some(id);
        GroupNumber { id, gap }
    }
}

/// Turns a program's time into capture time.
#[derive(Clone, Copy, Debug)]
pub struct CaptureClock {
    epoch_us: u64,
}

impl CaptureClock {
    /// A program that starts when the wall clock shows `wall_us`, microseconds since the Unix epoch.
    pub const fn starting_at(wall_us: u64) -> CaptureClock {
        CaptureClock { epoch_us: wall_us }
    }

    /// Capture time of what is `at_us` microseconds into the program.
    pub const fn capture_us(self, at_us: u64) -> u64 {
        self.epoch_us + at_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON_US: u64 = 1_793_880_000_000_000;

    #[test]
    fn twenty_millisecond_frames_are_numbered_without_holes_from_any_start() {
        for phase in [0, 1, 9_999, 13_500, 19_999] {
            let clock = CaptureClock::starting_at(NOON_US + phase);
            let mut groups = GroupClock::audio();
            let first = groups.number(clock.capture_us(0));
            assert_eq!(first.gap, None);
            for index in 1..500 {
                let group = groups.number(clock.capture_us(index * 20_000));
                assert_eq!((group.id, group.gap), (first.id + index, Some(0)));
            }
        }
    }

    #[test]
    fn longer_frames_declare_the_ids_they_skip() {
        let mut groups = GroupClock::audio();
        groups.number(NOON_US);
        let group = groups.number(NOON_US + 60_000);
        assert_eq!((group.id, group.gap), (NOON_US / 20_000 + 3, Some(2)));
    }

    #[test]
    fn a_clock_step_back_lowers_and_repeats_nothing() {
        let mut groups = GroupClock::video();
        let before = groups.number(NOON_US).id;
        let stepped = groups.number(NOON_US - 3_600_000_000);
        assert_eq!((stepped.id, stepped.gap), (before + 1, Some(0)));
        assert_eq!(groups.number(NOON_US - 3_599_000_000).id, before + 2);
        assert_eq!(groups.number(NOON_US + 60_000).id, before + 60);
    }

    #[test]
    fn two_frames_within_one_unit_get_two_ids() {
        let mut groups = GroupClock::video();
        let first = groups.number(NOON_US).id;
        assert_eq!(groups.number(NOON_US + 400).id, first + 1);
    }

    #[test]
    fn a_restarted_publisher_resumes_above_its_last_id() {
        let mut before = GroupClock::audio();
        let last = (0..100)
            .map(|index| before.number(NOON_US + index * 20_000).id)
            .last();
        let mut after = GroupClock::audio();
        assert!(Some(after.number(NOON_US + 100 * 20_000).id) > last);
    }

    #[test]
    fn a_known_last_id_is_never_reached_again_even_after_a_step_back() {
        let mut groups = GroupClock::audio();
        groups.resume_above(NOON_US);
        groups.resume_above(5);
        let group = groups.number(NOON_US);
        assert_eq!((group.id, group.gap), (NOON_US + 1, Some(0)));
    }
}
