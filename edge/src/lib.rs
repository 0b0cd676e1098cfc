//! The relay process: sockets, tasks, configuration, measurements. What a relay decides is in `meridian-relay`.

pub mod access;
pub mod access_control;
pub mod cli;
pub mod clients;
pub mod config;
pub mod congestion;
mod connection_id;
pub mod control;
mod crowd;
pub mod draining;
mod edge;
pub mod entries;
mod fetched;
mod gate;
mod joined;
mod link;
pub mod neighbours;
mod performing;
pub mod probing;
mod receiving;
mod report;
mod sending;
pub mod sessions;
mod siblings;
mod sockets;
pub mod start;
mod stats;
mod steering;
mod web_socket;
mod worker;

pub use edge::Edge;
pub use worker::Worker;
