//! The inputs by index: what is permitted, and how far it is. Everything in this module's siblings counts with it.

use super::{Edge, Inputs, MAX_EDGES, PlanError};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// A one-way lag that stands for no link.
pub(super) const NO_LINK: u32 = u32::MAX;

#[derive(Debug, Clone)]
pub(super) struct Net {
    pub(super) shape: Shape,
    /// One way, µs; a row per edge.
    link: Vec<u32>,
}

/// All but the round trips: while it is the same, a kept tree's failure tables are as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shape {
    /// Sorted.
    pub(super) ids: Vec<String>,
    pub(super) is_alive: Vec<bool>,
    /// Children an edge may have, 0 outside the allowed countries.
    pub(super) max_children: Vec<usize>,
    /// The same, or as many as its uplink carries.
    pub(super) carried: Vec<usize>,
    is_hub: Vec<bool>,
    pub(super) domain: Vec<usize>,
    pub(super) origin: usize,
    has_link: Vec<bool>,
}

impl Net {
    pub(super) fn new(inputs: &Inputs<'_>) -> Result<Self, PlanError> {
        let edges = sorted(inputs)?;
        let origin = edges.iter().position(|edge| edge.id == inputs.origin);
        let origin = origin.ok_or_else(|| PlanError::UnknownOrigin(inputs.origin.to_owned()))?;
        let way = |a: &Edge, b: &Edge| inputs.rtts.one_way_us(&a.id, &b.id).unwrap_or(NO_LINK);
        let link: Vec<u32> = edges
            .iter()
            .flat_map(|a| edges.iter().map(move |b| way(a, b)))
            .collect();
        let max_children = |edge: &&Edge| {
            let countries = inputs.allowed_countries;
            let is_allowed = countries.is_empty() || countries.contains(&edge.country);
            if is_allowed { edge.max_children } else { 0 }
        };
        let carried = |edge: &&Edge| match (edge.uplink_bps, inputs.demand_bps) {
            (Some(uplink), Some(demand)) if demand > 0 => {
                max_children(edge).min(usize::try_from(uplink / demand).unwrap_or(usize::MAX))
            }
            _ => max_children(edge),
        };
        let shape = Shape {
            ids: edges.iter().map(|edge| edge.id.clone()).collect(),
            is_alive: edges.iter().map(|edge| edge.is_usable).collect(),
            max_children: edges.iter().map(max_children).collect(),
            carried: edges.iter().map(carried).collect(),
            is_hub: edges.iter().map(|edge| edge.is_hub_candidate).collect(),
            domain: domains(&edges),
            origin,
            has_link: link.iter().map(|way| *way != NO_LINK).collect(),
        };
        Ok(Self { shape, link })
    }

    pub(super) fn len(&self) -> usize {
        self.shape.ids.len()
    }

    pub(super) fn index(&self, id: &str) -> Option<usize> {
        self.shape
            .ids
            .binary_search_by(|known| known.as_str().cmp(id))
            .ok()
    }

    pub(super) fn is_alive(&self, edge: usize) -> bool {
        self.shape.is_alive[edge]
    }

