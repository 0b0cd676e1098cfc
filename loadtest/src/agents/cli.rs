//! What command lines say of agents, made whole and checked before anything starts.

use super::agent::Visit;
use super::door::Terms;
use super::error::AgentsError;
use crate::scenario::Span;
use meridian_client::dial::system_bundle;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use url::Url;

/// For `run`: who plays, if not this process.
#[derive(Clone, Debug, clap::Args)]
pub struct CoordinatorArgs {
    /// Agents that play the delegates; this process then plays nobody.
    #[arg(long, value_name = "N", requires_all = ["agents_listen", "agents_token_file"])]
    agents: Option<u32>,
    /// Where agents are let in; without a certificate only on loopback.
    #[arg(long, value_name = "IP:PORT", requires = "agents")]
    agents_listen: Option<SocketAddr>,
    /// What agents know this coordinator by (PEM).
    #[arg(long, value_name = "FILE", requires_all = ["agents", "agents_key"])]
    agents_certificate: Option<PathBuf>,
    /// Its key (PEM).
    #[arg(long, value_name = "FILE", requires_all = ["agents", "agents_certificate"])]
    agents_key: Option<PathBuf>,
    /// What agents have to show.
    #[arg(long, value_name = "FILE", requires = "agents")]
    agents_token_file: Option<PathBuf>,
    /// How long agents are waited for: until all are there, and then until all are ready.
    #[arg(long, value_name = "SPAN", default_value = "60s")]
    agents_wait: Span,
}

/// For `agent`.
#[derive(Clone, Debug, clap::Args)]
pub struct AgentArgs {
    /// Where the coordinator lets agents in, as in `https://load.example:7000`.
    #[arg(long, value_name = "URL", env = "MERIDIAN_LOADTEST_COORDINATOR")]
    coordinator: Url,
    /// The authorities of its certificate (PEM); the machine's if not given.
    #[arg(long, value_name = "FILE", env = "MERIDIAN_LOADTEST_CA")]
    ca: Option<PathBuf>,
    /// The token that the coordinator wants to be shown.
    #[arg(long, value_name = "FILE", env = "MERIDIAN_LOADTEST_TOKEN_FILE")]
    token_file: PathBuf,
    /// What it is called in the report; the machine's name if not given.
    #[arg(long, env = "MERIDIAN_LOADTEST_NAME")]
    name: Option<String>,
    /// Threads that play delegates; 0: one for each core.
    #[arg(long, default_value_t = 0, env = "MERIDIAN_LOADTEST_THREADS")]
    threads: usize,
    /// How long the coordinator is dialled until it is there.
    #[arg(
        long,
        value_name = "SPAN",
        default_value = "60s",
        env = "MERIDIAN_LOADTEST_WAIT"
    )]
    wait: Span,
}

impl CoordinatorArgs {
    /// On what terms agents play; none if they do not.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn terms(&self) -> Result<Option<Terms>, AgentsError> {
        let (Some(agents), Some(listen), Some(token_file)) =
            (self.agents, self.agents_listen, &self.agents_token_file)
        else {
            return Ok(None);
        };
        let identity = match (&self.agents_certificate, &self.agents_key) {
            (Some(certificate), Some(key)) => Some((read(certificate)?, read(key)?)),
            _ => None,
        };
        Ok(Some(Terms {
            agents,
            listen,
            identity,
            token: token(token_file)?,
            wait: self.agents_wait.0,
        }))
    }
}

impl AgentArgs {
    /// Whom to join, and as whom.
    ///
    /// # Errors
    /// A file cannot be read, or there is no authority.
    pub fn visit(&self) -> Result<Visit, AgentsError> {
        let own = || system_bundle().map(Path::to_owned);
        let ca = match self.coordinator.scheme() {
            "https" => {
                let missing = || AgentsError::Usage("give --ca".to_owned());
                read(&self.ca.clone().or_else(own).ok_or_else(missing)?)?
            }
            _ => Vec::new(),
        };
        Ok(Visit {
            coordinator: self.coordinator.clone(),
            ca,
            token: token(&self.token_file)?,
            name: self.name.clone().unwrap_or_else(machine_name),
            threads: self.threads,
            wait: self.wait.0,
        })
    }
}

fn machine_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname");
    name.unwrap_or_default().trim().to_owned()
}

fn token(file: &Path) -> Result<String, AgentsError> {
    let token = String::from_utf8_lossy(&read(file)?).trim().to_owned();
    let empty = || AgentsError::Usage(format!("{}: it is empty", file.display()));
    Some(token)
        .filter(|token| !token.is_empty())
        .ok_or_else(empty)
}

fn read(file: &Path) -> Result<Vec<u8>, AgentsError> {
    let told = |error| AgentsError::Usage(format!("{}: {error}", file.display()));
    std::fs::read(file).map_err(told)
}
