//! What people of one region, language, transport and last mile went through.

use super::spread::Spread;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Who is counted together.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    /// The ITU's region, as in `AFR`.
    pub region: String,
    /// `floor`, or a language: what they listened to.
    pub language: String,
    /// `quic`, `webtransport` or `websocket`.
    pub transport: String,
    /// The last mile's name.
    pub profile: String,
}

impl Key {
    /// One of them by its name here; empty if there is none of that name.
    pub(crate) fn field(&self, name: &str) -> &str {
        match name {
            "region" => &self.region,
            "language" => &self.language,
            "transport" => &self.transport,
            "profile" => &self.profile,
            _ => "",
        }
    }
}

/// What they went through.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Who.
    #[serde(flatten)]
    pub key: Key,
    /// What.
    pub figures: Figures,
}

/// Counts and times that add up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// How often.
    pub counts: BTreeMap<Count, u64>,
    /// How long.
    pub times: BTreeMap<Latency, Spread>,
}

/// What is counted.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ValueEnum,
)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Count {
    /// People who came to the door.
    Came,
    /// People who had to wait in the queue.
    Queued,
    /// People who heard something.
    Joined,
    /// People who never heard anything, or were turned away later.
    Failed,
    /// Moves to another edge.
    Moved,
    /// Switches to another language.
    Switched,
    /// Audio frames, each once.
    Objects,
    /// Payload bytes, of all tracks.
    Bytes,
    /// Audio frames that were published while somebody listened, and never came.
    Lost,
    /// Speakers, languages and pictures that an edge was asked for, and of which nothing came for two seconds or longer
    /// before they were wanted no more.
    Missed,
    /// Audio frames that came more than 400 ms after they were captured.
    Late,
    /// Audio frames that came again.
    Duplicated,
    /// Audio frames that came after a later one.
    Reordered,
    /// Frames, of audio or video, that are not what was published.
    Altered,
    /// Video frames, each once.
    VideoObjects,
    /// Video frames that never came, of groups that did.
    VideoLost,
    /// Times without audio longer than 40 ms.
    #[serde(rename = "gaps_40ms")]
    #[value(name = "gaps_40ms")]
    Gaps40ms,
    /// Longer than 200 ms.
    #[serde(rename = "gaps_200ms")]
    #[value(name = "gaps_200ms")]
    Gaps200ms,
    /// Longer than a second.
    #[serde(rename = "gaps_1000ms")]
    #[value(name = "gaps_1000ms")]
    Gaps1000ms,
}

/// What is timed.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ValueEnum,
)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Latency {
    /// From when somebody was due to the control plane's first answer: a place in the queue, or in.
    Ticket,
    /// From when they were due to the token.
    Token,
    /// From dialling to the session with the edge that was taken.
    Connect,
    /// From when they were due to the first audio frame.
    FirstAudio,
    /// From when they were due to the first video frame that can be decoded.
    FirstPicture,
    /// From an audio frame's capture to its arrival.
    Lag,
    /// From a video frame's capture to its arrival.
    VideoLag,
    /// Each person's longest time without audio, beyond the 20 ms between frames.
    Gap,
    /// From the loss of an edge, or its goodbye, to the first audio frame through another.
    Reconnect,
    /// From choosing another language to its first audio frame.
    Switch,
    /// From the first frame of a new speaker to when it was heard.
    Turn,
}

impl Count {
    /// All there are.
    pub fn all() -> &'static [Count] {
        Count::value_variants()
    }

    /// Its word, as in `gaps_40ms`.
    pub fn name(self) -> String {
        word(&self)
    }
}

impl Latency {
    /// All there are.
    pub fn all() -> &'static [Latency] {
        Latency::value_variants()
    }

    /// Its word, as in `first_audio`.
    pub fn name(self) -> String {
        word(&self)
    }
}

fn word(of: &impl ValueEnum) -> String {
    let value = of.to_possible_value().expect("none is hidden");
    value.get_name().to_owned()
}

impl Figures {
    /// More of something.
    pub fn count(&mut self, count: Count, more: u64) {
        if more > 0 {
            let counted = self.counts.entry(count).or_default();
            *counted = counted.saturating_add(more);
        }
    }

    /// Once more it took so long.
    pub fn time(&mut self, latency: Latency, took: Duration) {
        self.times.entry(latency).or_default().record(took);
    }

    /// How often.
    pub fn counted(&self, count: Count) -> u64 {
        self.counts.get(&count).copied().unwrap_or_default()
    }

    /// How long; nothing was timed if none.
    pub fn timed(&self, latency: Latency) -> Option<&Spread> {
        self.times.get(&latency)
    }

    /// What others went through, too.
    pub fn add(&mut self, other: &Figures) {
        for (count, more) in &other.counts {
            self.count(*count, *more);
        }
        for (latency, spread) in &other.times {
            self.times.entry(*latency).or_default().add(spread);
        }
    }
}
