//! What every store takes: the same everywhere, so that what works on one works on the other. They lie within etcd's
//! own defaults (1.5 MiB a request, 128 operations a transaction).

use std::{collections::BTreeSet, time::Duration};

use super::{StoreError, Transaction, Write};

/// The longest key, in bytes.
pub const MAX_KEY: usize = 1024;
/// The longest value, in bytes.
pub const MAX_VALUE: usize = 1 << 20;
/// The most guards, and the most writes, of one transaction.
pub const MAX_OPERATIONS: usize = 128;
/// The most bytes of keys and values in one transaction.
pub const MAX_TRANSACTION: usize = MAX_VALUE + (256 << 10);

pub(super) fn check_key(key: &str) -> Result<(), StoreError> {
    if key.is_empty() {
        return Err(invalid("a key is empty"));
    }
    if key.len() > MAX_KEY {
        return Err(invalid(format!("a key is longer than {MAX_KEY} bytes")));
    }
    Ok(())
}

pub(super) fn check_transaction(transaction: &Transaction) -> Result<(), StoreError> {
    let Transaction { guards, writes } = transaction;
    if guards.len() > MAX_OPERATIONS || writes.len() > MAX_OPERATIONS {
        let text = format!("more than {MAX_OPERATIONS} guards or writes in a transaction");
        return Err(invalid(text));
    }
    guards.iter().try_for_each(|guard| check_key(guard.key()))?;
    let mut written = BTreeSet::new();
    for write in writes {
        check_key(write.key())?;
        if !written.insert(write.key()) {
            return Err(invalid(format!("`{}` is written twice", write.key())));
        }
        if size(write) - write.key().len() > MAX_VALUE {
            let text = format!("`{}` is longer than {MAX_VALUE} bytes", write.key());
            return Err(invalid(text));
        }
    }
    let keys = guards.iter().map(|guard| guard.key().len());
    if keys.chain(writes.iter().map(size)).sum::<usize>() > MAX_TRANSACTION {
        let text = format!("a transaction is longer than {MAX_TRANSACTION} bytes");
        return Err(invalid(text));
    }
    Ok(())
}

pub(super) fn check_ttl(ttl: Duration) -> Result<(), StoreError> {
    if !(Duration::from_secs(1)..=MAX_TTL).contains(&ttl) {
        return Err(invalid("a lease lasts from one second to a day"));
    }
    Ok(())
}

const MAX_TTL: Duration = Duration::from_secs(24 * 60 * 60);

fn size(write: &Write) -> usize {
    match write {
        Write::Put { key, value, .. } => key.len() + value.len(),
        Write::Delete(key) => key.len(),
    }
}

fn invalid(text: impl Into<String>) -> StoreError {
    StoreError::Invalid(text.into())
}
