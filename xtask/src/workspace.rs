//! Where things are in the work tree.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

/// The folder of the workspace's `Cargo.toml`.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent()
        .expect("xtask is a folder of the workspace")
        .to_owned()
}

/// Cargo's target folder.
pub fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => root().join(folder),
        None => root().join("target"),
    }
}

/// The edge that `cargo test --workspace` has built for the edge's own tests.
///
/// # Errors
/// If it has not.
pub fn built_edge() -> Result<PathBuf> {
    let edge = target().join("debug/meridian-edge");
    if !edge.is_file() {
        bail!("the tests of the edge have left no debug/meridian-edge in the target folder");
    }
    Ok(edge)
}

/// What tasks make and keep between runs: a folder of a name below `target/meridian`.
///
/// # Errors
/// If it cannot be created.
pub fn made(name: &str) -> Result<PathBuf> {
    let folder = target().join("meridian").join(name);
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(folder)
}

/// Every Rust file of the work tree, generated ones excepted, by path from the root.
///
/// # Errors
/// If a folder cannot be read.
pub fn rust_files() -> Result<Vec<PathBuf>> {
    let root = root();
    let mut files = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if path.is_dir() && !name.starts_with('.') && !is_generated(&name) {
                folders.push(path);
            } else if name.ends_with(".rs") {
                files.push(path.strip_prefix(&root)?.to_owned());
            }
        }
    }
    files.sort();
    Ok(files)
}

fn is_generated(folder: &str) -> bool {
    folder.starts_with("target") || folder == "node_modules"
}
