//! This replica among the others: it says in the store that it runs, and by which table of shares it goes.

use crate::plane::Plane;
use crate::records::{Record, ReplicaRecord, SharesRecord, key};
use crate::store::{Lease, Store, StoreError, Transaction, Write};
use meridian_control_core::ids::Replica;
use meridian_control_core::placement::Table;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// Keeps this replica in the store and its shares true, for ever.
pub async fn keep(plane: Arc<Plane>) {
    let mut member = Member {
        lease: None,
        acknowledged: 0,
    };
    let period = plane.config.timing.replica() / 4;
    let mut beats = tokio::time::interval(period);
    let mut changed = plane.mirror.changed();
    loop {
        tokio::select! {
            _ = beats.tick() => {}
            more = changed.changed() => if more.is_err() { return },
        }
        look(&plane);
        if let Err(error) = member.renew(&plane).await {
            tracing::warn!(%error, "this replica is not in the state store for now");
            member.lease = None;
        }
    }
}

/// Says goodbye, so that the others need not wait for the lease to lapse. Without the store they have to.
pub async fn leave(plane: &Plane) {
    let goodbye = Transaction {
        guards: Vec::new(),
        writes: vec![Write::Delete(key::replica(plane.replica.as_str()))],
    };
    if let Err(error) = plane.store.commit(goodbye).await {
        tracing::warn!(%error, "this replica's place in the state store will lapse");
    }
}

/// Forgets earlier runs, where there can only be one at a time.
///
/// # Errors
/// The store cannot be used.
pub async fn forget_others(store: &dyn Store) -> Result<(), StoreError> {
    let others = store.list(key::REPLICAS).await?.entries;
    let writes: Vec<_> = others
        .into_iter()
        .map(|other| Write::Delete(other.key))
        .collect();
    if !writes.is_empty() {
        let guards = Vec::new();
        store.commit(Transaction { guards, writes }).await?;
    }
    Ok(())
}

/// Takes over what the store says of shares and replicas.
fn look(plane: &Plane) {
    let now = Instant::now();
    let table: Option<SharesRecord> = plane.record(key::SHARES);
    let replicas = plane.records::<ReplicaRecord>(key::REPLICAS);
    let replicas: BTreeMap<Replica, u64> = replicas
        .into_iter()
        .filter_map(|(id, record, _)| Some((Replica::new(&id).ok()?, record.acknowledged)))
        .collect();
    let mut desk = plane.desk();
    let shares = desk.placer.shares();
    if let Some(table) = table {
        let members = table.replicas.iter().filter_map(|id| Replica::new(id).ok());
        shares.handle_table(Table::even(table.epoch, members), now);
    }
    shares.handle_replicas(&replicas, now);
}

struct Member {
    lease: Option<Lease>,
    acknowledged: u64,
}

impl Member {
    /// Keeps the lease, and says what is new. A lapsed lease is got afresh, and its key written again.
    async fn renew(&mut self, plane: &Plane) -> Result<(), StoreError> {
        let ttl = plane.config.timing.replica();
        let asked = Instant::now();
        let lease = match self.lease {
            Some(lease) => match plane.store.keep_alive(lease).await {
                Ok(()) => lease,
                Err(StoreError::LeaseLapsed) => plane.store.grant(ttl).await?,
                Err(error) => return Err(error),
            },
            None => plane.store.grant(ttl).await?,
        };
        let fresh = self.lease.replace(lease) != Some(lease);
        let news = plane.desk().placer.shares().poll_acknowledgement();
        let is_missing = plane
            .record::<ReplicaRecord>(&key::replica(plane.replica.as_str()))
            .is_none();
        if fresh || is_missing || news.is_some_and(|epoch| epoch > self.acknowledged) {
            self.acknowledged = news.unwrap_or(self.acknowledged).max(self.acknowledged);
            let record = ReplicaRecord {
                acknowledged: self.acknowledged,
            };
            let written = Transaction {
                guards: Vec::new(),
                writes: vec![Write::Put {
                    key: key::replica(plane.replica.as_str()),
                    value: record.to_bytes(),
                    lease: Some(lease),
                }],
            };
            plane.store.commit(written).await?;
        }
        plane.desk().placer.shares().handle_leased(asked + ttl);
        Ok(())
    }
}
