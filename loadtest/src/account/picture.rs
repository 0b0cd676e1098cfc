//! Which frames of one video track have come. A group is a keyframe and what follows it, of a fixed length and at fixed
//! steps, as this tester's own speakers publish: so that a group's missing end is known too.

use super::ledger::Heard;
use std::collections::VecDeque;

/// A video track's frames.
#[derive(Clone, Debug, Default)]
pub struct Picture {
    groups: VecDeque<Group>,
    /// The newest group that is no longer watched.
    settled: Option<u64>,
    heard: u64,
    lost: u64,
}

#[derive(Clone, Debug)]
struct Group {
    id: u64,
    frames: u64,
}

impl Picture {
    /// A frame has come. Of the order nothing is said.
    pub fn see(&mut self, group: u64, object: u64) -> Heard {
        match self.enter(group, object) {
            true => Heard::InOrder,
            false => Heard::Again,
        }
    }

    /// Whether it is new.
    fn enter(&mut self, group: u64, object: u64) -> bool {
        let bit = 1u64.checked_shl(u32::try_from(object).unwrap_or(u32::MAX));
        let bit = bit.filter(|_| object < FRAMES).unwrap_or(0);
        if self.settled.is_some_and(|settled| group <= settled) || bit == 0 {
            return false;
        }
        let at = self.groups.partition_point(|one| one.id < group);
        if self.groups.get(at).is_none_or(|one| one.id != group) {
            self.groups.insert(
                at,
                Group {
                    id: group,
                    frames: 0,
                },
            );
        }
        let frames = &mut self.groups[at].frames;
        if *frames & bit != 0 {
            return false;
        }
        *frames |= bit;
        self.heard += 1;
        if self.groups.len() > WATCHED {
            self.settle();
        }
        true
    }

    /// Frames, each once.
    pub fn heard(&self) -> u64 {
        self.heard
    }

    /// Frames that have not come: of groups that are not watched any longer, and of whole groups between two that came.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Nothing more comes: the last group may be unfinished, the others are not.
    pub fn close(&mut self) {
        while self.groups.len() > 1 {
            self.settle();
        }
    }

    fn settle(&mut self) {
        let Some(oldest) = self.groups.pop_front() else {
            return;
        };
        self.lost += FRAMES - u64::from(oldest.frames.count_ones());
        if let Some(before) = self.settled {
            let skipped = ((oldest.id - before) / STEP_MS).saturating_sub(1);
            self.lost += skipped * FRAMES;
        }
        self.settled = Some(oldest.id);
    }
}

/// Frames in a group: two seconds of 30 a second.
pub const FRAMES: u64 = 60;
/// Between the ids of two groups: milliseconds of capture time.
pub const STEP_MS: u64 = 2_000;
/// Groups that may still get frames.
const WATCHED: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(picture: &mut Picture, group: u64) {
        for object in 0..FRAMES {
            assert!(picture.enter(group, object));
        }
    }

    #[test]
    fn a_missing_end_a_hole_and_a_missing_group_are_lost() {
        let mut picture = Picture::default();
        whole(&mut picture, 2_000);
        for object in (0..50).filter(|object| *object != 7) {
            picture.enter(4_000, object);
        }
        whole(&mut picture, 8_000);
        picture.enter(10_000, 0);
        picture.close();
        assert_eq!(picture.lost(), 11 + FRAMES);
        assert_eq!(picture.heard(), FRAMES + 49 + FRAMES + 1);
    }

    #[test]
    fn a_frame_that_comes_again_is_not_new() {
        let mut picture = Picture::default();
        whole(&mut picture, 2_000);
        assert!(!picture.enter(2_000, 3));
        for group in [4_000, 6_000, 8_000] {
            whole(&mut picture, group);
        }
        assert!(!picture.enter(2_000, 3), "nor of a group that is settled");
        assert!(
            !picture.enter(8_000, FRAMES),
            "nor one that is never published"
        );
        assert!(!picture.enter(8_000, u64::MAX));
    }

    #[test]
    fn groups_may_come_in_any_order() {
        let mut picture = Picture::default();
        for group in [4_000, 2_000, 6_000] {
            whole(&mut picture, group);
        }
        picture.close();
        assert_eq!((picture.lost(), picture.heard()), (0, 3 * FRAMES));
    }
}
