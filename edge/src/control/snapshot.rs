//! Whether a snapshot may be used, and what it says to this edge. No I/O; the time is an argument.

use crate::access::Keys;
use crate::access_control::Revocation;
use crate::config::is_office_id;
use crate::draining::{Target, Targets};
use crate::neighbours::MAX_NEIGHBOURS;
use crate::neighbours::place::Place;
use crate::neighbours::tables::{Row, Rows, Tables, TablesError};
use meridian_proto::v1;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Direct links there may be.
const MAX_SHORTCUTS: usize = 4_096;
/// Keys there may be: a handful overlap while one follows another.
const MAX_KEYS: usize = 64;
/// Revocations there may be: a whole World Conference's participants, many times.
const MAX_REVOCATIONS: usize = 100_000;
/// Bytes of an id that is not an office's.
const MAX_ID: usize = 256;

/// Orders snapshots: by epoch, then by revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// When the state store began, in seconds since the Unix epoch.
    pub epoch: u64,
    /// The store's revision.
    pub revision: u64,
}

/// A snapshot that does not contradict itself.
#[derive(Clone, Debug)]
pub(crate) struct Checked {
    version: Version,
    tables: Tables,
    clients: BTreeMap<String, Place>,
    keys: Vec<(String, [u8; 32], u64)>,
    message: v1::Snapshot,
}

/// An order to send clients away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DrainOrder {
    pub(crate) targets: Targets,
    pub(crate) deadline_ms: u64,
}

/// A snapshot that is not used. The last good one stays in force.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// It does not say which it is.
    #[error("it has no version")]
    NoVersion,
    /// A later one is in use.
    #[error("it is older than the one in use: {of} after {in_use}; was an old state restored?")]
    Older {
        /// This one.
        of: Version,
        /// What is in use.
        in_use: Version,
    },
    /// More than any network has.
    #[error("it has more than {most} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The bound.
        most: usize,
    },
    /// A name that no office can have.
    #[error("{0:?} is no office's id")]
    NoOffice(String),
    /// Something is there twice.
    #[error("{what} {id:?} is there twice")]
    Twice {
        /// What.
        what: &'static str,
        /// Which.
        id: String,
    },
    /// An edge cannot be dialled there.
    #[error("{office} has {address:?} for an address; it should be 'host:port'")]
    NoAddress {
        /// Whose it is.
        office: String,
        /// What it says.
        address: String,
    },
    /// A certificate's hash is none.
    #[error("{0}'s certificate has no SHA-256 of 32 bytes")]
    NoHash(String),
    /// A key is none.
    #[error("key {0:?} is no Ed25519 public key of 32 bytes")]
    NoKey(String),
    /// An id is missing, or too long.
    #[error("{0} has no id, or one above {MAX_ID} bytes")]
    NoId(&'static str),
    /// An edge is drained to one that is not there, or to itself.
    #[error("{office} is drained to {to:?}, which is no other edge")]
    NoTarget {
        /// Who is drained.
        office: String,
        /// To whom.
        to: String,
    },
    /// The tree is none.
    #[error("the tree: {0}")]
    Tree(#[from] TablesError),
    /// This edge cannot do what it says.
    #[error("this edge cannot follow it: {0}")]
    Unfit(String),
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.revision)
    }
}

impl From<v1::Version> for Version {
    fn from(version: v1::Version) -> Version {
        Version {
            epoch: version.epoch,
            revision: version.revision,
        }
    }
}

impl From<Version> for v1::Version {
    fn from(version: Version) -> v1::Version {
        v1::Version {
            epoch: version.epoch,
            revision: version.revision,
        }
    }
}

impl TryFrom<v1::Snapshot> for Checked {
    type Error = SnapshotError;

    fn try_from(message: v1::Snapshot) -> Result<Checked, SnapshotError> {
        let version = message.version.ok_or(SnapshotError::NoVersion)?.into();
        check_sizes(&message)?;
        let mut clients = BTreeMap::new();
        let mut tables = Tables::default();
        for edge in &message.edges {
            let (office, other, own) = check_edge(edge)?;
            once("edge", tables.places.insert(office.clone(), other), &office)?;
            clients.insert(office, own);
        }
        tables.base = rows(&message.tree)?;
        for failure in &message.failures {
            let office = office(&failure.office)?;
            let changed = rows(&failure.changed)?;
            once(
                "failure of",
                tables.failures.insert(office.clone(), changed),
                &office,
            )?;
        }
        for shortcut in &message.shortcuts {
            let ends = (office(&shortcut.office)?, office(&shortcut.other)?);
            tables.shortcuts.push(ends);
        }
        check_shortcuts(&tables.shortcuts)?;
        tables.check()?;
        check_revocations(&message.revocations)?;
        check_drains(&message.drains, &clients)?;
        Ok(Checked {
            version,
            tables,
            clients,
            keys: keys(&message.keys)?,
            message,
        })
    }
}

