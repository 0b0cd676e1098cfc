//! `cargo xtask bench`: the relay against its budgets.
//!
//! The plan: build in release; pin the relay to one core and the load to the other; run the load
//! tester's scenarios against the edge, against the bare fan-out that is the yardstick, and with
//! `--peer` against another relay in the same run; print figures as ratios.

use anyhow::{Result, bail};

/// What to measure.
#[derive(clap::Args)]
pub struct Args {}

/// Not there yet: it needs the load tester's scenarios.
///
/// # Errors
/// Always.
pub fn run(_: &Args) -> Result<()> {
    bail!("there is nothing to measure yet: the load tester has no scenarios")
}
