//! What is decided: each edge's parents, and the differences to it for each edge that may fail.

use std::collections::{BTreeMap, BTreeSet};

/// Where an edge hangs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// None: the root, or an edge that is cut off.
    pub parent: Option<String>,
    /// Takes over, and brings audio at all times. In another failure domain than the parent where possible, and never below
    /// the edge, not even by way of other edges' backup parents. None: root, standby, or nobody is left for it.
    pub backup: Option<String>,
}

/// A tree, and what becomes of it when one edge fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// The origin while it can be.
    pub root: String,
    /// A child of the root that becomes the root when that is gone.
    pub standby: Option<String>,
    /// By edge, usable ones only.
    pub places: BTreeMap<String, Place>,
    /// Edges that no permitted path leads to.
    pub cut_off: BTreeSet<String>,
    /// Edges with more children than their uplink is thought to carry, as there was nobody else.
    pub strained: BTreeSet<String>,
    /// By the edge that fails, every usable one.
    pub failures: BTreeMap<String, Failure>,
}

/// What changes when one edge fails.
///
/// Edges apply it each by itself. While some have and others have not, there is no loop if `is_safe_in_any_order`; once
/// all have, there is none at all. (Relays exchange root paths, and refuse a parent whose path goes through themselves.)
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The root afterwards. `None`: nobody is left.
    pub root: Option<String>,
    /// The standby afterwards.
    pub standby: Option<String>,
    /// New places of edges whose parent or backup changes, and of nobody else.
    pub changes: BTreeMap<String, Place>,
    /// Edges that no permitted path leads to then.
    pub cut_off: BTreeSet<String>,
    /// Whether any set of edges may apply it before the others without a loop. False only where links are unreachable and
    /// an edge has to change places with one below it.
    pub is_safe_in_any_order: bool,
}

impl Tree {
    /// Everybody's place once the failure of an edge is applied; `None` for an edge that is not in the tree.
    pub fn places_after(&self, failed: &str) -> Option<BTreeMap<String, Place>> {
        let failure = self.failures.get(failed)?;
        let mut places = self.places.clone();
        places.remove(failed);
        places.extend(failure.changes.clone());
        Some(places)
    }

    /// The edges from this one up to its root, itself first. Ends early at an edge that is cut off.
    pub fn root_path<'a>(&'a self, edge: &'a str) -> Vec<&'a str> {
        root_path(&self.places, edge)
    }

    /// Links from this edge to the root.
    pub fn depth(&self, edge: &str) -> usize {
        self.root_path(edge).len().saturating_sub(1)
    }
}

/// As [`Tree::root_path`]. A loop, which no tree of ours has, ends after as many steps as there are edges.
pub(super) fn root_path<'a>(places: &'a BTreeMap<String, Place>, edge: &'a str) -> Vec<&'a str> {
    let parent = |edge: &&'a str| places.get(*edge)?.parent.as_deref();
    std::iter::successors(Some(edge), parent)
        .take(places.len())
        .collect()
}
