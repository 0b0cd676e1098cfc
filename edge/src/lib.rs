//! The relay process: sockets, tasks, configuration, measurements. What a relay decides is in `meridian-relay`.

pub mod cli;
pub mod clients;
pub mod config;
mod fetched;
mod joined;
mod link;
pub mod neighbours;
mod receiving;
mod report;
mod sending;
pub mod start;
mod stats;
mod web_socket;
mod worker;

pub use link::serve;
pub use worker::Worker;
