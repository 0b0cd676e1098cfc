//! `cargo xtask test`: every test of the workspace, the trials of other people's clients, native and in a browser, and
//! one closing line that adds them up.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::{
    browser, interop,
    setup::{self, Need},
    shell,
};

/// Which tests to run.
#[derive(clap::Args)]
pub struct Args {
    /// Passed on to `cargo test`, such as `-p meridian-wire` or `-- a_name`; leaves other people's clients out.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    cargo: Vec<String>,
}

/// Installs what the tests need, then runs them.
///
/// # Errors
/// If something is missing, a test fails, or no test ran.
pub fn run(args: &Args) -> Result<()> {
    setup::ensure(&[
        Need::Build,
        Need::Protobuf,
        Need::Etcd,
        Need::Media,
        Need::Certificates,
        Need::Browser,
    ])?;
    let mut cargo = shell::command("cargo", ["test", "--locked", "--no-fail-fast"]);
    if args.cargo.is_empty() {
        cargo.arg("--workspace");
    }
    let mut tally = Tally::default();
    let mut passed = run_and_tally(cargo.args(&args.cargo), &mut tally)?;
    if args.cargo.is_empty() {
        passed &= run_and_tally(&mut interop::tests()?, &mut tally)?;
        passed &= run_and_tally(&mut browser::tests()?, &mut tally)?;
    }
    say!(
        "{} passed, {} failed, {} skipped",
        tally.passed,
        tally.failed,
        tally.skipped
    );
    if !passed {
        bail!("the tests failed");
    }
    if tally.passed == 0 {
        bail!("no test ran");
    }
    Ok(())
}

/// Runs tests, repeats what they print, and adds up their result lines.
fn run_and_tally(tests: &mut Command, tally: &mut Tally) -> Result<bool> {
    let mut child = tests
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the tests")?;
    let stdout = child.stdout.take().expect("standard output is piped");
    for line in BufReader::new(stdout).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        say!("{line}");
        tally.add(&line);
    }
    Ok(child.wait()?.success())
}

#[derive(Debug, Default, PartialEq)]
struct Tally {
    passed: u64,
    failed: u64,
    skipped: u64,
}

impl Tally {
    /// Adds `test result: ok. 5 passed; 0 failed; 1 ignored; …` of Rust and `# pass 5` of node; other lines add nothing.
    fn add(&mut self, line: &str) {
        if let Some((kind, count)) = line.strip_prefix("# ").and_then(|l| l.split_once(' ')) {
            return self.count(kind, count);
        }
        let Some(counts) = line.strip_prefix("test result: ") else {
            return;
        };
        let words: Vec<_> = counts
            .split([' ', ';', '.'])
            .filter(|w| !w.is_empty())
            .collect();
        for pair in words.windows(2) {
            self.count(pair[1], pair[0]);
        }
    }

    fn count(&mut self, kind: &str, count: &str) {
        let Ok(count) = count.parse::<u64>() else {
            return;
        };
        match kind {
            "passed" | "pass" => self.passed += count,
            // Node cancels tests that take too long.
            "failed" | "fail" | "cancelled" => self.failed += count,
            "ignored" | "skipped" => self.skipped += count,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_lines_are_added_up() {
        let mut tally = Tally::default();
        for line in [
            "running 3 tests",
            "test result: ok. 32 passed; 0 failed; 2 ignored; 0 measured; 4 filtered out; finished in 1.48s",
            "test result: FAILED. 8 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 10.25s",
            "# tests 6",
            "# pass 3",
            "# fail 1",
            "# cancelled 1",
            "# skipped 1",
        ] {
            tally.add(line);
        }
        assert_eq!(
            tally,
            Tally {
                passed: 43,
                failed: 3,
                skipped: 3
            }
        );
    }
}
