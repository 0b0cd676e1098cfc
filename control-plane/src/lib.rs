//! The control plane's process: gRPC services over a state store. What it decides is decided in `meridian-control-core`.

pub mod caller;
pub mod cli;
pub mod config;
pub mod counters;
pub mod decision;
pub mod desk;
pub mod geography;
pub mod leader;
pub mod listener;
pub mod membership;
pub mod mirror;
pub mod offices;
pub mod oidc;
pub mod plane;
pub mod records;
pub mod services;
pub mod snapshot;
pub mod start;
pub mod store;
pub mod tokens;
pub mod web;
