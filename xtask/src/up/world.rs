//! Edges joined by emulated paths, and clients at them: processes of this machine, and what they have said last.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use rustix::process::Signal;
use serde_json::Value;

use super::{
    link::{Link, LinkSpec},
    office::{Congestion, Neighbour, Office, Role},
    process::{Event, Supervisor},
};
use crate::{certs::Authority, shell, workspace};

/// Builds the programs that worlds and networks are made of. Always all of them: for others cargo would choose other
/// features of what they have in common, and build that anew each time.
///
/// # Errors
/// If they do not build.
pub fn build() -> Result<()> {
    let packages = [
        "meridian-edge",
        "meridian-client",
        "meridian-loadtest",
        "meridian-control-plane",
        "meridianctl",
    ];
    let packages = packages.into_iter().flat_map(|name| ["-p", name]);
    let args = ["build", "--release", "--locked", "--bins"];
    shell::run(&mut shell::command(
        "cargo",
        args.into_iter().chain(packages),
    ))
}

/// A binary that [`build`] has built.
pub fn program(name: &str) -> PathBuf {
    workspace::target().join("release").join(name)
}

/// An edge's place below another, and the path there.
#[derive(Clone, Debug)]
pub struct Join {
    /// The edge that dials.
    pub child: &'static str,
    /// The edge above it.
    pub parent: &'static str,
    /// What that is to the child.
    pub role: Role,
    /// What lies between.
    pub path: LinkSpec,
}

/// Everything that runs; dropping it ends it all.
#[derive(Debug)]
pub struct World {
    /// The processes. Edges have their offices' names.
    pub supervisor: Supervisor,
    /// Configurations, recordings and logs.
    pub folder: PathBuf,
    authority: PathBuf,
    offices: Vec<Office>,
    configs: BTreeMap<String, PathBuf>,
    /// By child and parent.
    paths: BTreeMap<(&'static str, &'static str), Link>,
    last: BTreeMap<String, Value>,
    ended: BTreeSet<String>,
}

impl World {
    /// Starts edges and the paths between them. `offices` are in an order in which every parent comes before its
    /// children; the first path has the seed, each further one the next number.
    ///
    /// # Errors
    /// If something does not start.
    pub fn raise(
        folder: PathBuf,
        authority: &Authority,
        offices: &[&str],
        joins: &[Join],
        congestion: Congestion,
        seed: u64,
    ) -> Result<Self> {
        let mut world = Self {
            supervisor: Supervisor::new(&folder)?,
            folder,
            authority: authority.certificate(),
            offices: Vec::new(),
            configs: BTreeMap::new(),
            paths: BTreeMap::new(),
            last: BTreeMap::new(),
            ended: BTreeSet::new(),
        };
        for (join, seed) in joins.iter().zip(seed..) {
            // Where the parent listens is known once it is placed, so places come first.
            for id in [join.parent, join.child] {
                world.place(id)?;
            }
            world.connect(join, seed)?;
        }
        for id in offices {
            world.place(id)?.congestion = congestion;
            world.open(id, authority)?;
        }
        Ok(world)
    }

    fn place(&mut self, id: &str) -> Result<&mut Office> {
        let known = self.offices.iter().position(|office| office.id == id);
        let index = known.unwrap_or(self.offices.len());
        if known.is_none() {
            self.offices.push(Office::on_free_ports(id, Vec::new())?);
        }
        Ok(&mut self.offices[index])
    }

    fn connect(&mut self, join: &Join, seed: u64) -> Result<()> {
        let name = format!("path-{}-{}", join.child, join.parent);
        let target = self.office(join.parent).neighbours;
        let link = self.start_path(&name, target, &join.path, seed)?;
        let above = Neighbour {
            office: join.parent.to_owned(),
            role: join.role,
            address: Some(link.address),
        };
        let below = Neighbour {
            office: join.child.to_owned(),
            role: Role::Child,
            address: None,
        };
        self.place(join.child)?.links.push(above);
        self.place(join.parent)?.links.push(below);
        self.paths.insert((join.child, join.parent), link);
        Ok(())
    }

