//! Simulated delegates: each comes in by an invitation of its own, goes to the edge it is sent to, listens, and finds
//! another edge when that is lost, as `meridian watch` does. What they hear is counted, and thrown away.

mod delegate;
mod hearing;

pub use delegate::{Delegate, Wanted};
pub use hearing::{Heard, Hearing};
