//! The control plane's configuration: a TOML file, read whole and checked before a port is bound.

use crate::oidc::config::OidcConfig;
use crate::store::etcd::{self, EtcdConfig};
use anyhow::Context;
use meridian_control_core::ids::Replica;
use meridian_process::config::{self, ConfigError, Wrong, wrong};
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a replica is told.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where it listens: gRPC, gRPC-web and pages, TCP.
    pub listen: SocketAddr,
    /// This replica's name among the others; the host's name if absent.
    pub replica: Option<String>,
    /// The certificate it shows.
    pub tls: Identity,
    /// Edges that may come in.
    pub edges: Edges,
    /// Where its state is.
    pub store: StoreConfig,
    /// How edges are joined.
    #[serde(default)]
    pub topology: Topology,
    /// How fast people come in.
    #[serde(default)]
    pub admission: Admission,
    /// How long tokens live.
    #[serde(default)]
    pub tokens: Tokens,
    /// What the port serves besides gRPC.
    #[serde(default)]
    pub pages: Pages,
    /// Where people are.
    #[serde(default)]
    pub geography: Geography,
    /// Sign-in with the organisation's own accounts; without it there are personal links and access tokens alone.
    pub oidc: Option<OidcConfig>,
    /// Spans of time.
    #[serde(default)]
    pub timing: Timing,
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

/// Edges that may come in.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edges {
    /// The authority that signs edges' certificates, PEM. Their names are their offices' ids.
    pub ca: PathBuf,
}

/// Where the state is: one of the two.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreConfig {
    /// One durable file, for one replica.
    pub embedded: Option<PathBuf>,
    /// A cluster, for any number of replicas.
    pub etcd: Option<Etcd>,
}

/// How to reach etcd.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Etcd {
    /// As in `https://10.0.0.1:2379`; all members.
    pub endpoints: Vec<String>,
    /// The authority of its members' certificates, PEM.
    pub ca: Option<PathBuf>,
    /// What this replica shows them.
    pub identity: Option<Identity>,
    /// A user, if etcd asks for one.
    pub user: Option<String>,
    /// The file with the user's password.
    pub password_file: Option<PathBuf>,
}

impl Etcd {
    /// The same with its files read.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn settings(&self) -> anyhow::Result<EtcdConfig> {
        let read = |path: &Path| {
            let bytes = std::fs::read(path);
            bytes.with_context(|| path.display().to_string())
        };
        let identity = |files: &Identity| {
            anyhow::Ok(etcd::Identity {
                certificate: read(&files.certificate)?,
                key: read(&files.key)?,
            })
        };
        let identity = self.identity.as_ref().map(identity).transpose()?;
        let authority = self.ca.as_deref().map(read).transpose()?;
        let password = self.password_file.as_deref().map(read).transpose()?;
        let password = String::from_utf8(password.unwrap_or_default()).context("the password")?;
        Ok(EtcdConfig {
            tls: authority.map(|authority| etcd::Tls {
                authority,
                identity,
                server_name: None,
            }),
            user: self.user.as_ref().map(|name| etcd::User {
                name: name.clone(),
                password: password.trim_end().to_owned(),
            }),
            ..EtcdConfig::new(&self.endpoints)
        })
    }
}

/// How edges are joined.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Topology {
    /// The root's office.
    pub origin: String,
    /// Offices that may be the root when it is gone; empty: any.
    pub standby: Vec<String>,
}

impl Default for Topology {
    fn default() -> Topology {
        Topology {
            origin: "geneva".into(),
            standby: Vec::new(),
        }
    }
}

/// How fast people come in, at each replica.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Admission {
    /// Let in each second, reserved lanes apart.
    pub joins_per_second: u32,
    /// Let in at once after a quiet time.
    pub burst: u32,
    /// How many may wait.
    pub queue: usize,
}

impl Default for Admission {
    fn default() -> Admission {
        // What two cores that also serve media bear without a join becoming slow: an edge takes 200 in a second.
        Admission {
            joins_per_second: 1_000,
            burst: 1_000,
            queue: 50_000,
        }
    }
}

