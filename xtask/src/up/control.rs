//! The control plane: its replicas, their state, and what `meridianctl` says of it.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde_json::Value;

use super::{
    addresses::Block, etcd::Etcd, interrupt::Interrupt, process::Supervisor, world::program,
};
use crate::{
    certs::{Authority, Identity},
    shell,
};

/// Where the control plane keeps its state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Store {
    /// A file of the one replica's own.
    #[default]
    Embedded,
    /// A cluster of three members, started for the occasion.
    Etcd,
}

/// Replicas that run.
#[derive(Clone, Debug)]
pub struct ControlPlane {
    /// As in `https://127.0.0.1:8443`, one for each replica.
    pub urls: Vec<String>,
    /// The authority of its certificates.
    pub ca: PathBuf,
    /// What `meridianctl` reads: where to go and as whom.
    pub settings: PathBuf,
}

/// How a control plane is to be.
pub struct Plan<'a> {
    /// Where its state is.
    pub store: Store,
    /// How many replicas; one with the embedded store.
    pub replicas: u8,
    /// The office that is the root.
    pub origin: &'a str,
    /// How fast people come in; what the control plane does by itself if none.
    pub pace: Option<Pace>,
    /// For configurations and state.
    pub folder: &'a Path,
}

/// How fast people come in at each replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Pace {
    /// In the long run, each second.
    pub joins_per_second: u32,
    /// At once after a quiet time.
    pub burst: u32,
}

impl Pace {
    /// As many as come: a million a second is more than any machine bears.
    pub const NONE: Self = Self {
        joins_per_second: 1_000_000,
        burst: 1_000_000,
    };
}

impl ControlPlane {
    /// Starts the store and the replicas, with a first operator, and waits until all are ready.
    ///
    /// # Errors
    /// If something does not start.
    pub fn start(
        supervisor: &mut Supervisor,
        block: &Block,
        authority: &Authority,
        plan: &Plan<'_>,
        interrupt: &Interrupt,
    ) -> Result<Self> {
        let state = plan.folder.join("state");
        // Each run begins with nothing.
        let _ = fs::remove_dir_all(&state);
        fs::create_dir_all(&state)?;
        let store = match plan.store {
            Store::Embedded => StoreConfig::Embedded(state.join("control-plane.redb")),
            Store::Etcd => StoreConfig::Etcd(EtcdEndpoints {
                endpoints: Etcd::start(supervisor, block, &state, interrupt)?.endpoints,
            }),
        };
        let (mut urls, mut configs) = (Vec::new(), Vec::new());
        for number in 1..=plan.replicas {
            let replica = Replica::place(number, block, authority, plan, &store)?;
            urls.push(format!("https://{}", replica.listen));
            configs.push(replica);
        }
        let settings = first_operator(&configs[0].file, &urls, authority, plan.folder)?;
        for replica in &configs {
            let mut command = Command::new(program("meridian-control-plane"));
            supervisor.start(&replica.name, command.arg("--config").arg(&replica.file))?;
        }
        let control = Self {
            urls,
            ca: authority.certificate(),
            settings,
        };
        control.wait_until_ready(interrupt)?;
        Ok(control)
    }

    /// What `meridianctl` answers, as JSON.
    ///
    /// # Errors
    /// If it ends with an error, with what it said.
    pub fn ask(&self, args: &[&str]) -> Result<Value> {
        let mut command = self.meridianctl(args);
        let answer = shell::read(command.args(["--output", "json"]))?;
        serde_json::from_str(&answer).with_context(|| format!("meridianctl {}", args.join(" ")))
    }

