//! What happens to the network during a rehearsal.

use super::span::Span;
use serde::Deserialize;
use std::fmt;
use std::time::Duration;

/// Something that happens.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// From the first arrival.
    pub at: Span,
    /// What.
    #[serde(rename = "do")]
    pub happens: Happens,
    /// Where, for what happens to one edge.
    #[serde(default)]
    pub office: String,
    /// The program and its arguments, for `command`.
    #[serde(default)]
    pub command: Vec<String>,
    /// For `edge-drain`: how long its people have; 10 s if absent.
    #[serde(default)]
    pub within: Option<Span>,
}

/// What may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Happens {
    /// The process is killed.
    EdgeKill,
    /// It stands still (SIGSTOP).
    EdgeFreeze,
    /// It goes on.
    EdgeThaw,
    /// Nothing gets through to it or from it, neither from people nor from other edges.
    EdgeCut,
    /// Everything gets through again.
    EdgeHeal,
    /// Its people are asked to go elsewhere.
    EdgeDrain,
    /// It takes people again.
    EdgeUndrain,
    /// It is started again after it was killed; one that runs is stopped first.
    EdgeRestart,
    /// The paths between this office and the others are cut; its own people still reach it.
    WanCut,
    /// They are whole again.
    WanHeal,
    /// Every replica is killed.
    ControlKill,
    /// Every replica stands still.
    ControlFreeze,
    /// They go on.
    ControlThaw,
    /// They are started again.
    ControlRestart,
    /// etcd stands still.
    StoreFreeze,
    /// It goes on.
    StoreThaw,
    /// A program is run; its exit code is noted.
    Command,
}

impl Event {
    pub(super) fn check(&self, length: Duration) -> Result<(), String> {
        let wrong = |reason: &str| Err(format!("event {self}: {reason}"));
        if self.at.0 >= length {
            return wrong("it would happen after the end (length)");
        }
        if self.happens.has_office() == self.office.is_empty() {
            return wrong(match self.happens.has_office() {
                true => "write the office",
                false => "it happens to no office in particular",
            });
        }
        if (self.happens == Happens::Command) == self.command.is_empty() {
            return wrong("`command` goes with a program to run, and with nothing else");
        }
        Ok(())
    }
}

impl Happens {
    /// Whether it happens to one office.
    pub fn has_office(self) -> bool {
        use Happens::*;
        matches!(
            self,
            EdgeKill
                | EdgeFreeze
                | EdgeThaw
                | EdgeCut
                | EdgeHeal
                | EdgeDrain
                | EdgeUndrain
                | EdgeRestart
                | WanCut
                | WanHeal
        )
    }

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Happens::EdgeKill => "edge-kill",
            Happens::EdgeFreeze => "edge-freeze",
            Happens::EdgeThaw => "edge-thaw",
            Happens::EdgeCut => "edge-cut",
            Happens::EdgeHeal => "edge-heal",
            Happens::EdgeDrain => "edge-drain",
            Happens::EdgeUndrain => "edge-undrain",
            Happens::EdgeRestart => "edge-restart",
            Happens::WanCut => "wan-cut",
            Happens::WanHeal => "wan-heal",
            Happens::ControlKill => "control-kill",
            Happens::ControlFreeze => "control-freeze",
            Happens::ControlThaw => "control-thaw",
            Happens::ControlRestart => "control-restart",
            Happens::StoreFreeze => "store-freeze",
            Happens::StoreThaw => "store-thaw",
            Happens::Command => "command",
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.happens.as_str())?;
        let rest = match self.happens {
            Happens::Command => self.command.first(),
            _ => Some(&self.office).filter(|office| !office.is_empty()),
        };
        rest.map_or(Ok(()), |rest| write!(f, " {rest}"))
    }
}
