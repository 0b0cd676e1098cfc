//! Lag between edges, one way, over a tree: up to where the two paths meet, and down again.

use super::layout::Layout;
use super::net::Net;
use super::tree::root_path;
use super::{Place, Rtts};
use std::collections::BTreeMap;

/// One-way lag over all pairs of edges.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lag {
    /// µs.
    pub mean_us: u64,
    /// µs.
    pub worst_us: u64,
    /// How many pairs have a path.
    pub pairs: usize,
}

impl Lag {
    /// Of lags of single pairs, µs.
    pub fn of(pairs: impl IntoIterator<Item = u64>) -> Self {
        let mut lag = Self::default();
        let mut sum = 0;
        for way in pairs {
            lag.pairs += 1;
            sum += way;
            lag.worst_us = lag.worst_us.max(way);
        }
        lag.mean_us = sum / (lag.pairs as u64).max(1);
        lag
    }

    /// What a tree is chosen by: half of mean and worst.
    pub(super) fn score_us(&self) -> u64 {
        self.mean_us.midpoint(self.worst_us)
    }
}

/// Lag over all pairs of the edges in `places`; pairs without a path are left out.
pub fn lag(places: &BTreeMap<String, Place>, rtts: &Rtts) -> Lag {
    let ids: Vec<&String> = places.keys().collect();
    let pairs = ids.iter().enumerate().flat_map(|(at, a)| {
        let others = ids[at + 1..].iter();
        others.filter_map(move |b| path_us(places, rtts, a, b))
    });
    Lag::of(pairs)
}

/// One-way lag between two edges through the tree, µs. `None` if they do not hang from the same root.
pub fn path_us(places: &BTreeMap<String, Place>, rtts: &Rtts, a: &str, b: &str) -> Option<u64> {
    let [up, down] = [a, b].map(|edge| root_path(places, edge));
    let meeting = up.iter().position(|edge| down.contains(edge))?;
    let end = down.iter().position(|edge| *edge == up[meeting])?;
    let legs = up[..=meeting].windows(2).chain(down[..=end].windows(2));
    legs.map(|leg| rtts.one_way_us(leg[0], leg[1]).map(u64::from))
        .sum()
}

/// The same by index, for whole trees many times over.
#[derive(Debug, Default)]
pub(super) struct Meter {
    ways: Vec<u32>,
}

impl Meter {
    pub(super) fn lag(&mut self, net: &Net, layout: &Layout) -> Lag {
        let size = net.len();
        self.ways.resize(size * size, 0);
        let order = layout.top_down();
        let (mut sum, mut worst) = (0u64, 0u32);
        for (at, &edge) in order.iter().enumerate() {
            self.ways[edge * size + edge] = 0;
            let Some(parent) = layout.parent[edge] else {
                continue;
            };
            let leg = net.way(edge, parent);
            for &other in &order[..at] {
                let way = self.ways[parent * size + other].saturating_add(leg);
                self.ways[edge * size + other] = way;
                self.ways[other * size + edge] = way;
                sum += u64::from(way);
                worst = worst.max(way);
            }
        }
        let pairs = order.len() * order.len().saturating_sub(1) / 2;
        Lag {
            mean_us: sum / (pairs as u64).max(1),
            worst_us: u64::from(worst),
            pairs,
        }
    }
}
