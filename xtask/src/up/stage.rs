//! Three offices and what joins them: edges, emulated paths, a publisher and two watchers, as processes.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Result;

use super::{
    link::LinkSpec,
    office::{Congestion, Role},
    offices::Paths,
    world::{Join, World},
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
    pub(super) world: World,
    pub(super) paths: Paths,
}

impl Stage {
    /// Starts the edges and joins them.
    pub(super) fn set(authority: &Authority, loss: f64, jitter: Duration) -> Result<Stage> {
        let paths = Paths::read()?;
        let children = OFFICES.into_iter().filter(|office| *office != ORIGIN);
        let joins = children.map(|child| {
            Ok(Join {
                child,
                parent: ORIGIN,
                role: Role::Parent,
                path: LinkSpec {
                    delay: paths.between(child, ORIGIN)?.one_way,
                    jitter,
                    loss,
                    ..LinkSpec::default()
                },
            })
        });
        let joins = joins.collect::<Result<Vec<_>>>()?;
        let folder = workspace::made("up")?;
        let (usual, seed) = (Congestion::default(), 1);
        let world = World::raise(folder, authority, &OFFICES, &joins, usual, seed)?;
        Ok(Stage { world, paths })
    }

    /// Starts the watchers, then the publisher.
    pub(super) fn play(&mut self, file: &Path, length: Option<Duration>) -> Result<()> {
        for watcher in WATCHERS {
            let mut command = self.world.client("watch", watcher.office, NAMESPACE);
            command.arg("--out").arg(self.recording(watcher.name));
            command.arg("--digest").arg(self.digest(watcher.name));
            self.world.supervisor.start(watcher.name, &mut command)?;
        }
        let mut command = self.world.client("publish", SPEAKER, NAMESPACE);
        command
            .arg(file)
            .arg("--loop")
            .arg("--digest")
            .arg(self.digest(PUBLISHER));
        if let Some(length) = length {
            command.args(["--for", &format!("{}ms", length.as_millis())]);
        }
        self.world.supervisor.start(PUBLISHER, &mut command)
    }

    /// Ends the publisher, and with it the watchers.
    pub(super) fn stop_clients(&mut self) {
        for name in CLIENTS {
            // One that has ended already needs no stop.
            let _ = self.world.supervisor.stop(name);
        }
    }

    /// What a watcher writes.
    pub(super) fn recording(&self, name: &str) -> PathBuf {
        self.world.folder.join(format!("{name}.webm"))
    }

    /// The hashes of what a client sent or got.
    pub(super) fn digest(&self, name: &str) -> PathBuf {
        self.world.folder.join(format!("{name}.digest"))
    }
}
