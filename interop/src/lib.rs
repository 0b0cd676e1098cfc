//! What the trials of other people's MoQT clients share: an edge to talk to, and objects to send through it.

mod edge;
mod material;

pub use edge::Edge;
pub use material::{GROUPS, OBJECTS, Objects, objects};
