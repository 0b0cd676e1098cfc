//! What is expected of a rehearsal, as people write it, and whether it held: `first_audio.p95 < 3s`,
//! `lost < 0.1%`, `gap.max{region=AFR,transport=quic} < 200ms`, `ghosts == 0`. Pure.

mod expectation;
mod judge;

pub use expectation::{Expectation, Measure, Relation, Statistic};
pub use judge::{Judged, judge};
