//! The protocol beyond subscriptions, as sentences: fetches, fills, status, discovery, GOAWAY, root paths.

// Each test program uses its part of it.
#[allow(dead_code)]
#[path = "../common/mod.rs"]
mod common;

mod cascade;
mod fetching;
mod filling;
mod hall;
