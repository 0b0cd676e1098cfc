//! Keys that follow each other, shares of capacity, and what is past and can go.

use super::{put, unchanged, write};
use crate::plane::{Plane, RINGS};
use crate::records::{
    AuditRecord, DrainRecord, ReplicaRecord, RevocationRecord, SharesRecord, TouchedRecord, key,
};
use crate::store::leader::Term;
use crate::store::{StoreError, Write};
use crate::tokens::ring::{Ring, SigningKey};

/// Entries the audit log keeps: years of an office's meetings.
const AUDIT_ENTRIES: usize = 20_000;
/// How many things are removed in one transaction.
const AT_ONCE: usize = 64;
/// Invitations live 30 days at most, access tokens 90.
const DAY_S: u64 = 24 * 3_600;

/// Lets each ring's next key sign once the current one has done so long enough.
pub(super) async fn rotate(plane: &Plane, term: &Term) -> Result<(), StoreError> {
    let now_s = plane.now_s();
    for name in RINGS {
        let key = format!("{}{name}", key::KEYS);
        let Some(ring) = plane.record::<Ring>(&key) else {
            continue;
        };
        let fresh = match now_s >= ring.since_s + plane.config.tokens.rotate_s {
            true => rotated(&ring, now_s, lifetime_s(plane, name)),
            false => ring.pruned(now_s),
        };
        if let Some(fresh) = fresh {
            let guards = vec![unchanged(plane, &key)];
            if write(plane, term, guards, vec![put(&key, &fresh)]).await? {
                tracing::info!(ring = name, key = fresh.current.id, "keys");
            }
        }
    }
    Ok(())
}

fn rotated(ring: &Ring, now_s: u64, lifetime_s: u64) -> Option<Ring> {
    match SigningKey::generate() {
        Ok(fresh) => Some(ring.rotated(now_s, lifetime_s, fresh)),
        Err(error) => {
            tracing::error!(%error, "the old key goes on signing");
            None
        }
    }
}

/// How long the tokens of a ring live at most, in seconds.
pub(crate) fn lifetime_s(plane: &Plane, ring: &str) -> u64 {
    match ring {
        "media" => plane.config.tokens.media_s,
        "invitation" => 30 * DAY_S,
        _ => 90 * DAY_S,
    }
}

/// Divides edges' places among the replicas that run.
pub(super) async fn divide(plane: &Plane, term: &Term) -> Result<(), StoreError> {
    let running = plane.records::<ReplicaRecord>(key::REPLICAS);
    let running: Vec<String> = running.into_iter().map(|(id, ..)| id).collect();
    let shares: SharesRecord = plane.record(key::SHARES).unwrap_or_default();
    if shares.replicas == running {
        return Ok(());
    }
    let fresh = SharesRecord {
        epoch: shares.epoch + 1,
        replicas: running,
    };
    let guards = vec![unchanged(plane, key::SHARES)];
    write(plane, term, guards, vec![put(key::SHARES, &fresh)]).await?;
    Ok(())
}

/// Removes what is past: revocations of tokens that have all expired, drains that are over, the oldest of the log.
pub(super) async fn tidy(plane: &Plane, term: &Term) -> Result<(), StoreError> {
    let (now_s, now_ms) = (plane.now_s(), plane.now_ms());
    let revoked = plane.records::<RevocationRecord>(key::REVOKED);
    let revoked = revoked
        .into_iter()
        .filter(|(_, record, _)| record.until_s < now_s);
    let revoked = revoked.map(|(name, ..)| format!("{}{name}", key::REVOKED));
    let drains = plane.records::<DrainRecord>(key::DRAINS);
    let drains = drains
        .into_iter()
        .filter(|(_, record, _)| record.until_ms < now_ms);
    let drains = drains.map(|(name, ..)| format!("{}{name}", key::DRAINS));
    let mut past: Vec<String> = revoked.chain(drains).collect();
    if past.is_empty() {
        let log = plane.records::<AuditRecord>(key::AUDIT);
        let more = log.len().saturating_sub(AUDIT_ENTRIES);
        let oldest = log.into_iter().take(more);
        past.extend(oldest.map(|(name, ..)| format!("{}{name}", key::AUDIT)));
    }
    past.truncate(AT_ONCE);
    if past.is_empty() {
        return Ok(());
    }
    let guards = past.iter().map(|key| unchanged(plane, key)).collect();
    let told = past.iter().find(|key| !key.starts_with(key::AUDIT));
    let touched = told.map(|removed| TouchedRecord {
        removed: removed.clone(),
    });
    let touched = touched.map(|touched| put(key::TOUCHED, &touched));
    let writes = touched
        .into_iter()
        .chain(past.into_iter().map(Write::Delete));
    write(plane, term, guards, writes.collect()).await?;
    Ok(())
}
