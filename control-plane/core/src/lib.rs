//! What the control plane decides, without I/O, clock or dice: who is there, which edge is whose parent, where a delegate
//! goes, and who comes in next. Time and randomness are arguments. The process around it is `meridian-control-plane`.

pub mod admission;
pub mod ids;
pub mod people;
pub mod placement;
pub mod places;
pub mod registry;
pub mod sessions;
pub mod topology;
