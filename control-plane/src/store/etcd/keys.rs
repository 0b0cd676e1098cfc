//! Our keys and etcd's.

use etcd_client::KeyValue;

use crate::store::Entry;

/// Puts the prefix before keys, and takes it off.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        let prefix = prefix.to_owned();
        Self { prefix }
    }

    pub(super) fn full(&self, key: &str) -> Vec<u8> {
        format!("{}{key}", self.prefix).into_bytes()
    }

    /// From the first key that begins with `prefix` to the first behind the last.
    pub(super) fn range(&self, prefix: &str) -> (Vec<u8>, Vec<u8>) {
        let from = self.full(prefix);
        let mut to = from.clone();
        // UTF-8 has no byte 255 that could not be counted up, and our own prefix is not empty.
        if let Some(last) = to.last_mut() {
            *last += 1;
        }
        (from, to)
    }

    pub(super) fn key(&self, row: &KeyValue) -> String {
        let key = String::from_utf8_lossy(row.key());
        key.strip_prefix(&self.prefix).unwrap_or(&key).to_owned()
    }

    pub(super) fn entry(&self, row: &KeyValue) -> Entry {
        Entry {
            key: self.key(row),
            value: row.value().to_vec(),
            revision: u64::try_from(row.mod_revision()).unwrap_or_default(),
        }
    }
}
