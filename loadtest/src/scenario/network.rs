//! The network a rehearsal wants where it brings its own, and the places there are.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// What is started.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    /// Offices with an edge, the origin first; all there are if empty.
    pub offices: Vec<String>,
    /// Where the control plane keeps its state.
    pub store: Store,
    /// How many control-plane replicas.
    pub replicas: u8,
    /// People let in each second by a replica; 0: as many as come.
    pub joins_per_second: u32,
    /// People each edge takes; 0: the edge's default.
    pub clients: u32,
}

/// Where state is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Store {
    /// One file.
    #[default]
    Embedded,
    /// Three members of etcd.
    Etcd,
}

/// Where offices are, and how far from each other.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// By id.
    pub offices: BTreeMap<String, Place>,
    /// One way, by the two offices' ids; the same in both directions.
    pub one_way: BTreeMap<(String, String), Duration>,
}

/// An office.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// ISO 3166-1 alpha-2.
    pub country: String,
    /// The ITU's region, as in `AFR`.
    pub region: String,
}

impl Default for Network {
    fn default() -> Network {
        Network {
            offices: Vec::new(),
            store: Store::Embedded,
            replicas: 1,
            joins_per_second: 1000,
            clients: 0,
        }
    }
}

impl Places {
    /// One way between two offices; none where it is not known, nothing to itself.
    pub fn between(&self, from: &str, to: &str) -> Option<Duration> {
        if from == to {
            return Some(Duration::ZERO);
        }
        let either = [(from, to), (to, from)];
        either.iter().find_map(|(a, b)| {
            let key = ((*a).to_owned(), (*b).to_owned());
            self.one_way.get(&key).copied()
        })
    }
}
