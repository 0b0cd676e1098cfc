//! What may go wrong with an origin during a talk.

use std::fmt;

use anyhow::Result;
use rustix::process::Signal;

use crate::up::world::World;

/// One rehearsal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    /// Whether every office has a second parent.
    pub(super) has_standby: bool,
    /// What happens, and to whom; `None`: nothing, for comparison.
    pub(super) fault: Option<(Fault, &'static str)>,
    /// Whether it is undone after a while.
    pub(super) is_undone: bool,
}

/// What happens to an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Its process ends; undone, it is started again.
    Killed,
    /// Its process stands still (SIGSTOP); undone, it goes on.
    Frozen,
    /// All its paths to other edges swallow everything; undone, they carry again.
    CutOff,
}

pub(super) const ORIGIN: &str = "geneva";
pub(super) const STANDBY: &str = "new-york";

/// All of them.
pub(super) const ALL: [Scenario; 11] = [
    with_standby("nothing-happens", None, false),
    with_standby("killed", Some((Fault::Killed, ORIGIN)), false),
    with_standby("frozen", Some((Fault::Frozen, ORIGIN)), false),
    with_standby("cut-off", Some((Fault::CutOff, ORIGIN)), false),
    with_standby("killed-and-back", Some((Fault::Killed, ORIGIN)), true),
    with_standby("frozen-and-back", Some((Fault::Frozen, ORIGIN)), true),
    with_standby("cut-off-and-back", Some((Fault::CutOff, ORIGIN)), true),
    with_standby("standby-killed", Some((Fault::Killed, STANDBY)), false),
    alone("alone-killed-and-back", Fault::Killed),
    alone("alone-frozen-and-back", Fault::Frozen),
    alone("alone-cut-off-and-back", Fault::CutOff),
];

const fn with_standby(
    name: &'static str,
    fault: Option<(Fault, &'static str)>,
    is_undone: bool,
) -> Scenario {
    Scenario {
        name,
        has_standby: true,
        fault,
        is_undone,
    }
}

/// Without a standby there is nothing to hear until the origin is back.
const fn alone(name: &'static str, fault: Fault) -> Scenario {
    Scenario {
        name,
        has_standby: false,
        fault: Some((fault, ORIGIN)),
        is_undone: true,
    }
}

impl Fault {
    /// Lets it happen.
    pub(super) fn strike(self, world: &mut World, office: &str) -> Result<()> {
        match self {
            Fault::Killed => world.kill(office),
            Fault::Frozen => world.supervisor.signal(office, Signal::STOP),
            Fault::CutOff => world.set_cut_off(office, true),
        }
    }

    /// Undoes it.
    pub(super) fn undo(self, world: &mut World, office: &str) -> Result<()> {
        match self {
            Fault::Killed => world.restart(office),
            Fault::Frozen => world.supervisor.signal(office, Signal::CONT),
            Fault::CutOff => world.set_cut_off(office, false),
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
