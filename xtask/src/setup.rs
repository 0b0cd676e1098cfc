//! What a machine needs besides the Rust toolchain. As root on Debian the missing parts are
//! installed; elsewhere the command that installs them is printed.

use std::{fs, io, os::unix::fs::symlink, path::Path};

use anyhow::{Context, Result, bail};

use crate::shell;

/// Installs everything any task needs.
///
/// # Errors
/// If something is missing and cannot be installed from here.
pub fn run() -> Result<()> {
    ensure(&[
        Need::Build,
        Need::Protobuf,
        Need::Etcd,
        Need::Media,
        Need::Certificates,
        Need::Browser,
    ])?;
    say!("nothing is missing");
    Ok(())
}

/// A group of programs that a task needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A C compiler, for the cryptography library.
    Build,
    /// What builds the client of etcd.
    Protobuf,
    /// The control plane's state store for several replicas.
    Etcd,
    /// The talk, and checking what was received of it.
    Media,
    /// The neighbours' certificates.
    Certificates,
    /// Pages in a browser, and what drives them.
    Browser,
}

impl Need {
    /// What is looked for, each with the Debian package that brings it: a program, or a file by its path.
    fn parts(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Build => &[("cc", "build-essential")],
            Self::Protobuf => &[
                ("protoc", "protobuf-compiler"),
                (
                    "/usr/include/google/protobuf/descriptor.proto",
                    "libprotobuf-dev",
                ),
            ],
            Self::Etcd => &[
                ("etcd", "etcd-server"),
                ("etcdctl", "etcd-client"),
                ("setpriv", "util-linux"),
            ],
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
    let missing = missing_packages(needs, is_here);
    if missing.is_empty() {
        return Ok(());
    }
    if !can_install() {
        bail!("please install first: {}", advice(&missing));
    }
    install(&missing)?;
    let still_missing = missing_packages(needs, is_here);
    if !still_missing.is_empty() {
        bail!(
            "installed, but still not found: {}",
            still_missing.join(" ")
        );
    }
    Ok(())
}

fn is_here(part: &str) -> bool {
    if part.starts_with('/') {
        return Path::new(part).exists();
    }
    shell::has(part)
}

fn missing_packages(needs: &[Need], has: impl Fn(&str) -> bool) -> Vec<&'static str> {
    let parts = needs.iter().flat_map(|need| need.parts());
    let mut packages: Vec<_> = parts
        .filter(|(part, _)| !has(part))
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

/// Debian starts a service as soon as it is installed, and at every boot. Tests start their own etcd.
const SERVICES: &[(&str, &str)] = &[("etcd-server", "etcd.service")];

fn install(packages: &[&str]) -> Result<()> {
    for (_, service) in services(packages) {
        mask(service)?;
    }
    shell::run(
        shell::command("apt-get", ["update", "-q"]).env("DEBIAN_FRONTEND", "noninteractive"),
    )?;
    let mut install = shell::command("apt-get", ["install", "-qy", "--no-install-recommends"]);
    shell::run(
        install
            .args(packages)
            .env("DEBIAN_FRONTEND", "noninteractive")
            // Where another init than systemd starts services.
            .env("RUNLEVEL", "1"),
    )
}

fn services(packages: &[&str]) -> impl Iterator<Item = &'static (&'static str, &'static str)> {
    let wanted = |package: &str| packages.contains(&package);
    SERVICES.iter().filter(move |(package, _)| wanted(package))
}

/// What `systemctl mask` does, also where systemd is not running yet.
fn mask(service: &str) -> Result<()> {
    let units = Path::new("/etc/systemd/system");
    fs::create_dir_all(units).context("cannot make the folder of services")?;
    match symlink("/dev/null", units.join(service)) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(error).with_context(|| format!("cannot keep {service} from starting"))
        }
        _ => Ok(()),
    }
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

    #[test]
    fn a_path_is_looked_for_as_a_file() {
        assert!(is_here("/proc/self/exe") && is_here("sh"));
        assert!(!is_here("/no/such/file"));
        assert_eq!(
            missing_packages(&[Need::Protobuf], |part| !part.starts_with('/')),
            ["libprotobuf-dev"]
        );
    }

    #[test]
    fn services_that_come_with_a_package_are_kept_from_starting() {
        let services: Vec<_> = services(&["etcd-client", "etcd-server"]).collect();
        assert_eq!(services, [&("etcd-server", "etcd.service")]);
        assert_eq!(super::services(&["ffmpeg"]).count(), 0);
    }
}
