//! The tree from round to round. It changes at once where it must, and else only for a gain that is worth it and lasts.

use super::failures::failures;
use super::fresh::fresh;
use super::lag::{Lag, Meter};
use super::layout::Layout;
use super::net::Net;
use super::repair::{finish, repair};
use super::{Inputs, PlanError, Tree};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long a better tree must stay better, or the origin be back, before anybody moves. Longer than a path takes to
/// settle after a change in the network.
pub const HOLD: Duration = Duration::from_secs(30);

/// What a round of planning did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The first tree.
    First,
    /// Nothing.
    Kept,
    /// Edges went or came, or limits changed: only what had to was moved.
    Repaired,
    /// A better tree was better long enough.
    Improved,
    /// A better standby was better long enough.
    NewStandby,
    /// The origin is the root again.
    OriginBack,
}

/// Keeps the tree.
#[derive(Debug, Clone, Default)]
pub struct Planner {
    tree: Option<Tree>,
    /// What the failure tables were made from.
    planned: Option<Net>,
    /// What the tree was chosen for. It is weighed anew only once that has changed.
    chosen: Option<Net>,
    /// The parent each edge had when it was placed by choice, for when it returns.
    homes: BTreeMap<String, String>,
    home_root: Option<String>,
    home_standby: Option<String>,
    better_since: Option<Instant>,
    better_standby_since: Option<Instant>,
    origin_since: Option<Instant>,
}

impl Planner {
    /// With no past.
    pub fn new() -> Self {
        Self::default()
    }

    /// Goes on from a tree that was kept elsewhere.
    pub fn resume(tree: Tree) -> Self {
        let mut planner = Self::default();
        planner.remember(&tree);
        planner.tree = Some(tree);
        planner
    }

    /// The tree as it is.
    pub fn tree(&self) -> Option<&Tree> {
        self.tree.as_ref()
    }

    /// One round: call it when edges come or go at once, and every few seconds otherwise. After an error the tree is as it
    /// was.
    pub fn plan(&mut self, inputs: &Inputs<'_>, now: Instant) -> Result<Step, PlanError> {
        let net = Net::new(inputs)?;
        let before = self
            .tree
            .as_ref()
            .and_then(|tree| Layout::of_tree(&net, tree));
        let Some(before) = before else {
            let root = net.root(&[Some(net.shape.origin)]);
            let layout = fresh(&net, root.ok_or(PlanError::NoUsableEdge)?);
            self.adopt(&net, layout);
            return Ok(Step::First);
        };
        let homes = self.home_layout(&net);
        let kept = repair(&net, &before, &homes.parent).ok_or(PlanError::NoUsableEdge)?;
        let better = self
            .origin_back(&net, &kept, &homes, now)
            .or_else(|| self.better(&net, &kept, now));
        if let Some((layout, step)) = better {
            self.adopt(&net, layout);
            return Ok(step);
        }
        Ok(self.keep(&net, &before, kept))
    }

    fn keep(&mut self, net: &Net, before: &Layout, kept: Layout) -> Step {
        let is_planned = |planned: &Net| planned.shape == net.shape;
        if kept == *before && self.planned.as_ref().is_some_and(is_planned) {
            return Step::Kept;
        }
        let tree = Tree::new(net, &kept);
        for (id, place) in &tree.places {
            if let Some(parent) = &place.parent {
                self.homes
                    .entry(id.clone())
                    .or_insert_with(|| parent.clone());
            }
        }
        self.homes.retain(|id, _| net.index(id).is_some());
        self.planned = Some(net.clone());
        let is_same = self.tree.as_ref() == Some(&tree);
        self.tree = Some(tree);
        if is_same { Step::Kept } else { Step::Repaired }
    }

    fn adopt(&mut self, net: &Net, layout: Layout) {
        let tree = Tree::new(net, &layout);
        self.remember(&tree);
        self.homes.retain(|id, _| net.index(id).is_some());
        self.tree = Some(tree);
        self.planned = Some(net.clone());
        self.chosen = Some(net.clone());
        self.better_since = None;
        self.better_standby_since = None;
        self.origin_since = None;
    }

    fn remember(&mut self, tree: &Tree) {
        self.home_root = Some(tree.root.clone());
        self.home_standby = tree.standby.clone();
        self.homes.remove(&tree.root);
        for (id, place) in &tree.places {
            if let Some(parent) = &place.parent {
                self.homes.insert(id.clone(), parent.clone());
            }
        }
    }

