//! One office's configuration: a TOML file, read whole and checked before a port is bound.

use crate::access::{self, Keys, KeysError};
use crate::congestion::Congestion;
use crate::control::settings::ControlSettings;
use crate::neighbours::place::Place;
use meridian_process::config::{self, ConfigError, Wrong, wrong};
use meridian_relay::Role;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

/// What an edge is told of itself and its neighbours.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The office's id, as in `bangkok`.
    pub office: String,
    /// Threads that serve clients, each with a relay of its own; one if absent, one for each core if 0.
    pub workers: Option<usize>,
    /// Where it listens.
    pub listen: Listen,
    /// The certificate clients see.
    pub tls: Identity,
    /// Credentials between edges; needed as soon as there are neighbours.
    pub neighbour_tls: Option<NeighbourIdentity>,
    /// Other edges. Those it dials have an address; children dial in.
    #[serde(default, rename = "neighbour")]
    pub neighbours: Vec<Neighbour>,
    /// Where offices are dialled that are to be reached by another way than the address they give: leased lines.
    #[serde(default)]
    pub reach: BTreeMap<String, Place>,
    /// Where the control plane is. It gives the neighbours and the keys then.
    pub control: Option<ControlSettings>,
    /// Who may do what.
    #[serde(default)]
    pub access: Access,
    /// Limits on memory and time.
    #[serde(default)]
    pub limits: Limits,
    /// How fast to send.
    #[serde(default)]
    pub congestion: Congestion,
}

/// Addresses.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// For clients: raw QUIC and WebTransport on UDP, WebSocket on the TCP port of the same number.
    pub clients: SocketAddr,
    /// For edges below and beside this one, UDP.
    pub neighbours: Option<SocketAddr>,
}

/// A certificate chain and its key, PEM files.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Leaf first.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// What an edge shows other edges, and whom it believes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NeighbourIdentity {
    /// The authority that signs edges' certificates.
    pub ca: PathBuf,
    /// Leaf first; its name is the office's id.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Another edge.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Neighbour {
    /// Its office's id: the name in its certificate.
    pub office: String,
    /// What it is to this edge.
    pub role: NeighbourRole,
    /// Where to dial it, by address or name. A child has none: it dials in.
    pub address: Option<Place>,
}

/// A neighbour's place.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum NeighbourRole {
    /// The edge above.
    Parent,
    /// A second edge above.
    BackupParent,
    /// An edge below.
    Child,
    /// A direct link to another region.
    Shortcut,
}

/// Who may publish and subscribe.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Access {
    /// Everybody may do everything.
    #[serde(default)]
    pub open: bool,
    /// The public keys that sign tokens: a JSON Web Key Set (RFC 7517) with Ed25519 keys. Without it, and not open, the
    /// edge lets no client in.
    pub token_keys: Option<PathBuf>,
}

/// Limits. What is absent keeps its default.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Bytes of media all tracks together may hold.
    pub cache_bytes: Option<usize>,
    /// Bytes of media one track may hold.
    pub track_cache_bytes: Option<usize>,
    /// Sessions of clients at a time.
    pub clients: Option<NonZeroUsize>,
}

/// The most workers an edge can have: more than any machine that is one office's has cores.
pub const MAX_WORKERS: usize = 64;

/// How many workers are meant by a number asked for: one if there is none, one for each core this process may use if 0.
pub fn workers(asked: Option<usize>) -> usize {
    match asked {
        Some(0) => std::thread::available_parallelism()
            .map_or(1, NonZeroUsize::get)
            .min(MAX_WORKERS),
        asked => asked.unwrap_or(1),
    }
}