    /// The same of every replica, one answer each.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub fn ask_each(&self, args: &[&str]) -> Result<Vec<Value>> {
        let ask = |url: &String| self.ask(&[args, &["--server", url]].concat());
        self.urls.iter().map(ask).collect()
    }

    /// What `meridianctl` prints for people.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub fn show(&self, args: &[&str]) -> Result<String> {
        shell::read(&mut self.meridianctl(args))
    }

    fn meridianctl(&self, args: &[&str]) -> Command {
        let mut command = Command::new(program("meridianctl"));
        command.args(args).arg("--config").arg(&self.settings);
        // Of another network perhaps.
        for name in ["MERIDIAN_SERVER", "MERIDIAN_CA", "MERIDIAN_TOKEN"] {
            command.env_remove(name);
        }
        command
    }

    fn wait_until_ready(&self, interrupt: &Interrupt) -> Result<()> {
        let deadline = Instant::now() + START_UP;
        loop {
            let error = match self.ask(&["status", "--timeout", "2s"]) {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            interrupt.check()?;
            if Instant::now() > deadline {
                return Err(error.context("the control plane does not become ready"));
            }
            std::thread::sleep(POLL);
        }
    }
}

/// A replica before it is started.
struct Replica {
    name: String,
    listen: std::net::SocketAddr,
    file: PathBuf,
}

impl Replica {
    fn place(
        number: u8,
        block: &Block,
        authority: &Authority,
        plan: &Plan<'_>,
        store: &StoreConfig,
    ) -> Result<Self> {
        let name = format!("{NAME}-{number}");
        let listen = block.port(FIRST_HOST + number, 8443)?;
        let address = format!("IP:{}", listen.ip());
        let identity = authority.identity(&name, &["DNS:localhost", &address])?;
        let config = Config {
            listen,
            replica: &name,
            tls: &identity,
            edges: Edges {
                ca: authority.certificate(),
            },
            store,
            topology: Topology {
                origin: plan.origin,
            },
            admission: plan.pace,
            pages: Pages {
                base_url: format!("https://{listen}"),
            },
        };
        let file = plan.folder.join(format!("{name}.toml"));
        fs::write(&file, toml::to_string(&config)?)
            .with_context(|| format!("cannot write {}", file.display()))?;
        Ok(Self { name, listen, file })
    }
}

/// Makes the first operator's token, while no replica uses the store, and the settings that name it.
fn first_operator(
    config: &Path,
    urls: &[String],
    authority: &Authority,
    folder: &Path,
) -> Result<PathBuf> {
    let mut command = Command::new(program("meridian-control-plane"));
    command.arg("--config").arg(config);
    let token = shell::read(command.args(["access", "--subject", "cargo xtask up", "--operator"]))?;
    if token.trim().is_empty() {
        bail!("the control plane gave no token to its first operator");
    }
    let token_file = folder.join("operator.token");
    write_secret(&token_file, token.trim())?;
    let settings = folder.join("meridianctl.toml");
    let written = toml::to_string(&Settings {
        server: urls,
        ca: authority.certificate(),
        token_file,
    })?;
    fs::write(&settings, written)?;
    Ok(settings)
}

/// For its owner alone from the first byte.
pub(super) fn write_secret(file: &Path, text: &str) -> Result<()> {
    let _ = fs::remove_file(file);
    let mut options = OpenOptions::new();
    let opened = options.write(true).create_new(true).mode(0o600).open(file);
    let mut opened = opened.with_context(|| format!("cannot write {}", file.display()))?;
    opened.write_all(text.as_bytes())?;
    Ok(())
}

#[derive(Serialize)]
struct Config<'a> {
    listen: std::net::SocketAddr,
    replica: &'a str,
    tls: &'a Identity,
    edges: Edges,
    store: &'a StoreConfig,
    topology: Topology<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    admission: Option<Pace>,
    pages: Pages,
}

#[derive(Serialize)]
struct Edges {
    ca: PathBuf,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
enum StoreConfig {
    Embedded(PathBuf),
    Etcd(EtcdEndpoints),
}

#[derive(Serialize)]
struct EtcdEndpoints {
    endpoints: Vec<String>,
}

#[derive(Serialize)]
struct Topology<'a> {
    origin: &'a str,
}

#[derive(Serialize)]
struct Pages {
    base_url: String,
}

#[derive(Serialize)]
struct Settings<'a> {
    server: &'a [String],
    ca: PathBuf,
    token_file: PathBuf,
}

/// The names of the processes begin with this.
pub const NAME: &str = "control-plane";

/// Hosts before it are offices.
const FIRST_HOST: u8 = 200;

const START_UP: Duration = Duration::from_secs(30);

const POLL: Duration = Duration::from_millis(100);
