//! A tree by index, and its translation to and from names.

use super::net::Net;
use super::{Place, Tree};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) root: usize,
    pub(super) standby: Option<usize>,
    pub(super) parent: Vec<Option<usize>>,
    pub(super) backup: Vec<Option<usize>>,
}

impl Layout {
    pub(super) fn new(net: &Net, root: usize) -> Self {
        Self {
            root,
            standby: None,
            parent: vec![None; net.len()],
            backup: vec![None; net.len()],
        }
    }

    /// A tree's places; those of edges unknown by now are left out. `None` if the root is.
    pub(super) fn of_tree(net: &Net, tree: &Tree) -> Option<Self> {
        let mut layout = Self::new(net, net.index(&tree.root)?);
        layout.standby = index(net, tree.standby.as_deref());
        for (id, place) in &tree.places {
            if let Some(edge) = net.index(id) {
                layout.parent[edge] = index(net, place.parent.as_deref());
                layout.backup[edge] = index(net, place.backup.as_deref());
            }
        }
        Some(layout)
    }

    pub(super) fn is_attached(&self, edge: usize) -> bool {
        edge == self.root || self.parent[edge].is_some()
    }

    /// Attached edges, parents before children, siblings in order.
    pub(super) fn top_down(&self) -> Vec<usize> {
        let children = self.children();
        let mut order = vec![self.root];
        let mut next = 0;
        while let Some(&edge) = order.get(next) {
            next += 1;
            order.extend(&children[edge]);
        }
        order
    }

    pub(super) fn children(&self) -> Vec<Vec<usize>> {
        let mut children = vec![Vec::new(); self.parent.len()];
        for (edge, parent) in self.parent.iter().enumerate() {
            if let Some(parent) = parent {
                children[*parent].push(edge);
            }
        }
        children
    }

    /// Whether `edge` is `above` or hangs below it.
    pub(super) fn is_below(&self, edge: usize, above: usize) -> bool {
        let mut at = Some(edge);
        while let Some(edge) = at {
            if edge == above {
                return true;
            }
            at = self.parent[edge];
        }
        false
    }

    pub(super) fn place(&self, net: &Net, edge: usize) -> Place {
        Place {
            parent: self.parent[edge].map(|edge| net.shape.ids[edge].clone()),
            backup: self.backup[edge].map(|edge| net.shape.ids[edge].clone()),
        }
    }

    pub(super) fn places(&self, net: &Net) -> BTreeMap<String, Place> {
        net.alive()
            .map(|edge| (net.shape.ids[edge].clone(), self.place(net, edge)))
            .collect()
    }

    pub(super) fn cut_off(&self, net: &Net) -> BTreeSet<String> {
        net.alive()
            .filter(|edge| !self.is_attached(*edge))
            .map(|edge| net.shape.ids[edge].clone())
            .collect()
    }
}

fn index(net: &Net, id: Option<&str>) -> Option<usize> {
    net.index(id?)
}
