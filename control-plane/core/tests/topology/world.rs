//! Offices as random as they come, and what must hold of every tree made of them.

use meridian_control_core::topology::{Edge, Inputs, Place, Rtts, Tree};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) edges: Vec<Edge>,
    pub(crate) rtts: BTreeMap<(usize, usize), u32>,
    pub(crate) blocked: BTreeSet<(usize, usize)>,
    pub(crate) demand_bps: Option<u64>,
    pub(crate) allowed: BTreeSet<String>,
}

/// What a world may have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) edges: (usize, usize),
    pub(crate) children: (usize, usize),
    /// Chance in a hundred of a pair to be out of reach.
    pub(crate) blocked_percent: u32,
    pub(crate) has_borders: bool,
}

impl World {
    pub(crate) fn measured(&self, now: Instant) -> Rtts {
        let mut rtts = Rtts::new();
        for (&(a, b), rtt) in &self.rtts {
            if self.blocked.contains(&(a, b)) {
                rtts.record_unreachable(&id(a), &id(b), now);
            } else {
                rtts.record(&id(a), &id(b), *rtt, now);
            }
        }
        rtts
    }

    pub(crate) fn inputs<'a>(&'a self, rtts: &'a Rtts) -> Inputs<'a> {
        Inputs {
            edges: &self.edges,
            origin: "e00",
            rtts,
            demand_bps: self.demand_bps,
            allowed_countries: &self.allowed,
        }
    }

    pub(crate) fn can_relay(&self, edge: usize) -> bool {
        let edge = &self.edges[edge];
        let is_allowed = self.allowed.is_empty() || self.allowed.contains(&edge.country);
        edge.is_usable && is_allowed && edge.max_children > 0
    }

    pub(crate) fn has_link(&self, a: usize, b: usize) -> bool {
        !self.blocked.contains(&(a.min(b), a.max(b)))
    }

    /// All that can be reached over edges that may relay, but for one that failed.
    pub(crate) fn reachable(&self, from: &str, failed: Option<&str>) -> BTreeSet<String> {
        let start = index(from);
        let mut found = BTreeSet::from([start]);
        let mut open = vec![start];
        while let Some(edge) = open.pop() {
            for other in 0..self.edges.len() {
                let is_there = self.edges[other].is_usable && failed != Some(&self.edges[other].id);
                if self.can_relay(edge)
                    && is_there
                    && self.has_link(edge, other)
                    && found.insert(other)
                {
                    open.push(other);
                }
            }
        }
        found.into_iter().map(id).collect()
    }

    /// No ring, nobody has too many children, nobody in the wrong place, backups as they should be.
    pub(crate) fn check(&self, places: &BTreeMap<String, Place>, root: &str) {
        let mut children: BTreeMap<&str, usize> = BTreeMap::new();
        let mut backups: BTreeMap<&str, usize> = BTreeMap::new();
        assert_eq!(places[root], Place::default(), "the root has no parents");
        assert!(!has_ring(places), "a ring: {places:?}");
        for (edge, place) in places {
            if let Some(parent) = &place.parent {
                *children.entry(parent).or_default() += 1;
                assert!(
                    places.contains_key(parent),
                    "{edge} hangs from {parent}, which is not there"
                );
                assert!(self.has_link(index(edge), index(parent)));
                assert_eq!(path(places, edge).last(), Some(&root), "{edge}");
            }
            if let Some(backup) = &place.backup {
                *backups.entry(backup).or_default() += 1;
                assert_ne!(place.parent.as_ref(), Some(backup), "{edge}");
                assert!(places.contains_key(backup));
                assert!(self.has_link(index(edge), index(backup)));
                assert!(
                    !path(places, backup).contains(&edge.as_str()),
                    "{edge} backed up from below"
                );
            }
        }
        for (edge, count) in children.into_iter().chain(backups) {
            assert!(self.can_relay(index(edge)), "{edge} must not pass media on");
            assert!(
                count <= self.edges[index(edge)].max_children,
                "{edge}: {count}"
            );
        }
    }

