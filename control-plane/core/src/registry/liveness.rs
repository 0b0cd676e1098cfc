//! Who is alive: what this replica hears itself, and what the edges it hears say of others.
//!
//! A replica that hears few of its edges is more likely cut off itself than left alone by all of them at once. Then it
//! declares nobody gone, however long it lasts. An edge counts as alive if an edge that is alive hears it, and so on
//! along the links of the media plane: as long as these hold together, one edge heard here vouches for all.

use super::edge::{Edge, Liveness};
use crate::ids::Office;
use std::collections::{BTreeMap, BTreeSet};

/// Whether most of the edges that are not gone are not heard here.
pub(super) fn most_are_silent(edges: &BTreeMap<Office, Edge>) -> bool {
    let known = edges
        .values()
        .filter(|edge| edge.liveness < Liveness::Gone)
        .count();
    let silent = edges
        .values()
        .filter(|edge| matches!(edge.liveness, Liveness::Silent | Liveness::Lapsed))
        .count();
    2 * silent > known
}

/// Every edge that is heard here, or by one that is alive by this same rule.
///
/// What an edge said when it was last heard here stands as long as others hear that edge. `None` as long as one that is
/// alive has not said whom it hears: it may vouch for anybody.
pub(super) fn vouched_for(edges: &BTreeMap<Office, Edge>) -> Option<BTreeSet<Office>> {
    let fresh = edges
        .iter()
        .filter(|(_, edge)| edge.liveness == Liveness::Fresh);
    let mut alive: BTreeSet<Office> = fresh.map(|(office, _)| office.clone()).collect();
    let mut to_ask: Vec<Office> = alive.iter().cloned().collect();
    while let Some(office) = to_ask.pop() {
        let Some(edge) = edges.get(&office) else {
            continue;
        };
        for heard in edge.heard.as_ref()? {
            if alive.insert(heard.clone()) {
                to_ask.push(heard.clone());
            }
        }
    }
    Some(alive)
}
