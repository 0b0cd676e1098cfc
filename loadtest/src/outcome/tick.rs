//! One second of a rehearsal, over everybody.

use super::spread::Spread;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tick {
    /// People who came to the door.
    pub came: u64,
    /// People who heard their first frame.
    pub joined: u64,
    /// People who gave up or were turned away.
    pub failed: u64,
    /// People who went as planned.
    pub left: u64,
    /// Audio and video frames that arrived.
    pub objects: u64,
    /// Payload bytes that arrived.
    pub bytes: u64,
    /// Times without audio longer than 40 ms that began in it, beyond the 20 ms between frames.
    pub gaps: Spread,
    /// From capture to arrival of audio that arrived in it, by region.
    pub lag: BTreeMap<String, Spread>,
}

impl Tick {
    /// Another thread's or agent's same second, too.
    pub fn add(&mut self, other: &Tick) {
        let more = |own: &mut u64, other: u64| *own = own.saturating_add(other);
        more(&mut self.came, other.came);
        more(&mut self.joined, other.joined);
        more(&mut self.failed, other.failed);
        more(&mut self.left, other.left);
        more(&mut self.objects, other.objects);
        more(&mut self.bytes, other.bytes);
        self.gaps.add(&other.gaps);
        for (region, lag) in &other.lag {
            self.lag.entry(region.clone()).or_default().add(lag);
        }
    }
}
