//! What is in the file, and what one transaction does to it. Knows nothing of queues, time or threads.

use std::time::Duration;

use redb::{
    Database, Error, ReadableDatabase, ReadableTable, StorageError, Table, TableDefinition,
    WriteTransaction,
};

use super::History;
use crate::store::{
    Change, Committed, Entry, Event, Guard, Lease, Listing, StoreError, Transaction, Write,
};

/// Something to do.
#[derive(Clone, Debug)]
pub(super) enum Request {
    /// Judge and make a transaction.
    Commit(Transaction),
    /// Note a lease.
    Grant(Lease, Duration),
    /// End a lease, because someone wants it or its time is over.
    Revoke(Lease),
}

/// What was done.
#[derive(Debug)]
pub(super) enum Answer {
    /// For [`Request::Commit`].
    Committed(Committed),
    /// For the others.
    Done,
}

/// What came of several requests together.
pub(super) struct Applied {
    pub(super) answers: Vec<Result<Answer, StoreError>>,
    /// The store's revision now.
    pub(super) revision: u64,
}

/// Makes the tables in a new file, or finds out what an old one holds: its revision and its leases.
pub(super) fn start(database: &Database) -> Result<(u64, Vec<(Lease, Duration)>), Error> {
    let writing = database.begin_write()?;
    let found = {
        let tables = Tables::open(&writing)?;
        let mut leases = Vec::new();
        for row in tables.leases.iter()? {
            let (lease, ttl) = row?;
            leases.push((Lease(lease.value()), Duration::from_millis(ttl.value())));
        }
        (tables.revision, leases)
    };
    writing.commit()?;
    Ok(found)
}

/// Does all of it, in order, and makes it durable with one sync.
pub(super) fn apply<'r>(
    database: &Database,
    requests: impl Iterator<Item = &'r Request>,
    history: History,
) -> Result<Applied, Error> {
    let writing = database.begin_write()?;
    let mut tables = Tables::open(&writing)?;
    let mut answers = Vec::new();
    for request in requests {
        answers.push(tables.apply(request)?);
    }
    let (revision, changed) = (tables.revision, tables.changed);
    if changed {
        tables.trim(history)?;
        tables.note()?;
    }
    drop(tables);
    if changed {
        writing.commit()?;
    } else {
        writing.abort()?;
    }
    Ok(Applied { answers, revision })
}

pub(super) fn get(database: &Database, key: String) -> Result<Option<Entry>, Error> {
    let reading = database.begin_read()?;
    let row = reading.open_table(KEYS)?.get(key.as_str())?;
    Ok(row.map(|row| {
        let (revision, _, value) = row.value();
        let value = value.to_vec();
        Entry {
            key,
            value,
            revision,
        }
    }))
}

pub(super) fn list(database: &Database, prefix: &str) -> Result<Listing, Error> {
    let reading = database.begin_read()?;
    let mut entries = Vec::new();
    for row in reading.open_table(KEYS)?.range(prefix..)? {
        let (key, row) = row?;
        if !key.value().starts_with(prefix) {
            break;
        }
        let (revision, _, value) = row.value();
        entries.push(Entry {
            key: key.value().to_owned(),
            value: value.to_vec(),
            revision,
        });
    }
    let revision = count(&reading.open_table(META)?, REVISION)?;
    Ok(Listing { entries, revision })
}

/// The next events of a watch, and the revision up to which they tell everything. The work of one call is bounded: call
/// again until it has come to the store's revision.
pub(super) fn changes(
    database: &Database,
    prefix: &str,
    after: u64,
) -> Result<(Vec<Event>, u64), Error> {
    let reading = database.begin_read()?;
    let meta = reading.open_table(META)?;
    let (revision, forgotten) = (count(&meta, REVISION)?, count(&meta, FORGOTTEN)?);
    if after < forgotten || after > revision {
        let listing = list(database, prefix)?;
        let revision = listing.revision;
        return Ok((vec![Event::Reset(listing)], revision));
    }
    let mut events = Vec::new();
    let (mut seen, mut bytes, mut told) = (0, 0, after);
    for row in reading.open_table(HISTORY)?.range((after + 1, "")..)? {
        let (at, value) = row?;
        let ((at, key), value) = (at.value(), value.value());
        if at > told && (seen >= READ_CHANGES || bytes >= READ_BYTES) {
            return Ok((events, told));
        }
        (seen, bytes, told) = (seen + 1, bytes + size(key, value), at);
        if key.starts_with(prefix) {
            tell(&mut events, at, key, value);
        }
    }
    Ok((events, revision))
}

