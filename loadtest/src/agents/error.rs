//! What keeps coordinator and agents apart, and what to do about it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// Why there is no rehearsal with agents, or an agent has not delivered its part.
#[derive(Debug, thiserror::Error)]
pub enum AgentsError {
    /// What was asked for cannot be done; nothing was started.
    #[error("{0}")]
    Usage(String),
    /// The coordinator cannot listen.
    #[error("agents cannot be let in at {0}: {1}")]
    Listening(SocketAddr, io::Error),
    /// Too few have come.
    #[error(
        "{} of {wanted} agents have come within {waited:?}{}: start the others, or wait longer (--agents-wait)",
        there.len(), listed(there)
    )]
    Missing {
        /// How many were to come.
        wanted: u32,
        /// Who has.
        there: Vec<String>,
        /// How long it was waited.
        waited: Duration,
    },
    /// All have come, and it is not known what time it is with some.
    #[error(
        "all agents have come, but the clock of {} is not known: too few pings come back from there",
        .0.join(", ")
    )]
    ClocksUnknown(Vec<String>),
    /// Some do not say that they have what they need.
    #[error("not ready within {waited:?}: {}; look at what it says itself", names.join(", "))]
    NotReady {
        /// Who.
        names: Vec<String>,
        /// How long it was waited.
        waited: Duration,
    },
    /// One was lost before the rehearsal began.
    #[error("agent {name} was lost before the rehearsal began: {why}")]
    LostEarly {
        /// Who.
        name: String,
        /// How.
        why: String,
    },
    /// Somebody has asked to end it.
    #[error("it was ended before its time")]
    Interrupted,
    /// No coordinator has answered.
    #[error(
        "no coordinator answers at {url} after {waited:?}: {why}; is `meridian-loadtest run --agents` at work there?"
    )]
    Unreachable {
        /// Where.
        url: String,
        /// How long it was tried.
        waited: Duration,
        /// The last attempt.
        why: String,
    },
    /// The coordinator does not take this agent.
    #[error("the coordinator does not take this agent: {0}")]
    Refused(String),
    /// The coordinator ended it, in its words.
    #[error("the coordinator has dismissed this agent: {0}")]
    Dismissed(String),
    /// The coordinator has gone in the middle.
    #[error(
        "the coordinator has gone ({0}); nothing of this agent's part is kept: start all of it again"
    )]
    Gone(String),
    /// The agent cannot play its part.
    #[error("this agent cannot play its part: {0}")]
    CannotPlay(String),
}

impl AgentsError {
    /// What a program that ends with it is to exit with.
    pub fn exit_code(&self) -> u8 {
        match self {
            AgentsError::Usage(_) | AgentsError::Refused(_) => 64,
            AgentsError::Listening(..)
            | AgentsError::Missing { .. }
            | AgentsError::ClocksUnknown(_)
            | AgentsError::NotReady { .. }
            | AgentsError::LostEarly { .. }
            | AgentsError::Unreachable { .. }
            | AgentsError::Gone(_) => 69,
            AgentsError::Interrupted | AgentsError::Dismissed(_) | AgentsError::CannotPlay(_) => 1,
        }
    }
}

fn listed(names: &[String]) -> String {
    match names.is_empty() {
        true => String::new(),
        false => format!(" ({})", names.join(", ")),
    }
}
