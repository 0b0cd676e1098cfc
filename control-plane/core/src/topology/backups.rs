//! Backup parents. Audio comes through them at all times, so parents and backups together must have no ring either: two
//! edges that took audio from each other would keep it alive between them for ever.

use super::layout::Layout;
use super::net::Net;

/// Gives every edge but root and standby a backup parent. Those it has are kept while nothing of another kind is better.
pub(super) fn assign(net: &Net, layout: &mut Layout) {
    let kept = std::mem::replace(&mut layout.backup, vec![None; net.len()]);
    let mut chooser = Chooser::new(net, layout);
    for edge in layout.top_down() {
        if edge == layout.root || Some(edge) == layout.standby {
            continue;
        }
        if let Some(backup) = chooser.choose(layout, edge, kept[edge]) {
            layout.backup[edge] = Some(backup);
            chooser.users[backup].push(edge);
            chooser.taken[backup] += 1;
        }
    }
}

struct Chooser<'a> {
    net: &'a Net,
    /// Who takes media from an edge, as parent or backup.
    users: Vec<Vec<usize>>,
    /// Backup places taken. An edge has as many as it may have children.
    taken: Vec<usize>,
    lag: Vec<u64>,
}

impl<'a> Chooser<'a> {
    fn new(net: &'a Net, layout: &Layout) -> Self {
        let mut lag = vec![0; net.len()];
        for edge in layout.top_down() {
            if let Some(parent) = layout.parent[edge] {
                lag[edge] = lag[parent] + u64::from(net.way(parent, edge));
            }
        }
        Self {
            net,
            users: layout.children(),
            taken: vec![0; net.len()],
            lag,
        }
    }

    fn choose(&self, layout: &Layout, edge: usize, kept: Option<usize>) -> Option<usize> {
        let parent = layout.parent[edge]?;
        let is_below = self.below(edge);
        let can = |backup: &usize| {
            *backup != parent
                && !is_below[*backup]
                && layout.is_attached(*backup)
                && self.net.has_link(edge, *backup)
                && self.taken[*backup] < self.net.shape.max_children[*backup]
        };
        self.net.alive().filter(can).min_by_key(|&backup| {
            let kind = self.kind(layout, parent, backup);
            let lag = self.lag[backup] + u64::from(self.net.way(backup, edge));
            (kind, Some(backup) != kept, lag, backup)
        })
    }

    /// Less is better: in the parent's failure domain; reached through the parent. The standby is not, in effect: it
    /// becomes the root when its parent is gone.
    fn kind(&self, layout: &Layout, parent: usize, backup: usize) -> (bool, bool) {
        let is_heir = parent == layout.root && Some(backup) == layout.standby;
        let shares_fate = self.net.shape.domain[parent] == self.net.shape.domain[backup];
        (shares_fate, !is_heir && layout.is_below(backup, parent))
    }

    /// The edge and all that media from it gets to.
    fn below(&self, edge: usize) -> Vec<bool> {
        let mut is_below = vec![false; self.net.len()];
        is_below[edge] = true;
        let mut open = vec![edge];
        while let Some(edge) = open.pop() {
            for &user in &self.users[edge] {
                if !is_below[user] {
                    is_below[user] = true;
                    open.push(user);
                }
            }
        }
        is_below
    }
}
