//! Which groups of one audio track have come, each one object.

/// A track's groups, from the first that was heard. Groups are numbered without a hole (a group is 20 ms).
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    first: Option<u64>,
    newest: u64,
    /// One bit for each of the newest groups, the newest lowest.
    recent: u128,
    heard: u64,
}

/// What a frame is beside those that came before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The next, or a later one.
    InOrder,
    /// One that was missed until now.
    OutOfOrder,
    /// One that has come already; also any of more than 2.5 s ago, since nobody knows.
    Again,
}

impl Ledger {
    /// A group has come.
    pub fn hear(&mut self, group: u64) -> Heard {
        let Some(first) = self.first else {
            (self.first, self.newest, self.recent, self.heard) = (Some(group), group, 1, 1);
            return Heard::InOrder;
        };
        if group > self.newest {
            let ahead = group - self.newest;
            self.recent = u32::try_from(ahead)
                .ok()
                .and_then(|ahead| self.recent.checked_shl(ahead))
                .unwrap_or(0)
                | 1;
            self.newest = group;
            self.heard += 1;
            return Heard::InOrder;
        }
        let back = self.newest - group;
        if back >= u64::from(u128::BITS) || self.recent & (1 << back) != 0 {
            return Heard::Again;
        }
        self.recent |= 1 << back;
        self.heard += 1;
        // Overtaken by the very first: nothing before it was listened to.
        self.first = Some(first.min(group));
        Heard::OutOfOrder
    }

    /// Groups, each once.
    pub fn heard(&self) -> u64 {
        self.heard
    }

    /// Groups from the first to `last` that have not come. What is missing after it may still have been on its way; of more
    /// than 2.5 s before the newest, all that is missing is taken to be lost.
    pub fn lost(&self, last: u64) -> u64 {
        let Some(first) = self.first else { return 0 };
        let missing = (self.newest.max(last) - first + 1).saturating_sub(self.heard);
        let after = self.newest.saturating_sub(last).min(u64::from(u128::BITS));
        let heard_after = match after {
            0 => 0,
            after => (self.recent << (u128::BITS - after as u32)).count_ones(),
        };
        missing.saturating_sub(after.saturating_sub(u64::from(heard_after)))
    }

    /// Whether nothing has come yet.
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(groups: &[u64]) -> (Ledger, Vec<Heard>) {
        let mut ledger = Ledger::default();
        let heard = groups.iter().map(|group| ledger.hear(*group)).collect();
        (ledger, heard)
    }

    #[test]
    fn each_frame_is_counted_once_and_holes_are_lost() {
        use Heard::*;
        let (ledger, heard) = of(&[5, 6, 8, 8, 7, 7, 12]);
        assert_eq!(
            heard,
            [InOrder, InOrder, InOrder, Again, OutOfOrder, Again, InOrder]
        );
        assert_eq!((ledger.heard(), ledger.lost(12)), (5, 3));
        assert_eq!(ledger.lost(14), 5, "up to what was to come");
    }

    #[test]
    fn a_hole_after_the_last_that_counts_is_no_loss() {
        let (ledger, _) = of(&[100, 101, 103, 104, 106]);
        for (last, lost) in [
            (106, 2),
            (105, 2),
            (104, 1),
            (102, 1),
            (101, 0),
            (100, 0),
            (0, 0),
        ] {
            assert_eq!(ledger.lost(last), lost, "up to {last}");
        }
    }

    #[test]
    fn one_that_was_overtaken_by_the_first_is_no_loss() {
        let (ledger, heard) = of(&[10, 9, 11]);
        assert_eq!(heard[1], Heard::OutOfOrder);
        assert_eq!(ledger.lost(11), 0);
    }

    #[test]
    fn a_long_silence_is_lost_whole_and_nothing_of_it_is_taken_for_new() {
        let (mut ledger, _) = of(&[1, 10_001]);
        assert_eq!(ledger.lost(10_001), 9_999);
        assert_eq!(ledger.hear(2), Heard::Again);
        assert_eq!(ledger.hear(10_001 - 127), Heard::OutOfOrder);
        let (mut ledger, _) = of(&[1, u64::MAX]);
        assert_eq!(ledger.hear(u64::MAX), Heard::Again);
    }
}
