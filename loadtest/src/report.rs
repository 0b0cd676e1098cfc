//! What a rehearsal is told to people and programs as: a page, JSON, Prometheus text, a comparison of two, and lines while
//! it runs. Texts are pure functions of an `Outcome`; only `live::Screen` writes to the terminal.

pub mod live;
mod words;
