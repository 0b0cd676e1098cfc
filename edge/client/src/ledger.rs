//! What became of a track's objects: received once, received again, or missing. Pure book-keeping; time comes with the
//! objects.

use std::collections::BTreeMap;

/// Keeps account of one track.
#[derive(Debug)]
pub struct Ledger {
    frame_us: Option<u64>,
    groups: BTreeMap<u64, Group>,
    settled: Option<(u64, Group)>,
    totals: Totals,
}

/// The account so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Objects received for the first time.
    pub received: u64,
    /// Objects received again.
    pub duplicates: u64,
    /// Groups that exist, by their successors' account, and of which nothing came.
    pub missing_groups: u64,
    /// Groups whose stream ended before their last object.
    pub cut_groups: u64,
    /// Frames in missing groups and behind cuts. For audio exact; for video reckoned from capture times and frame rate.
    pub missing: u64,
    /// Group ids that were passed over without the publisher saying whether they exist, as after its restart.
    pub undeclared: u64,
}

/// Whether an object is news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Received for the first time.
    First,
    /// Received before, or so long after its neighbours that it cannot be told.
    Again,
}

/// An object as the ledger sees it.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Group ID.
    pub group: u64,
    /// Object ID.
    pub object: u64,
    /// Capture time in microseconds.
    pub capture_us: u64,
    /// Group ids right below this one that do not exist, if the publisher says.
    pub prior_gap: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Group {
    objects: u64,
    next_object: u64,
    first_us: u64,
    last_us: u64,
    prior_gap: Option<u64>,
    complete: bool,
}

impl Ledger {
    /// For a track with one object per group.
    pub fn audio() -> Ledger {
        Ledger {
            frame_us: None,
            groups: BTreeMap::new(),
            settled: None,
            totals: Totals::default(),
        }
    }

    /// For a track with a group per keyframe at a constant rate.
    pub fn video(frames_per_s: f64) -> Ledger {
        let frame_us = if frames_per_s > 0.0 {
            (1e6 / frames_per_s) as u64
        } else {
            33_333
        };
        Ledger {
            frame_us: Some(frame_us.max(1)),
            ..Ledger::audio()
        }
    }

    /// Enters an object. Within a group objects come in order, as a subgroup's stream delivers them.
    pub fn enter(&mut self, entry: Entry) -> Seen {
        if self
            .settled
            .is_some_and(|(settled, _)| entry.group <= settled)
        {
            self.totals.duplicates += 1;
            return Seen::Again;
        }
        let group = self.groups.entry(entry.group).or_insert(Group {
            first_us: entry.capture_us,
            ..Group::default()
        });
        if group.objects > 0 && entry.object < group.next_object {
            self.totals.duplicates += 1;
            return Seen::Again;
        }
        group.objects += 1;
        group.next_object = entry.object + 1;
        group.last_us = group.last_us.max(entry.capture_us);
        group.prior_gap = group.prior_gap.or(entry.prior_gap);
        self.totals.received += 1;
        while self.groups.len() > OPEN_GROUPS {
            self.settle_first();
        }
        Seen::First
    }

    /// Notes that a group's stream came to its proper end: nothing of it can be missing.
    pub fn complete(&mut self, group: u64) {
        if let Some(group) = self.groups.get_mut(&group) {
            group.complete = true;
        }
    }

    /// The account with all groups settled but the newest, which may still grow.
    pub fn totals(&self) -> Totals {
        let mut settled = Ledger {
            frame_us: self.frame_us,
            groups: self.groups.clone(),
            settled: self.settled,
            totals: self.totals,
        };
        while settled.groups.len() > 1 {
            settled.settle_first();
        }
        if let Some((id, newest)) = settled.groups.pop_first() {
            settled.compare(id, &newest);
        }
        settled.totals
    }

    fn settle_first(&mut self) {
        let Some((id, group)) = self.groups.pop_first() else {
            return;
        };
        self.compare(id, &group);
        self.totals.cut_groups += u64::from(self.frame_us.is_some() && !group.complete);
        self.settled = Some((id, group));
    }

