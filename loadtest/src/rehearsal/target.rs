//! What is rehearsed against: a network that a stagehand describes, or a real one that flags name.

use super::error::RehearsalError;
use super::invite::Organiser;
use super::places;
use super::stage::{EdgeAt, Stage, Watched};
use crate::scenario::{Happens, Places, Scenario};
use meridian_client::dial::system_bundle;
use meridian_session::tls::Trust;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use url::Url;

/// What a command line says of the network.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// The stagehand; then it says all the rest.
    pub stage: Option<SocketAddr>,
    /// The control plane's replicas.
    pub control: Vec<Url>,
    /// The authorities of its certificate; the machine's if none.
    pub control_ca: Option<PathBuf>,
    /// The authorities of edges' certificates where the control plane names none; the machine's if none.
    pub edge_ca: Option<PathBuf>,
    /// An organiser's or operator's token.
    pub token_file: Option<PathBuf>,
    /// A table as `data/offices.csv`.
    pub offices: Option<PathBuf>,
    /// A table as `data/rtt_ms.csv`.
    pub rtts: Option<PathBuf>,
}

/// A network to rehearse against.
#[derive(Clone)]
pub struct Target {
    /// The control plane's replicas.
    pub control: Vec<Url>,
    /// The authorities of its certificate, PEM.
    pub control_ca: Vec<u8>,
    /// Whose edges are trusted where the control plane names no certificate.
    pub edge_trust: Trust,
    /// Shown to the control plane by whoever runs the rehearsal.
    pub token: String,
    /// Where offices are.
    pub places: Places,
    /// Where clients reach edges; empty where paths are real ones.
    pub edges: Vec<EdgeAt>,
    /// The network's processes on this machine.
    pub processes: Vec<Watched>,
    /// Who can do things to it.
    pub stage: Option<Arc<Stage>>,
}

impl fmt::Debug for Target {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("control", &self.control)
            .field("edges", &self.edges)
            .field("processes", &self.processes)
            .field("stage", &self.stage)
            .finish_non_exhaustive()
    }
}

impl Target {
    /// What the command line names.
    ///
    /// # Errors
    /// Something is missing or cannot be read, or the stagehand does not answer.
    pub async fn open(given: &Given) -> Result<Target, RehearsalError> {
        match given.stage {
            Some(address) => Target::staged(Stage::connect(address).await?).await,
            None => Target::real(given),
        }
    }

    /// What a stagehand describes.
    ///
    /// # Errors
    /// It does not answer, or names files that cannot be read.
    pub async fn staged(stage: Stage) -> Result<Target, RehearsalError> {
        let said = stage.describe().await?;
        let url = |text: &String| {
            let told = |error| RehearsalError::Usage(format!("{text}: {error}"));
            Url::parse(text).map_err(told)
        };
        Ok(Target {
            control: said.control.iter().map(url).collect::<Result<_, _>>()?,
            control_ca: read(&said.control_ca)?,
            edge_trust: trust(&said.edge_ca)?,
            token: token(&said.token_file)?,
            places: places::read(&said.offices, &said.rtts)?,
            edges: said.edges,
            processes: said.processes,
            stage: Some(Arc::new(stage)),
        })
    }

    fn real(given: &Given) -> Result<Target, RehearsalError> {
        let wanted = |what: &str| RehearsalError::Usage(format!("give --stage, or {what}"));
        if given.control.is_empty() {
            return Err(wanted("--control"));
        }
        let own = system_bundle().map(Path::to_owned);
        let bundle = |given: &Option<PathBuf>| given.clone().or_else(|| own.clone());
        let control_ca = bundle(&given.control_ca).ok_or_else(|| wanted("--control-ca"))?;
        let token_file = given.token_file.as_deref();
        let places = match (&given.offices, &given.rtts) {
            (Some(offices), Some(rtts)) => places::read(offices, rtts)?,
            (None, None) => Places::default(),
            _ => return Err(wanted("both --offices and --rtts")),
        };
        Ok(Target {
            control: given.control.clone(),
            control_ca: read(&control_ca)?,
            edge_trust: match bundle(&given.edge_ca) {
                Some(bundle) => trust(&bundle)?,
                None => Trust::Authorities(Vec::new()),
            },
            token: token(token_file.ok_or_else(|| wanted("--token-file"))?)?,
            places,
            edges: Vec::new(),
            processes: Vec::new(),
            stage: None,
        })
    }

    /// That there is somebody for every event of the scenario, every office that it names, and somebody whom each
    /// expectation is about.
    ///
    /// # Errors
    /// The first for which there is nobody, or that is not there.
    pub async fn check(&self, scenario: &Scenario) -> Result<(), RehearsalError> {
        self.check_events(scenario)?;
        let checked = scenario.check_expectations(&self.places);
        checked.map_err(RehearsalError::Usage)?;
        let known: BTreeSet<String> = match self.places.offices.is_empty() {
            true => self.offices(scenario).await?,
            false => self.places.offices.keys().cloned().collect(),
        };
        let checked = scenario.check_offices(known.iter().map(String::as_str));
        checked.map_err(RehearsalError::Usage)
    }

