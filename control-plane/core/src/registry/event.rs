//! What the registry tells, and why it refuses.

use crate::ids::Office;
use std::time::{Duration, Instant};

/// Something about an edge has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Whose edge.
    pub office: Office,
    /// What has changed.
    pub change: Change,
}

/// What has changed about an edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It has registered for the first time.
    Came,
    /// It has started anew: its sessions of before are no more.
    Restarted,
    /// The same run says other things of itself.
    Changed,
    /// It does not report any more.
    Suspected,
    /// It reports again.
    Back,
    /// Nobody hears it any more, or it has said goodbye: its sessions are no more.
    Gone,
    /// It takes nobody new.
    DrainBegan {
        /// When those who have not left are sent away.
        until: Instant,
    },
    /// The drain's time is over: those who are still there are sent away. It still takes nobody new.
    DrainDue,
    /// The drain was called off: it takes delegates again.
    DrainEnded,
}

/// Why an edge was not registered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// A later run of it is there.
    #[error("edge {office} has been started again since (run {newer}): stop this one")]
    Older {
        /// Whose edge.
        office: Office,
        /// The run that counts.
        newer: String,
    },
    /// Another edge claims to be the same run.
    #[error("another edge of {office} claims this run or its time of start: stop one of them")]
    Foreign {
        /// Whose edge.
        office: Office,
    },
    /// There are too many.
    #[error("there are {0} edges already, as many as the configuration allows")]
    Full(usize),
}

/// Why a report was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// Nothing is known of such an edge, or its lease has lapsed.
    #[error("edge {0} is not registered here, or no more: register")]
    Register(Office),
    /// A later run of it is there.
    #[error("edge {office} has been started again since (run {newer}): stop this one")]
    Older {
        /// Whose edge.
        office: Office,
        /// The run that counts.
        newer: String,
    },
}

/// Why an edge was not drained or forgotten.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OperateError {
    /// There is none.
    #[error("there is no edge {0}: `meridianctl edges list` shows those there are")]
    Unknown(Office),
    /// Too long, or in the past.
    #[error("a drain may last up to {} s and must end in the future", .0.as_secs())]
    Deadline(Duration),
    /// It reports.
    #[error("edge {0} is alive: stop it first")]
    Alive(Office),
}
