//! What was heard over all rounds of a scenario.

use super::scenario::{Fault, Scenario};

/// What was heard in one round.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard {
    /// How long audio was away for each who was at the edge, ms beyond the frames' own 20; none: it did not come back.
    pub(super) moved_ms: Vec<Option<f64>>,
    /// The same for each who was elsewhere.
    pub(super) elsewhere_ms: Vec<Option<f64>>,
    /// 60 ms, and as much as the second way to them is longer than the first.
    pub(super) allowed_elsewhere_ms: f64,
    /// How late the publisher was itself at worst.
    pub(super) publisher_ms: f64,
}

/// Over all rounds.
#[derive(Clone, Debug, Default)]
pub(super) struct Account(Vec<Heard>);

/// Values in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Sorted(Vec<f64>);

impl Account {
    pub(super) fn add(&mut self, heard: Heard) {
        self.0.push(heard);
    }

    /// Who was at the edge and has audio again.
    pub(super) fn moved(&self) -> Sorted {
        Sorted::new(
            self.0
                .iter()
                .flat_map(|heard| heard.moved_ms.iter().flatten().copied()),
        )
    }

    /// Who was elsewhere, less what the publisher itself was late.
    pub(super) fn elsewhere(&self) -> Sorted {
        let of = |heard: &Heard| -> Vec<f64> {
            let own = heard.publisher_ms;
            let gaps = heard.elsewhere_ms.iter().flatten();
            gaps.map(|gap| (gap - own).max(0.0)).collect()
        };
        Sorted::new(self.0.iter().flat_map(of))
    }

    /// How many have no audio any more, wherever they were.
    pub(super) fn lost(&self) -> usize {
        let all = self.0.iter();
        all.flat_map(|heard| heard.moved_ms.iter().chain(&heard.elsewhere_ms))
            .filter(|gap| gap.is_none())
            .count()
    }

    /// The least that was allowed elsewhere.
    pub(super) fn allowed_elsewhere_ms(&self) -> f64 {
        let allowed = self.0.iter().map(|heard| heard.allowed_elsewhere_ms);
        allowed.reduce(f64::min).unwrap_or_default()
    }

    /// How late the publisher was at worst.
    pub(super) fn publisher_ms(&self) -> f64 {
        let own = self.0.iter().map(|heard| heard.publisher_ms);
        own.reduce(f64::max).unwrap_or_default()
    }

    /// What should not have happened.
    pub(super) fn broken(&self, scenario: &Scenario) -> Vec<String> {
        let (name, mut broken) = (scenario.name, Vec::new());
        if self.lost() > 0 {
            broken.push(format!(
                "{name}: {} delegates have no audio any more",
                self.lost()
            ));
        }
        // What was planned is kept for everybody; of accidents, for 95 of 100.
        let share = if scenario.fault == Fault::Drained {
            1.0
        } else {
            0.95
        };
        match self.moved().at(share) {
            Some(ms) if ms > scenario.allowed_ms() => {
                broken.push(format!("{name}: audio was away for {ms:.0} ms"));
            }
            None => broken.push(format!("{name}: nobody was at the edge")),
            Some(_) => {}
        }
        let worst = self.elsewhere().at(1.0).unwrap_or_default();
        if worst > self.allowed_elsewhere_ms() {
            broken.push(format!("{name}: {worst:.0} ms without audio elsewhere"));
        }
        broken
    }
}

impl Sorted {
    fn new(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The value that this share of all, 0 to 1, does not exceed.
    pub(super) fn at(&self, share: f64) -> Option<f64> {
        let rank = (share * self.0.len() as f64).ceil() as usize;
        self.0.get(rank.max(1) - 1).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::moves::scenario::ALL;

    fn heard(moved_ms: &[f64], elsewhere_ms: f64) -> Heard {
        Heard {
            moved_ms: moved_ms.iter().map(|ms| Some(*ms)).collect(),
            elsewhere_ms: vec![Some(elsewhere_ms)],
            allowed_elsewhere_ms: 80.0,
            publisher_ms: 5.0,
        }
    }

    fn account(heard: Heard) -> Account {
        Account(vec![heard])
    }

    #[test]
    fn of_accidents_five_in_a_hundred_may_take_longer_and_of_drains_nobody() {
        let mut moved = vec![100.0; 95];
        moved.extend([9_000.0; 5]);
        assert!(account(heard(&moved, 10.0)).broken(&ALL[0]).is_empty());
        assert_eq!(account(heard(&moved, 10.0)).broken(&ALL[3]).len(), 1);
        moved.push(9_000.0);
        assert_eq!(account(heard(&moved, 10.0)).broken(&ALL[0]).len(), 1);
    }

    #[test]
    fn whoever_has_no_audio_any_more_and_a_gap_elsewhere_are_told() {
        let mut with_lost = heard(&[100.0], 10.0);
        with_lost.moved_ms.push(None);
        assert_eq!(account(with_lost).broken(&ALL[0]).len(), 1);
        assert!(account(heard(&[100.0], 85.0)).broken(&ALL[0]).is_empty());
        assert_eq!(account(heard(&[100.0], 86.0)).broken(&ALL[0]).len(), 1);
        assert_eq!(account(heard(&[], 1.0)).broken(&ALL[0]).len(), 1);
    }
}