    /// Where no table says which offices there are: the ITU's, and if that does not do, the control plane's own.
    async fn offices(&self, scenario: &Scenario) -> Result<BTreeSet<String>, RehearsalError> {
        let mut known: BTreeSet<String> = places::shipped().map(str::to_owned).collect();
        if scenario
            .check_offices(known.iter().map(String::as_str))
            .is_err()
        {
            known.extend(Organiser::new(self)?.offices().await?);
        }
        Ok(known)
    }

    fn check_events(&self, scenario: &Scenario) -> Result<(), RehearsalError> {
        for event in &scenario.events {
            let refused = |why: &str| Err(RehearsalError::Usage(format!("event {event}: {why}")));
            let is_ours = matches!(
                event.happens,
                Happens::EdgeDrain | Happens::EdgeUndrain | Happens::Command
            );
            if !is_ours && self.stage.is_none() {
                return refused("nobody can do it to this network; it takes --stage");
            }
            let is_known = self.edges.iter().any(|edge| edge.office == event.office);
            if self.stage.is_some() && event.happens.has_office() && !is_known {
                return refused("there is no edge at this office");
            }
        }
        Ok(())
    }
}

/// As many open files as this process may have: each delegate takes at least two.
///
/// # Errors
/// They would not do for so many delegates.
pub(super) fn raise_open_files(delegates: u64) -> Result<(), RehearsalError> {
    let limits = getrlimit(Resource::Nofile);
    let more = Rlimit {
        current: limits.maximum,
        ..limits
    };
    // What there is may do.
    let _ = setrlimit(Resource::Nofile, more);
    let wanted = delegates * FILES_EACH + FILES_BESIDE;
    match getrlimit(Resource::Nofile).current {
        Some(limit) if limit < wanted => Err(RehearsalError::Usage(format!(
            "{delegates} delegates take {wanted} open files, {limit} are allowed: raise `ulimit -n`"
        ))),
        _ => Ok(()),
    }
}

fn trust(bundle: &Path) -> Result<Trust, RehearsalError> {
    Trust::load(bundle).map_err(|error| RehearsalError::Usage(error.to_string()))
}

fn token(file: &Path) -> Result<String, RehearsalError> {
    let text = String::from_utf8_lossy(&read(file)?).trim().to_owned();
    match text.is_empty() {
        true => Err(RehearsalError::Usage(format!(
            "{}: it is empty",
            file.display()
        ))),
        false => Ok(text),
    }
}

fn read(file: &Path) -> Result<Vec<u8>, RehearsalError> {
    let told = |error| RehearsalError::Usage(format!("{}: {error}", file.display()));
    std::fs::read(file).map_err(told)
}

/// A connection to the control plane, two edges while it moves.
const FILES_EACH: u64 = 3;
/// Speakers, booths and the rest.
const FILES_BESIDE: u64 = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Place;

    fn near(office: &str) -> Scenario {
        let text = format!(
            r#"
            name = "s"
            title = "S"
            length = "10s"
            [[crowd]]
            name = "c"
            count = 1
            near = ["{office}"]
            arrive = {{ kind = "spike" }}
            "#
        );
        Scenario::parse(&text, Path::new("s.toml")).expect("good")
    }

    fn target(places: Places) -> Target {
        Target {
            // Nobody is there.
            control: vec!["https://127.0.0.1:1".parse().expect("a URL")],
            control_ca: Vec::new(),
            edge_trust: Trust::Authorities(Vec::new()),
            token: "an operator's".to_owned(),
            places,
            edges: Vec::new(),
            processes: Vec::new(),
            stage: None,
        }
    }

    #[tokio::test]
    async fn an_office_that_no_table_has_is_refused_with_those_there_are() {
        let described = target(Places {
            offices: [("bangkok".to_owned(), Place::default())].into(),
            ..Places::default()
        });
        assert!(described.check(&near("bangkok")).await.is_ok());
        for unknown in ["bankok", "geneva"] {
            let refused = described.check(&near(unknown)).await;
            let refused = refused.expect_err("it is not in the table");
            let says = format!("there is no office `{unknown}`; there are: bangkok");
            assert!(refused.to_string().ends_with(&says), "{refused}");
            assert_eq!(refused.exit_code(), 64);
        }
    }

    #[tokio::test]
    async fn without_a_table_the_control_plane_is_asked_only_for_offices_that_do_not_ship() {
        let bare = target(Places::default());
        assert!(bare.check(&near("bangkok")).await.is_ok());
        let unheard = bare.check(&near("bankok")).await;
        assert_eq!(unheard.expect_err("nobody answers").exit_code(), 69);
    }
}
