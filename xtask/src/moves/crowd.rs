//! Delegates at one place, in one `meridian-delegates` process, with emulated paths of their own to every edge.

use std::{
    collections::BTreeMap, fmt::Write as _, fs, net::SocketAddr, process::Command, time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::up::{link::LinkSpec, network::Network, offices::Paths, world::program};

/// Paths from where delegates are to edges.
#[derive(Debug)]
pub(super) struct LastMiles {
    /// Where somebody at the first dials the second.
    doors: BTreeMap<(String, String), SocketAddr>,
}

/// Delegates at one place.
#[derive(Clone, Debug)]
pub(super) struct Crowd {
    /// The office they live nearest to.
    pub(super) office: &'static str,
    name: String,
    count: usize,
}

/// How one of them fared since the mark.
#[derive(Clone, Debug)]
pub(super) struct Fared {
    /// The edge they were at when it was set.
    pub(super) was_at: String,
    /// The longest time without audio beyond the frames' own 20 ms; none: there is no audio now.
    pub(super) gap_ms: Option<f64>,
    /// Frames that have not come, of all since it began to listen.
    pub(super) missing: u64,
}

impl LastMiles {
    /// Starts paths from these places to every edge.
    pub(super) fn start(network: &mut Network, places: &[&'static str]) -> Result<Self> {
        let paths = Paths::read()?;
        let mut lines = String::new();
        for (office, address) in network.doors.clone() {
            for place in places {
                let delay = match *place == office {
                    true => LAST_MILE,
                    false => LAST_MILE + paths.between(place, &office)?.one_way,
                };
                let spec = LinkSpec {
                    delay,
                    ..LinkSpec::default()
                };
                let listen = SocketAddr::new(address.ip(), 0);
                writeln!(
                    lines,
                    "{place}>{office} {listen} {address} {}",
                    spec.to_text()
                )?;
            }
        }
        let file = network.folder.join("last-miles.txt");
        fs::write(&file, &lines)?;
        let mut command = Command::new(program("meridian-wan"));
        let supervisor = &mut network.supervisor;
        supervisor.start(PROCESS, command.arg("--links").arg(&file))?;
        let mut doors = BTreeMap::new();
        while doors.len() < lines.lines().count() {
            let line = supervisor.wait_for(PROCESS, "listening", PATIENCE)?;
            let ends = line["link"].as_str().and_then(|link| link.split_once('>'));
            let listen = line["listen"].as_str().and_then(|text| text.parse().ok());
            let ((place, office), listen) = ends.zip(listen).context("no path listens there")?;
            doors.insert((place.to_owned(), office.to_owned()), listen);
        }
        Ok(Self { doors })
    }

    /// Cuts every path to an edge.
    pub(super) fn cut_off(network: &mut Network, office: &str) -> Result<()> {
        let supervisor = &mut network.supervisor;
        supervisor.tell(PROCESS, &format!("*>{office} blackhole on"))?;
        supervisor.wait_for(PROCESS, "stats", PATIENCE).map(drop)
    }
}

impl Crowd {
    /// Has delegates join and listen to what is published in a namespace.
    pub(super) fn start(
        network: &mut Network,
        miles: &LastMiles,
        office: &'static str,
        invitations: &[String],
        namespace: &str,
    ) -> Result<Self> {
        let name = format!("delegates-{office}");
        let file = network.folder.join(format!("{name}.txt"));
        fs::write(&file, invitations.join("\n"))?;
        let mut command = Command::new(program("meridian-delegates"));
        command.args(["--join", &network.control.urls.join(",")]);
        command.arg("--join-ca").arg(&network.control.ca);
        command.arg("--ca").arg(&network.control.ca);
        command.arg("--invitations").arg(&file);
        command.args(["--namespace", namespace, "--ramp-s", "1"]);
        for ((place, to), door) in &miles.doors {
            if place == office {
                command.args(["--via", &format!("{to}={door}")]);
            }
        }
        network.supervisor.start(&name, &mut command)?;
        Ok(Self {
            office,
            name,
            count: invitations.len(),
        })
    }

    /// Waits until all of them hear something.
    pub(super) fn wait_until_listening(&self, network: &mut Network) -> Result<()> {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            self.mark(network, "settling")?;
            std::thread::sleep(SETTLING);
            let fared = self.report(network)?;
            if fared.iter().filter(|one| one.gap_ms.is_some()).count() == self.count {
                return Ok(());
            }
            ensure!(
                std::time::Instant::now() < deadline,
                "not all delegates at {} hear something; see {}",
                self.office,
                network.supervisor.log(&self.name).display()
            );
        }
    }

    /// From now on gaps are counted.
    pub(super) fn mark(&self, network: &mut Network, name: &str) -> Result<()> {
        network
            .supervisor
            .tell(&self.name, &format!("mark {name}"))?;
        let told = network.supervisor.wait_for(&self.name, "mark", PATIENCE);
        told.map(drop)
    }

    /// How each of them fared since the mark.
    pub(super) fn report(&self, network: &mut Network) -> Result<Vec<Fared>> {
        network.supervisor.tell(&self.name, "report")?;
        let report = network
            .supervisor
            .wait_for(&self.name, "report", PATIENCE)?;
        let delegates = report["delegates"]
            .as_array()
            .context("a report without delegates")?;
        Ok(delegates.iter().map(fared).collect())
    }
}

fn fared(of: &Value) -> Fared {
    let is_silent = of["silent_ms"].as_f64().is_none_or(|ms| ms > SILENT_MS);
    Fared {
        was_at: of["office_at_mark"].as_str().unwrap_or_default().to_owned(),
        gap_ms: of["gap_ms"].as_f64().filter(|_| !is_silent),
        missing: of["missing"].as_u64().unwrap_or(u64::MAX),
    }
}

/// From somebody's home to the nearest edge, one way.
const LAST_MILE: Duration = Duration::from_millis(5);
/// Who has heard nothing for this long has no audio.
const SILENT_MS: f64 = 500.0;
const SETTLING: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(30);
/// The emulator's name among the processes.
const PROCESS: &str = "last-miles";
