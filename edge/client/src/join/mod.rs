//! Coming in by invitation: the control plane says which edges to go to, the first that answers is taken, and when it is
//! lost the others are raced at once, without asking anybody.
//!
//! [`route`] and [`race`] decide and are pure; [`Replicas`] asks the control plane; [`Guest`] is who is in. Its background
//! task tells the control plane what happened and keeps token and candidates fresh; media never waits for it.

mod dialling;
mod error;
mod guest;
mod invitation;
mod keeper;
mod measured;
pub mod race;
mod refusals;
mod replicas;
pub mod route;
mod told;

pub use dialling::Manner;
pub use error::JoinError;
pub use guest::{AtTheDoor, Guest, Invited, Reached};
pub use invitation::{bare, read};
pub use replicas::{NoAnswer, Replicas};
pub use told::{Cause, Told};
