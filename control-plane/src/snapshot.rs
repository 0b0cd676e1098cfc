//! What every edge is told, from the state: rendered anew when the state has changed, and a later version only if it says
//! something else.

use crate::plane::Plane;
use crate::records::{DrainRecord, EdgeRecord, RevocationRecord, RowRecord, TreeRecord, key};
use meridian_control_core::ids::Office;
use meridian_proto::hex;
use meridian_proto::v1::{
    Drain, DrainTarget, Edge, Failure, MeetingDrain, Revocation, Shortcut, Snapshot, TokenKey,
    TreeRow, Version,
};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Changes within this time come as one.
const GATHER: Duration = Duration::from_millis(100);

/// Keeps the snapshot true, for ever.
pub async fn keep(plane: Arc<Plane>) {
    let mut changed = plane.mirror.changed();
    loop {
        changed.mark_unchanged();
        plane.reload_rings();
        take_in(&plane);
        publish(&plane);
        if changed.changed().await.is_err() {
            return;
        }
        tokio::time::sleep(GATHER).await;
    }
}

/// What the state says of edges, for who places delegates.
fn take_in(plane: &Plane) {
    let (now, now_ms) = (Instant::now(), plane.now_ms());
    let drains = plane.records::<DrainRecord>(key::DRAINS).into_iter();
    let until = |until_ms: u64| now + Duration::from_millis(until_ms.saturating_sub(now_ms));
    let drains = drains.filter_map(|(office, record, _)| {
        Some((Office::new(&office).ok()?, until(record.until_ms)))
    });
    plane.desk().handle_drains(&drains.collect(), now);
}

/// Renders, and publishes what is new.
fn publish(plane: &Plane) {
    let Some(epoch) = plane.mirror.epoch() else {
        return;
    };
    let revision = revision(plane);
    let version = Some(Version { epoch, revision });
    if plane.snapshot.borrow().version == version {
        return;
    }
    let fresh = Snapshot {
        version,
        ..render(plane)
    };
    plane.snapshot.send_replace(Arc::new(fresh));
}

/// The revision that last changed what edges are told: the same at every replica, whenever it has started. What is removed
/// touches [`key::TOUCHED`].
fn revision(plane: &Plane) -> u64 {
    let media = format!("{}media", key::KEYS);
    let told = [
        key::EDGES,
        key::DRAINS,
        key::TREE,
        key::REVOKED,
        key::TOUCHED,
        &media,
    ];
    let entries = told
        .into_iter()
        .flat_map(|prefix| plane.mirror.range(prefix));
    entries.map(|entry| entry.revision).max().unwrap_or(0)
}

fn render(plane: &Plane) -> Snapshot {
    let edges = plane.records::<EdgeRecord>(key::EDGES);
    let tree: TreeRecord = plane.record(key::TREE).unwrap_or_default();
    let drains = plane.records::<DrainRecord>(key::DRAINS);
    let keys = plane.rings().media_ring.public_keys();
    Snapshot {
        version: None,
        edges: edges
            .into_iter()
            .map(|(office, record, _)| edge(&office, &record))
            .collect(),
        tree: tree.rows.iter().map(row).collect(),
        failures: tree.failures.iter().map(failure).collect(),
        shortcuts: tree.shortcuts.iter().map(shortcut).collect(),
        keys: keys
            .into_iter()
            .map(|key| TokenKey {
                id: key.id,
                ed25519: key.bytes.into(),
                expires_at_s: key.expires_at_s,
            })
            .collect(),
        revocations: plane
            .records::<RevocationRecord>(key::REVOKED)
            .into_iter()
            .filter_map(|(name, record, _)| revocation(&name, &record))
            .collect(),
        drains: drains
            .into_iter()
            .map(|(office, record, _)| drain(&office, record))
            .collect(),
    }
}

/// An edge as others reach it.
pub(crate) fn edge(office: &str, record: &EdgeRecord) -> Edge {
    Edge {
        office: office.to_owned(),
        neighbour_address: record.neighbour_address.clone(),
        client_address: record.client_address.clone(),
        certificate_sha256: hex::from_text(&record.certificate_sha256).into(),
        failure_domain: record.failure_domain.clone(),
    }
}

fn row(record: &RowRecord) -> TreeRow {
    TreeRow {
        office: record.office.clone(),
        parent: record.parent.clone(),
        backup_parent: record.backup.clone(),
    }
}

fn failure((office, changed): &(String, Vec<RowRecord>)) -> Failure {
    Failure {
        office: office.clone(),
        changed: changed.iter().map(row).collect(),
    }
}

fn shortcut((office, other): &(String, String)) -> Shortcut {
    Shortcut {
        office: office.clone(),
        other: other.clone(),
    }
}

fn revocation(name: &str, record: &RevocationRecord) -> Option<Revocation> {
    let (meeting, participant) = name.split_once('/')?;
    Some(Revocation {
        meeting: meeting.to_owned(),
        participant: participant.to_owned(),
        below_generation: record.below_generation,
        until_s: record.until_s,
    })
}

/// A drain as edges and operators are told.
pub(crate) fn drain(office: &str, record: DrainRecord) -> Drain {
    let target = |(office, places)| DrainTarget { office, places };
    let targets = |all: Vec<(String, u32)>| all.into_iter().map(target).collect();
    let of_meeting = |(meeting, all)| MeetingDrain {
        meeting,
        targets: targets(all),
    };
    Drain {
        office: office.to_owned(),
        deadline_ms: record.deadline_ms,
        targets: targets(record.targets),
        meetings: record.meetings.into_iter().map(of_meeting).collect(),
    }
}

/// A tree as services tell it.
pub(crate) fn tree_parts(tree: &TreeRecord) -> (Vec<TreeRow>, Vec<Failure>, Vec<Shortcut>) {
    (
        tree.rows.iter().map(row).collect(),
        tree.failures.iter().map(failure).collect(),
        tree.shortcuts.iter().map(shortcut).collect(),
    )
}