fn tell(events: &mut Vec<Event>, at: u64, key: &str, value: Option<&[u8]>) {
    let key = key.to_owned();
    let change = match value {
        Some(value) => Change::Put(Entry {
            key,
            value: value.to_vec(),
            revision: at,
        }),
        None => Change::Deleted(key),
    };
    match events.last_mut() {
        Some(Event::Changed { revision, changes }) if *revision == at => changes.push(change),
        _ => events.push(Event::Changed {
            revision: at,
            changes: vec![change],
        }),
    }
}

struct Tables<'t> {
    meta: Table<'t, &'static str, u64>,
    keys: Table<'t, &'static str, Row>,
    history: Table<'t, (u64, &'static str), Option<&'static [u8]>>,
    leases: Table<'t, i64, u64>,
    leased: Table<'t, (i64, &'static str), ()>,
    revision: u64,
    /// All changes up to this revision are no longer in the history.
    forgotten: u64,
    history_changes: u64,
    history_bytes: u64,
    changed: bool,
}

impl<'t> Tables<'t> {
    fn open(writing: &'t WriteTransaction) -> Result<Self, Error> {
        let meta = writing.open_table(META)?;
        Ok(Self {
            revision: count(&meta, REVISION)?,
            forgotten: count(&meta, FORGOTTEN)?,
            history_changes: count(&meta, HISTORY_CHANGES)?,
            history_bytes: count(&meta, HISTORY_BYTES)?,
            meta,
            keys: writing.open_table(KEYS)?,
            history: writing.open_table(HISTORY)?,
            leases: writing.open_table(LEASES)?,
            leased: writing.open_table(LEASED)?,
            changed: false,
        })
    }

    /// The outer error is the file's, the inner one the asker's own.
    fn apply(&mut self, request: &Request) -> Result<Result<Answer, StoreError>, StorageError> {
        match request {
            Request::Commit(transaction) => self.commit(transaction),
            Request::Grant(lease, ttl) => {
                let ttl = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
                self.leases.insert(lease.0, ttl)?;
                self.changed = true;
                Ok(Ok(Answer::Done))
            }
            Request::Revoke(lease) => {
                self.end(*lease)?;
                Ok(Ok(Answer::Done))
            }
        }
    }

    fn commit(&mut self, wanted: &Transaction) -> Result<Result<Answer, StoreError>, StorageError> {
        for guard in &wanted.guards {
            if !self.holds(guard)? {
                return Ok(Ok(Answer::Committed(Committed::Conflict)));
            }
        }
        for write in &wanted.writes {
            let Write::Put {
                lease: Some(lease), ..
            } = write
            else {
                continue;
            };
            if self.leases.get(lease.0)?.is_none() {
                return Ok(Err(StoreError::LeaseLapsed));
            }
        }
        let at = self.revision + 1;
        for write in &wanted.writes {
            match write {
                Write::Put { key, value, lease } => self.put(at, key, value, *lease)?,
                Write::Delete(key) => self.delete(at, key)?,
            }
        }
        Ok(Ok(Answer::Committed(Committed::At(self.revision))))
    }

    fn holds(&self, guard: &Guard) -> Result<bool, StorageError> {
        let found = self.keys.get(guard.key())?.map(|row| row.value().0);
        Ok(match guard {
            Guard::Unchanged { revision, .. } => found == Some(*revision),
            Guard::Absent(_) => found.is_none(),
            Guard::Present(_) => found.is_some(),
        })
    }

    fn put(
        &mut self,
        at: u64,
        key: &str,
        value: &[u8],
        lease: Option<Lease>,
    ) -> Result<(), StorageError> {
        let lease = lease.map_or(NO_LEASE, |lease| lease.0);
        let before = self.keys.insert(key, (at, lease, value))?;
        let before = before.map_or(NO_LEASE, |row| row.value().1);
        if before != lease && before != NO_LEASE {
            self.leased.remove((before, key))?;
        }
        if lease != NO_LEASE {
            self.leased.insert((lease, key), ())?;
        }
        self.remember(at, key, Some(value))
    }

