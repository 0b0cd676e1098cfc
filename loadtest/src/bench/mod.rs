//! The relay measured as a process: real load over loopback, relay and load on different cores, against a yardstick.
//!
//! The yardstick is `bare`: a server that fans the same bytes out with no relay in it. Every figure is to be read as a
//! ratio to it, or to a peer relay, in the same run: the machine is part of every absolute number.

mod audience;
mod bare;
mod cli;
mod conference;
mod dial;
mod ear;
mod figures;
mod goals;
mod lite;
mod load;
mod machine;
mod markdown;
mod peer;
pub(crate) mod process;
mod publisher;
mod report;
mod scenario;
mod shape;
mod suite;
mod target;
mod witness;

pub use cli::main;
