//! A rehearsal's whole record.

use super::cell::{Cell, Count, Figures, Key, Latency};
use super::machine::{Health, Machine, Process, Tester};
use super::spread::Spread;
use super::tick::Tick;
use crate::verdict::Judged;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a rehearsal has measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Of this form; a reader refuses others.
    pub form: u32,
    /// The scenario's name.
    pub scenario: String,
    /// For people.
    pub title: String,
    /// What it rehearses.
    pub about: String,
    /// The scenario's file, word for word; empty if it was not kept.
    #[serde(default)]
    pub text: String,
    /// What fixed chance.
    pub seed: u64,
    /// When the first was due: milliseconds since the Unix epoch.
    pub started_unix_ms: u64,
    /// From then to the end, in milliseconds.
    pub length_ms: u64,
    /// How many were to come.
    pub planned: u64,
    /// Who and what took part.
    pub machines: Vec<Machine>,
    /// Counts and times by who went through them.
    pub cells: Vec<Cell>,
    /// Second by second.
    pub ticks: Vec<Tick>,
    /// What happened, in order.
    pub happenings: Vec<Happening>,
    /// The network's processes.
    pub processes: Vec<Process>,
    /// The tester itself.
    pub testers: Vec<Tester>,
    /// How many did not get in or were turned away, by why.
    pub failures: BTreeMap<String, u64>,
    /// Sessions the control plane still counted when everybody had gone; none if it was not asked.
    pub ghosts: Option<u64>,
    /// Whether what was measured can be believed.
    pub health: Health,
    /// What was expected, and what came.
    pub verdict: Vec<Judged>,
}

/// Something that happened.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Happening {
    /// As in `edge-kill bangkok`.
    pub what: String,
    /// Milliseconds from the first arrival, when it was asked for.
    pub at_ms: u64,
    /// How long until it was done, in milliseconds.
    pub took_ms: u64,
    /// Why it could not be done.
    pub error: Option<String>,
}

impl Outcome {
    /// The form this program writes and reads.
    pub const FORM: u32 = 1;

    /// Whether all that was expected held, and can be believed.
    pub fn holds(&self) -> bool {
        self.is_valid() && self.verdict.iter().all(|one| one.holds)
    }

    /// Whether what was measured can be believed.
    pub fn is_valid(&self) -> bool {
        self.health.invalid_because.is_empty()
    }

    /// Everybody together.
    pub fn total(&self) -> Figures {
        self.sum(|_| true)
    }

    /// Those of whom `chosen` is true.
    pub fn sum(&self, chosen: impl Fn(&Key) -> bool) -> Figures {
        let mut sum = Figures::default();
        for cell in self.cells.iter().filter(|cell| chosen(&cell.key)) {
            sum.add(&cell.figures);
        }
        sum
    }

    /// Everybody, by what `of` says of them.
    pub fn by(&self, of: impl Fn(&Key) -> String) -> BTreeMap<String, Figures> {
        let mut groups: BTreeMap<String, Figures> = BTreeMap::new();
        for cell in &self.cells {
            groups.entry(of(&cell.key)).or_default().add(&cell.figures);
        }
        groups
    }

    /// How many.
    pub fn counted(&self, count: Count) -> u64 {
        let each = self.cells.iter().map(|cell| cell.figures.counted(count));
        each.fold(0, u64::saturating_add)
    }

    /// How long.
    pub fn timed(&self, latency: Latency) -> Spread {
        let mut all = Spread::default();
        let each = self
            .cells
            .iter()
            .filter_map(|cell| cell.figures.timed(latency));
        each.for_each(|one| all.add(one));
        all
    }

    /// Takes in what another thread or agent has measured of the same rehearsal.
    pub fn add(&mut self, other: Outcome) {
        for cell in other.cells {
            match self.cells.iter_mut().find(|own| own.key == cell.key) {
                Some(own) => own.figures.add(&cell.figures),
                None => self.cells.push(cell),
            }
        }
        let seconds = self.ticks.len().max(other.ticks.len());
        self.ticks.resize(seconds, Tick::default());
        for (own, tick) in self.ticks.iter_mut().zip(&other.ticks) {
            own.add(tick);
        }
        for (why, more) in other.failures {
            let failed = self.failures.entry(why).or_default();
            *failed = failed.saturating_add(more);
        }
        self.machines.extend(other.machines);
        self.processes.extend(other.processes);
        self.testers.extend(other.testers);
        self.happenings.extend(other.happenings);
        self.happenings.sort_by_key(|one| one.at_ms);
        self.health
            .invalid_because
            .extend(other.health.invalid_because);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_that_cannot_be_are_added_without_a_panic() {
        let mut figures = Figures::default();
        figures.count(Count::Came, u64::MAX);
        let cell = |region: &str| Cell {
            key: Key {
                region: region.to_owned(),
                ..Key::default()
            },
            figures: figures.clone(),
        };
        let tick = Tick {
            came: u64::MAX,
            ..Tick::default()
        };
        let odd = Outcome {
            cells: vec![cell("AFR"), cell("ASP")],
            ticks: vec![tick],
            failures: [("no".to_owned(), u64::MAX)].into(),
            ..Outcome::default()
        };
        let mut all = odd.clone();
        all.add(odd);
        assert_eq!(all.counted(Count::Came), u64::MAX);
        assert_eq!(all.total().counted(Count::Came), u64::MAX);
        assert_eq!(
            (all.ticks[0].came, all.failures["no"]),
            (u64::MAX, u64::MAX)
        );
    }
}
