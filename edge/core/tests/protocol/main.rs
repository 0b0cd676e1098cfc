//! The protocol beyond subscriptions, as sentences: fetches, fills, status, discovery, GOAWAY, root paths.

#[path = "../common/mod.rs"]
#[allow(dead_code, reason = "each test crate uses its part of it")]
mod common;

mod cascade;
mod fetching;
mod filling;
mod hall;
mod leaving;
mod offering;
mod paths;
mod places;
mod screening;
mod status;
mod watching;
