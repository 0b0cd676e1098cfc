//! Who is heard: speakers one after another on the floor, and a booth for each language.

use super::span::Span;
use meridian_control_core::people::language;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

/// Speakers, who have the floor in turn.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Floor {
    /// How many.
    pub speakers: u32,
    /// Offices they are near, in turn.
    pub near: Vec<String>,
    /// How long each has the floor; if absent, the first has it to the end.
    pub turn: Option<Span>,
    /// The picture: bit/s, 0 for none. 30 frames a second, a keyframe every 2 s.
    pub video_bits: u32,
}

/// Interpretation.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Booths {
    /// A booth each, as in `fr`.
    pub languages: Vec<String>,
    /// The office they are near; the network's first if empty.
    #[serde(default)]
    pub near: String,
}

/// Who has the floor from when on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// From the first arrival.
    pub at: Duration,
    /// From 0.
    pub speaker: u32,
}

/// What somebody listens to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// Whoever speaks.
    Floor,
    /// A booth.
    Language(String),
}

impl Default for Floor {
    /// One speaker to the end, without a picture.
    fn default() -> Floor {
        Floor {
            speakers: 1,
            near: Vec::new(),
            turn: None,
            video_bits: 0,
        }
    }
}

impl Floor {
    /// Who has the floor from when on, up to `length`.
    pub fn turns(&self, length: Duration) -> Vec<Turn> {
        let Some(Span(turn)) = self.turn else {
            let at = Duration::ZERO;
            return vec![Turn { at, speaker: 0 }];
        };
        let count = length.as_nanos().div_ceil(turn.as_nanos()) as u32;
        (0..count)
            .map(|n| Turn {
                at: turn * n,
                speaker: n % self.speakers,
            })
            .collect()
    }

    pub(super) fn check(&self) -> Result<(), String> {
        if self.speakers == 0 {
            return Err("floor.speakers: at least 1; nobody can be heard otherwise".to_owned());
        }
        if self.turn.is_some_and(|turn| turn.0 < SHORTEST) {
            return Err(format!("floor.turn: at least {SHORTEST:?}"));
        }
        Ok(())
    }
}

impl Booths {
    pub(super) fn check(&self) -> Result<(), String> {
        check_languages(&self.languages).map_err(|reason| format!("booths.{reason}"))
    }
}

/// That each is a language's tag, and none is there twice: the control plane refuses a meeting otherwise.
pub(crate) fn check_languages(languages: &[String]) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for name in languages {
        let Some(tag) = language(name) else {
            return Err(format!(
                "languages: `{name}` is no language tag; write such as en, fr or zh-hant"
            ));
        };
        if !seen.insert(tag) {
            return Err(format!("languages: `{name}` is there twice"));
        }
    }
    Ok(())
}

impl Channel {
    /// `floor`, or a language.
    pub fn named(name: &str) -> Channel {
        match name {
            "floor" => Channel::Floor,
            language => Channel::Language(language.to_owned()),
        }
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Channel::Floor => f.write_str("floor"),
            Channel::Language(language) => f.write_str(language),
        }
    }
}

/// A listener across the world has to hear something of each.
const SHORTEST: Duration = Duration::from_secs(2);
