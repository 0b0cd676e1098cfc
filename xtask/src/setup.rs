//! What a machine needs besides the Rust toolchain. As root on Debian the missing parts are
//! installed; elsewhere the command that installs them is printed.

use std::path::Path;

use anyhow::{Result, bail};

use crate::shell;

/// Installs everything any task needs.
///
/// # Errors
/// If something is missing and cannot be installed from here.
pub fn run() -> Result<()> {
    ensure(&[Need::Build, Need::Media, Need::Certificates, Need::Browser])?;
    say!("nothing is missing");
    Ok(())
}

/// A group of programs that a task needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A C compiler, for the cryptography library.
    Build,
    /// The talk, and checking what was received of it.
    Media,
    /// The neighbours' certificates.
    Certificates,
    /// Pages in a browser, and what drives them.
    Browser,
}

impl Need {
    /// Programs looked for, each with the Debian package that brings it.
    fn programs(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Build => &[("cc", "build-essential")],
            Self::Media => &[
                ("ffmpeg", "ffmpeg"),
                ("ffprobe", "ffmpeg"),
                ("espeak-ng", "espeak-ng"),
            ],
            Self::Certificates => &[("openssl", "openssl")],
            Self::Browser => &[("chromium", "chromium"), ("node", "nodejs"), ("npm", "npm")],
        }
    }
}

/// Makes sure that everything in `needs` is here.
///
/// # Errors
/// If something is missing and this is not root on Debian, with what to install; or if apt fails.
pub fn ensure(needs: &[Need]) -> Result<()> {
    let missing = missing_packages(needs, shell::has);
    if missing.is_empty() {
        return Ok(());
    }
    if !can_install() {
        bail!("please install first: {}", advice(&missing));
    }
    install(&missing)?;
    let still_missing = missing_packages(needs, shell::has);
    if !still_missing.is_empty() {
        bail!(
            "installed, but still not found: {}",
            still_missing.join(" ")
        );
    }
    Ok(())
}

fn missing_packages(needs: &[Need], has: impl Fn(&str) -> bool) -> Vec<&'static str> {
    let programs = needs.iter().flat_map(|need| need.programs());
    let mut packages: Vec<_> = programs
        .filter(|(program, _)| !has(program))
        .map(|(_, package)| *package)
        .collect();
    packages.sort_unstable();
    packages.dedup();
    packages
}

fn can_install() -> bool {
    shell::has("apt-get") && rustix::process::geteuid().is_root()
}

fn advice(packages: &[&str]) -> String {
    let names = packages.join(" ");
    if Path::new("/etc/debian_version").exists() {
        format!("sudo apt-get install {names}")
    } else {
        format!("{names} (the names of Debian's packages)")
    }
}

fn install(packages: &[&str]) -> Result<()> {
    shell::run(
        shell::command("apt-get", ["update", "-q"]).env("DEBIAN_FRONTEND", "noninteractive"),
    )?;
    let mut install = shell::command("apt-get", ["install", "-qy", "--no-install-recommends"]);
    shell::run(
        install
            .args(packages)
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_missing_packages_are_named_and_each_once() {
        let needs = [Need::Build, Need::Media, Need::Certificates];
        let none: [&str; 0] = [];
        assert_eq!(missing_packages(&needs, |_| true), none);
        assert_eq!(
            missing_packages(&needs, |p| p == "cc"),
            ["espeak-ng", "ffmpeg", "openssl"]
        );
        assert_eq!(
            missing_packages(&[Need::Media], |p| p != "ffprobe"),
            ["ffmpeg"]
        );
    }
}
