//! What is known of one edge.

use super::Config;
use crate::ids::Office;
use crate::places::Place;
use std::collections::BTreeSet;
use std::time::Instant;

/// What an edge says of itself when it comes.
#[derive(Clone, Debug, PartialEq)]
pub struct Registration {
    /// Whose edge it is.
    pub office: Office,
    /// Which run of it.
    pub instance: Instance,
    /// Where it stands.
    pub place: Place,
    /// How to reach it.
    pub addresses: Addresses,
    /// What it can carry.
    pub capacity: Capacity,
    /// What it fails together with: a data centre, an uplink.
    pub domain: String,
    /// SHA-256 of its certificate.
    pub certificate: [u8; 32],
}

/// One run of an edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// When it started, in milliseconds since the Unix epoch: the later of two has the office.
    pub started_at_ms: u64,
    /// Made up at its start.
    pub name: String,
}

/// An edge's addresses, as the shell writes them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// For delegates, best first.
    pub clients: Vec<String>,
    /// For other edges.
    pub neighbours: Vec<String>,
}

/// What an edge can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Sessions of delegates.
    pub clients: u32,
    /// Bits per second towards delegates; `None` where nobody has measured it.
    pub bits_per_second: Option<u64>,
}

/// What an edge carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Sessions of delegates.
    pub clients: u32,
    /// Bits per second towards delegates.
    pub bits_per_second: u64,
}

/// Whether an edge can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It reports.
    Alive,
    /// It does not report here, and may well be alive.
    Suspect,
    /// It takes nobody new, until the drain is called off.
    Draining {
        /// When those who have not left are sent away.
        until: Instant,
    },
    /// Neither this replica nor any edge hears it.
    Gone,
}

/// One edge.
#[derive(Clone, Debug)]
pub struct Edge {
    pub(super) registration: Registration,
    pub(super) load: Load,
    /// Whom it said it hears when it last reported; `None` if this run has not reported to this replica.
    pub(super) heard: Option<BTreeSet<Office>>,
    /// Its last report, or registration, to this replica; `None` if known from the store alone.
    pub(super) reported: Option<Instant>,
    pub(super) liveness: Liveness,
    pub(super) drain: Option<Drain>,
}

/// How an edge stands with this replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Liveness {
    /// Reports come.
    Fresh,
    /// They have stopped, or their stream was lost.
    Silent,
    /// For so long that it has to register again.
    Lapsed,
    /// And no edge hears it either.
    Gone,
}

/// An order to empty an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Drain {
    pub(super) until: Instant,
    /// The time is over, and that has been told.
    pub(super) is_due: bool,
}

impl Edge {
    pub(super) fn new(registration: Registration) -> Self {
        Self {
            registration,
            load: Load::default(),
            heard: None,
            reported: None,
            liveness: Liveness::Lapsed,
            drain: None,
        }
    }

    /// What it said of itself.
    pub fn registration(&self) -> &Registration {
        &self.registration
    }

    /// What it carried when it last reported.
    pub fn load(&self) -> Load {
        self.load
    }

    /// When it last reported to this replica.
    pub fn reported(&self) -> Option<Instant> {
        self.reported
    }

    /// Whether it can be used.
    pub fn state(&self) -> State {
        match (self.liveness, self.drain) {
            (Liveness::Gone, _) => State::Gone,
            (_, Some(drain)) => State::Draining { until: drain.until },
            (Liveness::Fresh, None) => State::Alive,
            (Liveness::Silent | Liveness::Lapsed, None) => State::Suspect,
        }
    }

    /// Whether reports come, drained or not.
    pub fn is_fresh(&self) -> bool {
        self.liveness == Liveness::Fresh
    }

    /// When time alone will change something about it.
    pub(super) fn deadline(&self, config: &Config) -> Option<Instant> {
        let waits = match self.liveness {
            Liveness::Fresh => Some(config.suspect_after),
            Liveness::Silent => Some(config.lease),
            Liveness::Lapsed | Liveness::Gone => None,
        };
        let passes = waits.and_then(|wait| Some(self.reported? + wait));
        let due = self
            .drain
            .filter(|drain| !drain.is_due)
            .map(|drain| drain.until);
        passes.into_iter().chain(due).min()
    }
}
