//! Three offices and what joins them: edges, emulated paths, a publisher and two watchers, as processes.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::Result;

use super::{
    link::{Link, LinkSpec},
    office::{Neighbour, Office, Role},
    offices::Paths,
    process::Supervisor,
};
use crate::{certs::Authority, workspace};

/// The publisher's name among the processes.
pub(super) const PUBLISHER: &str = "publisher";

/// Where watchers sit, and the edges that media passes on its way there.
pub(super) const WATCHERS: [Watcher; 2] = [
    Watcher {
        name: "watch-geneva",
        office: "geneva",
    },
    Watcher {
        name: "watch-addis-ababa",
        office: "addis-ababa",
    },
];

/// The publisher and the watchers.
pub(super) const CLIENTS: [&str; 3] = [PUBLISHER, WATCHERS[0].name, WATCHERS[1].name];

/// The offices, the origin first.
pub(super) const OFFICES: [&str; 3] = [ORIGIN, "bangkok", "addis-ababa"];

const ORIGIN: &str = "geneva";

/// Where the talk is published.
const SPEAKER: &str = "bangkok";

const NAMESPACE: &str = "meridian/demo/p/bangkok";

/// Somebody who watches.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watcher {
    pub(super) name: &'static str,
    pub(super) office: &'static str,
}

/// Everything that runs.
pub(super) struct Stage {
    pub(super) supervisor: Supervisor,
    pub(super) paths: Paths,
    /// Configurations, recordings and logs.
    pub(super) folder: PathBuf,
    offices: Vec<Office>,
    authority: PathBuf,
}

impl Stage {
    /// Starts the edges and joins them.
    pub(super) fn set(authority: &Authority, loss: f64, jitter: Duration) -> Result<Stage> {
        let folder = workspace::made("up")?;
        let mut stage = Stage {
            supervisor: Supervisor::new(&folder)?,
            paths: Paths::read()?,
            folder,
            offices: Vec::new(),
            authority: authority.certificate(),
        };
        let child = |office: &str| Neighbour {
            office: office.to_owned(),
            role: Role::Child,
            address: None,
        };
        let children = OFFICES
            .iter()
            .filter(|office| **office != ORIGIN)
            .map(|o| child(o));
        let origin = Office::on_free_ports(ORIGIN, children.collect())?;
        let root = origin.neighbours;
        stage.open(origin, authority)?;
        for (seed, id) in (1..).zip(OFFICES.into_iter().filter(|office| *office != ORIGIN)) {
            let path = stage.paths.between(id, ORIGIN)?;
            let spec = LinkSpec {
                delay: path.one_way,
                jitter,
                loss,
                rate: None,
            };
            let name = format!("path-{id}");
            let link = Link::start(
                &mut stage.supervisor,
                &name,
                &program("meridian-wan"),
                root,
                &spec,
                seed,
            )?;
            let parent = Neighbour {
                office: ORIGIN.to_owned(),
                role: Role::Parent,
                address: Some(link.address),
            };
            stage.open(Office::on_free_ports(id, vec![parent])?, authority)?;
        }
        Ok(stage)
    }

    fn open(&mut self, office: Office, authority: &Authority) -> Result<()> {
        let config = office.write(&self.folder, authority)?;
        let mut command = Command::new(program("meridian-edge"));
        command
            .arg("--config")
            .arg(config)
            .args(["--report-every", "1s"]);
        self.supervisor.start(&office.id, &mut command)?;
        self.supervisor.wait_for(&office.id, "report", START_UP)?;
        self.offices.push(office);
        Ok(())
    }

    /// Starts the watchers, then the publisher.
    pub(super) fn play(&mut self, file: &Path, length: Option<Duration>) -> Result<()> {
        for watcher in WATCHERS {
            let mut command = self.client("watch", watcher.office);
            command.arg("--out").arg(self.recording(watcher.name));
            command.arg("--digest").arg(self.digest(watcher.name));
            self.supervisor.start(watcher.name, &mut command)?;
        }
        let mut command = self.client("publish", SPEAKER);
        command
            .arg(file)
            .arg("--loop")
            .arg("--digest")
            .arg(self.digest(PUBLISHER));
        if let Some(length) = length {
            command.args(["--for", &format!("{}ms", length.as_millis())]);
        }
        self.supervisor.start(PUBLISHER, &mut command)
    }

    fn client(&self, task: &str, office: &str) -> Command {
        let address = self
            .offices
            .iter()
            .find(|other| other.id == office)
            .expect("it was opened");
        let mut command = Command::new(program("meridian"));
        command
            .args([task, "--json", "--namespace", NAMESPACE])
            .args(["--url", &format!("moqt://{}", address.clients)])
            .arg("--ca")
            .arg(&self.authority);
        command
    }

    /// Ends the publisher, and with it the watchers.
    pub(super) fn stop_clients(&mut self) {
        for name in CLIENTS {
            // One that has ended already needs no stop.
            let _ = self.supervisor.stop(name);
        }
    }

    /// What a watcher writes.
    pub(super) fn recording(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.webm"))
    }

    /// The hashes of what a client sent or got.
    pub(super) fn digest(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.digest"))
    }
}

/// A binary that `up` has built.
fn program(name: &str) -> PathBuf {
    workspace::target().join("release").join(name)
}

/// Edges and paths start in milliseconds; a busy machine takes longer.
const START_UP: Duration = Duration::from_secs(15);
