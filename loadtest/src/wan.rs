//! An emulated wide-area link for UDP: delay, jitter, loss, rate, queue, duplication, reordering.
//!
//! [`Link`] is the pure model of one direction, on a clock the caller brings. [`Emulator`] is the
//! thin shell: a thread that forwards real datagrams through two such links until it is dropped.
//! [`Network`] is many of them, by name.

mod batch;
mod control;
mod emulator;
mod jitter;
mod link;
mod loss;
mod network;
mod overflow;
mod params;
mod sockets;
mod stats;

pub use control::{Command, CommandError, Direction};
pub use emulator::{Emulator, EmulatorConfig};
pub use link::Link;
pub use network::{Answer, LineError, LinesError, LinkLine, Network, RequestError, Sum};
pub(crate) use overflow::overflow;
pub use params::{Change, Changes, LinkParams, ParamError};
pub use stats::{LinkStats, Stats};