    fn delete(&mut self, at: u64, key: &str) -> Result<(), StorageError> {
        let Some(lease) = self.keys.remove(key)?.map(|row| row.value().1) else {
            return Ok(());
        };
        if lease != NO_LEASE {
            self.leased.remove((lease, key))?;
        }
        self.remember(at, key, None)
    }

    fn end(&mut self, lease: Lease) -> Result<(), StorageError> {
        if self.leases.remove(lease.0)?.is_none() {
            return Ok(());
        }
        self.changed = true;
        let mut keys = Vec::new();
        for row in self.leased.range((lease.0, "")..)? {
            let row = row?.0;
            let (of, key) = row.value();
            if of != lease.0 {
                break;
            }
            keys.push(key.to_owned());
        }
        let at = self.revision + 1;
        keys.iter().try_for_each(|key| self.delete(at, key))
    }

    fn remember(&mut self, at: u64, key: &str, value: Option<&[u8]>) -> Result<(), StorageError> {
        self.history.insert((at, key), value)?;
        self.history_changes += 1;
        self.history_bytes += size(key, value);
        self.revision = at;
        self.changed = true;
        Ok(())
    }

    /// Forgets the oldest transactions until the history is within its bounds.
    fn trim(&mut self, history: History) -> Result<(), StorageError> {
        while let Some((at, bytes)) = self.oldest()? {
            let within =
                self.history_changes <= history.changes && self.history_bytes <= history.bytes;
            // A transaction goes whole, or watches would tell a part of it.
            if within && at > self.forgotten {
                break;
            }
            self.history.pop_first()?;
            self.forgotten = at;
            self.history_changes -= 1;
            self.history_bytes -= bytes;
        }
        Ok(())
    }

    fn oldest(&self) -> Result<Option<(u64, u64)>, StorageError> {
        let first = self.history.first()?;
        Ok(first.map(|(at, value)| {
            let (at, key) = at.value();
            (at, size(key, value.value()))
        }))
    }

    fn note(&mut self) -> Result<(), StorageError> {
        for (name, value) in [
            (REVISION, self.revision),
            (FORGOTTEN, self.forgotten),
            (HISTORY_CHANGES, self.history_changes),
            (HISTORY_BYTES, self.history_bytes),
        ] {
            self.meta.insert(name, value)?;
        }
        Ok(())
    }
}

/// What a history row weighs, in bytes.
fn size(key: &str, value: Option<&[u8]>) -> u64 {
    (key.len() + value.map_or(0, <[u8]>::len) + ROW_OVERHEAD) as u64
}

fn count(meta: &impl ReadableTable<&'static str, u64>, name: &str) -> Result<u64, StorageError> {
    Ok(meta.get(name)?.map_or(0, |count| count.value()))
}

/// A key's revision, lease and value.
type Row = (u64, i64, &'static [u8]);

/// Counts by name.
const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
/// What stands.
const KEYS: TableDefinition<&str, Row> = TableDefinition::new("keys");
/// What changed, by revision and key: the new value, or none if the key went.
const HISTORY: TableDefinition<(u64, &str), Option<&[u8]>> = TableDefinition::new("history");
/// The time to live of each lease, in ms.
const LEASES: TableDefinition<i64, u64> = TableDefinition::new("leases");
/// The keys of each lease.
const LEASED: TableDefinition<(i64, &str), ()> = TableDefinition::new("leased");

const REVISION: &str = "revision";
const FORGOTTEN: &str = "forgotten";
const HISTORY_CHANGES: &str = "history changes";
const HISTORY_BYTES: &str = "history bytes";

/// No lease has this id.
const NO_LEASE: i64 = 0;
/// What a row takes besides its key and value, roughly.
const ROW_OVERHEAD: usize = 32;
/// A watch reads about this many changes, or bytes, in one go.
const READ_CHANGES: u64 = 1000;
const READ_BYTES: u64 = 4 << 20;
