//! Agents of this machine: they play the delegates in place of the tester itself, as on several machines.

use std::{
    fs::{self, File, Permissions},
    io::Read as _,
    net::SocketAddr,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use crate::up::{process, world};

/// So many agents; whoever is left is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Crew {
    folder: PathBuf,
    token_file: PathBuf,
    coordinator: SocketAddr,
    agents: u8,
    at_work: Vec<Child>,
}

impl Crew {
    /// Makes a token for them; they are not started yet. Logs go into the folder.
    ///
    /// # Errors
    /// If the folder cannot be written to.
    pub(super) fn prepare(folder: &Path, coordinator: SocketAddr, agents: u8) -> Result<Self> {
        let token_file = folder.join("agents.token");
        fs::write(&token_file, "").context("no file for the agents' token")?;
        fs::set_permissions(&token_file, Permissions::from_mode(0o600))?;
        fs::write(&token_file, token()?)?;
        Ok(Self {
            folder: folder.to_owned(),
            token_file,
            coordinator,
            agents,
            at_work: Vec::new(),
        })
    }

    /// What the coordinator has to be told.
    pub(super) fn for_the_coordinator(&self) -> Vec<String> {
        let pairs = [
            ("--agents", self.agents.to_string()),
            ("--agents-listen", self.coordinator.to_string()),
            ("--agents-token-file", self.token_file.display().to_string()),
        ];
        let words = pairs.into_iter();
        words
            .flat_map(|(flag, value)| [flag.to_owned(), value])
            .collect()
    }

    /// Starts all of them.
    ///
    /// # Errors
    /// If one cannot be started.
    pub(super) fn start(&mut self) -> Result<()> {
        for number in 1..=self.agents {
            let name = format!("agent-{number}");
            let log = self.folder.join(format!("{name}.log"));
            let log = File::create(log).context("no log for an agent")?;
            let mut command = process::tied(world::program("meridian-loadtest"));
            command
                .arg("agent")
                .args(["--coordinator", &format!("http://{}", self.coordinator)])
                .arg("--token-file")
                .arg(&self.token_file)
                .args(["--name", &name])
                .stdin(Stdio::null())
                .stdout(log.try_clone()?)
                .stderr(log)
                // Ctrl-C is the coordinator's: it tells them.
                .process_group(0);
            let agent = command.spawn().context("cannot start an agent")?;
            self.at_work.push(agent);
        }
        Ok(())
    }

    /// The coordinator has ended: so do they, by themselves or not.
    pub(super) fn end(mut self) {
        let until = Instant::now() + GRACE;
        while Instant::now() < until {
            let is_there = |agent: &mut Child| matches!(agent.try_wait(), Ok(None));
            if !self.at_work.iter_mut().any(is_there) {
                return;
            }
            thread::sleep(POLL);
        }
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        for agent in &mut self.at_work {
            // One that has ended already cannot be killed.
            let _ = agent.kill();
            let _ = agent.wait();
        }
    }
}

fn token() -> Result<String> {
    let mut random = [0_u8; 16];
    let source = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut random));
    source.context("no random numbers")?;
    Ok(random.map(|byte| format!("{byte:02x}")).concat())
}

/// An agent that was told that all is over says goodbye for its delegates.
const GRACE: Duration = Duration::from_secs(10);

const POLL: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace;

    #[test]
    fn agents_have_a_token_that_only_their_owner_reads_and_the_coordinator_is_told_where_it_is() {
        let folder = workspace::made("crew-test").unwrap();
        fs::create_dir_all(&folder).unwrap();
        let at = "127.70.1.230:7000".parse().unwrap();
        let crew = Crew::prepare(&folder, at, 2).unwrap();
        let token = fs::read_to_string(&crew.token_file).unwrap();
        assert_eq!(token.len(), 32);
        let mode = fs::metadata(&crew.token_file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let told = crew.for_the_coordinator().join(" ");
        assert!(
            told.starts_with("--agents 2 --agents-listen 127.70.1.230:7000 "),
            "{told}"
        );
        let other = Crew::prepare(&folder, at, 2).unwrap();
        assert_ne!(fs::read_to_string(&other.token_file).unwrap(), token);
    }
}
