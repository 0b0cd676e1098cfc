//! The control plane's process: gRPC services over a state store. What it decides is decided in `meridian-control-core`.

pub mod mirror;
pub mod store;
