//! What a rehearsal has measured. Everything counted adds up: of threads, of agents on other machines, without averaging.
//! The JSON beside each report is this. Pure.

mod busy;
mod cell;
mod machine;
mod record;
mod spread;
mod tick;

pub(crate) use busy::{TEN_SECONDS_MS, busiest};
pub use cell::{Cell, Count, Figures, Key, Latency};
pub use machine::{Health, Machine, Process, Role, Sample, Tester};
pub use record::{Happening, Outcome};
pub use spread::Spread;
pub use tick::Tick;
