//! Direct links between edges whose people talk to each other, where the way through the tree is much longer.
//!
//! A link is made when talk has lasted, and ended when nobody uses it or it no longer saves anything. A link is never ended
//! for another's sake: who comes when an edge has its most waits until one is free, so nothing flaps.

use super::{Link, Place, Rtts, Tree, path_us};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Most direct links an edge has. Each costs its uplink a copy of what is said; four cover a discussion among five
/// regions.
pub const MAX_PER_EDGE: usize = 4;
/// One-way µs a direct link must save: a fifth of the 150 ms within which people do not notice that they wait (ITU-T
/// G.114).
pub const SIGNIFICANT_SAVING_US: u64 = 30_000;

/// Media that edge `from` publishes and edge `to` takes, or the other way round: the order does not matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Talk<'a> {
    /// An edge's id.
    pub from: &'a str,
    /// Another edge's id.
    pub to: &'a str,
    /// bit/s.
    pub bps: u64,
}

/// Why a direct link ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// No talk for a minute.
    Unused,
    /// The way through the tree is about as short by now.
    NeedlessByNow,
    /// One of the two is not in the tree any more, is the other's parent, or cannot reach it.
    Impossible,
}

/// What changes: pairs of ids, the lesser first, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Steps {
    /// Both are to join directly.
    pub join: Vec<(String, String)>,
    /// Both are to let the direct link go.
    pub leave: Vec<(String, String, Ended)>,
}

type Pair = (String, String);

/// All talk and all direct links.
#[derive(Debug, Clone, Default)]
pub struct Shortcuts {
    talks: BTreeMap<Pair, Heard>,
    links: BTreeMap<Pair, Held>,
    dropped: u64,
}

#[derive(Debug, Clone, Copy)]
struct Heard {
    since: Instant,
    last: Instant,
    /// Since when a direct link would save much.
    saves_since: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    used: Instant,
    needless_since: Option<Instant>,
}

impl Shortcuts {
    /// No links.
    pub fn new() -> Self {
        Self::default()
    }

    /// Goes on with links that were made before, as if used now.
    pub fn resume(links: impl IntoIterator<Item = (String, String)>, now: Instant) -> Self {
        let held = Held {
            used: now,
            needless_since: None,
        };
        Self {
            links: links
                .into_iter()
                .map(|(a, b)| (pair(&a, &b), held))
                .collect(),
            ..Self::default()
        }
    }

    /// Takes note of talk, at least every two seconds while it lasts. Less than a voice's bit rate is none. Beyond 16,384
    /// pairs at a time it is dropped and counted.
    pub fn heard(&mut self, talk: Talk<'_>, now: Instant) {
        if talk.bps < LEAST_BPS || talk.from == talk.to {
            return;
        }
        let pair = pair(talk.from, talk.to);
        if let Some(held) = self.links.get_mut(&pair) {
            held.used = now;
        } else if let Some(heard) = self.talks.get_mut(&pair) {
            heard.last = now;
        } else if self.talks.len() < MAX_TALKS {
            let heard = Heard {
                since: now,
                last: now,
                saves_since: None,
            };
            self.talks.insert(pair, heard);
        } else {
            self.dropped += 1;
        }
    }

    /// One round, about every second: which links to make and which to end.
    pub fn step(&mut self, tree: &Tree, rtts: &Rtts, now: Instant) -> Steps {
        let leave = self.end(tree, rtts, now);
        self.talks
            .retain(|_, heard| now.saturating_duration_since(heard.last) <= PAUSE);
        let join = self.make(tree, rtts, now);
        Steps { join, leave }
    }

    /// The links there are.
    pub fn links(&self) -> impl Iterator<Item = (&str, &str)> {
        self.links.keys().map(|(a, b)| (a.as_str(), b.as_str()))
    }

