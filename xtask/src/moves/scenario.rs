//! What happens, to which edge, and how long audio may be away then.

use crate::up::control;

/// Something to rehearse.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    /// The office whose edge it happens to.
    pub(super) office: &'static str,
    /// What happens.
    pub(super) fault: Fault,
    /// All replicas of the control plane are killed at the same moment.
    pub(super) with_control_plane: bool,
}

/// What happens to an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// SIGKILL.
    Killed,
    /// SIGSTOP.
    Frozen,
    /// Nothing gets there or comes from there, and nobody says so.
    CutOff,
    /// An operator drains it.
    Drained,
}

impl Scenario {
    /// How long audio may be away for whoever was at the edge: the 95th of 100, or everybody if it was planned.
    pub(super) fn allowed_ms(&self) -> f64 {
        match self.fault {
            Fault::Drained => 250.0,
            _ => 2_000.0,
        }
    }
}

/// Where nothing happens, and who is there must not notice.
pub(super) const ELSEWHERE: &str = "dakar";
/// Who speaks is here.
pub(super) const SPEAKER: &str = "bangkok";
/// Everything there is, the root first.
pub(super) const OFFICES: [&str; 5] = [ORIGIN, EDGE, "new-york", ELSEWHERE, SPEAKER];

const ORIGIN: &str = "geneva";
/// An edge that is no root.
pub(super) const EDGE: &str = "addis-ababa";

const fn at_edge(name: &'static str, fault: Fault) -> Scenario {
    Scenario {
        name,
        office: EDGE,
        fault,
        with_control_plane: false,
    }
}

const fn at_origin(name: &'static str, fault: Fault, with_control_plane: bool) -> Scenario {
    Scenario {
        name,
        office: ORIGIN,
        fault,
        with_control_plane,
    }
}

/// All of them.
pub(super) const ALL: &[Scenario] = &[
    at_edge("edge-killed", Fault::Killed),
    at_edge("edge-frozen", Fault::Frozen),
    at_edge("edge-cut-off", Fault::CutOff),
    at_edge("edge-drained", Fault::Drained),
    at_origin("origin-killed", Fault::Killed, false),
    at_origin("origin-frozen", Fault::Frozen, false),
    at_origin("origin-cut-off", Fault::CutOff, false),
    at_origin("origin-drained", Fault::Drained, false),
    at_origin("all-killed", Fault::Killed, true),
    at_origin("all-frozen", Fault::Frozen, true),
    at_origin("all-cut-off", Fault::CutOff, true),
];

/// The control plane's only replica, as a process.
pub(super) fn replica() -> String {
    format!("{}-1", control::NAME)
}