    /// Starts a path towards any address.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start_path(
        &mut self,
        name: &str,
        target: SocketAddr,
        spec: &LinkSpec,
        seed: u64,
    ) -> Result<Link> {
        let wan = program("meridian-wan");
        Link::start(&mut self.supervisor, name, &wan, target, spec, seed)
    }

    fn open(&mut self, id: &str, authority: &Authority) -> Result<()> {
        let config = self.office(id).write(&self.folder, authority)?;
        self.configs.insert(id.to_owned(), config);
        self.restart(id)
    }

    /// Starts an edge that is not running, on the ports it always had.
    ///
    /// # Errors
    /// If it does not start.
    pub fn restart(&mut self, id: &str) -> Result<()> {
        let mut command = Command::new(program("meridian-edge"));
        command.arg("--config").arg(&self.configs[id]);
        command.args(["--report-every", "500ms"]);
        self.ended.remove(id);
        self.supervisor.start(id, &mut command)?;
        let line = self.supervisor.wait_for(id, "report", START_UP)?;
        self.last.insert(id.to_owned(), line);
        Ok(())
    }

    /// Ends an edge without a word, and waits until it is gone.
    ///
    /// # Errors
    /// If it is not running.
    pub fn kill(&mut self, id: &str) -> Result<()> {
        self.supervisor.signal(id, Signal::KILL)?;
        self.supervisor.reap(id)?;
        self.follow(START_UP, |world| world.has_ended(id));
        Ok(())
    }

    /// Cuts or mends every path of an edge.
    ///
    /// # Errors
    /// If a path is gone.
    pub fn set_cut_off(&mut self, id: &str, on: bool) -> Result<()> {
        let touching = |ends: &&(&str, &str)| ends.0 == id || ends.1 == id;
        let ends: Vec<_> = self.paths.keys().filter(touching).copied().collect();
        for ends in ends {
            self.paths[&ends].set_blackhole(&mut self.supervisor, on)?;
        }
        Ok(())
    }

    /// The counters of a path's emulator.
    ///
    /// # Errors
    /// If there is no such path.
    pub fn path_counters(&mut self, child: &'static str, parent: &'static str) -> Result<Value> {
        let path = self.paths.get(&(child, parent)).context("no such path")?;
        path.counters(&mut self.supervisor)
    }

    /// An office that has been started.
    pub fn office(&self, id: &str) -> &Office {
        let mut found = self.offices.iter().filter(|office| office.id == id);
        found.next().expect("it was placed")
    }

    /// `meridian publish` or `watch` at an office.
    pub fn client(&self, task: &str, office: &str, namespace: &str) -> Command {
        let url = format!("moqt://{}", self.office(office).clients);
        let mut command = Command::new(program("meridian"));
        command.args([task, "--json", "--namespace", namespace, "--url", &url]);
        command.arg("--ca").arg(&self.authority);
        command
    }

    /// Takes in what the processes say until `is_enough`; false if that was not before `patience` was over.
    pub fn follow(&mut self, patience: Duration, mut is_enough: impl FnMut(&Self) -> bool) -> bool {
        let deadline = Instant::now() + patience;
        while !is_enough(self) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            match self.supervisor.next_event(left) {
                Some(Event::Said(who, line)) => drop(self.last.insert(who, line)),
                Some(Event::Ended(who)) => drop(self.ended.insert(who)),
                None => {}
            }
        }
        true
    }

    /// The last line of a process; null if it has said nothing.
    pub fn last(&self, name: &str) -> &Value {
        self.last.get(name).unwrap_or(&Value::Null)
    }

    /// Whether a process has ended.
    pub fn has_ended(&self, name: &str) -> bool {
        self.ended.contains(name)
    }
}

/// Edges start in milliseconds; a busy machine takes longer.
const START_UP: Duration = Duration::from_secs(15);
