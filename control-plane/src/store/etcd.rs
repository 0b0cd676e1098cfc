//! The state store for several replicas: an etcd cluster (3.4 or later).
//!
//! - **Keys** lie under a prefix; a revision is etcd's own, so a key's is its `mod_revision`.
//! - **Calls** go to one member, and to the next when it does not answer. They end after [`LIMIT`]. What may be done
//!   twice is tried again within that time; a transaction only if it certainly was not made. If its answer was lost,
//!   the caller is told [`StoreError::Unavailable`] and reads again: its guards make a repetition safe.
//! - **Watches** go on over lost members, changes of leader, compaction and expired tokens.
//! - **Restoring a backup** takes etcd's revisions back. A watch that finds the store behind it is reset; one that finds
//!   it ahead again cannot tell. So stop the control plane before, and start it after.

mod config;
mod keys;
mod members;
mod verdict;
mod watch;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use etcd_client::{
    Compare, CompareOp, DeleteOptions, GetOptions, GetResponse, PutOptions, Txn, TxnOp,
};

pub use self::{
    config::{ConfigError, EtcdConfig, Identity, PREFIX, Tls, User},
    members::LIMIT,
};
use self::{
    keys::Keys,
    members::{Members, Repeat},
    verdict::Refusal,
    watch::EtcdWatch,
};
use super::{
    Committed, Entry, Guard, Lease, Listing, Store, StoreError, Transaction, Watch, Write,
    limits::{check_key, check_transaction, check_ttl},
};

/// The store in an etcd cluster. Clones share its connections.
#[derive(Clone, Debug)]
pub struct EtcdStore {
    cluster: Arc<Cluster>,
}

#[derive(Debug)]
struct Cluster {
    members: Members,
    keys: Keys,
}

impl EtcdStore {
    /// Connects when first used, so that a replica starts while etcd is away.
    ///
    /// # Errors
    /// If the configuration cannot work with any cluster.
    pub fn new(config: EtcdConfig) -> Result<Self, ConfigError> {
        let keys = Keys::new(&config.prefix);
        let members = Members::new(config)?;
        let cluster = Arc::new(Cluster { members, keys });
        Ok(Self { cluster })
    }
}

#[async_trait]
impl Store for EtcdStore {
    async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        check_key(key)?;
        let read = self.cluster.range(self.cluster.keys.full(key), None).await;
        let row = read?.kvs().first().map(|row| self.cluster.keys.entry(row));
        Ok(row)
    }

    async fn list(&self, prefix: &str) -> Result<Listing, StoreError> {
        self.cluster.list(prefix).await
    }

    async fn commit(&self, transaction: Transaction) -> Result<Committed, StoreError> {
        check_transaction(&transaction)?;
        let transaction = self.cluster.transaction(&transaction);
        let members = &self.cluster.members;
        let made = members
            .call(Repeat::IfNotDone, move |to| {
                let transaction = transaction.clone();
                async move { to.kv().txn(transaction).await }
            })
            .await?;
        if !made.succeeded() {
            return Ok(Committed::Conflict);
        }
        Ok(Committed::At(revision_of(made.header())?))
    }

    async fn watch(&self, prefix: &str, after: u64) -> Result<Box<dyn Watch>, StoreError> {
        let watch = EtcdWatch::start(self.cluster.clone(), prefix, after);
        Ok(Box::new(watch))
    }

    async fn grant(&self, ttl: Duration) -> Result<Lease, StoreError> {
        check_ttl(ttl)?;
        // A second one, if the first answer was lost, lapses unused.
        let seconds = ttl.as_secs_f64().ceil() as i64;
        let members = &self.cluster.members;
        let granted = members.call(Repeat::Freely, move |to| async move {
            to.lease().grant(seconds, None).await
        });
        Ok(Lease(granted.await?.id()))
    }

    async fn keep_alive(&self, lease: Lease) -> Result<(), StoreError> {
        let members = &self.cluster.members;
        let kept = members.call(Repeat::Freely, move |to| async move {
            to.lease().keep_alive(lease.0).await
        });
        kept.await?;
        Ok(())
    }

    async fn revoke(&self, lease: Lease) -> Result<(), StoreError> {
        let members = &self.cluster.members;
        let revoked = members.call(Repeat::Freely, move |to| async move {
            to.lease().revoke(lease.0).await
        });
        match revoked.await {
            Ok(_) | Err(Refusal::Error(StoreError::LeaseLapsed)) => Ok(()),
            Err(refusal) => Err(refusal.into()),
        }
    }
}

