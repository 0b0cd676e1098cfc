//! A tree after edges went, came, or may do less than before: everybody else stays where they are.

use super::backups;
use super::fresh::fresh;
use super::grow::attach;
use super::layout::Layout;
use super::net::Net;
use std::cmp::Reverse;

/// `homes` are the parents to prefer for edges that had none. `None` if no edge is alive.
pub(super) fn repair(net: &Net, before: &Layout, homes: &[Option<usize>]) -> Option<Layout> {
    let root = net.root(&heirs(net, before))?;
    if root != before.root && net.is_alive(before.root) {
        // With another root everything hangs the other way round.
        return Some(fresh(net, root));
    }
    let mut layout = before.clone();
    layout.root = root;
    layout.standby = before.standby.filter(|edge| *edge != root);
    pass(net, &mut layout, homes);
    settle(net, &mut layout);
    Some(layout)
}

/// Repairs until nothing moves any more. What one pass moves can make room for what an overloaded uplink has to shed.
pub(super) fn settle(net: &Net, layout: &mut Layout) {
    let no_homes = vec![None; net.len()];
    for _ in 0..MAX_PASSES {
        let children = layout.children();
        let is_strained = |edge: usize| children[edge].len() > net.shape.carried[edge];
        if !(0..net.len()).any(is_strained) {
            return;
        }
        pass(net, layout, &no_homes);
    }
}

fn pass(net: &Net, layout: &mut Layout, homes: &[Option<usize>]) {
    let mut wished: Vec<Option<usize>> = (0..net.len())
        .map(|edge| {
            let backup = layout.backup[edge].filter(|backup| net.is_relay(*backup));
            let is_new = layout.parent[edge].is_none();
            backup.or(homes[edge].filter(|_| is_new))
        })
        .collect();
    unhang(net, layout);
    shed(net, layout, &mut wished);
    attach(net, layout, &wished);
    finish(net, layout);
}

/// Who should be the root, best first: without a standby, one of the root's children, so that most stay where they are.
fn heirs(net: &Net, before: &Layout) -> Vec<Option<usize>> {
    let mut heirs = vec![Some(before.root), before.standby, Some(net.shape.origin)];
    if !net.is_alive(before.root) {
        let mut children = before.children().swap_remove(before.root);
        children.sort_by_cached_key(|edge| net.hub_rank(*edge));
        heirs.extend(children.into_iter().map(Some));
    }
    heirs
}

/// The standby and the backup parents, kept where they still do.
pub(super) fn finish(net: &Net, layout: &mut Layout) {
    let root = layout.root;
    let is_child = |edge: usize| layout.parent[edge] == Some(root);
    let everybody = net.alive().count().saturating_sub(2);
    let best = net.standby(root, is_child);
    let kept = layout.standby.filter(|edge| {
        let rank = |edge| net.standby_rank(root, edge, everybody);
        net.is_relay(*edge) && is_child(*edge) && best.is_some_and(|best| rank(*edge) <= rank(best))
    });
    layout.standby = kept.or(best);
    backups::assign(net, layout);
}

/// Loosens edges whose parent is gone, out of reach or may not have them.
fn unhang(net: &Net, layout: &mut Layout) {
    for edge in 0..net.len() {
        let can_stay = |parent: &usize| net.is_relay(*parent) && net.has_link(edge, *parent);
        let parent = layout.parent[edge].filter(can_stay);
        layout.parent[edge] = parent.filter(|_| net.is_alive(edge) && edge != layout.root);
    }
}

/// Loosens those farthest from a parent with more children than it carries. They wish themselves back, so that they stay
/// if nobody else carries them.
fn shed(net: &Net, layout: &mut Layout, wished: &mut [Option<usize>]) {
    for (parent, mut children) in layout.children().into_iter().enumerate() {
        children.sort_by_key(|edge| {
            let is_standby = Some(*edge) == layout.standby;
            (!is_standby, net.way(parent, *edge), Reverse(*edge))
        });
        for edge in children.into_iter().skip(net.shape.carried[parent]) {
            wished[edge] = layout.parent[edge].take();
        }
    }
}

/// Each pass leaves fewer overloaded uplinks or none less; more than one that moves something is rare.
const MAX_PASSES: usize = 4;
