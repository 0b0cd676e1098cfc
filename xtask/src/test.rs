//! `cargo xtask test`: every test of the workspace, and one closing line that adds them up.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::{
    setup::{self, Need},
    shell,
};

/// Which tests to run.
#[derive(clap::Args)]
pub struct Args {
    /// Passed on to `cargo test`, such as `-p meridian-wire` or `-- a_name`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    cargo: Vec<String>,
}

/// Installs what the tests need, then runs them.
///
/// # Errors
/// If something is missing, a test fails, or no test ran.
pub fn run(args: &Args) -> Result<()> {
    setup::ensure(&[Need::Build, Need::Media, Need::Certificates])?;
    let mut cargo = shell::command("cargo", ["test", "--locked", "--no-fail-fast"]);
    if args.cargo.is_empty() {
        cargo.arg("--workspace");
    }
    let (tally, passed) = run_and_tally(cargo.args(&args.cargo))?;
    println!(
        "{} passed, {} failed, {} skipped",
        tally.passed, tally.failed, tally.skipped
    );
    if !passed {
        bail!("the tests failed");
    }
    if tally.passed == 0 {
        bail!("no test ran");
    }
    Ok(())
}

/// Runs `cargo test`, repeats what it prints, and adds up its result lines.
fn run_and_tally(cargo: &mut Command) -> Result<(Tally, bool)> {
    let mut child = cargo
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start cargo")?;
    let stdout = child.stdout.take().expect("standard output is piped");
    let mut tally = Tally::default();
    for line in BufReader::new(stdout).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        println!("{line}");
        tally.add(&line);
    }
    Ok((tally, child.wait()?.success()))
}

#[derive(Debug, Default, PartialEq)]
struct Tally {
    passed: u64,
    failed: u64,
    skipped: u64,
}

impl Tally {
    /// Adds `test result: ok. 5 passed; 0 failed; 1 ignored; …`; other lines add nothing.
    fn add(&mut self, line: &str) {
        let Some(counts) = line.strip_prefix("test result: ") else {
            return;
        };
        let words: Vec<_> = counts
            .split([' ', ';', '.'])
            .filter(|w| !w.is_empty())
            .collect();
        for pair in words.windows(2) {
            let Ok(count) = pair[0].parse::<u64>() else {
                continue;
            };
            match pair[1] {
                "passed" => self.passed += count,
                "failed" => self.failed += count,
                "ignored" => self.skipped += count,
                _ => {}
            }
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
        ] {
            tally.add(line);
        }
        assert_eq!(
            tally,
            Tally {
                passed: 40,
                failed: 1,
                skipped: 2
            }
        );
    }
}
