//! What became of a talk: what a watcher heard of what was published, and what edges still hold.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::up::judge::Key;

/// What one watcher heard.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    pub(super) office: &'static str,
    /// The longest time without audio beyond the 20 ms between frames, milliseconds.
    pub(super) gap_ms: f64,
    /// What that may be; `None` where there is nothing to go on with until the fault is undone.
    pub(super) bound_ms: Option<f64>,
    /// The same time without video beyond the time between frames.
    pub(super) video_gap_ms: f64,
    /// Audio frames that were published after the first one heard, and did not come.
    pub(super) lost: u64,
    pub(super) video_lost: u64,
    pub(super) doubled: u64,
    pub(super) altered: u64,
}

/// What is left in an edge after the talk.
#[derive(Clone, Debug)]
pub(super) struct Left {
    /// Counters that are above what they were before it.
    pub(super) leftovers: Vec<String>,
    /// MiB before and after, of the edge that grew most.
    pub(super) memory: (f64, f64),
}

/// A scenario's outcome.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub(super) heard: Vec<Heard>,
    pub(super) left: Left,
    /// The longest pause of the publisher itself beyond 20 ms: what the machine adds.
    pub(super) publisher_gap_ms: f64,
}

impl Heard {
    /// By a watcher's summary and the hashes of what it got, beside those of what was sent.
    ///
    /// # Errors
    /// If there is no summary, or nothing was heard.
    pub(super) fn of(
        office: &'static str,
        summary: &Value,
        sent: &BTreeMap<Key, String>,
        got: &BTreeMap<Key, String>,
        bound_ms: Option<f64>,
    ) -> Result<Heard> {
        ensure!(summary["kind"] == "summary", "no summary");
        let (audio, video) = (&summary["tracks"][AUDIO], &summary["tracks"][VIDEO]);
        let doubles = |track: &Value| track["duplicates"].as_u64().unwrap_or_default();
        let is_altered = |(key, hash): &(&Key, &String)| sent.get(*key) != Some(*hash);
        Ok(Heard {
            office,
            gap_ms: audio_gap_ms(summary),
            bound_ms,
            video_gap_ms: gap_ms(video, VIDEO_PERIOD_MS),
            lost: missing(AUDIO, sent, got)?,
            video_lost: missing(VIDEO, sent, got)?,
            doubled: doubles(audio) + doubles(video),
            altered: got.iter().filter(is_altered).count() as u64,
        })
    }
}

/// The longest pause in a client's audio, beyond the time between frames.
pub(crate) fn audio_gap_ms(summary: &Value) -> f64 {
    gap_ms(&summary["tracks"][AUDIO], AUDIO_PERIOD_MS)
}

fn gap_ms(track: &Value, usual: f64) -> f64 {
    let gap = track["largest_gap_ms"].as_f64().unwrap_or_default();
    (gap - usual).max(0.0)
}

/// What an edge holds more of than before, as `geneva: tracks 2`.
pub(super) fn risen(office: &str, before: &Value, now: &Value) -> Vec<String> {
    let count = |line: &Value, what: &str| line[what].as_u64().unwrap_or_default();
    let risen = HELD
        .into_iter()
        .filter(|(what, slack)| count(now, what) > count(before, what) + slack);
    risen
        .map(|(what, _)| format!("{office}: {what} {}", count(now, what)))
        .collect()
}

/// How many objects of a track were sent after the first that came, and did not come.
fn missing(track: &str, sent: &BTreeMap<Key, String>, got: &BTreeMap<Key, String>) -> Result<u64> {
    let first = got.keys().find(|key| key.0 == track);
    let first = first.with_context(|| format!("nothing of {track} was received"))?;
    let later = sent.range(first.clone()..);
    Ok(later
        .filter(|(key, _)| key.0 == track && !got.contains_key(*key))
        .count() as u64)
}

const AUDIO: &str = "audio";
const VIDEO: &str = "video-high";

/// What edges hold for sessions and media, and how much more of it after a fault is no leftover: a neighbour that has
/// come back tells its path to the root again, and the last few are kept.
const HELD: [(&str, u64); 8] = [
    ("sessions", 0),
    ("tracks", 0),
    ("upstreams", 0),
    ("subscriptions", 0),
    ("in_streams", 0),
    ("out_streams", 0),
    ("requests", 0),
    ("cached_bytes", 8 * 1024),
];

const AUDIO_PERIOD_MS: f64 = 20.0;
const VIDEO_PERIOD_MS: f64 = 33.3;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_an_edge_still_holds_is_named() {
        let before = json!({ "sessions": 2, "tracks": 0, "cached_bytes": 0 });
        let now = json!({ "sessions": 1, "tracks": 2, "cached_bytes": 600 });
        assert_eq!(risen("cairo", &before, &now), ["cairo: tracks 2"]);
        assert!(risen("cairo", &before, &before).is_empty());
    }

    #[test]
    fn only_what_came_after_the_first_one_heard_can_be_missing() {
        let of = |groups: &[u64]| {
            let entry = |group: &u64| (("audio".to_owned(), *group, 0), "hash".to_owned());
            groups.iter().map(entry).collect::<BTreeMap<Key, String>>()
        };
        let sent = of(&[1, 2, 3, 4]);
        assert_eq!(missing("audio", &sent, &of(&[2, 4])).unwrap(), 1);
        assert!(missing("audio", &sent, &of(&[])).is_err());
    }
}
