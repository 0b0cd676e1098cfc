//! The tests of pages in a browser (`web/interop`): other people's MoQT clients in headless Chromium, through an edge of
//! this work tree.

use std::{path::PathBuf, process::Command};

use anyhow::{Context, Result, bail};

use crate::{shell, workspace};

/// Installs what the tests' `package-lock.json` names, and gives the command that runs them.
///
/// # Errors
/// If node is too old, npm fails, or there is no edge.
pub fn tests() -> Result<Command> {
    eprintln!(
        "── pages with @moq/net in Chromium, over WebTransport, and over WebSocket with UDP closed"
    );
    check_node()?;
    let edge = workspace::built_edge()?;
    let install = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
    shell::run(shell::command("npm", install).current_dir(folder()))?;
    let mut tests = shell::command("node", ["--test", "--test-reporter=tap", "test/"]);
    tests.current_dir(folder()).env("MERIDIAN_EDGE", edge);
    Ok(tests)
}

fn folder() -> PathBuf {
    workspace::root().join("web/interop")
}

fn check_node() -> Result<()> {
    let version = shell::read(&mut shell::command("node", ["--version"]))?;
    let major = major(&version).with_context(|| format!("node says it is {version:?}"))?;
    if major < OLDEST_NODE {
        bail!(
            "node {OLDEST_NODE} or newer is needed; this one is {}",
            version.trim()
        );
    }
    Ok(())
}

/// 20 of `v20.11.1`.
fn major(version: &str) -> Option<u32> {
    version
        .trim()
        .strip_prefix('v')?
        .split('.')
        .next()?
        .parse()
        .ok()
}

/// What the browser's driver asks for.
const OLDEST_NODE: u32 = 18;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_of_node_is_found() {
        assert_eq!(major("v20.11.1\n"), Some(20));
        assert_eq!(major("20"), None);
    }
}