    pub(super) fn alive(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.len()).filter(|edge| self.is_alive(*edge))
    }

    /// Whether it may have children at all.
    pub(super) fn is_relay(&self, edge: usize) -> bool {
        self.is_alive(edge) && self.shape.max_children[edge] > 0
    }

    /// One way in µs, [`NO_LINK`] if there is none.
    pub(super) fn way(&self, a: usize, b: usize) -> u32 {
        self.link[a * self.len() + b]
    }

    pub(super) fn has_link(&self, a: usize, b: usize) -> bool {
        a != b && self.way(a, b) != NO_LINK
    }

    /// Whether it differs from an earlier one by more than jitter: edges, limits, or the length of some path.
    pub(super) fn has_changed_since(&self, earlier: &Self) -> bool {
        let differs = |(now, then): (&u32, &u32)| {
            let drift = now.abs_diff(*then);
            drift > DRIFT_US && u64::from(drift) * 100 > u64::from(*then) * DRIFT_PERCENT
        };
        self.shape != earlier.shape || self.link.iter().zip(&earlier.link).any(differs)
    }

    /// The same with one edge less.
    pub(super) fn without(&self, failed: usize) -> Self {
        let mut net = self.clone();
        net.shape.is_alive[failed] = false;
        net
    }

    /// The first of the wished-for edges that may be the root; else the hub, else any edge, with the least lag to all. Only
    /// an edge from which no fewer edges can be reached than from any other may be.
    pub(super) fn root(&self, wished: &[Option<usize>]) -> Option<usize> {
        let reach = self.reach();
        let most = reach.iter().copied().max().unwrap_or(0);
        let can = |edge: &usize| self.is_relay(*edge) && reach[*edge] == most;
        let mut wishes = wished.iter().flatten().copied();
        wishes.clone().find(can).or_else(|| {
            let best = (0..self.len())
                .filter(can)
                .min_by_key(|edge| self.hub_rank(*edge));
            best.or_else(|| wishes.find(|edge| self.is_alive(*edge)))
                .or_else(|| self.alive().next())
        })
    }

    /// Less is better: hubs, then those with the least lag to all.
    pub(super) fn hub_rank(&self, edge: usize) -> (bool, u64, usize) {
        (!self.shape.is_hub[edge], self.star_lag(edge), edge)
    }

    /// The best standby among edges: a hub at another site than the root if there is one, which can take everybody if one
    /// can, with the least lag to all.
    pub(super) fn standby(&self, root: usize, among: impl Fn(usize) -> bool) -> Option<usize> {
        let everybody = self.alive().count().saturating_sub(2);
        (0..self.len())
            .filter(|edge| *edge != root && self.is_relay(*edge) && self.has_link(*edge, root))
            .filter(|edge| self.shape.is_hub[*edge] && among(*edge))
            .min_by_key(|edge| {
                (
                    self.standby_rank(root, *edge, everybody),
                    self.star_lag(*edge),
                    *edge,
                )
            })
    }

    /// Whether a hub is as good a standby as another, lag aside.
    pub(super) fn standby_rank(
        &self,
        root: usize,
        edge: usize,
        everybody: usize,
    ) -> (bool, Reverse<usize>) {
        let can_take = self.shape.max_children[edge].min(everybody);
        (
            self.shape.domain[edge] == self.shape.domain[root],
            Reverse(can_take),
        )
    }

    /// Half of mean and worst one-way lag over all pairs, µs, were it everybody's parent. No link counts a second.
    pub(super) fn star_lag(&self, centre: usize) -> u64 {
        let mut legs: Vec<u64> = self
            .alive()
            .filter(|edge| *edge != centre)
            .map(|edge| u64::from(self.way(centre, edge).min(1_000_000)))
            .collect();
        legs.sort_unstable_by_key(|leg| Reverse(*leg));
        let mean = 2 * legs.iter().sum::<u64>() / (legs.len() as u64 + 1);
        let worst: u64 = legs.iter().take(2).sum();
        mean.midpoint(worst)
    }

    /// How many edges each relay can reach over others, itself included, however many children that takes.
    fn reach(&self) -> Vec<usize> {
        let mut reach = vec![0; self.len()];
        for start in 0..self.len() {
            if reach[start] > 0 || !self.is_relay(start) {
                continue;
            }
            let found = self.found_from(start);
            for edge in found.iter().filter(|edge| self.is_relay(**edge)) {
                reach[*edge] = found.len();
            }
        }
        reach
    }

    fn found_from(&self, start: usize) -> Vec<usize> {
        let mut is_found = vec![false; self.len()];
        is_found[start] = true;
        let mut found = vec![start];
        let mut next = 0;
        while let Some(&edge) = found.get(next) {
            next += 1;
            if !self.is_relay(edge) {
                continue;
            }
            let next_ones = self.alive().filter(|other| self.has_link(edge, *other));
            for other in next_ones {
                if !std::mem::replace(&mut is_found[other], true) {
                    found.push(other);
                }
            }
        }
        found
    }
}

fn sorted<'a>(inputs: &Inputs<'a>) -> Result<Vec<&'a Edge>, PlanError> {
    if inputs.edges.len() > MAX_EDGES {
        return Err(PlanError::TooManyEdges(inputs.edges.len()));
    }
    let mut edges: Vec<&Edge> = inputs.edges.iter().collect();
    edges.sort_by(|a, b| a.id.cmp(&b.id));
    if let Some(pair) = edges.windows(2).find(|pair| pair[0].id == pair[1].id) {
        return Err(PlanError::SameId(pair[0].id.clone()));
    }
    Ok(edges)
}

fn domains(edges: &[&Edge]) -> Vec<usize> {
    let mut known = BTreeMap::new();
    edges
        .iter()
        .map(|edge| {
            let next = known.len();
            *known.entry(edge.failure_domain.as_str()).or_insert(next)
        })
        .collect()
}

/// A tenth either way is jitter, and as much again from one end to the other; 5 ms move nobody.
const DRIFT_PERCENT: u64 = 25;
const DRIFT_US: u32 = 5_000;
