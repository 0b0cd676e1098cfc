//! What a rehearsal is to be: who comes when, from where and how, who speaks, what happens, and what is expected. Read from
//! TOML, checked whole before anything starts. Pure: the seed fixes everything that is left to chance.

mod arrivals;
mod cast;
mod crowd;
mod event;
mod expected;
mod floor;
mod network;
mod offices;
mod profile;
mod share;
mod span;

pub use arrivals::{Arrivals, Wave};
pub use cast::{Part, Stay};
pub use crowd::{Crowd, Leaving, Video};
pub use event::{Event, Happens};
pub(crate) use floor::check_languages;
pub use floor::{Booths, Channel, Floor, Turn};
pub use network::{Network, Place, Places, Store};
pub use profile::Profile;
pub use share::{Shares, apportion};
pub use span::Span;

use crate::verdict::Expectation;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A rehearsal.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Lower-case letters, digits, hyphens; the meeting's id too.
    pub name: String,
    /// For people.
    pub title: String,
    /// What it is a rehearsal of.
    #[serde(default)]
    pub about: String,
    /// Fixes arrivals, choices, losses and jitter.
    #[serde(default = "one")]
    pub seed: u64,
    /// From the first arrival to the end.
    pub length: Span,
    /// What is started where the rehearsal brings its own network.
    #[serde(default)]
    pub network: Network,
    /// Who speaks.
    #[serde(default)]
    pub floor: Floor,
    /// Who interprets.
    #[serde(default)]
    pub booths: Booths,
    /// Who comes.
    #[serde(rename = "crowd")]
    pub crowds: Vec<Crowd>,
    /// Last miles of its own, by name.
    #[serde(default, rename = "profile")]
    pub profiles: BTreeMap<String, Profile>,
    /// What happens.
    #[serde(default, rename = "event")]
    pub events: Vec<Event>,
    /// What has to hold.
    #[serde(default)]
    pub expect: Vec<Expectation>,
}

/// What is wrong with a scenario.
#[derive(Debug, thiserror::Error)]
#[error("{file}{}: {reason}", line.map(|line| format!(":{line}")).unwrap_or_default(), file = file.display())]
pub struct ScenarioError {
    /// The file.
    pub file: PathBuf,
    /// The line, where one is to blame.
    pub line: Option<usize>,
    /// What to mend.
    pub reason: String,
}

impl Scenario {
    /// Reads a scenario; `file` is for messages.
    ///
    /// # Errors
    /// The first thing that is wrong, with its line where there is one.
    pub fn parse(text: &str, file: &Path) -> Result<Scenario, ScenarioError> {
        let wrong = |line, reason| ScenarioError {
            file: file.to_owned(),
            line,
            reason,
        };
        let scenario: Scenario = toml::from_str(text).map_err(|error| {
            let line = error.span().map(|span| line_of(text, span.start));
            wrong(line, error.message().to_owned())
        })?;
        scenario.check().map_err(|reason| wrong(None, reason))?;
        Ok(scenario)
    }

    /// The last mile of this name: the scenario's own, or one that is always there.
    pub fn profile(&self, name: &str) -> Option<Profile> {
        let own = self.profiles.get(name).cloned();
        own.or_else(|| Profile::known(name))
    }

    /// Everybody who comes, in order of arrival.
    pub fn cast(&self, places: &Places) -> Vec<Part> {
        cast::cast(self, places)
    }

    /// Who has the floor from when on.
    pub fn turns(&self) -> Vec<Turn> {
        self.floor.turns(self.length.0)
    }

    /// How many come.
    pub fn delegates(&self) -> u64 {
        self.crowds.iter().map(|crowd| u64::from(crowd.count)).sum()
    }

    fn check(&self) -> Result<(), String> {
        if !is_id(&self.name) {
            return Err(format!(
                "name = \"{}\": lower-case letters, digits and hyphens",
                self.name
            ));
        }
        if self.length.0 < Duration::from_secs(1) {
            return Err("length: at least 1s".to_owned());
        }
        if self.crowds.is_empty() {
            return Err("there is no [[crowd]]: nobody comes".to_owned());
        }
        self.floor.check()?;
        self.booths.check()?;
        let mut names = BTreeSet::new();
        for crowd in &self.crowds {
            if !names.insert(&crowd.name) {
                return Err(format!("there are two crowds named \"{}\"", crowd.name));
            }
            let named = |reason| format!("crowd \"{}\": {reason}", crowd.name);
            crowd.check(self).map_err(named)?;
        }
        for event in &self.events {
            event.check(self.length.0)?;
        }
        Ok(())
    }
}

fn is_id(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !name.is_empty() && name.chars().all(fits)
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|b| *b == b'\n').count() + 1
}

fn one() -> u64 {
    1
}

#[cfg(test)]
mod tests;
