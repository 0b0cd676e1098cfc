//! What a rehearsal is told to people and programs as: a page, JSON, Prometheus text, a comparison of two, and lines while
//! it runs. Texts are pure functions of an `Outcome`; only `live::Screen` writes to the terminal.

mod axis;
mod chart;
mod cli;
mod comparison;
mod files;
mod heat;
pub mod live;
mod page;
mod prometheus;
mod table;
mod timeline;
mod words;

pub use cli::{CompareArgs, compare_files};
pub use comparison::compare;
pub use files::{ReadError, json, read, write};
pub use page::html;
pub use prometheus::prometheus;

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod page_tests;