impl config::Config for Config {
    fn check(&self) -> Result<(), Wrong> {
        self.check_listening()?;
        for n in 0..self.neighbours.len() {
            self.check_neighbour(n)?;
        }
        let is_parent = |other: &&Neighbour| other.role == NeighbourRole::Parent;
        if self.neighbours.iter().filter(is_parent).count() > 1 {
            return wrong("parent", "there is one parent; a second is a backup-parent");
        }
        if let Some(control) = &self.control {
            control.check(self)?;
        }
        self.check_files()
    }
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        config::load(path)
    }

    fn check_listening(&self) -> Result<(), Wrong> {
        if !is_office_id(&self.office) {
            return wrong(
                "office",
                "an office id has lower-case letters, digits and hyphens",
            );
        }
        if self.workers.is_some_and(|workers| workers > MAX_WORKERS) {
            return wrong(
                "workers",
                format!("there can be {MAX_WORKERS} workers at most"),
            );
        }
        if !self.neighbours.is_empty() && self.neighbour_tls.is_none() {
            return wrong("[[neighbour]]", "neighbours need a [neighbour_tls] section");
        }
        if self.listen.neighbours.is_some() && self.neighbour_tls.is_none() {
            return wrong(
                "neighbours",
                "listening for neighbours needs a [neighbour_tls] section",
            );
        }
        if self
            .listen
            .neighbours
            .is_some_and(|n| n.port() == self.listen.clients.port() && n.port() != 0)
        {
            return wrong(
                "neighbours",
                "clients and neighbours need ports of their own",
            );
        }
        Ok(())
    }

    fn check_neighbour(&self, n: usize) -> Result<(), Wrong> {
        let neighbour = &self.neighbours[n];
        let office = format!("\"{}\"", neighbour.office);
        if neighbour.office == self.office {
            return wrong(&office, "an office is not its own neighbour");
        }
        let mut before = self.neighbours[..n].iter();
        if before.any(|other| other.office == neighbour.office) {
            return wrong(&office, format!("{} is listed twice", neighbour.office));
        }
        let dials = neighbour.address.is_some();
        match neighbour.role {
            NeighbourRole::Child if dials => {
                wrong(&office, "a child dials in: it has no address here")
            }
            NeighbourRole::Parent | NeighbourRole::BackupParent if !dials => {
                wrong(&office, "a parent is dialled: it needs an address")
            }
            _ => Ok(()),
        }
    }

    fn check_files(&self) -> Result<(), Wrong> {
        for path in self.files() {
            if !path.is_file() {
                let needle = path.display().to_string();
                return wrong(&needle, format!("{needle}: no such file"));
            }
        }
        if self.access.open && self.access.token_keys.is_some() {
            return wrong("token_keys", "an open edge asks for no tokens");
        }
        if let Err((path, error)) = self.access() {
            let needle = path.display().to_string();
            return wrong(&needle, format!("{needle}: {error}"));
        }
        Ok(())
    }

    /// Who may do what. An error names the file it is about.
    pub fn access(&self) -> Result<access::Access, (&Path, KeysError)> {
        match &self.access.token_keys {
            None if self.access.open => Ok(access::Access::Open),
            None if self.control.is_some() => Ok(access::Access::ControlPlane),
            None => Ok(access::Access::Closed),
            Some(path) => match Keys::load(path) {
                Ok(keys) => Ok(access::Access::Tokens(keys)),
                Err(error) => Err((path, error)),
            },
        }
    }

    fn files(&self) -> Vec<&PathBuf> {
        let mut files = vec![&self.tls.certificate, &self.tls.key];
        if let Some(tls) = &self.neighbour_tls {
            files.extend([&tls.ca, &tls.certificate, &tls.key]);
        }
        files.extend(&self.access.token_keys);
        files.extend(self.control.as_ref().map(|control| &control.ca));
        files
    }

    /// The relay's limits with what this file changes.
    pub fn relay(&self) -> meridian_relay::Config {
        let mut relay = meridian_relay::Config::default();
        relay.cache_bytes = self.limits.cache_bytes.unwrap_or(relay.cache_bytes);
        relay.track_cache_bytes = self
            .limits
            .track_cache_bytes
            .unwrap_or(relay.track_cache_bytes);
        relay.office = Some(self.office.clone());
        relay
    }

    /// What the file means, for `--check-config`.
    pub fn describe(&self) -> String {
        let mut text = format!("{}: clients on {}", self.office, self.listen.clients);
        if let Some(address) = self.listen.neighbours {
            text += &format!(", neighbours on {address}");
        }
        match workers(self.workers) {
            1 => {}
            workers => text += &format!(", {workers} workers"),
        }
        for neighbour in &self.neighbours {
            text += &format!("\n  {:?} {}", neighbour.role, neighbour.office);
            let reached = self.reach.get(&neighbour.office);
            match reached.or(neighbour.address.as_ref()) {
                Some(address) => text += &format!(" at {address}"),
                None => text += ", dials in",
            }
        }
        if let Some(control) = &self.control {
            text += &control.describe();
        }
        text + match &self.access {
            Access { open: true, .. } => "\n  open to everybody",
            Access {
                token_keys: Some(_),
                ..
            } => "\n  open to who has a token",
            _ if self.control.is_some() => {
                "\n  open to who has a token, once the control plane has given the keys"
            }
            _ => "\n  closed to clients",
        }
    }
}