    /// Talk not taken note of, as there was too much at a time.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn end(&mut self, tree: &Tree, rtts: &Rtts, now: Instant) -> Vec<(String, String, Ended)> {
        let mut ended = Vec::new();
        self.links.retain(|pair, held| {
            let reason = held.reason_to_end(saving(&tree.places, rtts, pair), now);
            ended.extend(reason.map(|reason| (pair.0.clone(), pair.1.clone(), reason)));
            reason.is_none()
        });
        ended
    }

    fn make(&mut self, tree: &Tree, rtts: &Rtts, now: Instant) -> Vec<Pair> {
        let mut wanted = Vec::new();
        for (pair, heard) in &mut self.talks {
            let saving = saving(&tree.places, rtts, pair).filter(Saving::is_much);
            let Some(saving) = saving else {
                heard.saves_since = None;
                continue;
            };
            let since = (*heard.saves_since.get_or_insert(now)).max(heard.since);
            if heard.last.saturating_duration_since(since) >= SUSTAINED {
                wanted.push((u64::MAX - saving.saved_us(), pair.clone()));
            }
        }
        wanted.sort();
        wanted
            .into_iter()
            .filter_map(|(_, pair)| self.join(pair, now))
            .collect()
    }

    fn join(&mut self, pair: Pair, now: Instant) -> Option<Pair> {
        let count = |edge: &String| {
            let links = self.links.keys();
            links.filter(|(a, b)| a == edge || b == edge).count()
        };
        if count(&pair.0) >= MAX_PER_EDGE || count(&pair.1) >= MAX_PER_EDGE {
            return None;
        }
        let used = self.talks.remove(&pair).map_or(now, |heard| heard.last);
        let needless_since = None;
        self.links.insert(
            pair.clone(),
            Held {
                used,
                needless_since,
            },
        );
        Some(pair)
    }
}

impl Held {
    fn reason_to_end(&mut self, saving: Option<Saving>, now: Instant) -> Option<Ended> {
        let Some(saving) = saving else {
            return Some(Ended::Impossible);
        };
        if now.saturating_duration_since(self.used) >= UNUSED {
            return Some(Ended::Unused);
        }
        if !saving.is_little() {
            self.needless_since = None;
            return None;
        }
        let since = *self.needless_since.get_or_insert(now);
        (now.saturating_duration_since(since) >= NEEDLESS).then_some(Ended::NeedlessByNow)
    }
}

/// Whether a way of so many µs through the tree is so much longer than a direct one that a link is worth it.
pub fn is_much_longer(tree_us: u64, direct_us: u64) -> bool {
    Saving { tree_us, direct_us }.is_much()
}

struct Saving {
    tree_us: u64,
    direct_us: u64,
}

impl Saving {
    fn saved_us(&self) -> u64 {
        self.tree_us.saturating_sub(self.direct_us)
    }

    /// A quarter shorter as well: 30 ms of 300 make no conversation.
    fn is_much(&self) -> bool {
        self.saved_us() >= SIGNIFICANT_SAVING_US && self.saved_us() * 4 >= self.tree_us
    }

    /// Half of that, so that a path at the limit does not flap.
    fn is_little(&self) -> bool {
        self.saved_us() * 2 < SIGNIFICANT_SAVING_US || self.saved_us() * 8 < self.tree_us
    }
}

/// `None` if the two cannot or need not be joined. A way nobody measured saves nothing for sure.
fn saving(places: &BTreeMap<String, Place>, rtts: &Rtts, (a, b): &Pair) -> Option<Saving> {
    let is_parent = |child: &str, parent: &str| places[child].parent.as_deref() == Some(parent);
    if !places.contains_key(a) || !places.contains_key(b) || is_parent(a, b) || is_parent(b, a) {
        return None;
    }
    // Without a way through the tree the direct one saves all there is.
    let tree_us = path_us(places, rtts, a, b).unwrap_or(NO_WAY_US);
    let direct_us = match rtts.between(a, b) {
        Link::Measured(rtt_us) => u64::from(rtt_us / 2),
        Link::Unknown => tree_us,
        Link::Unreachable => return None,
    };
    Some(Saving { tree_us, direct_us })
}

fn pair(a: &str, b: &str) -> Pair {
    let (first, second) = if a < b { (a, b) } else { (b, a) };
    (first.to_owned(), second.to_owned())
}

/// One Opus track speaks with 24 kbit/s and more.
const LEAST_BPS: u64 = 16_000;
/// A word in passing makes no link; by the second sentence there is one.
const SUSTAINED: Duration = Duration::from_secs(3);
/// Talk that pauses longer begins anew.
const PAUSE: Duration = Duration::from_secs(2);
/// Long enough for an answer to come to mind.
const UNUSED: Duration = Duration::from_secs(60);
/// As for a smoothed round trip to settle.
const NEEDLESS: Duration = Duration::from_secs(20);
/// Every pair of 180 edges.
const MAX_TALKS: usize = 16_384;
const NO_WAY_US: u64 = 10_000_000;
