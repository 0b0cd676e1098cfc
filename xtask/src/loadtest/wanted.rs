//! The scenario as far as it concerns who raises the network: its name and what it wants. The tester reads the whole.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::{
    up::{
        control::{Pace, Store},
        network::Plan,
        offices::Site,
    },
    workspace,
};

/// A scenario's head.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct Wanted {
    /// As in `rehearsal`.
    pub(super) name: String,
    /// What it is a rehearsal of.
    #[serde(default)]
    pub(super) about: String,
    /// What is to be started.
    #[serde(default)]
    pub(super) network: Wishes,
    #[serde(default)]
    floor: Near,
    #[serde(default)]
    booths: NearOne,
    #[serde(default, rename = "crowd")]
    crowds: Vec<Near>,
    /// Where it was read from.
    #[serde(skip)]
    pub(super) file: PathBuf,
}

/// Who lives near which offices; the tester reads the rest.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Near {
    name: String,
    near: Vec<String>,
}

/// The same where all are near one; empty: near none in particular.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct NearOne {
    near: String,
}

/// The table `[network]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Wishes {
    /// Offices with an edge, the origin first; all there are if empty.
    offices: Vec<String>,
    store: Kept,
    replicas: u8,
    /// 0: as many as come.
    joins_per_second: u32,
    /// 0: the edge's default.
    clients: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kept {
    Embedded,
    Etcd,
}

impl Default for Wishes {
    fn default() -> Self {
        Self {
            offices: Vec::new(),
            store: Kept::Embedded,
            replicas: 1,
            joins_per_second: 1_000,
            clients: 0,
        }
    }
}

impl Wanted {
    /// A shipped scenario by its name, or a file.
    ///
    /// # Errors
    /// If there is none, with the names there are; or with what is wrong in it.
    pub(super) fn find(named: &str) -> Result<Self> {
        let is_file = named.contains('/') || named.ends_with(".toml");
        if is_file {
            return Self::read(Path::new(named));
        }
        let file = folder().join(format!("{named}.toml"));
        if !file.is_file() {
            let all = Self::shipped()?;
            let names: Vec<_> = all.iter().map(|one| one.name.as_str()).collect();
            anyhow::bail!(
                "no scenario is called {named}; there are: {}",
                names.join(", ")
            );
        }
        Self::read(&file)
    }

    /// All that are shipped, by name.
    ///
    /// # Errors
    /// If one cannot be read.
    pub(super) fn shipped() -> Result<Vec<Self>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(folder()).context("cannot list the scenarios")? {
            files.push(entry?.path());
        }
        files.retain(|file| file.extension().is_some_and(|kind| kind == "toml"));
        let mut all: Vec<Self> = files
            .iter()
            .map(|file| Self::read(file))
            .collect::<Result<_>>()?;
        all.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(all)
    }

    fn read(file: &Path) -> Result<Self> {
        let shown = file.display();
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {shown}"))?;
        let wanted = Self::parse(&text).with_context(|| shown.to_string())?;
        Ok(Self {
            file: fs::canonicalize(file)?,
            ..wanted
        })
    }

    fn parse(text: &str) -> Result<Self> {
        let wanted: Self = toml::from_str(text)?;
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        ensure!(
            !wanted.name.is_empty() && wanted.name.chars().all(fits),
            "name = \"{}\": lower-case letters, digits and hyphens",
            wanted.name
        );
        Ok(wanted)
    }

    /// Every office that somebody lives near, beside where it is named.
    fn near(&self) -> impl Iterator<Item = (String, &String)> {
        let floor = self.floor.near.iter();
        let floor = floor.map(|id| ("floor.near".to_owned(), id));
        let booths = ("booths.near".to_owned(), &self.booths.near);
        let booths = Some(booths).filter(|(_, id)| !id.is_empty());
        let crowds = self.crowds.iter().flat_map(|crowd| {
            let ids = crowd.near.iter();
            ids.map(move |id| (format!("crowd \"{}\": near", crowd.name), id))
        });
        floor.chain(booths).chain(crowds)
    }

    /// The network it wants.
    ///
    /// # Errors
    /// If there is no such office, or replicas would have no common store.
    pub(super) fn plan(&self) -> Result<Plan> {
        let wishes = &self.network;
        let all = Site::all()?;
        let find = |place: &str, id: &String| {
            let site = all.iter().find(|site| site.id == *id).cloned();
            let ids = all.iter().map(|site| site.id.as_str());
            site.with_context(|| {
                let ids: Vec<_> = ids.collect();
                format!(
                    "{place}: there is no office `{id}`; there are: {}",
                    ids.join(", ")
                )
            })
        };
        let site = |id: &String| find("network.offices", id);
        for (place, id) in self.near() {
            find(&place, id)?;
        }
        let sites = match wishes.offices.is_empty() {
            true => all.clone(),
            false => wishes.offices.iter().map(site).collect::<Result<_>>()?,
        };
        ensure!(sites.len() > 1, "network.offices: at least two");
        ensure!(
            (1..=9).contains(&wishes.replicas) && (wishes.replicas == 1 || wishes.has_etcd()),
            "network.replicas: from 1 to 9, and several only with store = \"etcd\""
        );
        Ok(Plan {
            sites,
            store: match wishes.has_etcd() {
                true => Store::Etcd,
                false => Store::Embedded,
            },
            replicas: wishes.replicas,
            pace: Some(wishes.pace()),
            clients: (wishes.clients > 0).then_some(wishes.clients),
            loss: 0.0,
            jitter: Duration::ZERO,
            seed: 1,
        })
    }
}