impl Cluster {
    /// Page by page, all at the first one's revision; from the start again if that is compacted meanwhile.
    async fn list(&self, prefix: &str) -> Result<Listing, StoreError> {
        loop {
            match self.list_once(prefix).await {
                Ok(listing) => return Ok(listing),
                Err(Refusal::Revision) => {}
                Err(refusal) => return Err(refusal.into()),
            }
        }
    }

    async fn list_once(&self, prefix: &str) -> Result<Listing, Refusal> {
        let (mut from, to) = self.keys.range(prefix);
        let mut listing = Listing::default();
        loop {
            let mut options = GetOptions::new().with_range(to.clone()).with_limit(PAGE);
            if listing.revision > 0 {
                options = options.with_revision(wire_revision(listing.revision));
            }
            let page = self.range(from, Some(options)).await?;
            if listing.revision == 0 {
                listing.revision = revision_of(page.header())?;
            }
            let entries = page.kvs().iter().map(|row| self.keys.entry(row));
            listing.entries.extend(entries);
            match page.kvs().last() {
                Some(last) if page.more() => from = [last.key(), b"\0"].concat(),
                _ => return Ok(listing),
            }
        }
    }

    /// The revision the cluster has come to, if it can still tell everything that was changed after `after`.
    ///
    /// It is asked for a state of its own at that revision. To a watch alone etcd does not say all: it waits in silence
    /// for a revision to come, and one that begins exactly where history was cut misses what was deleted there
    /// (etcd up to 3.4.33 and 3.5.15 drops those deletions with the history).
    async fn remembers(&self, after: u64) -> Result<u64, Refusal> {
        let mut options = GetOptions::new().with_count_only();
        if after > 0 {
            options = options.with_revision(wire_revision(after));
        }
        let read = self.range(self.keys.full(super::EPOCH), Some(options));
        Ok(revision_of(read.await?.header())?)
    }

    async fn range(
        &self,
        key: Vec<u8>,
        options: Option<GetOptions>,
    ) -> Result<GetResponse, Refusal> {
        let read = self.members.call(Repeat::Freely, move |to| {
            let (key, options) = (key.clone(), options.clone());
            async move { to.kv().get(key, options).await }
        });
        read.await
    }

    fn transaction(&self, transaction: &Transaction) -> Txn {
        let guards = transaction.guards.iter().map(|guard| {
            let key = self.keys.full(guard.key());
            match guard {
                Guard::Unchanged { revision, .. } => {
                    Compare::mod_revision(key, CompareOp::Equal, wire_revision(*revision))
                }
                Guard::Absent(_) => Compare::version(key, CompareOp::Equal, 0),
                Guard::Present(_) => Compare::version(key, CompareOp::Greater, 0),
            }
        });
        let writes = transaction.writes.iter().map(|write| match write {
            Write::Put { key, value, lease } => {
                let lease = lease.map_or(0, |lease| lease.0);
                let options = PutOptions::new().with_lease(lease);
                TxnOp::put(self.keys.full(key), value.clone(), Some(options))
            }
            Write::Delete(key) => TxnOp::delete(self.keys.full(key), None::<DeleteOptions>),
        });
        Txn::new()
            .when(guards.collect::<Vec<_>>())
            .and_then(writes.collect::<Vec<_>>())
    }
}

/// A revision of 0 would mean that the key is absent, where it is asked for as unchanged: no key has ever had it.
fn wire_revision(revision: u64) -> i64 {
    match i64::try_from(revision) {
        Ok(0) | Err(_) => i64::MAX,
        Ok(revision) => revision,
    }
}

fn revision_of(header: Option<&etcd_client::ResponseHeader>) -> Result<u64, StoreError> {
    let revision = header.and_then(|header| u64::try_from(header.revision()).ok());
    revision.ok_or_else(|| StoreError::Damaged("etcd tells no revision".into()))
}

/// How many keys are read at once.
const PAGE: i64 = 256;