    /// Everybody where they were when last placed by choice.
    fn home_layout(&self, net: &Net) -> Layout {
        let mut layout = Layout::new(net, net.shape.origin);
        layout.standby = self.home_standby.as_deref().and_then(|id| net.index(id));
        for (id, parent) in &self.homes {
            if let (Some(edge), Some(parent)) = (net.index(id), net.index(parent)) {
                layout.parent[edge] = Some(parent);
            }
        }
        layout
    }

    fn origin_back(
        &mut self,
        net: &Net,
        kept: &Layout,
        homes: &Layout,
        now: Instant,
    ) -> Option<(Layout, Step)> {
        let origin = net.shape.origin;
        let is_back = kept.root != origin && net.root(&[Some(origin)]) == Some(origin);
        if !has_lasted(&mut self.origin_since, is_back, now) {
            return None;
        }
        let was_home = self.home_root.as_ref() == Some(&net.shape.ids[origin]);
        let layout = match was_home {
            true => repair(net, homes, &homes.parent)?,
            false => fresh(net, origin),
        };
        Some((layout, Step::OriginBack))
    }

    fn better(&mut self, net: &Net, kept: &Layout, now: Instant) -> Option<(Layout, Step)> {
        let is_as_chosen = |chosen: &Net| !net.has_changed_since(chosen);
        if self.chosen.as_ref().is_some_and(is_as_chosen) {
            self.better_since = None;
            self.better_standby_since = None;
            return None;
        }
        self.improved(net, kept, now)
            .or_else(|| self.new_standby(net, kept, now))
    }

    fn improved(&mut self, net: &Net, kept: &Layout, now: Instant) -> Option<(Layout, Step)> {
        let layout = fresh(net, kept.root);
        let [old, new] = [kept, &layout].map(|layout| Meter::default().lag(net, layout));
        let is_better = is_worth_it(&old, &new);
        has_lasted(&mut self.better_since, is_better, now).then_some((layout, Step::Improved))
    }

    fn new_standby(&mut self, net: &Net, kept: &Layout, now: Instant) -> Option<(Layout, Step)> {
        let best = net.standby(kept.root, |edge| kept.parent[edge] == Some(kept.root));
        let gain = |old: usize, new: usize| is_gain(net.star_lag(old), net.star_lag(new));
        let is_better =
            matches!((kept.standby, best), (Some(old), Some(new)) if old != new && gain(old, new));
        if !has_lasted(&mut self.better_standby_since, is_better, now) {
            return None;
        }
        let mut layout = kept.clone();
        layout.standby = best;
        finish(net, &mut layout);
        Some((layout, Step::NewStandby))
    }
}

impl Tree {
    pub(super) fn new(net: &Net, layout: &Layout) -> Self {
        let id = |edge: usize| net.shape.ids[edge].clone();
        let children = layout.children();
        let is_strained = |edge: &usize| children[*edge].len() > net.shape.carried[*edge];
        Self {
            root: id(layout.root),
            standby: layout.standby.map(id),
            places: layout.places(net),
            cut_off: layout.cut_off(net),
            strained: net.alive().filter(is_strained).map(id).collect(),
            failures: failures(net, layout),
        }
    }
}

/// Notes since when something holds. Whether that is long enough.
fn has_lasted(since: &mut Option<Instant>, holds: bool, now: Instant) -> bool {
    if !holds {
        *since = None;
        return false;
    }
    now.saturating_duration_since(*since.get_or_insert(now)) >= HOLD
}

fn is_worth_it(old: &Lag, new: &Lag) -> bool {
    match new.pairs.cmp(&old.pairs) {
        std::cmp::Ordering::Equal => is_gain(old.score_us(), new.score_us()),
        order => order.is_gt(),
    }
}

fn is_gain(old_us: u64, new_us: u64) -> bool {
    let gain = old_us.saturating_sub(new_us);
    gain > GAIN_US && gain * 100 > old_us * GAIN_PERCENT
}

/// Less is not heard, and moving costs every edge below a joining of all its tracks.
const GAIN_US: u64 = 5_000;
/// Round trips differ by as much from hour to hour.
const GAIN_PERCENT: u64 = 10;
