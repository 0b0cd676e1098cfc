//! What each delegate goes through, and the book it is written in. Pure: time is an argument.

mod book;
mod copies;
mod ledger;
mod listener;
mod payload;
mod picture;

pub use book::{Book, CellId, Clock, RegionId};
pub use ledger::{Heard, Ledger};
pub use listener::{AudioFrame, Listener, MISSED, VideoFrame};
pub use payload::Payloads;
pub use picture::{FRAMES, Picture, STEP_MS};
