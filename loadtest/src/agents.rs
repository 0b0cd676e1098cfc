//! Rehearsals from several machines: agents that play delegates, joined over gRPC to a coordinator, which does all the rest.
//!
//! An agent stays on one stream (`proto/meridian/loadtest/v1/agents.proto`) from its hello to its outcome. On the coordinator's
//! side: `door` lets it in, `attendance` is one agent's stream, `assembly` all agents together. On the agent's: `agent`, which
//! dials (`dial`) and plays. `assignment` and `pieces` are what goes between them, `skew` is what is known of their clocks.

mod agent;
mod assembly;
mod assignment;
mod attendance;
pub mod cli;
mod dial;
mod door;
mod error;
mod pieces;
mod skew;

pub use agent::{Visit, attend};
pub use assembly::Assembly;
pub(crate) use assembly::Ensemble;
pub(crate) use assignment::Play;
pub use assignment::check;
pub use door::{Lobby, Terms};
pub use error::AgentsError;

/// Coordinator and agents understand each other if it is the same.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
