//! Checks by programs that Cargo installs: a pinned version each, below the target folder, so
//! that nothing of the developer's own is replaced.

use std::path::PathBuf;

use anyhow::Result;

use crate::{shell, workspace};

/// Dependencies that no code uses.
pub(super) fn unused_dependencies() -> Result<()> {
    let machete = installed(&MACHETE)?;
    shell::run(&mut shell::command(
        &machete.to_string_lossy(),
        [] as [&str; 0],
    ))
}

/// Licences, banned crates and sources, by `deny.toml`.
///
/// Advisories need a database from outside the package registry; a machine that has a copy of it
/// runs `cargo deny check advisories` by itself.
pub(super) fn deny() -> Result<()> {
    eprintln!("skipped: advisories (their database is not in the package registry)");
    let deny = installed(&DENY)?;
    let args = [
        "--locked",
        "check",
        "--hide-inclusion-graph",
        "bans",
        "licenses",
        "sources",
    ];
    shell::run(&mut shell::command(&deny.to_string_lossy(), args))
}

struct Tool {
    name: &'static str,
    version: &'static str,
}

/// The program's path, installed first if this version is not there yet.
fn installed(tool: &Tool) -> Result<PathBuf> {
    let folder = workspace::made("tools")?.join(format!("{}-{}", tool.name, tool.version));
    let program = folder.join("bin").join(tool.name);
    if !program.exists() {
        let args = [
            "install",
            tool.name,
            "--version",
            tool.version,
            "--locked",
            "--root",
        ];
        shell::run(shell::command("cargo", args).arg(&folder))?;
    }
    Ok(program)
}

const MACHETE: Tool = Tool {
    name: "cargo-machete",
    version: "0.9.2",
};
const DENY: Tool = Tool {
    name: "cargo-deny",
    version: "0.20.2",
};
