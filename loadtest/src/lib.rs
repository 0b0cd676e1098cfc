//! Load for relays and the networks they are measured over.
//!
//! Here: the emulated wide-area link, which opens UDP sockets on loopback only when asked to
//! and whose queueing model is pure and runs on any clock; and the process-level bench with its
//! yardstick; and simulated delegates.

pub mod account;
pub mod bench;
pub mod delegates;
pub mod outcome;
pub mod scenario;
pub mod verdict;
pub mod wan;
