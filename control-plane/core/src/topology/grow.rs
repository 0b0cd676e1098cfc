//! Hangs loose edges, with all below them, into a tree: where their backup parent or former place was, else at the root if
//! it has room for all, else where the root is nearest. Stays within the limits, and leaves nobody out who could be in.

use super::MAX_DEPTH;
use super::layout::Layout;
use super::net::Net;

/// Attaches every live edge that has no parent; `wished` are parents they would rather have.
pub(super) fn attach(net: &Net, layout: &mut Layout, wished: &[Option<usize>]) {
    let mut grower = Grower::new(net, layout, wished);
    grower.fill_all();
    grower.squeeze();
    if grower.dissolve() {
        grower.fill_all();
        grower.squeeze();
    }
}

struct Grower<'a> {
    net: &'a Net,
    layout: &'a mut Layout,
    wished: &'a [Option<usize>],
    children: Vec<Vec<usize>>,
    is_in: Vec<bool>,
    /// To the root, of those that are in: µs, links.
    lag: Vec<u64>,
    depth: Vec<usize>,
}

/// Less is better: what kind of place, how far the root is, and indices to decide.
type Rank = (u8, u64, usize, usize);

impl<'a> Grower<'a> {
    fn new(net: &'a Net, layout: &'a mut Layout, wished: &'a [Option<usize>]) -> Self {
        break_rings(net, layout);
        let children = layout.children();
        let root = layout.root;
        let mut grower = Self {
            net,
            layout,
            wished,
            children,
            is_in: vec![false; net.len()],
            lag: vec![0; net.len()],
            depth: vec![0; net.len()],
        };
        grower.settle(root);
        grower
    }

    /// Attaches as many as it can: one where an uplink is too narrow for it only when no other has room.
    fn fill_all(&mut self) {
        self.fill(&self.net.shape.carried);
        while let Some((edge, parent)) = self.best(&self.net.shape.max_children) {
            self.join(edge, parent);
            self.fill(&self.net.shape.carried);
        }
    }

    /// Attaches as many as it can, each edge with no more children than `limit` says.
    fn fill(&mut self, limit: &[usize]) {
        if self.room_left() > self.loose().len() {
            self.fill_at_once(limit);
        }
        while let Some((edge, parent)) = self.best(limit) {
            self.join(edge, parent);
        }
    }

    /// The same for what needs no weighing, as there is room for all: wishes, and a star. One by one it would take the
    /// third power of the number of edges.
    fn fill_at_once(&mut self, limit: &[usize]) {
        let wish = |edge: usize| {
            let parent = self.wished[edge].filter(|parent| self.is_in[*parent])?;
            self.rank(edge, parent, false)
        };
        let mut wishes: Vec<Rank> = self.loose().into_iter().filter_map(wish).collect();
        wishes.sort_unstable();
        for (_, _, edge, parent) in wishes {
            self.join_if_possible(edge, parent, limit);
        }
        let root = self.layout.root;
        let mut loose = self.loose();
        loose.retain(|edge| self.net.has_link(*edge, root));
        if self.children[root].len() + loose.len() <= limit[root] {
            for edge in loose {
                self.join_if_possible(edge, root, limit);
            }
        }
    }

    fn join_if_possible(&mut self, edge: usize, parent: usize, limit: &[usize]) {
        if self.children[parent].len() < limit[parent]
            && self.depth[parent] + 1 + self.height(edge) <= MAX_DEPTH
        {
            self.join(edge, parent);
        }
    }

    /// Attaches the rest at the price of moving others.
    fn squeeze(&mut self) {
        while self.make_room() {
            self.fill_all();
        }
    }

    fn best(&self, limit: &[usize]) -> Option<(usize, usize)> {
        let loose = self.loose();
        // The last room is for somebody who brings room.
        let is_last = self.room_left() <= 1;
        let bringing: Vec<usize> = match is_last {
            true => loose
                .iter()
                .copied()
                .filter(|edge| self.brings_room(*edge))
                .collect(),
            false => Vec::new(),
        };
        self.best_among(&bringing, limit)
            .or_else(|| self.best_among(&loose, limit))
            .map(|(_, _, edge, parent)| (edge, parent))
    }

    fn best_among(&self, loose: &[usize], limit: &[usize]) -> Option<Rank> {
        let root = self.layout.root;
        let at_root = loose.iter().filter(|edge| self.net.has_link(**edge, root));
        let is_star = self.children[root].len() + at_root.count() <= limit[root];
        let with_room: Vec<usize> = self
            .net
            .alive()
            .filter(|parent| self.is_in[*parent] && self.children[*parent].len() < limit[*parent])
            .collect();
        loose
            .iter()
            .flat_map(|edge| {
                let height = self.height(*edge);
                let fits = move |parent: &&usize| self.depth[**parent] + 1 + height <= MAX_DEPTH;
                let parents = with_room.iter().filter(fits);
                parents.filter_map(move |parent| self.rank(*edge, *parent, is_star))
            })
            .min()
    }