impl Wishes {
    /// Whether etcd is needed.
    pub(super) fn has_etcd(&self) -> bool {
        self.store == Kept::Etcd
    }

    /// A second's people come in at once after a quiet time, as with the control plane's own defaults.
    fn pace(&self) -> Pace {
        match self.joins_per_second {
            0 => Pace::NONE,
            joins_per_second => Pace {
                joins_per_second,
                burst: joins_per_second,
            },
        }
    }
}

fn folder() -> PathBuf {
    workspace::root().join("loadtest/scenarios")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(network: &str) -> Result<Plan> {
        let text = format!("name = \"few\"\nlength = \"60s\"\n[network]\n{network}\n[[crowd]]\n");
        Wanted::parse(&text)?.plan()
    }

    #[test]
    fn a_scenario_says_which_network_it_wants() {
        let all = plan("").unwrap();
        assert_eq!((all.sites.len(), all.replicas, all.clients), (15, 1, None));
        assert_eq!(all.pace.unwrap().joins_per_second, 1_000);
        let some = plan(
            "offices = [\"geneva\", \"cairo\"]\nstore = \"etcd\"\nreplicas = 3\njoins_per_second = 70\nclients = 900",
        );
        let some = some.unwrap();
        assert_eq!(
            (some.store, some.replicas, some.clients),
            (Store::Etcd, 3, Some(900))
        );
        assert_eq!((some.sites[1].id.as_str(), some.sites.len()), ("cairo", 2));
        assert_eq!(
            some.pace,
            Some(Pace {
                joins_per_second: 70,
                burst: 70
            })
        );
        assert_eq!(plan("joins_per_second = 0").unwrap().pace, Some(Pace::NONE));
    }

    #[test]
    fn what_cannot_be_started_is_refused() {
        let refused = |network: &str| format!("{:#}", plan(network).unwrap_err());
        assert!(refused("offices = [\"geneva\", \"atlantis\"]").contains("atlantis"));
        assert!(refused("offices = [\"geneva\"]").contains("two"));
        assert!(refused("replicas = 3").contains("etcd"));
        assert!(refused("replikas = 3").contains("replikas"));
        let error = Wanted::parse("name = \"A b\"").unwrap_err().to_string();
        assert!(error.contains("hyphens"), "{error}");
    }

    #[test]
    fn an_office_that_somebody_is_to_live_near_and_is_not_there_is_refused() {
        for (near, place) in [
            ("[floor]\nnear = [\"cairo\", \"bankok\"]", "floor.near"),
            ("[booths]\nnear = \"bankok\"", "booths.near"),
            (
                "[[crowd]]\nname = \"hall\"\nnear = [\"bankok\"]",
                "crowd \"hall\": near",
            ),
        ] {
            let text = |near: &str| format!("name = \"few\"\n{near}\n");
            let refused = Wanted::parse(&text(near)).unwrap().plan().unwrap_err();
            let says = format!("{place}: there is no office `bankok`; there are: ");
            assert!(refused.to_string().starts_with(&says), "{refused}");
            let right = near.replace("bankok", "bangkok");
            Wanted::parse(&text(&right)).unwrap().plan().unwrap();
        }
    }

    #[test]
    fn shipped_scenarios_are_named_as_their_files_and_have_a_network() {
        let all = Wanted::shipped().unwrap();
        assert!(!all.is_empty());
        for one in all {
            let stem = one.file.file_stem().unwrap().to_string_lossy();
            assert_eq!(one.name, stem);
            assert!(!one.about.is_empty(), "{stem} does not say what it is");
            one.plan().unwrap();
        }
    }
}
