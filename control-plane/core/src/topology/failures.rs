//! For each edge, the tree without it, as the difference to the tree with it.

use super::layout::Layout;
use super::net::Net;
use super::repair::repair;
use super::tree::Failure;
use std::collections::BTreeMap;

pub(super) fn failures(net: &Net, base: &Layout) -> BTreeMap<String, Failure> {
    net.alive()
        .map(|failed| (net.shape.ids[failed].clone(), failure(net, base, failed)))
        .collect()
}

fn failure(net: &Net, base: &Layout, failed: usize) -> Failure {
    let net = net.without(failed);
    let Some(after) = repair(&net, base, &vec![None; net.len()]) else {
        return Failure::nobody_left();
    };
    let is_changed = |edge: &usize| {
        after.parent[*edge] != base.parent[*edge] || after.backup[*edge] != base.backup[*edge]
    };
    let id = |edge: usize| net.shape.ids[edge].clone();
    Failure {
        root: Some(id(after.root)),
        standby: after.standby.map(id),
        changes: net
            .alive()
            .filter(is_changed)
            .map(|edge| (id(edge), after.place(&net, edge)))
            .collect(),
        cut_off: after.cut_off(&net),
        is_safe_in_any_order: is_safe(&net, base, &after),
    }
}

/// Whether old and new parents of live edges together have no ring: then no choice among them has one.
fn is_safe(net: &Net, base: &Layout, after: &Layout) -> bool {
    let mut is_done = vec![false; net.len()];
    let parents = |edge: usize| {
        let both = [base.parent[edge], after.parent[edge]];
        both.into_iter()
            .flatten()
            .filter(|parent| net.is_alive(*parent))
    };
    loop {
        let free: Vec<usize> = net
            .alive()
            .filter(|edge| !is_done[*edge] && parents(*edge).all(|parent| is_done[parent]))
            .collect();
        if free.is_empty() {
            return net.alive().all(|edge| is_done[edge]);
        }
        for edge in free {
            is_done[edge] = true;
        }
    }
}

impl Failure {
    fn nobody_left() -> Self {
        Self {
            root: None,
            standby: None,
            changes: BTreeMap::new(),
            cut_off: Default::default(),
            is_safe_in_any_order: true,
        }
    }
}
