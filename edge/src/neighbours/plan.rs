//! Which neighbours an edge should have now: by the tree, by what it sees of the edges above it, and by the table for the
//! failure of one of them. No I/O; the time is an argument.
//!
//! Each edge decides for itself, from tables that all have. A failure counts after a while and is over after a longer one, so
//! that a link that comes and goes moves nothing to and fro.

use crate::config::{Neighbour, NeighbourRole};
use crate::neighbours::tables::{Row, Tables, TablesError};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long a link above may be down before its edge counts as failed: a second, as dialling anew takes a few round trips,
/// and an edge that is restarted is back by then. With the half second after which silence is a lost link, and a round trip
/// to the next parent, audio is back within two seconds even where there is no second parent.
pub const FAILED_AFTER: Duration = Duration::from_secs(1);
/// The same for an edge that was never reached: both may be starting.
pub const NEVER_REACHED_AFTER: Duration = Duration::from_secs(5);
/// How long a link has to hold before its edge counts as back: several times what was waited for its failure.
pub const BACK_AFTER: Duration = Duration::from_secs(10);
/// It is as long again each time an edge fails soon after it was back, up to this.
pub const BACK_AFTER_MOST: Duration = Duration::from_secs(160);
/// How soon is soon.
const SOON: Duration = Duration::from_secs(120);
/// Edges go back over so long a time, each at a moment that its name decides: not all at once.
const SPREAD_MS: u64 = 2_000;

/// An edge's plan.
#[derive(Debug)]
pub struct Plan {
    office: String,
    tables: Tables,
    /// Offices above, now or by the tree.
    above: BTreeMap<String, Health>,
}

/// What is seen of an edge above.
#[derive(Clone, Copy, Debug)]
struct Health {
    link: Link,
    has_failed: bool,
    back_after: Duration,
    back_since: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Up(Instant),
    Down(Instant),
    /// It has not been up yet.
    Never(Instant),
}

impl Plan {
    /// A plan without neighbours.
    pub fn new(office: &str) -> Plan {
        Plan {
            office: office.to_owned(),
            tables: Tables::default(),
            above: BTreeMap::new(),
        }
    }

    /// Takes another tree. What is known of edges that are still above stays.
    ///
    /// # Errors
    /// The tree is none; the last one stays.
    pub fn adopt(&mut self, tables: Tables, now: Instant) -> Result<(), TablesError> {
        tables.check()?;
        self.tables = tables;
        self.look_above(now);
        Ok(())
    }

    /// The link to an office above is up since then, or is not.
    pub fn handle_link(&mut self, office: &str, up_since: Option<Instant>, now: Instant) {
        if let Some(health) = self.above.get_mut(office) {
            health.link = match (health.link, up_since) {
                (_, Some(since)) => Link::Up(since),
                (Link::Up(_), None) => Link::Down(now),
                (down, None) => down,
            };
        }
        self.handle_timeout(now);
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let due = |health: &Health| health.changes_at(spread(&self.office));
        self.above.values().filter_map(due).min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        let spread = spread(&self.office);
        for (office, health) in &mut self.above {
            if health.changes_at(spread).is_some_and(|at| at <= now) {
                health.change(now);
                match health.has_failed {
                    true => tracing::warn!(office, "an edge above has failed"),
                    false => tracing::info!(office, "an edge above is back"),
                }
            }
        }
        self.look_above(now);
    }

    /// The office whose failure's table is applied.
    pub fn failure(&self) -> Option<&str> {
        let base = self.tables.base.get(&self.office)?;
        let above = [&base.parent, &base.backup].into_iter().flatten();
        above
            .map(String::as_str)
            .find(|office| self.has_failed(office))
    }

    /// The neighbours there should be now. All that may ever be below are let in.
    pub fn neighbours(&self) -> Vec<Neighbour> {
        let mut set = Vec::new();
        for (office, role) in self.offices_above() {
            set.extend(self.dialled(&office, role));
        }
        for (dials, other) in &self.tables.shortcuts {
            if *dials == self.office {
                set.extend(self.dialled(other, NeighbourRole::Shortcut));
            } else if *other == self.office {
                set.push(expected(dials, NeighbourRole::Shortcut));
            }
        }
        let below = self.tables.may_be_below(&self.office);
        let below = below.iter().filter(|office| **office != self.office);
        set.extend(below.map(|office| expected(office, NeighbourRole::Child)));
        set
    }

    /// Whether an office has this one above it as long as nothing fails.
    pub(crate) fn is_below(&self, office: &str) -> bool {
        let Row { parent, backup } = self.tables.row(office, None);
        [parent, backup].contains(&Some(self.office.clone()))
    }

    /// The row in force, and after it who stands in this office's own row of the tree and has failed: the link to it is kept
    /// up, as a backup, to see when it is back and to have it joined before it is used again.
    fn offices_above(&self) -> Vec<(String, NeighbourRole)> {
        let Row { parent, backup } = self.tables.row(&self.office, self.failure());
        let parent = parent.map(|office| (office, NeighbourRole::Parent));
        let backup = backup.map(|office| (office, NeighbourRole::BackupParent));
        let mut above: Vec<_> = parent.into_iter().chain(backup).collect();
        let base = self.tables.row(&self.office, None);
        for office in [base.parent, base.backup].into_iter().flatten() {
            if self.has_failed(&office) && above.iter().all(|(other, _)| *other != office) {
                above.push((office, NeighbourRole::BackupParent));
            }
        }
        above
    }

    /// Watches who is above, and nobody else.
    fn look_above(&mut self, now: Instant) {
        let above = self.offices_above();
        self.above
            .retain(|office, _| above.iter().any(|(other, _)| other == office));
        for (office, _) in above {
            self.above.entry(office).or_insert(Health {
                link: Link::Never(now),
                has_failed: false,
                back_after: BACK_AFTER,
                back_since: None,
            });
        }
    }

    fn has_failed(&self, office: &str) -> bool {
        self.above
            .get(office)
            .is_some_and(|health| health.has_failed)
    }

    fn dialled(&self, office: &str, role: NeighbourRole) -> Option<Neighbour> {
        let place = self.tables.places.get(office)?;
        Some(Neighbour {
            office: office.to_owned(),
            role,
            address: Some(place.clone()),
        })
    }
}

impl Health {
    /// When the edge will count as failed, or as back.
    fn changes_at(&self, spread: Duration) -> Option<Instant> {
        match (self.has_failed, self.link) {
            (false, Link::Down(since)) => Some(since + FAILED_AFTER),
            (false, Link::Never(since)) => Some(since + NEVER_REACHED_AFTER),
            (true, Link::Up(since)) => Some(since + self.back_after + spread),
            _ => None,
        }
    }

    fn change(&mut self, now: Instant) {
        self.has_failed = !self.has_failed;
        if !self.has_failed {
            self.back_since = Some(now);
            return;
        }
        let is_soon = |since: Instant| now.saturating_duration_since(since) < SOON;
        self.back_after = match self.back_since.is_some_and(is_soon) {
            true => (self.back_after * 2).min(BACK_AFTER_MOST),
            false => BACK_AFTER,
        };
    }
}

fn expected(office: &str, role: NeighbourRole) -> Neighbour {
    Neighbour {
        office: office.to_owned(),
        role,
        address: None,
    }
}

/// An office's own moment (FNV-1a over its name).
fn spread(office: &str) -> Duration {
    let hash = office
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    Duration::from_millis(hash % SPREAD_MS)
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
