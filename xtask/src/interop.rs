//! The trials of other people's native clients (`interop`): a workspace of its own, whose dependencies never enter ours.

use std::process::Command;

use anyhow::Result;

use crate::{shell, workspace};

/// The command that runs them against the edge of this work tree.
///
/// # Errors
/// If there is no edge.
pub fn tests() -> Result<Command> {
    eprintln!("── moqtap-client and moq-net, over raw QUIC and WebTransport");
    let mut tests = cargo(["test", "--locked", "--no-fail-fast"]);
    tests.env("MERIDIAN_EDGE", workspace::built_edge()?);
    Ok(tests)
}

/// Cargo in that workspace, with the target folder of this one.
pub fn cargo<const N: usize>(args: [&str; N]) -> Command {
    let mut cargo = shell::command("cargo", args);
    cargo
        .current_dir(workspace::root().join("interop"))
        .env("CARGO_TARGET_DIR", workspace::target());
    cargo
}