impl Checked {
    pub(crate) fn version(&self) -> Version {
        self.version
    }

    /// As it came.
    pub(crate) fn message(&self) -> &v1::Snapshot {
        &self.message
    }

    /// Whether it may follow the one in use; `Ok(false)`: it is that one.
    pub(crate) fn follows(&self, in_use: Option<Version>) -> Result<bool, SnapshotError> {
        match in_use {
            Some(in_use) if self.version < in_use => Err(SnapshotError::Older {
                of: self.version,
                in_use,
            }),
            in_use => Ok(in_use != Some(self.version)),
        }
    }

    /// The tree, if this office has a place in it. An edge that has none yet, as when all state was lost and edges come back
    /// one after another, keeps the neighbours it has: media goes on.
    pub(crate) fn tables(&self, office: &str) -> Option<&Tables> {
        let has_row = self.tables.base.contains_key(office);
        let is_above = !self.tables.may_be_below(office).is_empty();
        (has_row || is_above).then_some(&self.tables)
    }

    /// The keys that sign tokens which are still about.
    pub(crate) fn keys(&self, now: SystemTime) -> Keys {
        let now = seconds(now);
        let fresh = self
            .keys
            .iter()
            .filter(|(_, _, expires)| *expires == 0 || *expires > now);
        Keys::from_raw(fresh.map(|(id, key, _)| (id.clone(), *key)))
    }

    /// Withdrawn tokens that have not expired anyway.
    pub(crate) fn revocations(&self, now: SystemTime) -> Vec<Revocation> {
        let now = seconds(now);
        let alive = self
            .message
            .revocations
            .iter()
            .filter(|revocation| revocation.until_s > now);
        alive
            .map(|revocation| Revocation {
                meeting: Some(revocation.meeting.clone()).filter(|meeting| !meeting.is_empty()),
                participant: revocation.participant.clone(),
                below_generation: revocation.below_generation,
            })
            .collect()
    }

    /// Where the other edges are dialled.
    pub(crate) fn others(&self, office: &str) -> BTreeMap<String, Place> {
        let mut places = self.tables.places.clone();
        places.remove(office);
        places
    }

    /// Whether this office is to be emptied.
    pub(crate) fn drain(&self, office: &str) -> Option<DrainOrder> {
        let drain = self
            .message
            .drains
            .iter()
            .find(|drain| drain.office == office)?;
        let target = |target: &v1::DrainTarget| {
            Some(Target {
                place: self.clients.get(&target.office)?.clone(),
                weight: target.places,
            })
        };
        let targets = |all: &[v1::DrainTarget]| all.iter().filter_map(target).collect();
        let of_meeting = |own: &v1::MeetingDrain| (own.meeting.clone(), targets(&own.targets));
        Some(DrainOrder {
            targets: Targets {
                all: targets(&drain.targets),
                by_meeting: drain.meetings.iter().map(of_meeting).collect(),
            },
            deadline_ms: drain.deadline_ms,
        })
    }
}

impl DrainOrder {
    /// How long it has.
    pub(crate) fn within(&self, now: SystemTime) -> Duration {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        Duration::from_millis(self.deadline_ms).saturating_sub(now)
    }
}

