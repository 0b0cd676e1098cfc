//! Load for relays and the networks they are measured over.
//!
//! Here: the emulated wide-area link. It opens UDP sockets on loopback only when asked to;
//! its queueing model is pure and runs on any clock.

pub mod wan;
