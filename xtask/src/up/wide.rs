//! Emulated wide-area paths between every two offices: one `meridian-wan` process, a link each way for each pair.

use std::{
    collections::BTreeMap, fmt::Write as _, fs, net::SocketAddr, path::Path, process::Command,
    time::Duration,
};

use anyhow::{Context, Result};
use serde_json::Value;

use super::{link::LinkSpec, office::Office, process::Supervisor};

/// All paths, running.
#[derive(Clone, Debug)]
pub struct WideArea {
    /// Where the first dials the second.
    doors: BTreeMap<(String, String), SocketAddr>,
}

impl WideArea {
    /// Starts `program` (a built `meridian-wan`) with the paths that `path` says, from each office to each other.
    ///
    /// # Errors
    /// If a path is not known, or the process does not start.
    pub fn start(
        supervisor: &mut Supervisor,
        program: &Path,
        folder: &Path,
        offices: &[Office],
        seed: u64,
        path: impl Fn(&str, &str) -> Result<LinkSpec>,
    ) -> Result<Self> {
        let mut lines = String::new();
        for from in offices {
            for to in offices.iter().filter(|to| to.id != from.id) {
                let listen = SocketAddr::new(from.neighbours.ip(), 0);
                let spec = path(&from.id, &to.id)?.to_text();
                let name = name(&from.id, &to.id);
                writeln!(lines, "{name} {listen} {} {spec}", to.neighbours)?;
            }
        }
        let file = folder.join("paths.txt");
        fs::write(&file, lines).with_context(|| format!("cannot write {}", file.display()))?;
        let mut command = Command::new(program);
        command.arg("--links").arg(&file);
        supervisor.start(PROCESS, command.args(["--seed", &seed.to_string()]))?;
        let mut wide = Self {
            doors: BTreeMap::new(),
        };
        let expected = offices.len() * offices.len().saturating_sub(1);
        while wide.doors.len() < expected {
            let line = supervisor.wait_for(PROCESS, "listening", START_UP)?;
            wide.take_in(&line)?;
        }
        Ok(wide)
    }

    fn take_in(&mut self, line: &Value) -> Result<()> {
        let ends = line["link"].as_str().and_then(|link| link.split_once('>'));
        let listen = line["listen"].as_str().and_then(|text| text.parse().ok());
        let ((from, to), listen) = ends
            .zip(listen)
            .with_context(|| format!("no path listens there: {line}"))?;
        self.doors.insert((from.to_owned(), to.to_owned()), listen);
        Ok(())
    }

    /// Where an office dials every other.
    pub fn from(&self, office: &str) -> BTreeMap<String, SocketAddr> {
        let own = self.doors.iter().filter(|((from, _), _)| from == office);
        own.map(|((_, to), door)| (to.clone(), *door)).collect()
    }

    /// Cuts or mends every path of an office, both ways.
    ///
    /// # Errors
    /// If the process is gone.
    pub fn set_cut_off(&self, supervisor: &mut Supervisor, office: &str, on: bool) -> Result<()> {
        let switch = if on { "on" } else { "off" };
        for links in [format!("{office}>*"), format!("*>{office}")] {
            ask(supervisor, &format!("{links} blackhole {switch}"))?;
        }
        Ok(())
    }

    /// The sums of all paths' counters.
    ///
    /// # Errors
    /// As [`set_cut_off`](Self::set_cut_off).
    pub fn counters(&self, supervisor: &mut Supervisor) -> Result<Value> {
        ask(supervisor, "all stats")
    }
}

/// Every command is answered with the counters after it.
fn ask(supervisor: &mut Supervisor, command: &str) -> Result<Value> {
    supervisor.tell(PROCESS, command)?;
    supervisor.wait_for(PROCESS, "stats", ANSWER)
}

fn name(from: &str, to: &str) -> String {
    format!("{from}>{to}")
}

/// Its name among the processes.
pub const PROCESS: &str = "paths";

const START_UP: Duration = Duration::from_secs(20);

const ANSWER: Duration = Duration::from_secs(10);