impl NeighbourRole {
    /// The role as the relay knows it.
    pub fn in_relay(self) -> Role {
        match self {
            NeighbourRole::Parent => Role::Parent,
            NeighbourRole::BackupParent => Role::BackupParent,
            NeighbourRole::Child => Role::Child,
            NeighbourRole::Shortcut => Role::Shortcut,
        }
    }
}

/// Whether a text can be an office's id: lower-case letters, digits and hyphens, 63 at most.
pub(crate) fn is_office_id(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !text.is_empty() && text.len() <= 63 && text.chars().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
office = "bangkok"
[listen]
clients = "127.0.0.1:4443"
neighbours = "127.0.0.1:4444"
[tls]
certificate = "Cargo.toml"
key = "Cargo.toml"
[neighbour_tls]
ca = "Cargo.toml"
certificate = "Cargo.toml"
key = "Cargo.toml"
[[neighbour]]
office = "geneva"
role = "parent"
address = "127.0.0.1:5000"
[access]
open = true
"#;

    fn fails(from: &str, to: &str) -> (usize, String) {
        assert!(GOOD.contains(from), "{from}");
        config::parse::<Config>(&GOOD.replace(from, to)).expect_err(to)
    }

    #[test]
    fn a_whole_file_is_taken() {
        let config = config::parse::<Config>(GOOD).expect("it is good");
        assert_eq!(config.neighbours[0].role.in_relay(), Role::Parent);
        assert!(
            config
                .describe()
                .contains("Parent geneva at 127.0.0.1:5000")
        );
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line() {
        let (line, what) = fails("open = true", "opne = true");
        assert_eq!(line, 18);
        assert!(what.contains("opne"), "{what}");
    }

    #[test]
    fn a_wrong_address_is_refused_with_its_line() {
        assert_eq!(fails("127.0.0.1:4443", "127.0.0.1").0, 4);
    }

    #[test]
    fn a_parent_without_address_is_refused_with_its_line() {
        let (line, what) = fails("address = \"127.0.0.1:5000\"\n", "");
        assert_eq!(line, 14);
        assert!(what.contains("needs an address"), "{what}");
    }

    #[test]
    fn an_office_may_be_named_and_reached_by_another_way() {
        let named = GOOD.replace("127.0.0.1:5000", "geneva.example.org:5000");
        let named = named + "[reach]\ngeneva = \"10.0.0.1:4444\"\n";
        let config = config::parse::<Config>(&named).expect("it is good");
        assert!(config.describe().contains("geneva at 10.0.0.1:4444"));
        let (line, what) = fails("127.0.0.1:5000", "geneva.example.org");
        assert_eq!(line, 16);
        assert!(what.contains("host:port"), "{what}");
    }

    #[test]
    fn there_is_one_worker_unless_more_are_asked_for() {
        let config = config::parse::<Config>(GOOD).expect("it is good");
        assert_eq!(workers(config.workers), 1);
        let more = GOOD.replace("[listen]", "workers = 4\n[listen]");
        let config = config::parse::<Config>(&more).expect("it is good");
        assert_eq!(workers(config.workers), 4);
        assert!(config.describe().contains("4 workers"));
        assert!(workers(Some(0)) >= 1);
    }

    #[test]
    fn too_many_workers_are_refused_with_their_line() {
        let (line, what) = fails("[listen]", "workers = 65\n[listen]");
        assert_eq!(line, 3);
        assert!(what.contains("64 workers"), "{what}");
    }

    #[test]
    fn an_edge_for_no_clients_is_refused_with_the_line() {
        let (line, what) = fails("[access]", "[limits]\nclients = 0\n[access]");
        assert_eq!(line, 18);
        assert!(what.contains("nonzero"), "{what}");
    }

    #[test]
    fn one_port_for_both_is_refused() {
        assert!(
            fails("127.0.0.1:4444", "127.0.0.1:4443")
                .1
                .contains("ports of their own")
        );
    }

    #[test]
    fn token_keys_that_are_none_are_refused_with_their_line() {
        let (line, what) = fails("open = true", "token_keys = \"./Cargo.toml\"");
        assert_eq!(line, 18);
        assert!(what.contains("not a JSON Web Key Set"), "{what}");
        let (line, what) = fails("open = true", "open = true\ntoken_keys = \"Cargo.toml\"");
        assert_eq!(line, 19);
        assert!(what.contains("asks for no tokens"), "{what}");
    }

    const CONTROLLED: &str = "[control]\naddresses = [\"https://cp.example:8443\"]\nca = \"Cargo.toml\"\nstate = \"no-such-folder\"\n";

    fn controlled() -> String {
        let (head, _) = GOOD.split_once("[[neighbour]]").expect("it has one");
        head.to_owned() + CONTROLLED
    }

    fn fails_controlled(from: &str, to: &str) -> (usize, String) {
        assert!(controlled().contains(from), "{from}");
        config::parse::<Config>(&controlled().replace(from, to)).expect_err(to)
    }

    #[test]
    fn a_control_plane_gives_neighbours_and_keys() {
        let config = config::parse::<Config>(&controlled()).expect("it is good");
        let text = config.describe();
        assert!(text.contains("https://cp.example:8443"), "{text}");
        assert!(
            text.contains("once the control plane has given the keys"),
            "{text}"
        );
        assert!(matches!(config.access(), Ok(access::Access::ControlPlane)));
    }

    #[test]
    fn what_contradicts_a_control_plane_is_refused_with_its_line() {
        let both = GOOD.replace("[access]\nopen = true\n", CONTROLLED);
        assert_eq!(
            config::parse::<Config>(&both)
                .expect_err("two say who is next")
                .0,
            13
        );
        let (line, what) = fails_controlled("[control]", "[access]\nopen = true\n[control]");
        assert_eq!(line, 14);
        assert!(what.contains("needs a token"), "{what}");
        let keys = "[access]\ntoken_keys = \"Cargo.toml\"\n[control]";
        assert_eq!(fails_controlled("[control]", keys).0, 14);
        let (line, what) = fails_controlled("https://cp", "http://cp");
        assert_eq!(line, 14);
        assert!(what.contains("https://host:port"), "{what}");
        let (line, what) = fails_controlled("127.0.0.1:4444", "0.0.0.0:4444");
        assert_eq!(line, 5);
        assert!(what.contains("advertise.neighbours"), "{what}");
        let said = "[control]\nadvertise = { neighbours = \"bangkok.example:4444\" }";
        let text = controlled().replace("127.0.0.1:4444", "0.0.0.0:4444");
        config::parse::<Config>(&text.replace("[control]", said))
            .expect("others know where to dial");
    }

    #[test]
    fn a_missing_file_is_named() {
        let (line, what) = fails(
            "certificate = \"Cargo.toml\"\nkey",
            "certificate = \"no.pem\"\nkey",
        );
        assert_eq!(line, 7);
        assert!(what.contains("no.pem"), "{what}");
    }
}
