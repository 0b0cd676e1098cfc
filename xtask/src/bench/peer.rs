//! Other relays to compare with, installed from the crate registry below the target folder.

use std::path::PathBuf;

use anyhow::Result;

use crate::{shell, workspace};

/// A relay that can be installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Peer {
    /// moq-relay as it is by default, speaking draft 22.
    MoqRelay,
    /// The same program with a single-threaded worker.
    MoqRelayWorker,
    /// moq-relay built with io_uring, speaking moq-lite; it needs Linux 6.12.
    MoqRelayIoUring,
    /// moq-relay-ietf, speaking draft 18.
    MoqRelayIetf,
}

/// What is installed, in the version that figures are stated for.
struct Package {
    name: &'static str,
    version: &'static str,
    features: &'static [&'static str],
}

impl Peer {
    fn package(self) -> Package {
        let (name, version, features): (_, _, &[_]) = match self {
            Self::MoqRelay | Self::MoqRelayWorker => ("moq-relay", "0.17.10", &[]),
            Self::MoqRelayIoUring => ("moq-relay", "0.17.10", &["io-uring"]),
            Self::MoqRelayIetf => ("moq-relay-ietf", "0.8.0", &[]),
        };
        Package {
            name,
            version,
            features,
        }
    }

    /// As `meridian-bench` names it.
    fn kind(self) -> &'static str {
        match self {
            Self::MoqRelay => "moq-relay",
            Self::MoqRelayWorker => "moq-relay-worker",
            Self::MoqRelayIoUring => "moq-relay-io-uring",
            Self::MoqRelayIetf => "moq-relay-ietf",
        }
    }
}

/// Installs a peer unless it is there, and says for `meridian-bench` what it is and where its program is.
///
/// # Errors
/// If it cannot be built.
pub(super) fn install(peer: Peer) -> Result<String> {
    let Package {
        name,
        version,
        features,
    } = peer.package();
    let root = root(features);
    // Without --locked: moq-relay's lock file pins a crate that has been withdrawn.
    let mut install = shell::command("cargo", ["install", name, "--version", version]);
    if !features.is_empty() {
        install.arg("--features").arg(features.join(","));
    }
    // In a folder of its own, so that an interrupted build goes on where it stopped.
    install.env("CARGO_TARGET_DIR", workspace::target().join("tools/build"));
    install.arg("--root").arg(&root);
    shell::run(&mut install)?;
    let program = root.join("bin").join(name);
    Ok(format!("{}@{version}={}", peer.kind(), program.display()))
}

/// Builds with other features have other places: their programs have the same name.
fn root(features: &[&str]) -> PathBuf {
    let tools = workspace::target().join("tools");
    match features {
        [] => tools,
        features => tools.join(features.join("-")),
    }
}
