//! Other relays to compare with: how each is started, and what it speaks.
//!
//! All run with one thread's worth of work: they are bound to one core, and those that ask the system how many there are
//! are told of one.

use super::dial::Dialect;
use super::process::Server;
use super::shape::Shape;
use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// A relay that there is a way to start and to talk to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// moq-relay as it is by default.
    #[value(name = "moq-relay")]
    Shared,
    /// moq-relay with one single-threaded worker in place of its shared runtime.
    #[value(name = "moq-relay-worker")]
    Worker,
    /// The same, spoken to in moq-lite, its own protocol.
    #[value(name = "moq-relay-lite")]
    Lite,
    /// moq-relay with a worker on io_uring, where it speaks moq-lite alone.
    #[value(name = "moq-relay-io-uring")]
    IoUring,
    /// moq-relay-ietf, which keeps its tracks in a file.
    #[value(name = "moq-relay-ietf")]
    Ietf,
}

/// Another relay's kind, version and program, written `KIND@VERSION=PROGRAM`.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    kind: Kind,
    version: String,
    program: PathBuf,
}

impl FromStr for Peer {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Peer> {
        let parts = text.split_once('=').and_then(|(name, program)| {
            let (kind, version) = name.split_once('@')?;
            Some((kind, version, program))
        });
        let Some((kind, version, program)) = parts else {
            bail!("a peer is written KIND@VERSION=PROGRAM");
        };
        Ok(Peer {
            kind: Kind::from_str(kind, false).map_err(anyhow::Error::msg)?,
            version: version.to_owned(),
            program: program.into(),
        })
    }
}

impl Peer {
    /// As in tables.
    pub(super) fn name(&self) -> String {
        match self.kind {
            Kind::Shared => "moq-relay",
            Kind::Worker => "moq-relay, worker",
            Kind::Lite => "moq-relay, moq-lite",
            Kind::IoUring => "moq-relay, io_uring",
            Kind::Ietf => "moq-relay-ietf",
        }
        .to_owned()
    }

    /// Its name, version, and how it is run.
    pub(super) fn describe(&self) -> String {
        format!("{} {} ({})", self.name(), self.version, self.speaks())
    }

    fn speaks(&self) -> &'static str {
        match self.dialect() {
            Dialect::Moqt22 => "draft 22",
            Dialect::Moqt18 => "draft 18",
            Dialect::MoqLite => "moq-lite 03",
            Dialect::Bare => "nothing",
        }
    }

    pub(super) fn dialect(&self) -> Dialect {
        match self.kind {
            Kind::Shared | Kind::Worker => Dialect::Moqt22,
            Kind::Lite | Kind::IoUring => Dialect::MoqLite,
            Kind::Ietf => Dialect::Moqt18,
        }
    }

    /// Whether tracks of such shapes can be published to it.
    pub(super) fn takes(&self, shapes: &[Shape]) -> bool {
        // moq-lite has no datagrams before its version 05.
        self.dialect() != Dialect::MoqLite || !shapes.contains(&Shape::AudioDatagrams)
    }

    /// Starts it with a certificate and files of its own, open to everybody.
    pub(super) fn start(&self) -> Result<Server> {
        let folder = tempfile::tempdir()?;
        write_certificate(folder.path())?;
        let server = Server::start(&self.program, |address| self.words(address, folder.path()))?;
        Ok(server.keeping(folder))
    }

    fn words(&self, address: SocketAddr, folder: &Path) -> Vec<String> {
        let file = |name| folder.join(name).to_string_lossy().into_owned();
        let (certificate, key) = (file(CERTIFICATE), file(KEY));
        let mut words = match self.kind {
            Kind::Ietf => vec!["--bind".into(), address.to_string()],
            _ => vec!["--listen".into(), address.to_string()],
        };
        let more: &[&str] = match self.kind {
            Kind::Ietf => &[
                "--tls-cert",
                &certificate,
                "--tls-key",
                &key,
                // Else it is one for all that run on this machine.
                "--coordinator-file",
                &file("coordinator.json"),
            ],
            _ => &[
                "--listen-tls-cert",
                &certificate,
                "--listen-tls-key",
                &key,
                "--auth-public",
                "**",
                "--listen-version",
                match self.dialect() {
                    Dialect::MoqLite => "moq-lite-03",
                    _ => "moq-transport-22",
                },
            ],
        };
        words.extend(more.iter().map(|word| (*word).to_owned()));
        // Its core is chosen by us.
        let worker = ["--runtime-workers=1", "--runtime-pin=false"];
        let io_uring = "--runtime-io-uring=true";
        match self.kind {
            Kind::Shared | Kind::Ietf => {}
            Kind::Worker | Kind::Lite => words.extend(worker.map(str::to_owned)),
            Kind::IoUring => {
                words.extend(worker.into_iter().chain([io_uring]).map(str::to_owned));
            }
        }
        words
    }
}

const CERTIFICATE: &str = "certificate.pem";
const KEY: &str = "key.pem";

fn write_certificate(folder: &Path) -> Result<()> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]);
    let made = made.context("making a certificate")?;
    fs::write(folder.join(CERTIFICATE), made.cert.pem())?;
    fs::write(folder.join(KEY), made.signing_key.serialize_pem())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_told_by_kind_version_and_program() {
        let peer: Peer = "moq-relay-ietf@0.8.0=/opt/relay".parse().expect("one");
        assert_eq!(peer.describe(), "moq-relay-ietf 0.8.0 (draft 18)");
        assert_eq!(peer.program, Path::new("/opt/relay"));
        for wrong in [
            "moq-relay=/opt/relay",
            "moq-relay@1",
            "someone@1=/opt/relay",
        ] {
            assert!(wrong.parse::<Peer>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_has_no_datagrams_is_not_asked_for_them() {
        let peer: Peer = "moq-relay-io-uring@1=x".parse().expect("one");
        assert!(!peer.takes(&[Shape::AudioDatagrams]) && peer.takes(&[Shape::Video]));
    }
}
