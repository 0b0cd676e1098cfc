//! What is asked: who comes from where, and what they take.

use crate::scenario::{apportion, check_languages};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// Who comes, and what machines there are.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// For people.
    #[serde(default)]
    pub title: String,
    /// How many come, by country (ISO 3166-1 alpha-2).
    pub people: BTreeMap<String, u64>,
    /// A booth each.
    #[serde(default)]
    pub languages: Vec<String>,
    /// The share of people who listen to the floor; the others divide themselves among the languages.
    #[serde(default = "one")]
    pub floor: f64,
    /// The office where who speaks and interprets is.
    #[serde(default = "geneva")]
    pub near: String,
    /// Who sees the speaker.
    #[serde(default)]
    pub video: Pictures,
    /// Offices with an edge, the origin first; all there are if empty.
    #[serde(default)]
    pub offices: Vec<String>,
    /// A machine for an edge.
    #[serde(default)]
    pub machine: Machine,
}

/// Who takes the picture, and how much it is.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pictures {
    /// Share of people, 0 to 1.
    pub share: f64,
    /// bit/s.
    pub bits: f64,
}

/// A machine for an edge.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Machine {
    /// Cores, each like the one costs were measured on.
    pub cores: u32,
    /// MiB.
    pub memory_mib: f64,
    /// bit/s outwards.
    pub bits_per_second: f64,
    /// How much of each of these is to be used, above 0 up to 1. What is left is for those who come when an edge is lost.
    pub fill: f64,
}

impl Default for Pictures {
    fn default() -> Pictures {
        Pictures {
            share: 0.0,
            bits: 1_500_000.0,
        }
    }
}

impl Default for Machine {
    fn default() -> Machine {
        Machine {
            cores: 8,
            memory_mib: 16_384.0,
            bits_per_second: 10e9,
            fill: 0.6,
        }
    }
}

impl Question {
    /// Reads one; `file` is for messages.
    ///
    /// # Errors
    /// What is wrong, with its line where there is one.
    pub fn parse(text: &str, file: &Path) -> Result<Question, String> {
        let question: Question = toml::from_str(text).map_err(|error| {
            let before = error.span().map(|span| &text[..span.start]);
            let line = before.map(|before| format!(":{}", before.matches('\n').count() + 1));
            let line = line.unwrap_or_default();
            format!("{}{line}: {}", file.display(), error.message())
        })?;
        let checked = question.check();
        checked.map_err(|reason| format!("{}: {reason}", file.display()))?;
        Ok(question)
    }

    /// How many come.
    pub fn total(&self) -> u64 {
        self.people
            .values()
            .fold(0, |sum, people| sum.saturating_add(*people))
    }

    /// The same, with so many in all, in proportion.
    pub fn scaled(mut self, total: u64) -> Question {
        let shares: Vec<f64> = self.people.values().map(|people| *people as f64).collect();
        let parts = apportion(total as usize, &shares);
        for (people, part) in self.people.values_mut().zip(parts) {
            *people = part as u64;
        }
        self
    }

    fn check(&self) -> Result<(), String> {
        let share = |name: &str, value: f64| match (0.0..=1.0).contains(&value) {
            true => Ok(()),
            false => Err(format!("{name} = {value}: a share from 0 to 1")),
        };
        share("floor", self.floor)?;
        share("video.share", self.video.share)?;
        share("machine.fill", self.machine.fill)?;
        check_languages(&self.languages)?;
        if self.floor < 1.0 && self.languages.is_empty() {
            return Err("floor is below 1, but there are no languages for the others".to_owned());
        }
        let machine = &self.machine;
        let sizes = [machine.memory_mib, machine.bits_per_second, machine.fill];
        if machine.cores == 0 || sizes.iter().any(|size| !size.is_finite() || *size <= 0.0) {
            return Err(
                "machine: cores, memory_mib, bits_per_second and fill are above 0".to_owned(),
            );
        }
        if !(self.video.bits.is_finite() && self.video.bits >= 0.0) {
            return Err("video.bits: bit/s from 0 up".to_owned());
        }
        match self.total() {
            0 => Err("people: nobody comes".to_owned()),
            1..=MOST => Ok(()),
            more => Err(format!("people: {more} are more than {MOST}")),
        }
    }
}

/// Beyond this the model has nothing to say.
const MOST: u64 = 10_000_000;

fn one() -> f64 {
    1.0
}

fn geneva() -> String {
    "geneva".to_owned()
}
