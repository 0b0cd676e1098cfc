//! What the shell measures itself: how long a hop takes, how old media is when it comes, how the links do.

use crate::control::figures::LinkFigures;
use bytes::Bytes;
use hdrhistogram::Histogram;
use meridian_relay::{Role, SessionId};
use meridian_session::transport::Connection;
use meridian_wire::property::Block;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Measurements of one worker.
#[derive(Default)]
pub(crate) struct Stats {
    times: Times,
    neighbours: BTreeMap<SessionId, Neighbour>,
    /// Sessions with other workers.
    siblings: Vec<SessionId>,
    /// What was given to other workers, and so never left the edge.
    bytes_within: u64,
}

/// A link to another edge.
struct Neighbour {
    office: String,
    role: Role,
    connection: Connection,
}

/// Distributions of times.
#[derive(Clone)]
pub(crate) struct Times {
    /// From the moment bytes were there to read to the moment everything they caused was written, in microseconds.
    hop: Histogram<u64>,
    /// From capture to arrival here, by the publisher's clock and ours, in microseconds.
    lag: Histogram<u64>,
}

impl Default for Times {
    fn default() -> Times {
        // Up to a minute, to two digits.
        let micros =
            || Histogram::new_with_bounds(1, 60_000_000, 2).expect("the bounds are in order");
        Times {
            hop: micros(),
            lag: micros(),
        }
    }
}

impl Times {
    /// Microseconds.
    pub(crate) fn hop(&self) -> Value {
        quantiles(&self.hop, 1.0)
    }

    /// Milliseconds.
    pub(crate) fn lag(&self) -> Value {
        quantiles(&self.lag, 1000.0)
    }

    /// Takes in what another worker measured.
    pub(crate) fn add(&mut self, other: &Times) {
        self.hop += &other.hop;
        self.lag += &other.lag;
    }
}

impl Stats {
    /// Everything that was read at `since` has been passed on.
    pub(crate) fn passed_on(&mut self, since: Instant) {
        self.times
            .hop
            .saturating_record(since.elapsed().as_micros() as u64);
    }

    /// An object came, with these properties.
    pub(crate) fn arrived(&mut self, properties: &Bytes) {
        let Some(captured) = Block::new(properties).timestamp() else {
            return;
        };
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let lag = (now.as_micros() as u64).saturating_sub(captured);
        self.times.lag.saturating_record(lag);
    }

    pub(crate) fn neighbour_came(
        &mut self,
        session: SessionId,
        office: &str,
        role: Role,
        connection: Connection,
    ) {
        let neighbour = Neighbour {
            office: office.to_owned(),
            role,
            connection,
        };
        self.neighbours.insert(session, neighbour);
    }

    pub(crate) fn neighbour_is(&mut self, session: SessionId, role: Role) {
        if let Some(neighbour) = self.neighbours.get_mut(&session) {
            neighbour.role = role;
        }
    }

    pub(crate) fn neighbour_left(&mut self, session: SessionId) {
        self.neighbours.remove(&session);
    }

    pub(crate) fn sibling_came(&mut self, session: SessionId) {
        self.siblings.push(session);
    }

    pub(crate) fn sibling_left(&mut self, session: SessionId) {
        self.siblings.retain(|sibling| *sibling != session);
    }

    /// So many bytes of objects go to a session. Costs nothing where there is one worker.
    pub(crate) fn gives(&mut self, session: SessionId, bytes: impl FnOnce() -> usize) {
        if self.siblings.contains(&session) {
            self.bytes_within += bytes() as u64;
        }
    }

    /// Bytes of objects given to other workers.
    pub(crate) fn bytes_within(&self) -> u64 {
        self.bytes_within
    }

    pub(crate) fn times(&self) -> Times {
        self.times.clone()
    }

    /// Links to other edges that are up.
    pub(crate) fn links(&self) -> Vec<LinkFigures> {
        let link = |neighbour: &Neighbour| {
            let stats = neighbour.connection.stats();
            LinkFigures {
                office: neighbour.office.clone(),
                role: neighbour.role,
                rtt: neighbour.connection.rtt(),
                sent: stats.udp_sent_datagrams,
                lost: stats.lost_packets,
            }
        };
        self.neighbours.values().map(link).collect()
    }

    pub(crate) fn neighbours(&self) -> Value {
        let mut sorted: Vec<&Neighbour> = self.neighbours.values().collect();
        sorted.sort_by(|a, b| a.office.cmp(&b.office));
        let each = sorted.into_iter().map(|neighbour| {
            let stats = neighbour.connection.stats();
            json!({
                "office": neighbour.office,
                "role": format!("{:?}", neighbour.role),
                "rtt_ms": neighbour.connection.rtt().as_secs_f64() * 1000.0,
                "packets_sent": stats.udp_sent_datagrams,
                "packets_received": stats.udp_received_datagrams,
                "packets_lost": stats.lost_packets,
            })
        });
        each.collect()
    }
}

fn quantiles(of: &Histogram<u64>, unit: f64) -> Value {
    let at = |quantile: f64| of.value_at_quantile(quantile) as f64 / unit;
    json!({ "count": of.len(), "p50": at(0.5), "p99": at(0.99), "max": of.max() as f64 / unit })
}
