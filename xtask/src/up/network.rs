//! A whole network: the control plane, an edge for each office, and an emulated path between every two. Nobody's
//! neighbours are written by hand.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

use super::{
    addresses::Block,
    control::{self, ControlPlane, Pace, Store},
    interrupt::Interrupt,
    link::LinkSpec,
    office::{Control, Office},
    offices::{Paths, Site},
    process::Supervisor,
    tree::Tree,
    wide::WideArea,
    world::program,
};
use crate::certs::Authority;

/// What network is wanted.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The offices, the root first.
    pub sites: Vec<Site>,
    /// Where the control plane keeps its state.
    pub store: Store,
    /// How many of it.
    pub replicas: u8,
    /// How fast people come in at each; what they do by themselves if none.
    pub pace: Option<Pace>,
    /// How many people each edge takes; what edges do by themselves if none.
    pub clients: Option<u32>,
    /// Share of datagrams that each path loses.
    pub loss: f64,
    /// By how much each path's delay wanders.
    pub jitter: Duration,
    /// For losses and jitter.
    pub seed: u64,
}

/// Everything that runs; dropping it ends it all.
#[derive(Debug)]
pub struct Network {
    /// The processes. Edges have their offices' names.
    pub supervisor: Supervisor,
    /// Configurations, recordings and logs.
    pub folder: PathBuf,
    /// The control plane.
    pub control: ControlPlane,
    /// The paths between edges.
    pub wide: WideArea,
    /// As they were asked for.
    pub sites: Vec<Site>,
    /// Where clients find each edge, by office.
    pub doors: BTreeMap<String, SocketAddr>,
    configs: BTreeMap<String, PathBuf>,
    block: Block,
}

impl Network {
    /// Starts it, and waits until every edge has its place in the tree.
    ///
    /// # Errors
    /// If something does not start, or edges do not find each other.
    pub fn raise(
        folder: PathBuf,
        authority: &Authority,
        plan: &Plan,
        interrupt: &Interrupt,
    ) -> Result<Self> {
        let block = Block::claim()?;
        let mut supervisor = Supervisor::new(&folder)?;
        let mut offices = place(&block, plan)?;
        let wide = {
            let (paths, wan) = (Paths::read()?, program("meridian-wan"));
            let path = |from: &str, to: &str| {
                Ok(LinkSpec {
                    delay: paths.between(from, to)?.one_way,
                    jitter: plan.jitter,
                    loss: plan.loss,
                    ..LinkSpec::default()
                })
            };
            WideArea::start(&mut supervisor, &wan, &folder, &offices, plan.seed, path)?
        };
        let of_control = control::Plan {
            store: plan.store,
            replicas: plan.replicas,
            pace: plan.pace,
            origin: &plan.sites[0].id,
            folder: &folder,
        };
        let control =
            ControlPlane::start(&mut supervisor, &block, authority, &of_control, interrupt)?;
        let mut configs = BTreeMap::new();
        for office in &mut offices {
            office.max_clients = plan.clients;
            office.reach = wide.from(&office.id);
            office.control = Some(Control {
                addresses: control.urls.clone(),
                ca: control.ca.clone(),
                state: folder.join("state").join(&office.id),
            });
            configs.insert(office.id.clone(), office.write(&folder, authority)?);
        }
        let mut network = Self {
            supervisor,
            folder,
            control,
            wide,
            sites: plan.sites.clone(),
            doors: offices.iter().map(|o| (o.id.clone(), o.clients)).collect(),
            configs,
            block,
        };
        for site in &plan.sites {
            network.launch(&site.id)?;
        }
        for site in &plan.sites {
            network.supervisor.wait_for(&site.id, "report", START_UP)?;
        }
        network.wait_until_joined(interrupt)?;
        Ok(network)
    }

    /// Starts an edge that is not running, where it always was.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn launch(&mut self, office: &str) -> Result<()> {
        let mut command = Command::new(program("meridian-edge"));
        command.arg("--config").arg(&self.configs[office]);
        command.args(["--report-every", "1s"]);
        self.supervisor.start(office, &mut command)
    }

    /// The tree as the control plane has it.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn tree(&self) -> Result<Tree> {
        Ok(Tree::read(&self.control.ask(&["topology", "show"])?))
    }

    /// A free port where the load tester may let agents in.
    ///
    /// # Errors
    /// If there is none.
    pub fn port_for_agents(&self) -> Result<SocketAddr> {
        self.block.port(AGENTS_HOST, AGENTS)
    }

    /// Every office's id.
    pub fn offices(&self) -> impl Iterator<Item = &str> {
        self.sites.iter().map(|site| site.id.as_str())
    }

    /// Waits until every edge has its place in the tree, and all follow the same one.
    ///
    /// # Errors
    /// If that is not so in a minute, with who has none.
    pub fn wait_until_joined(&self, interrupt: &Interrupt) -> Result<()> {
        let deadline = Instant::now() + JOINING;
        loop {
            interrupt.check()?;
            let tree = self.tree()?;
            let outside = tree.outside(self.offices());
            if outside.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!(
                    "not in the tree after {} s: {}; see {}",
                    JOINING.as_secs(),
                    outside.join(", "),
                    self.folder.display()
                );
            }
            std::thread::sleep(POLL);
        }
    }
}

/// Each office at an address of its own.
fn place(block: &Block, plan: &Plan) -> Result<Vec<Office>> {
    let numbered = (1..).zip(&plan.sites);
    let office = |(number, site): (u8, &Site)| {
        let at = [
            block.port(number, CLIENTS)?,
            block.port(number, NEIGHBOURS)?,
        ];
        Ok(Office::at(&site.id, at))
    };
    numbered.map(office).collect()
}

const CLIENTS: u16 = 4433;

const NEIGHBOURS: u16 = 4444;

/// Away from offices, the control plane and etcd.
const AGENTS_HOST: u8 = 230;

const AGENTS: u16 = 7000;

const START_UP: Duration = Duration::from_secs(15);

/// Registering, measuring and planning take some seconds; a busy machine takes longer.
const JOINING: Duration = Duration::from_secs(60);

const POLL: Duration = Duration::from_millis(250);
