//! What is measured: the yardstick, the edge, and peers.

use super::dial::Dialect;
use super::peer::Peer;
use super::process::Server;
use super::scenario::Scenario;
use anyhow::Result;
use std::path::PathBuf;

/// Something that is measured.
#[derive(Clone, Debug)]
pub(super) enum Target {
    /// The yardstick.
    Bare { mode: String },
    /// An edge; tables show the name.
    Edge {
        name: String,
        program: PathBuf,
        workers: Option<usize>,
    },
    /// Another relay.
    Peer(Peer),
}

/// What the yardstick is called.
pub(super) const BARE: &str = "bare quinn";
/// What the edge that is judged is called.
pub(super) const EDGE: &str = "edge";

/// What an edge with so many workers is called.
pub(super) fn edge_with(workers: usize) -> String {
    format!("{EDGE}, {workers} workers")
}

impl Target {
    pub(super) fn name(&self) -> String {
        match self {
            Target::Bare { .. } => BARE.to_owned(),
            Target::Edge { name, .. } => name.clone(),
            Target::Peer(peer) => peer.name(),
        }
    }

    /// Whether it can play, and whether there is anything to learn from it.
    pub(super) fn suits(&self, scenario: &Scenario) -> bool {
        match self {
            Target::Bare { .. } => scenario.suits_bare(),
            Target::Edge { workers, .. } => workers.is_none() || scenario.shows_workers(),
            Target::Peer(peer) => peer.takes(&scenario.shapes),
        }
    }

    pub(super) fn dialect(&self) -> Dialect {
        match self {
            Target::Bare { .. } => Dialect::Bare,
            Target::Edge { .. } => Dialect::Moqt22,
            Target::Peer(peer) => peer.dialect(),
        }
    }

    pub(super) fn start(&self) -> Result<Server> {
        match self {
            Target::Bare { mode } => Server::start(&std::env::current_exe()?, |address| {
                words(&["bare", "--mode", mode, "--listen", &address.to_string()])
            }),
            Target::Edge {
                program, workers, ..
            } => Server::start(program, |address| {
                let mut words = words(&["--dev", "--listen", &address.to_string()]);
                words.extend(workers.map(|count| format!("--workers={count}")));
                words
            }),
            Target::Peer(peer) => peer.start(),
        }
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
