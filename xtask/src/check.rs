//! `cargo xtask check`: everything about the code that a machine can judge, except its tests.

pub mod budgets;
pub mod layering;
mod tools;

use anyhow::{Result, bail};

use crate::{
    interop,
    setup::{self, Need},
    shell,
};

/// Which checks to run.
#[derive(clap::Args)]
pub struct Args {
    /// Only these (fmt, clippy, docs, layering, budgets, deny, unused); all when left out.
    names: Vec<String>,
}

/// Runs the checks, all of them even after one fails.
///
/// # Errors
/// If one fails, with the names of those that did.
pub fn run(args: &Args) -> Result<()> {
    let unknown = args
        .names
        .iter()
        .find(|name| CHECKS.iter().all(|(known, _)| known != name));
    if let Some(unknown) = unknown {
        bail!("there is no check `{unknown}`");
    }
    setup::ensure(&[Need::Build, Need::Protobuf])?;
    let mut failed = Vec::new();
    for (name, check) in CHECKS {
        if !args.names.is_empty() && !args.names.iter().any(|wanted| wanted == name) {
            continue;
        }
        eprintln!("── {name}");
        if let Err(error) = check() {
            eprintln!("{name}: {error:#}");
            failed.push(*name);
        }
    }
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    eprintln!("all checks passed");
    Ok(())
}

type Check = fn() -> Result<()>;

/// Quick ones first.
const CHECKS: &[(&str, Check)] = &[
    ("fmt", fmt),
    ("budgets", budgets::check),
    ("layering", layering::check),
    ("clippy", clippy),
    ("docs", docs),
    ("unused", tools::unused_dependencies),
    ("deny", tools::deny),
];

fn fmt() -> Result<()> {
    shell::run(&mut shell::command("cargo", ["fmt", "--all", "--check"]))?;
    shell::run(&mut interop::cargo(["fmt", "--check"]))
}

/// The second run holds functions to their budget, tests excepted; the third is for the trials of other clients.
fn clippy() -> Result<()> {
    let all = [
        "clippy",
        "--locked",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ];
    shell::run(&mut shell::command("cargo", all))?;
    let long = ["-D", "warnings", "-D", "clippy::too_many_lines"];
    let args = ["clippy", "--locked", "--workspace", "--lib", "--bins", "--"];
    shell::run(&mut shell::command("cargo", args.into_iter().chain(long)))?;
    let apart = [
        "clippy",
        "--locked",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ];
    shell::run(&mut interop::cargo(apart))
}

fn docs() -> Result<()> {
    let args = [
        "doc",
        "--locked",
        "--workspace",
        "--no-deps",
        "--document-private-items",
    ];
    shell::run(shell::command("cargo", args).env("RUSTDOCFLAGS", "-D warnings"))
}
