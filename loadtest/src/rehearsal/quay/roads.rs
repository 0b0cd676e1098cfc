//! Where edges are, how far from whom, and which of them are cut off.

use crate::scenario::Places;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// The paths from where people live to the edges; the same for all.
#[derive(Debug, Default)]
pub struct Roads {
    places: Places,
    edges: HashMap<SocketAddr, Edge>,
    overflow: AtomicU64,
}

#[derive(Debug)]
struct Edge {
    office: String,
    is_cut: Arc<AtomicBool>,
}

impl Roads {
    /// To edges at these addresses, each with its office.
    pub fn new(places: Places, edges: impl IntoIterator<Item = (SocketAddr, String)>) -> Roads {
        let edge = |(address, office)| {
            let is_cut = Arc::default();
            (address, Edge { office, is_cut })
        };
        Roads {
            places,
            edges: edges.into_iter().map(edge).collect(),
            overflow: AtomicU64::new(0),
        }
    }

    /// Cuts an office's edge off from everybody, or heals that.
    pub fn cut(&self, office: &str, is_cut: bool) {
        for edge in self.edges.values().filter(|edge| edge.office == office) {
            edge.is_cut.store(is_cut, Ordering::Relaxed);
        }
    }

    /// Packets that this machine's kernel had no room for.
    pub fn overflow(&self) -> u64 {
        self.overflow.load(Ordering::Relaxed)
    }

    /// More of them.
    pub(super) fn note_overflow(&self, packets: u64) {
        self.overflow.fetch_add(packets, Ordering::Relaxed);
    }

    /// One way from an office to the edge at an address, beyond the last mile; nothing where it is not known.
    pub(super) fn between(&self, near: &str, address: &SocketAddr) -> Duration {
        let edge = self.edges.get(address);
        let path = edge.and_then(|edge| self.places.between(near, &edge.office));
        path.unwrap_or_default()
    }

    /// Whether the edge at an address is cut off, now and later.
    pub(super) fn is_cut(&self, address: &SocketAddr) -> Arc<AtomicBool> {
        let edge = self.edges.get(address);
        edge.map(|edge| edge.is_cut.clone()).unwrap_or_default()
    }
}
