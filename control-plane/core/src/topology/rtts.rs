//! Round trips between edges, smoothed so that a queue on the way or a late probe moves nothing.

use super::MAX_EDGES;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What is assumed of two edges that have not measured each other, µs. Longer than any path planned with (310 ms), so that
/// measured ones are preferred; a new edge must have a parent before it has measured anything.
pub const UNKNOWN_RTT_US: u32 = 400_000;

/// What is known of the way between two edges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// Smoothed round trip, µs.
    Measured(u32),
    /// Nobody measured it yet.
    Unknown,
    /// One of them tried and got no answer since.
    Unreachable,
}

/// What edges measured to each other.
///
/// For each ordered pair, the shortest of the last 10 to 20 s (a queue only ever adds), of which a moving average is
/// taken. A longer path is believed after 20 s, a shorter one within a few samples.
#[derive(Debug, Clone, Default)]
pub struct Rtts {
    pairs: BTreeMap<String, BTreeMap<String, Pair>>,
    len: usize,
    refused: u64,
}

#[derive(Debug, Clone, Copy)]
struct Pair {
    window_since: Instant,
    shortest_now: u32,
    shortest_before: u32,
    /// Sixteenths of a µs, so that rounding does not hold it back.
    smooth: u64,
    is_measured: bool,
    is_unreachable: bool,
}

impl Rtts {
    /// None measured yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a round trip in µs that `from` measured to `to`. Refused, counted and answered with false: 0, more than 10 s,
    /// an edge to itself, and new pairs beyond a quarter of a million.
    pub fn record(&mut self, from: &str, to: &str, rtt_us: u32, now: Instant) -> bool {
        if from == to || rtt_us == 0 || rtt_us > LONGEST_RTT_US {
            self.refused += 1;
            return false;
        }
        self.pair(from, to, now)
            .map(|pair| pair.take(rtt_us, now))
            .is_some()
    }

    /// `from` got no answer from `to`. Holds until a round trip is measured in that direction again.
    pub fn record_unreachable(&mut self, from: &str, to: &str, now: Instant) {
        if let Some(pair) = self.pair(from, to, now) {
            pair.is_unreachable = true;
        }
    }

    /// Symmetric: the mean of both directions, or the one there is.
    pub fn between(&self, a: &str, b: &str) -> Link {
        let [there, back] = [(a, b), (b, a)].map(|(from, to)| self.pairs.get(from)?.get(to));
        let known = [there, back].into_iter().flatten();
        if known.clone().any(|pair| pair.is_unreachable) {
            return Link::Unreachable;
        }
        let measured: Vec<u64> = known
            .filter(|pair| pair.is_measured)
            .map(|pair| pair.smooth / SCALE)
            .collect();
        match measured.len() as u64 {
            0 => Link::Unknown,
            count => Link::Measured((measured.iter().sum::<u64>() / count) as u32),
        }
    }

    /// One way in µs: half the round trip, [`UNKNOWN_RTT_US`] if not measured; `None` if unreachable.
    pub fn one_way_us(&self, a: &str, b: &str) -> Option<u32> {
        match self.between(a, b) {
            Link::Measured(rtt) => Some((rtt / 2).max(1)),
            Link::Unknown => Some(UNKNOWN_RTT_US / 2),
            Link::Unreachable => None,
        }
    }

    /// Forgets all edges but those with one of these ids. An edge that may return should be kept.
    pub fn retain(&mut self, is_kept: impl Fn(&str) -> bool) {
        self.pairs.retain(|from, _| is_kept(from));
        for to in self.pairs.values_mut() {
            to.retain(|id, _| is_kept(id));
        }
        self.len = self.pairs.values().map(BTreeMap::len).sum();
    }

    /// Measurements refused so far.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    fn pair(&mut self, from: &str, to: &str, now: Instant) -> Option<&mut Pair> {
        let is_known = self
            .pairs
            .get(from)
            .is_some_and(|pairs| pairs.contains_key(to));
        if !is_known {
            if self.len >= MAX_PAIRS {
                self.refused += 1;
                return None;
            }
            self.len += 1;
            let pairs = self.pairs.entry(from.to_owned()).or_default();
            pairs.insert(to.to_owned(), Pair::new(now));
        }
        self.pairs.get_mut(from)?.get_mut(to)
    }
}

impl Pair {
    fn new(now: Instant) -> Self {
        Self {
            window_since: now,
            shortest_now: u32::MAX,
            shortest_before: u32::MAX,
            smooth: 0,
            is_measured: false,
            is_unreachable: false,
        }
    }

    fn take(&mut self, rtt_us: u32, now: Instant) {
        let age = now.saturating_duration_since(self.window_since);
        if age >= WINDOW {
            let is_next = age < 2 * WINDOW;
            self.shortest_before = if is_next { self.shortest_now } else { u32::MAX };
            self.shortest_now = u32::MAX;
            self.window_since = now;
        }
        self.shortest_now = self.shortest_now.min(rtt_us);
        let shortest = u64::from(self.shortest_now.min(self.shortest_before)) * SCALE;
        self.smooth = match self.is_measured {
            true => self.smooth - self.smooth / WEIGHT + shortest / WEIGHT,
            false => shortest,
        };
        self.is_measured = true;
        self.is_unreachable = false;
    }
}

const SCALE: u64 = 16;
/// A new value counts an eighth, as in TCP's estimate.
const WEIGHT: u64 = 8;
/// Long enough to hold a probe that met no queue.
const WINDOW: Duration = Duration::from_secs(10);
/// Beyond it is no path to speak over.
const LONGEST_RTT_US: u32 = 10_000_000;
/// Twice as many edges as a tree may have, each to all others.
const MAX_PAIRS: usize = (2 * MAX_EDGES) * (2 * MAX_EDGES);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_on_the_way_is_not_believed_and_a_longer_path_is_after_a_while() {
        let start = Instant::now();
        let mut rtts = Rtts::new();
        for second in 0..8 {
            let queue = if second % 2 == 0 { 0 } else { 50_000 };
            rtts.record(
                "a",
                "b",
                100_000 + queue,
                start + Duration::from_secs(second),
            );
        }
        assert_eq!(rtts.between("b", "a"), Link::Measured(100_000));
        for second in 8..80 {
            rtts.record("a", "b", 160_000, start + Duration::from_secs(second));
        }
        let Link::Measured(rtt) = rtts.between("a", "b") else {
            panic!("it was measured");
        };
        assert!((159_000..=160_000).contains(&rtt), "{rtt}");
    }

    #[test]
    fn an_unreachable_edge_is_reachable_again_once_measured() {
        let now = Instant::now();
        let mut rtts = Rtts::new();
        assert_eq!(rtts.one_way_us("a", "b"), Some(UNKNOWN_RTT_US / 2));
        rtts.record_unreachable("a", "b", now);
        assert_eq!(rtts.one_way_us("b", "a"), None);
        assert!(rtts.record("a", "b", 20_000, now));
        assert_eq!(rtts.one_way_us("b", "a"), Some(10_000));
    }

    #[test]
    fn nonsense_is_refused_and_counted() {
        let now = Instant::now();
        let mut rtts = Rtts::new();
        assert!(!rtts.record("a", "a", 1, now));
        assert!(!rtts.record("a", "b", 0, now));
        assert!(!rtts.record("a", "b", u32::MAX, now));
        assert_eq!(rtts.refused(), 3);
        assert_eq!(rtts.between("a", "b"), Link::Unknown);
    }
}
