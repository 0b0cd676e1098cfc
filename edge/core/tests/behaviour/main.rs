//! The relay's behaviour as sentences: what goes in, and exactly what comes out.

#[path = "../common/mod.rs"]
#[allow(dead_code)]
mod common;

mod congestion;
mod delivery;
mod ending;
mod hygiene;
mod joining;
mod merging;
mod namespaces;
mod routing;
mod stage;
mod subscribing;
mod talking;