/// How long tokens live.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tokens {
    /// Media tokens, in seconds: this long people can re-join while the control plane is away. 60 to 86,400.
    pub media_s: u64,
    /// How long a key signs, in seconds; the next one is known to edges as long before.
    pub rotate_s: u64,
}

impl Default for Tokens {
    fn default() -> Tokens {
        // Longer than a half-day's meeting, shorter than a working day.
        Tokens {
            media_s: 4 * 3_600,
            rotate_s: 24 * 3_600,
        }
    }
}

/// What the port serves besides gRPC.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pages {
    /// Static files.
    pub folder: Option<PathBuf>,
    /// What links begin with, as in `https://meet.example.org`.
    pub base_url: Option<String>,
}

/// Where people are.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Geography {
    /// A MaxMind DB file (City or Country).
    pub maxmind: Option<PathBuf>,
    /// Offices, CSV as `data/offices.csv`; the offices of the organisation if absent.
    pub offices: Option<PathBuf>,
}

/// Spans of time, in milliseconds.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timing {
    /// Without a report for this long an edge's lease lapses.
    pub lease_ms: u32,
    /// How often edges report.
    pub report_ms: u32,
    /// After this replica starts, or was cut off, no edge is called gone for this long.
    pub grace_ms: u32,
    /// A replica's own lease at the store, and its leadership's.
    pub replica_ms: u32,
    /// How long a place is kept for a delegate who is on the way.
    pub reservation_ms: u32,
}

impl Default for Timing {
    fn default() -> Timing {
        // Edges re-parent and delegates move alone within two seconds; what the control plane thinks may take longer.
        Timing {
            lease_ms: 6_000,
            report_ms: 1_000,
            grace_ms: 20_000,
            replica_ms: 6_000,
            reservation_ms: 15_000,
        }
    }
}

impl Timing {
    /// [`Timing::replica_ms`].
    pub fn replica(&self) -> Duration {
        Duration::from_millis(self.replica_ms.into())
    }
}

