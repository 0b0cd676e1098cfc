//! Other relays to compare with, installed from the crate registry below the target folder.

use std::path::PathBuf;

use anyhow::Result;
use clap::ValueEnum;

use crate::{shell, workspace};

/// A relay that can be installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Peer {
    /// moq-relay as it is by default, speaking draft 22.
    #[value(name = "moq-relay")]
    Shared,
    /// The same program with a single-threaded worker.
    #[value(name = "moq-relay-worker")]
    Worker,
    /// That, spoken to in moq-lite, its own protocol.
    #[value(name = "moq-relay-lite")]
    Lite,
    /// moq-relay built with io_uring, speaking moq-lite; it needs Linux 6.12.
    #[value(name = "moq-relay-io-uring")]
    IoUring,
    /// moq-relay-ietf, speaking draft 18.
    #[value(name = "moq-relay-ietf")]
    Ietf,
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
            Self::Shared | Self::Worker | Self::Lite => ("moq-relay", "0.17.10", &[]),
            Self::IoUring => ("moq-relay", "0.17.10", &["io-uring"]),
            Self::Ietf => ("moq-relay-ietf", "0.8.0", &[]),
        };
        Package {
            name,
            version,
            features,
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
    // `meridian-bench` has the same names for them.
    let kind = peer.to_possible_value().expect("no peer is hidden");
    let kind = kind.get_name();
    Ok(format!("{kind}@{version}={}", program.display()))
}

/// Builds with other features have other places: their programs have the same name.
fn root(features: &[&str]) -> PathBuf {
    let tools = workspace::target().join("tools");
    match features {
        [] => tools,
        features => tools.join(features.join("-")),
    }
}
