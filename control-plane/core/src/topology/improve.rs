//! Makes a deep tree quicker: moves an edge to another parent, or has two change places, as long as that helps.

use super::MAX_DEPTH;
use super::lag::Meter;
use super::layout::Layout;
use super::net::Net;

/// Nothing to do for a star. Never moves the standby, nor an edge away from the root but for another.
pub(super) fn improve(net: &Net, layout: &mut Layout) {
    let mut search = Search {
        net,
        meter: Meter::default(),
        best: 0,
        left: PAIRS / (net.len() * net.len()).max(1),
    };
    search.best = search.meter.lag(net, layout).score_us();
    let is_star = layout
        .parent
        .iter()
        .all(|parent| parent.is_none_or(|parent| parent == layout.root));
    while !is_star && search.round(layout) {}
}

struct Search<'a> {
    net: &'a Net,
    meter: Meter,
    best: u64,
    /// Trees that may still be looked at.
    left: usize,
}

impl Search<'_> {
    /// Tries everything once. Whether anything helped.
    fn round(&mut self, layout: &mut Layout) -> bool {
        let movable: Vec<usize> = layout
            .top_down()
            .into_iter()
            .filter(|edge| *edge != layout.root && Some(*edge) != layout.standby)
            .collect();
        let mut has_helped = false;
        for (at, &edge) in movable.iter().enumerate() {
            for parent in 0..self.net.len() {
                has_helped |= self.try_move(layout, edge, parent);
            }
            for &other in &movable[at + 1..] {
                has_helped |= self.try_exchange(layout, edge, other);
            }
        }
        has_helped && self.left > 0
    }

    fn try_move(&mut self, layout: &mut Layout, edge: usize, parent: usize) -> bool {
        let from = layout.parent[edge];
        let has_room = || {
            let children = layout.parent.iter().filter(|other| **other == Some(parent));
            layout.is_attached(parent) && children.count() < self.net.shape.carried[parent]
        };
        if from == Some(parent)
            || from == Some(layout.root)
            || !self.net.has_link(edge, parent)
            || layout.is_below(parent, edge)
            || !has_room()
        {
            return false;
        }
        layout.parent[edge] = Some(parent);
        self.keep(layout) || {
            layout.parent[edge] = from;
            false
        }
    }

    fn try_exchange(&mut self, layout: &mut Layout, a: usize, b: usize) -> bool {
        let (Some(from_a), Some(from_b)) = (layout.parent[a], layout.parent[b]) else {
            return false;
        };
        if from_a == from_b
            || !self.net.has_link(a, from_b)
            || !self.net.has_link(b, from_a)
            || layout.is_below(a, b)
            || layout.is_below(b, a)
        {
            return false;
        }
        layout.parent[a] = Some(from_b);
        layout.parent[b] = Some(from_a);
        self.keep(layout) || {
            layout.parent[a] = Some(from_a);
            layout.parent[b] = Some(from_b);
            false
        }
    }

    fn keep(&mut self, layout: &Layout) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        let score = self.meter.lag(self.net, layout).score_us();
        let is_better = score < self.best && depth(layout) <= MAX_DEPTH;
        if is_better {
            self.best = score;
        }
        is_better
    }
}

fn depth(layout: &Layout) -> usize {
    let mut depth = vec![0; layout.parent.len()];
    let mut deepest = 0;
    for edge in layout.top_down() {
        if let Some(parent) = layout.parent[edge] {
            depth[edge] = depth[parent] + 1;
            deepest = deepest.max(depth[edge]);
        }
    }
    deepest
}

/// Pairs of edges looked at in all: some 50 ms, whatever the number of edges.
const PAIRS: usize = 40_000_000;