impl config::Config for Config {
    fn check(&self) -> Result<(), Wrong> {
        match (&self.store.embedded, &self.store.etcd) {
            (Some(_), Some(_)) | (None, None) => {
                return wrong("[store", "give one of `embedded` and `etcd`");
            }
            (None, Some(etcd)) if etcd.endpoints.is_empty() => {
                return wrong("endpoints", "etcd needs at least one endpoint");
            }
            _ => {}
        }
        if !(60..=86_400).contains(&self.tokens.media_s) {
            return wrong("media_s", "media tokens live 60 to 86,400 seconds");
        }
        if self.tokens.rotate_s < 60 {
            return wrong("rotate_s", "a key signs for at least 60 seconds");
        }
        if self.admission.joins_per_second == 0 || self.admission.burst == 0 {
            return wrong("[admission]", "with a rate or burst of 0 nobody comes in");
        }
        if let Some(name) = &self.replica
            && let Err(error) = Replica::new(name)
        {
            return wrong("replica", error.to_string());
        }
        let timing = &self.timing;
        if timing.report_ms < 100 || timing.lease_ms < 3 * timing.report_ms {
            return wrong(
                "[timing]",
                "reports come every 100 ms at most, and a lease outlives three of them",
            );
        }
        if timing.replica_ms < 1_000 {
            return wrong("replica_ms", "the store's leases last at least 1,000 ms");
        }
        if let Some(oidc) = &self.oidc {
            oidc.check()?;
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

    fn check_files(&self) -> Result<(), Wrong> {
        let mut files = vec![&self.tls.certificate, &self.tls.key, &self.edges.ca];
        if let Some(etcd) = &self.store.etcd {
            files.extend(etcd.ca.iter().chain(&etcd.password_file));
            files.extend(etcd.identity.iter().flat_map(|i| [&i.certificate, &i.key]));
        }
        files.extend(self.geography.maxmind.iter().chain(&self.geography.offices));
        files.extend(self.oidc.iter().flat_map(OidcConfig::files));
        for path in files {
            if !path.is_file() {
                let needle = path.display().to_string();
                return wrong(&needle, format!("{needle}: no such file"));
            }
        }
        match &self.pages.folder {
            Some(folder) if !folder.is_dir() => {
                let needle = folder.display().to_string();
                wrong(&needle, format!("{needle}: no such folder"))
            }
            _ => Ok(()),
        }
    }

    /// A name for this run of the replica: as given or made from the host's, and `run`. Runs have names of their own, so
    /// that what one has given away is not counted as another's.
    pub fn replica(&self, run: u16) -> Replica {
        let host = || std::fs::read_to_string("/proc/sys/kernel/hostname");
        let name = self.replica.clone().or_else(|| host().ok());
        let fits = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-';
        let name = name.unwrap_or_default().to_ascii_lowercase();
        let name: String = name.chars().filter(fits).take(58).collect();
        Replica::new(&format!("{name}-{run:04x}")).expect("it has nothing but what fits")
    }

    /// What the file means, for `--check-config`.
    pub fn describe(&self) -> String {
        let store = match (&self.store.embedded, &self.store.etcd) {
            (Some(file), _) => format!("state in {}", file.display()),
            (_, Some(etcd)) => format!("state in etcd at {}", etcd.endpoints.join(", ")),
            _ => String::new(),
        };
        let Topology { origin, standby } = &self.topology;
        let standby = match standby.is_empty() {
            true => "any office".to_owned(),
            false => standby.join(" or "),
        };
        format!(
            "listens on {}: {store}\n  origin {origin}, standby {standby}\n  {} joins a second, media tokens live {} s",
            self.listen, self.admission.joins_per_second, self.tokens.media_s
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
listen = "127.0.0.1:8443"
[tls]
certificate = "Cargo.toml"
key = "Cargo.toml"
[edges]
ca = "Cargo.toml"
[store]
embedded = "state.redb"
"#;

    fn fails(from: &str, to: &str) -> (usize, String) {
        assert!(GOOD.contains(from), "{from}");
        config::parse::<Config>(&GOOD.replace(from, to)).expect_err(to)
    }

    #[test]
    fn a_short_file_is_enough() {
        let config = config::parse::<Config>(GOOD).expect("it is good");
        assert_eq!(config.topology.origin, "geneva");
        assert!(config.describe().contains("state in state.redb"));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        assert_eq!(fails("embedded", "embeded").0, 9);
        let (line, what) = fails("embedded = \"state.redb\"", "");
        assert!(line == 8 && what.contains("one of"), "{line}: {what}");
        let (line, what) = fails("key = \"Cargo.toml\"", "key = \"no.pem\"");
        assert!(line == 5 && what.contains("no.pem"), "{line}: {what}");
        let (line, what) = fails("[store]", "[tokens]\nmedia_s = 5\n[store]");
        assert!(line == 9 && what.contains("60 to"), "{line}: {what}");
    }

    #[test]
    fn sign_in_is_over_https_and_comes_back_to_where_it_is_taken() {
        let oidc = |redirect: &str, more: &str| {
            format!(
                "[oidc]\nissuer = \"https://id.test\"\nclient_id = \"m\"\n\
                 redirect_url = \"{redirect}\"\n{more}\n[store]"
            )
        };
        let good = "https://meet.test/oidc/callback";
        config::parse::<Config>(&GOOD.replace("[store]", &oidc(good, ""))).expect("it is good");
        for wrong in ["http://meet.test/oidc/callback", "https://meet.test/"] {
            let (line, what) = fails("[store]", &oidc(wrong, ""));
            assert!(
                line == 11 && what.contains("/oidc/callback"),
                "{line}: {what}"
            );
        }
        let organiser = "[[oidc.organisers]]\nemail = \"olga\"\noffices = [\"geneva\"]";
        let (line, what) = fails("[store]", &oidc(good, organiser));
        assert!(line == 13 && what.contains("e-mail"), "{line}: {what}");
    }
}