    /// [`World::check`] for the tree and for each of its failures.
    pub(crate) fn check_all(&self, tree: &Tree) {
        self.check(&tree.places, &tree.root);
        for (failed, failure) in &tree.failures {
            let after = tree.places_after(failed).expect("it is in the tree");
            for (edge, place) in &failure.changes {
                assert_ne!(Some(place), tree.places.get(edge), "{edge} does not change");
            }
            if let Some(root) = &failure.root {
                self.check(&after, root);
            }
        }
    }
}

/// Whether parents and backups together have a ring.
pub(crate) fn has_ring(places: &BTreeMap<String, Place>) -> bool {
    let mut left: BTreeSet<&String> = places.keys().collect();
    loop {
        let count = left.len();
        let above = |edge: &String| {
            let place = &places[edge];
            [&place.parent, &place.backup]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
        };
        let kept = left.iter().copied();
        let kept = kept.filter(|edge| above(edge).iter().any(|parent| left.contains(parent)));
        left = kept.collect();
        if left.len() == count {
            return count > 0;
        }
    }
}

/// From an edge up, however far.
pub(crate) fn path<'a>(places: &'a BTreeMap<String, Place>, edge: &'a str) -> Vec<&'a str> {
    let up = |edge: &&'a str| places.get(*edge)?.parent.as_deref();
    let path = std::iter::successors(Some(edge), up).take(places.len() + 1);
    path.collect()
}

pub(crate) fn id(edge: usize) -> String {
    format!("e{edge:02}")
}

pub(crate) fn index(id: &str) -> usize {
    id[1..].parse().expect("ids are ours")
}

pub(crate) fn worlds(kind: Kind) -> impl Strategy<Value = World> {
    (kind.edges.0..=kind.edges.1).prop_flat_map(move |size| {
        let pairs: Vec<(usize, usize)> = (0..size)
            .flat_map(|a| (a + 1..size).map(move |b| (a, b)))
            .collect();
        let ways = prop::collection::vec((10_000..320_000u32, 0..100u32), pairs.len());
        let edges = prop::collection::vec(edge(kind), size);
        let borders = prop::bool::weighted(if kind.has_borders { 0.5 } else { 0.0 });
        let demand = prop::option::weighted(0.3, 1_000_000..3_000_000u64);
        (edges, ways, borders, demand).prop_map(move |(mut edges, ways, borders, demand_bps)| {
            for (at, edge) in edges.iter_mut().enumerate() {
                edge.id = id(at);
            }
            let is_blocked = |way: &(u32, u32)| way.1 < kind.blocked_percent;
            let each = || pairs.iter().copied().zip(&ways);
            World {
                edges,
                rtts: each().map(|(pair, way)| (pair, way.0)).collect(),
                blocked: each()
                    .filter(|(_, way)| is_blocked(way))
                    .map(|(pair, _)| pair)
                    .collect(),
                demand_bps,
                allowed: if borders {
                    ["CH", "FR", "ET"].map(String::from).into()
                } else {
                    BTreeSet::new()
                },
            }
        })
    })
}

fn edge(kind: Kind) -> impl Strategy<Value = Edge> {
    let country = prop::sample::select(vec!["CH", "FR", "ET", "XX"]);
    let uplink = prop::option::weighted(0.3, 1_000_000..20_000_000u64);
    let children = kind.children.0..=kind.children.1;
    (country, 0..6u8, prop::bool::weighted(0.4), children, uplink).prop_map(
        |(country, domain, is_hub_candidate, max_children, uplink_bps)| Edge {
            id: String::new(),
            failure_domain: format!("domain {domain}"),
            country: country.to_owned(),
            is_hub_candidate,
            max_children,
            uplink_bps,
            is_usable: true,
        },
    )
}
