//! Other relays to compare with, installed from the crate registry below the target folder.

use std::path::PathBuf;

use anyhow::Result;

use crate::{shell, workspace};

/// A relay that can be installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Peer {
    /// moq-relay, speaking draft 22.
    MoqRelay,
}

impl Peer {
    /// The crate, and the version that figures are stated for.
    fn package(self) -> (&'static str, &'static str) {
        match self {
            Self::MoqRelay => ("moq-relay", "0.17.10"),
        }
    }
}

/// Installs a peer unless it is there, and tells where its program is.
///
/// # Errors
/// If it cannot be built.
pub(super) fn install(peer: Peer) -> Result<PathBuf> {
    let (package, version) = peer.package();
    let root = workspace::target().join("tools");
    // Without --locked: its lock file pins a crate that has been withdrawn.
    let mut install = shell::command("cargo", ["install", package, "--version", version]);
    // In a folder of its own, so that an interrupted build goes on where it stopped.
    install.env("CARGO_TARGET_DIR", root.join("build"));
    install.arg("--root").arg(&root);
    shell::run(&mut install)?;
    Ok(root.join("bin").join(package))
}
