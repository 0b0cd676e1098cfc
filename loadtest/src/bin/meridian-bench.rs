//! `meridian-bench`: a relay process against its budgets, the yardstick, and its peers. See `cargo xtask bench`.

use std::process::ExitCode;

fn main() -> ExitCode {
    meridian_loadtest::bench::main()
}
