//! Load for relays and the networks they are measured over.
//!
//! Here: the emulated wide-area link, which opens UDP sockets on loopback only when asked to
//! and whose queueing model is pure and runs on any clock; and the process-level bench with its
//! yardstick; simulated delegates; and rehearsals: their scenarios, what they measured, and reports of it; and
//! agents, that play parts of them on other machines.

pub mod account;
pub mod agents;
pub mod bench;
pub mod capacity;
pub mod delegates;
pub mod outcome;
pub mod plan;
pub mod rehearsal;
pub mod report;
pub mod scenario;
pub mod verdict;
pub mod wan;
