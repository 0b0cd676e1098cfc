//! Machines, the network's processes on them, and how the tester itself fared.

use super::busy::{TEN_SECONDS_MS, busiest};
use super::spread::Spread;
use serde::{Deserialize, Serialize};

/// A machine that took part.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// The agent's name, or `coordinator`; `local` without agents.
    pub name: String,
    /// Cores that may be used.
    pub cores: u32,
    /// As the kernel calls the processor.
    pub processor: String,
    /// As in `Linux 6.18`.
    pub kernel: String,
}

/// A process of the network under test.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Process {
    /// As in `geneva`, `control-plane-1`.
    pub name: String,
    /// What it is.
    pub role: Role,
    /// About one a second while it lived.
    pub samples: Vec<Sample>,
}

impl Process {
    /// CPU time as a share of a core over its busiest ten seconds; none if it was not watched for so long.
    pub(crate) fn busiest(&self) -> Option<f64> {
        busiest(&self.used(), TEN_SECONDS_MS)
    }

    /// The same over the busiest quarter of the time in which it was watched.
    pub(crate) fn busiest_quarter(&self) -> Option<f64> {
        let used = self.used();
        let ((from, _), (to, _)) = (used.first()?, used.last()?);
        busiest(&used, ((to - from) / 4).max(1))
    }

    fn used(&self) -> Vec<(i64, u64)> {
        let samples = self.samples.iter();
        samples.map(|one| (one.at_ms, one.cpu_ms)).collect()
    }
}

/// What a process is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// An edge.
    Edge,
    /// A replica of the control plane.
    ControlPlane,
    /// A member of etcd.
    Store,
    /// Emulated paths.
    Paths,
    /// The load tester.
    Tester,
    /// Something else.
    #[default]
    Other,
}

/// A process at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Milliseconds from the first arrival.
    pub at_ms: i64,
    /// CPU time since it started, in milliseconds; a process that was started again begins at 0.
    pub cpu_ms: u64,
    /// Resident memory, in KiB.
    pub memory_kib: u64,
    /// Open sockets.
    pub sockets: u64,
}

/// How one agent's tester fared.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tester {
    /// The agent.
    pub name: String,
    /// Threads that play delegates.
    pub threads: u32,
    /// Delegates it played.
    pub delegates: u64,
    /// CPU time of its process during the rehearsal, in milliseconds.
    pub cpu_ms: u64,
    /// The busiest thread's CPU time as a share of its busiest ten seconds, 0 to 1.
    pub busiest: f64,
    /// How late each of its threads was to do what was due, with the turns that an object waits for until it is taken
    /// note of: what it says of others is wrong by that much.
    pub behind: Spread,
    /// What a tenth of that exceeded in the worst ten seconds of a thread, in milliseconds.
    #[serde(default)]
    pub worst_ms: f64,
    /// How late arrivals were started after they were due.
    pub arrivals_behind: Spread,
    /// Threads that broke down: what their delegates went through is missing.
    #[serde(default)]
    pub broken: u32,
    /// Packets of delegates that its kernel had no room for.
    #[serde(default)]
    pub overflow: u64,
    /// How far its clock was ahead of the coordinator's, in microseconds; 0 without agents.
    pub clock_ahead_us: i64,
    /// How far that may have been wrong at any time, in microseconds; drift included.
    pub clock_error_us: u64,
    /// It did not tell its time often enough for that to be known.
    #[serde(default)]
    pub clock_lost: bool,
}

/// Whether what was measured can be believed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// Why it cannot; empty if it can.
    pub invalid_because: Vec<String>,
}
