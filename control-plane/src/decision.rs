//! Changes to the state: each is a transaction on the revisions of what it was decided from, and says who wanted it.

use crate::caller::Caller;
use crate::plane::{Plane, unavailable};
use crate::records::{AuditRecord, Record, TouchedRecord, key};
use crate::store::{Committed, Guard, Transaction, Write};
use tonic::Status;

/// What is read and written by one decision.
pub struct Decision<'a> {
    plane: &'a Plane,
    guards: Vec<Guard>,
    writes: Vec<Write>,
}

/// How often something is decided again before the caller is asked to.
const TRIES: usize = 5;

impl Plane {
    /// Decides and commits, again if something it was decided from has changed meanwhile. Gives what was decided, and
    /// the revision from which on it is so.
    ///
    /// # Errors
    /// What `decide` refuses; UNAVAILABLE if the store is away; ABORTED if others are always quicker.
    pub async fn change<T>(
        &self,
        decide: impl Fn(&mut Decision<'_>) -> Result<T, Status>,
    ) -> Result<(T, u64), Status> {
        for _ in 0..TRIES {
            let seen = self.mirror.revision();
            let mut decision = Decision {
                plane: self,
                guards: Vec::new(),
                writes: Vec::new(),
            };
            let decided = decide(&mut decision)?;
            let Decision { guards, writes, .. } = decision;
            if writes.is_empty() {
                return Ok((decided, seen));
            }
            let transaction = Transaction { guards, writes };
            match self.store.commit(transaction).await.map_err(unavailable)? {
                Committed::At(revision) => {
                    self.caught_up(revision).await;
                    return Ok((decided, revision));
                }
                Committed::Conflict => {
                    self.counters.conflicts.add();
                    self.caught_up(seen + 1).await;
                }
            }
        }
        Err(Status::aborted(
            "somebody else is changing this too; look what is there, then try again",
        ))
    }
}

impl Decision<'_> {
    /// Reads a value. It must not change until this decision is committed.
    pub fn read<R: Record>(&mut self, key: &str) -> Option<R> {
        let Some(entry) = self.plane.mirror.get(key) else {
            self.guards.push(Guard::Absent(key.to_owned()));
            return None;
        };
        self.guards.push(Guard::Unchanged {
            key: key.to_owned(),
            revision: entry.revision,
        });
        R::from_bytes(key, &entry.value)
    }

    /// The revision of a value that was read.
    pub fn revision(&self, key: &str) -> u64 {
        self.plane.mirror.get(key).map_or(0, |entry| entry.revision)
    }

    /// A further condition.
    pub fn guard(&mut self, guard: Guard) {
        self.guards.push(guard);
    }

    /// Sets a value.
    pub fn put(&mut self, key: String, record: &impl Record) {
        self.writes.push(Write::Put {
            key,
            value: record.to_bytes(),
            lease: None,
        });
    }

    /// Removes a value that edges are told of.
    pub fn delete(&mut self, key: String) {
        let touched = TouchedRecord {
            removed: key.clone(),
        };
        self.writes.retain(|write| write.key() != key::TOUCHED);
        self.put(key::TOUCHED.to_owned(), &touched);
        self.writes.push(Write::Delete(key));
    }

    /// Has the decision written down in the audit log with the change itself.
    pub fn audit(&mut self, who: &Caller, what: &str, target: &str, detail: String) {
        let at_ms = self.plane.now_ms();
        let record = AuditRecord {
            at_ms,
            who: who.subject.clone(),
            what: what.to_owned(),
            target: target.to_owned(),
            detail,
        };
        tracing::info!(who = record.who, what, target, detail = record.detail);
        // Two entries of one millisecond are told apart at random.
        let key = format!("{}{at_ms:013}-{:08x}", key::AUDIT, rand::random::<u32>());
        self.put(key, &record);
    }
}