    fn rank(&self, edge: usize, parent: usize, is_star: bool) -> Option<Rank> {
        if !self.net.has_link(edge, parent) {
            return None;
        }
        let kind = match () {
            () if self.wished[edge] == Some(parent) => 0,
            () if is_star && parent == self.layout.root => 1,
            () => 2,
        };
        let lag = self.lag[parent] + u64::from(self.net.way(parent, edge));
        Some((kind, lag, edge, parent))
    }

    /// Live edges that hang from nothing, whether or not others hang from them.
    fn loose(&self) -> Vec<usize> {
        let is_loose = |edge: &usize| !self.layout.is_attached(*edge);
        self.net.alive().filter(is_loose).collect()
    }

    fn room_left(&self) -> usize {
        self.net
            .alive()
            .filter(|edge| self.is_in[*edge])
            .map(|edge| self.room(edge))
            .sum()
    }

    fn room(&self, edge: usize) -> usize {
        self.net.shape.max_children[edge].saturating_sub(self.children[edge].len())
    }

    fn brings_room(&self, edge: usize) -> bool {
        self.members(edge)
            .iter()
            .any(|member| self.room(*member) > 0)
    }

    fn members(&self, top: usize) -> Vec<usize> {
        let mut members = vec![top];
        let mut next = 0;
        while let Some(&edge) = members.get(next) {
            next += 1;
            members.extend(&self.children[edge]);
        }
        members
    }

    fn height(&self, edge: usize) -> usize {
        let below = self.children[edge].iter();
        below
            .map(|child| 1 + self.height(*child))
            .max()
            .unwrap_or(0)
    }

    fn join(&mut self, edge: usize, parent: usize) {
        self.layout.parent[edge] = Some(parent);
        self.children[parent].push(edge);
        self.settle(edge);
    }

    fn leave(&mut self, edge: usize) {
        if let Some(parent) = self.layout.parent[edge].take() {
            self.children[parent].retain(|child| *child != edge);
        }
    }

    /// Notes an edge, whose parent is in, and all below it as in.
    fn settle(&mut self, top: usize) {
        for edge in self.members(top) {
            let parent = self.layout.parent[edge];
            self.lag[edge] = parent.map_or(0, |parent| {
                self.lag[parent] + u64::from(self.net.way(parent, edge))
            });
            self.depth[edge] = parent.map_or(0, |parent| self.depth[parent] + 1);
            self.is_in[edge] = true;
        }
    }

    /// Takes apart what could not be attached as a whole: one below may have a link where the one above has none.
    fn dissolve(&mut self) -> bool {
        let lost: Vec<usize> = self.net.alive().filter(|edge| !self.is_in[*edge]).collect();
        for edge in &lost {
            self.leave(*edge);
        }
        !lost.is_empty()
    }

    /// Attaches one more by moving somebody else: aside, or below the newcomer.
    fn make_room(&mut self) -> bool {
        let found = self.loose().into_iter().find_map(|edge| {
            let full = self.net.alive().filter(|parent| self.is_in[*parent]);
            full.filter(|parent| self.net.is_relay(*parent) && self.net.has_link(edge, *parent))
                .filter(|parent| self.depth[*parent] + 2 + self.height(edge) <= MAX_DEPTH)
                .find_map(|parent| Some((edge, parent, self.mover(edge, parent)?)))
        });
        let Some((edge, parent, (mover, new_parent))) = found else {
            return false;
        };
        self.leave(mover);
        self.join(edge, parent);
        self.join(mover, new_parent);
        true
    }

    /// A child of `parent` that can go elsewhere, and where: if nowhere else, below the newcomer.
    fn mover(&self, newcomer: usize, parent: usize) -> Option<(usize, usize)> {
        let brought = self.members(newcomer);
        let movers = self.children[parent].iter().copied();
        movers
            .filter(|mover| Some(*mover) != self.layout.standby)
            .find_map(|mover| {
                let height = self.height(mover);
                let has_place =
                    |other: &usize| self.room(*other) > 0 && self.net.has_link(mover, *other);
                let is_elsewhere = |other: &usize| {
                    self.is_in[*other]
                        && self.depth[*other] + 1 + height <= MAX_DEPTH
                        && !self.layout.is_below(*other, mover)
                };
                let below = brought.iter().copied().filter(|other| {
                    let links = self.links_up(*other, newcomer) + 2 + height;
                    self.depth[parent] + links <= MAX_DEPTH
                });
                let mut places = self.net.alive().filter(is_elsewhere).chain(below);
                Some((mover, places.find(has_place)?))
            })
    }

    fn links_up(&self, edge: usize, above: usize) -> usize {
        let up = |edge: &usize| self.layout.parent[*edge];
        std::iter::successors(Some(edge), up)
            .take_while(|edge| *edge != above)
            .count()
    }
}

/// A tree that came from outside may have rings, or parents that are gone: such edges become loose.
fn break_rings(net: &Net, layout: &mut Layout) {
    layout.parent[layout.root] = None;
    for edge in 0..net.len() {
        let parent = layout.parent[edge];
        if !net.is_alive(edge) || parent.is_some_and(|parent| !net.is_relay(parent)) {
            layout.parent[edge] = None;
        }
        let mut at = layout.parent[edge];
        for _ in 0..net.len() {
            at = at.and_then(|edge| layout.parent[edge]);
        }
        if at.is_some() {
            layout.parent[edge] = None;
        }
    }
}
