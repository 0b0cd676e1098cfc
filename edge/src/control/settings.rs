//! `[control]`: where the control plane is, and what this edge says of itself.

use crate::config::Config;
use crate::neighbours::place::Place;
use meridian_process::config::{Wrong, wrong};
use serde::Deserialize;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// How to reach the control plane.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControlSettings {
    /// `https://host:port`. Every address that a host's name has is a replica.
    pub addresses: Vec<ReplicaUrl>,
    /// The authority that signs the control plane's certificates, PEM.
    pub ca: PathBuf,
    /// The name in them, if it is not the host's.
    pub server_name: Option<String>,
    /// The folder in which the last good snapshot is kept.
    pub state: PathBuf,
    /// Where others dial this edge, if not where it listens.
    #[serde(default)]
    pub advertise: Advertise,
    /// What fails together has the same one; the office's id if absent.
    pub failure_domain: Option<String>,
    /// What it can carry.
    #[serde(default)]
    pub capacity: CapacitySettings,
    /// Delegates are told the SHA-256 of the certificate they will see: it is not signed by a public authority.
    #[serde(default)]
    pub publish_certificate: bool,
}

/// Addresses as others see them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Advertise {
    /// For clients, UDP and TCP.
    pub clients: Option<Place>,
    /// For other edges, UDP.
    pub neighbours: Option<Place>,
}

/// What an edge can carry. What is absent is not said.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CapacitySettings {
    /// Client sessions at a time; `limits.clients` if absent.
    pub clients: Option<u32>,
    /// Towards clients and other edges together, in bit/s.
    pub bits_per_second: Option<u64>,
    /// Edges below it at a time.
    pub children: Option<u32>,
}

/// `https://cp-1.example:8443`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(try_from = "String")]
pub struct ReplicaUrl(pub Place);

/// A text that is no such address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no control plane's address; try 'https://host:port'")]
pub struct NoReplicaUrl(String);

impl TryFrom<String> for ReplicaUrl {
    type Error = NoReplicaUrl;

    fn try_from(text: String) -> Result<ReplicaUrl, NoReplicaUrl> {
        let place = text.strip_prefix("https://");
        let place = place.and_then(|place| place.trim_end_matches('/').parse().ok());
        place.map(ReplicaUrl).ok_or(NoReplicaUrl(text))
    }
}

impl fmt::Display for ReplicaUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}", self.0)
    }
}

impl ControlSettings {
    /// Whether it fits the rest of the configuration. An error names a piece of the text that is on the line to mend.
    pub(crate) fn check(&self, config: &Config) -> Result<(), Wrong> {
        let contradiction = if config.neighbour_tls.is_none() {
            Some((
                "[control]",
                "the control plane needs a [neighbour_tls] section: its certificate is shown there too",
            ))
        } else if !config.neighbours.is_empty() {
            Some((
                "[[neighbour]]",
                "the control plane gives the neighbours; take out [control] or these",
            ))
        } else if config.access.token_keys.is_some() {
            Some((
                "token_keys",
                "the control plane gives the keys; take out [control] or this",
            ))
        } else if config.access.open {
            Some((
                "open = ",
                "with [control], who comes in needs a token; take this out",
            ))
        } else if config.listen.neighbours.is_none() {
            Some((
                "[listen]",
                "with [control], other edges are to dial this one: `neighbours` is needed",
            ))
        } else if self.addresses.is_empty() {
            Some(("addresses", "there is no control plane without an address"))
        } else if self.state.exists() && !self.state.is_dir() {
            Some(("state", "this is no folder"))
        } else {
            None
        };
        if let Some((needle, what)) = contradiction {
            return wrong(needle, what);
        }
        self.check_advertised(config)
    }

    fn check_advertised(&self, config: &Config) -> Result<(), Wrong> {
        let clients = (
            self.advertise.clients.is_none(),
            Some(config.listen.clients),
        );
        let neighbours = (
            self.advertise.neighbours.is_none(),
            config.listen.neighbours,
        );
        for (name, (is_silent, listens), may_choose) in [
            ("clients", clients, true),
            ("neighbours", neighbours, false),
        ] {
            let listens = listens.filter(|_| is_silent);
            let cannot_be_dialled =
                |at: &SocketAddr| at.ip().is_unspecified() || (at.port() == 0 && !may_choose);
            if let Some(at) = listens.filter(cannot_be_dialled) {
                let what = format!("nobody can dial {at}: say `advertise.{name}` in [control]");
                return wrong(&at.to_string(), what);
            }
        }
        Ok(())
    }

    /// What others dial, where the doors for clients are at `clients`: for clients, and for neighbours if it listens for any.
    pub(crate) fn advertised(
        &self,
        config: &Config,
        clients: SocketAddr,
    ) -> (Place, Option<Place>) {
        let neighbours = self.advertise.neighbours.clone();
        let neighbours = neighbours.or(config.listen.neighbours.map(Place::from));
        let clients = self.advertise.clients.clone().unwrap_or(clients.into());
        (clients, neighbours)
    }

    /// What it means, for `--check-config`.
    pub(crate) fn describe(&self) -> String {
        let addresses: Vec<_> = self.addresses.iter().map(ToString::to_string).collect();
        let mut text = format!(
            "\n  neighbours, keys and orders from the control plane at {}",
            addresses.join(", ")
        );
        text += &format!("\n  the last ones are kept in {}", self.state.display());
        let Advertise {
            clients,
            neighbours,
        } = &self.advertise;
        if let Some(place) = clients {
            text += &format!("\n  clients dial {place}");
        }
        if let Some(place) = neighbours {
            text += &format!("\n  neighbours dial {place}");
        }
        text
    }
}
