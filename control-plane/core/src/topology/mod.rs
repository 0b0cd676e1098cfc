//! Which edge is whose parent, what happens when any one of them fails, and who is joined directly. Pure: offices, round
//! trips and time come in, trees and direct links come out, the same ones for the same input.
//!
//! [`Planner`] keeps the tree from round to round, [`Rtts`] smooths what edges measure, [`Shortcuts`] looks after direct
//! links. Decision and measurements: `docs/adr/0006-a-star-with-direct-links.md`.

mod backups;
mod failures;
mod fresh;
mod grow;
mod improve;
mod lag;
mod layout;
mod net;
mod planner;
mod repair;
mod rtts;
mod shortcuts;
mod tree;

pub use lag::{Lag, lag, path_us};
pub use planner::{HOLD, Planner, Step};
pub use rtts::{Link, Rtts, UNKNOWN_RTT_US};
pub use shortcuts::{
    Ended, MAX_PER_EDGE, SIGNIFICANT_SAVING_US, Shortcuts, Steps, Talk, is_much_longer,
};
pub use tree::{Failure, Place, Tree};

use std::collections::BTreeSet;
use thiserror::Error;

/// Most edges one tree may have. What is computed grows with the third power: 200 take a fifth of a second, 500 three.
pub const MAX_EDGES: usize = 256;
/// Most links from an edge to the root. A relay takes no longer root path than 32 offices.
pub const MAX_DEPTH: usize = 31;

/// An edge, as the tree needs to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    /// The office's id.
    pub id: String,
    /// What fails together: a site, a provider, a power grid.
    pub failure_domain: String,
    /// Country code of the site, compared as it is written.
    pub country: String,
    /// Whether it may be the standby. The origin need not say so.
    pub is_hub_candidate: bool,
    /// Most edges that may have it as their parent; as many again may have it as their backup parent.
    pub max_children: usize,
    /// What its line carries outwards, bit/s, if known.
    pub uplink_bps: Option<u64>,
    /// Alive and not draining.
    pub is_usable: bool,
}

/// What a tree is made from.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// All edges, in any order, unusable ones too: they keep their place until they return.
    pub edges: &'a [Edge],
    /// The id of the origin.
    pub origin: &'a str,
    /// Round trips between edges.
    pub rtts: &'a Rtts,
    /// What one link to a child is thought to carry, bit/s. One figure for all, as a link carries each track once however
    /// many listen below it. It makes trees deeper where an uplink is too narrow, but cuts nobody off.
    pub demand_bps: Option<u64>,
    /// Countries in which media may pass through an edge to another edge. Empty: any. An edge elsewhere is a leaf.
    pub allowed_countries: &'a BTreeSet<String>,
}

/// Why no tree can be made. The last one stays.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PlanError {
    /// More than [`MAX_EDGES`].
    #[error(
        "{0} edges are more than one tree may have ({MAX_EDGES}): split them over several control planes"
    )]
    TooManyEdges(usize),
    /// An id is given to two edges.
    #[error("two edges are called {0}: give each office its own id")]
    SameId(String),
    /// The origin is not among the edges.
    #[error("the origin {0} is not among the edges: name one of them")]
    UnknownOrigin(String),
    /// No edge is alive and not draining.
    #[error("no edge is usable: start one, or end a drain")]
    NoUsableEdge,
}
