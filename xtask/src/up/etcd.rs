//! A real etcd cluster for the control plane's state: three members, each at an address of its own.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::{addresses::Block, interrupt::Interrupt, process::Supervisor};
use crate::shell;

/// The members' client URLs.
#[derive(Clone, Debug)]
pub struct Etcd {
    /// As in `http://127.0.0.1:2379`.
    pub endpoints: Vec<String>,
}

impl Etcd {
    /// Starts an empty cluster and waits until it takes writes.
    ///
    /// # Errors
    /// If it does not.
    pub fn start(
        supervisor: &mut Supervisor,
        block: &Block,
        folder: &Path,
        interrupt: &Interrupt,
    ) -> Result<Self> {
        let members = (1..=MEMBERS).map(|number| Member::place(number, block));
        let members: Vec<_> = members.collect::<Result<_>>()?;
        let peers = members
            .iter()
            .map(|m| format!("{}={}", m.name, url(m.peers)));
        let cluster = peers.collect::<Vec<_>>().join(",");
        for member in &members {
            let data = folder.join(&member.name);
            // What an earlier run left is another cluster's.
            let _ = fs::remove_dir_all(&data);
            let mut command = member.command(&cluster, &data);
            supervisor.start(&member.name, &mut command)?;
        }
        let etcd = Self {
            endpoints: members.iter().map(|member| url(member.clients)).collect(),
        };
        etcd.wait_until_healthy(interrupt)?;
        Ok(etcd)
    }

    fn wait_until_healthy(&self, interrupt: &Interrupt) -> Result<()> {
        let deadline = Instant::now() + START_UP;
        let endpoints = self.endpoints.join(",");
        loop {
            let check = ["--endpoints", &endpoints, "endpoint", "health"];
            let mut check = shell::command("etcdctl", check);
            if shell::output(check.env("ETCDCTL_API", "3"))?
                .status
                .success()
            {
                return Ok(());
            }
            interrupt.check()?;
            if Instant::now() > deadline {
                bail!("etcd takes no writes; see the logs of {NAME}-1 to {NAME}-{MEMBERS}");
            }
            std::thread::sleep(POLL);
        }
    }
}

struct Member {
    name: String,
    clients: SocketAddr,
    peers: SocketAddr,
}

impl Member {
    fn place(number: u8, block: &Block) -> Result<Self> {
        let host = FIRST_HOST + number;
        Ok(Self {
            name: format!("{NAME}-{number}"),
            clients: block.port(host, 2379).context("for etcd")?,
            peers: block.port(host, 2380).context("for etcd")?,
        })
    }

    fn command(&self, cluster: &str, data: &Path) -> Command {
        let (clients, peers) = (url(self.clients), url(self.peers));
        let mut command = Command::new("etcd");
        command
            .args(["--name", &self.name])
            .arg("--data-dir")
            .arg(data);
        command.args(["--listen-client-urls", &clients]);
        command.args(["--advertise-client-urls", &clients]);
        command.args(["--listen-peer-urls", &peers]);
        command.args(["--initial-advertise-peer-urls", &peers]);
        command.args([
            "--initial-cluster",
            cluster,
            "--initial-cluster-state",
            "new",
        ]);
        command.args([
            "--logger",
            "zap",
            "--log-outputs",
            "stderr",
            "--log-level",
            "warn",
        ]);
        command
    }
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}")
}

/// The names of the processes begin with this.
pub const NAME: &str = "etcd";

const MEMBERS: u8 = 3;

/// Hosts before it are offices and replicas.
const FIRST_HOST: u8 = 220;

const START_UP: Duration = Duration::from_secs(30);

const POLL: Duration = Duration::from_millis(100);