    /// Finds what is missing between the group settled last and this one.
    fn compare(&mut self, id: u64, group: &Group) {
        let Some((before_id, before)) = self.settled else {
            return;
        };
        let between = id.saturating_sub(before_id + 1);
        let lost_groups = match group.prior_gap {
            Some(gap) => between.saturating_sub(gap),
            None => {
                self.totals.undeclared += between;
                0
            }
        };
        match self.frame_us {
            None => {
                self.totals.missing_groups += lost_groups;
                self.totals.missing += lost_groups;
            }
            Some(frame_us) => {
                // Ids of video groups count milliseconds: the number of groups between is not known, only that some are.
                self.totals.missing_groups += u64::from(lost_groups > 0);
                if group.prior_gap.is_some() && (lost_groups > 0 || !before.complete) {
                    let silent_us = group.first_us.saturating_sub(before.last_us);
                    let frames = (silent_us + frame_us / 2) / frame_us;
                    self.totals.missing += frames.saturating_sub(1);
                }
            }
        }
    }
}

/// Groups in which objects may still arrive: 5 s of audio.
const OPEN_GROUPS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn sound(group: u64, prior_gap: Option<u64>) -> Entry {
        Entry {
            group,
            object: 0,
            capture_us: group * 20_000,
            prior_gap,
        }
    }

    fn picture(group: u64, object: u64, prior_gap: Option<u64>) -> Entry {
        Entry {
            group,
            object,
            capture_us: group * 1_000 + object * 40_000,
            prior_gap,
        }
    }

    fn whole_group(ledger: &mut Ledger, group: u64, prior_gap: Option<u64>) {
        for object in 0..25 {
            ledger.enter(picture(group, object, prior_gap.filter(|_| object == 0)));
        }
        ledger.complete(group);
    }

    #[test]
    fn sound_out_of_order_is_neither_missing_nor_double() {
        let mut ledger = Ledger::audio();
        for group in [10, 12, 11, 13] {
            assert_eq!(ledger.enter(sound(group, Some(0))), Seen::First);
        }
        assert_eq!(
            ledger.totals(),
            Totals {
                received: 4,
                ..Totals::default()
            }
        );
    }

    #[test]
    fn lost_sound_is_counted_exactly_and_declared_gaps_are_not() {
        let mut ledger = Ledger::audio();
        ledger.enter(sound(10, None));
        ledger.enter(sound(13, Some(0)));
        ledger.enter(sound(17, Some(3)));
        assert_eq!(
            (ledger.totals().missing, ledger.totals().missing_groups),
            (2, 2)
        );
    }

    #[test]
    fn a_second_copy_is_a_duplicate_however_late() {
        let mut ledger = Ledger::audio();
        ledger.enter(sound(10, Some(0)));
        assert_eq!(ledger.enter(sound(10, Some(0))), Seen::Again);
        for group in 11..2_000 {
            ledger.enter(sound(group, Some(0)));
        }
        assert_eq!(ledger.enter(sound(10, Some(0))), Seen::Again);
        assert_eq!(ledger.totals().duplicates, 2);
        assert_eq!(ledger.totals().missing, 0);
    }

    #[test]
    fn a_restarted_publisher_leaves_an_undeclared_gap_and_nothing_missing() {
        let mut ledger = Ledger::audio();
        ledger.enter(sound(10, Some(0)));
        ledger.enter(sound(500, None));
        assert_eq!(
            (ledger.totals().missing, ledger.totals().undeclared),
            (0, 489)
        );
    }

    #[test]
    fn whole_video_groups_miss_nothing() {
        let mut ledger = Ledger::video(25.0);
        whole_group(&mut ledger, 5_000, None);
        whole_group(&mut ledger, 6_000, Some(999));
        whole_group(&mut ledger, 7_000, Some(999));
        assert_eq!(
            ledger.totals(),
            Totals {
                received: 75,
                ..Totals::default()
            }
        );
    }

    #[test]
    fn frames_behind_a_cut_are_reckoned_from_capture_times() {
        let mut ledger = Ledger::video(25.0);
        for object in 0..20 {
            ledger.enter(picture(5_000, object, None));
        }
        whole_group(&mut ledger, 6_000, Some(999));
        let totals = ledger.totals();
        assert_eq!(
            (totals.missing, totals.cut_groups, totals.missing_groups),
            (5, 1, 0)
        );
    }

    #[test]
    fn frames_of_a_group_that_never_came_are_reckoned_too() {
        let mut ledger = Ledger::video(25.0);
        whole_group(&mut ledger, 5_000, None);
        whole_group(&mut ledger, 7_000, Some(999));
        let totals = ledger.totals();
        assert_eq!((totals.missing, totals.missing_groups), (25, 1));
    }

    #[test]
    fn the_open_groups_are_bounded() {
        let mut ledger = Ledger::audio();
        for group in 0..100_000 {
            ledger.enter(sound(group * 2, Some(1)));
        }
        assert_eq!(ledger.groups.len(), OPEN_GROUPS);
        assert_eq!(ledger.totals().missing, 0);
    }
}