fn seconds(now: SystemTime) -> u64 {
    now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn check_sizes(message: &v1::Snapshot) -> Result<(), SnapshotError> {
    let most_changed = message
        .failures
        .iter()
        .map(|failure| failure.changed.len())
        .max();
    let all = message.drains.iter().map(|drain| drain.targets.len());
    let of_meetings = message.drains.iter().flat_map(|drain| &drain.meetings);
    let most_targets = all.chain(of_meetings.map(|own| own.targets.len())).max();
    let most_meetings = message
        .drains
        .iter()
        .map(|drain| drain.meetings.len())
        .max();
    let sizes = [
        ("edges", message.edges.len(), MAX_NEIGHBOURS),
        ("rows", message.tree.len(), MAX_NEIGHBOURS),
        ("failures", message.failures.len(), MAX_NEIGHBOURS),
        (
            "rows for one failure",
            most_changed.unwrap_or(0),
            MAX_NEIGHBOURS,
        ),
        ("direct links", message.shortcuts.len(), MAX_SHORTCUTS),
        ("keys", message.keys.len(), MAX_KEYS),
        ("revocations", message.revocations.len(), MAX_REVOCATIONS),
        ("drains", message.drains.len(), MAX_NEIGHBOURS),
        (
            "meetings of one drain",
            most_meetings.unwrap_or(0),
            MAX_REVOCATIONS,
        ),
        (
            "targets of one drain",
            most_targets.unwrap_or(0),
            MAX_NEIGHBOURS,
        ),
    ];
    match sizes.into_iter().find(|(_, size, most)| size > most) {
        Some((what, _, most)) => Err(SnapshotError::TooMany { what, most }),
        None => Ok(()),
    }
}

/// An edge's office, and where others and clients dial it.
fn check_edge(edge: &v1::Edge) -> Result<(String, Place, Place), SnapshotError> {
    let office = office(&edge.office)?;
    let place = |text: &str| {
        text.parse().map_err(|_| SnapshotError::NoAddress {
            office: office.clone(),
            address: short(text),
        })
    };
    let (neighbours, clients) = (
        place(&edge.neighbour_address)?,
        place(&edge.client_address)?,
    );
    match edge.certificate_sha256.len() {
        0 | 32 => Ok((office, neighbours, clients)),
        _ => Err(SnapshotError::NoHash(office)),
    }
}

fn rows(from: &[v1::TreeRow]) -> Result<Rows, SnapshotError> {
    let mut rows = Rows::new();
    for row in from {
        let of = office(&row.office)?;
        let above = |text: &str| match text {
            "" => Ok(None),
            text => office(text).map(Some),
        };
        let fresh = Row {
            parent: above(&row.parent)?,
            backup: above(&row.backup_parent)?,
        };
        once("row of", rows.insert(of.clone(), fresh), &of)?;
    }
    Ok(rows)
}

fn check_shortcuts(shortcuts: &[(String, String)]) -> Result<(), SnapshotError> {
    let mut seen = BTreeSet::new();
    for (dials, other) in shortcuts {
        if dials == other {
            return Err(TablesError::Same(dials.clone()).into());
        }
        let pair = (dials.min(other), dials.max(other));
        once("direct link of", (!seen.insert(pair)).then_some(()), dials)?;
    }
    Ok(())
}

fn keys(from: &[v1::TokenKey]) -> Result<Vec<(String, [u8; 32], u64)>, SnapshotError> {
    let mut seen = BTreeSet::new();
    let key = |key: &v1::TokenKey| {
        has_id("a key", &key.id)?;
        once("key", (!seen.insert(key.id.clone())).then_some(()), &key.id)?;
        let raw = key.ed25519.as_ref().try_into();
        let raw = raw.map_err(|_| SnapshotError::NoKey(short(&key.id)))?;
        Ok((key.id.clone(), raw, key.expires_at_s))
    };
    from.iter().map(key).collect()
}

fn check_revocations(revocations: &[v1::Revocation]) -> Result<(), SnapshotError> {
    let check = |revocation: &v1::Revocation| {
        has_id("a revocation", &revocation.participant)?;
        match revocation.meeting.len() <= MAX_ID {
            true => Ok(()),
            false => Err(SnapshotError::NoId("a revocation's meeting")),
        }
    };
    revocations.iter().try_for_each(check)
}

fn check_drains(
    drains: &[v1::Drain],
    edges: &BTreeMap<String, Place>,
) -> Result<(), SnapshotError> {
    let mut seen = BTreeSet::new();
    for drain in drains {
        let of = office(&drain.office)?;
        once("drain of", (!seen.insert(of.clone())).then_some(()), &of)?;
        let is_good = |to: &str| to != of && edges.contains_key(to);
        let of_meetings = drain.meetings.iter().flat_map(|own| &own.targets);
        let mut targets = drain.targets.iter().chain(of_meetings);
        if let Some(bad) = targets.find(|target| !is_good(&target.office)) {
            return Err(SnapshotError::NoTarget {
                office: of,
                to: short(&bad.office),
            });
        }
    }
    Ok(())
}

fn office(text: &str) -> Result<String, SnapshotError> {
    match is_office_id(text) {
        true => Ok(text.to_owned()),
        false => Err(SnapshotError::NoOffice(short(text))),
    }
}

fn has_id(what: &'static str, id: &str) -> Result<(), SnapshotError> {
    match (1..=MAX_ID).contains(&id.len()) {
        true => Ok(()),
        false => Err(SnapshotError::NoId(what)),
    }
}

fn once<T>(what: &'static str, before: Option<T>, id: &str) -> Result<(), SnapshotError> {
    match before {
        None => Ok(()),
        Some(_) => Err(SnapshotError::Twice {
            what,
            id: short(id),
        }),
    }
}

/// As much of a text as an error needs.
fn short(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
#[path = "snapshot_tests.rs"]
mod tests;
