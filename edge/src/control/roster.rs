//! The sessions as each replica has been told of them. No I/O.

use crate::sessions::{Change, OpenSession};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;

/// Changes that are kept for replicas that have not been told yet. One that has missed more is told everything anew.
const KEPT: usize = 8_192;
/// Sessions in one report: some hundred bytes each, so that it is well below what a message may have.
const MOST: usize = 8_192;

/// All open sessions, and what has changed lately.
#[derive(Debug, Default)]
pub(super) struct Roster {
    open: BTreeMap<u64, OpenSession>,
    /// The newest last: a number, and whether it was opened.
    log: VecDeque<(u64, bool)>,
    /// How many changes there were before the log begins.
    before: u64,
}

/// How far one replica has been told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Cursor {
    /// Nothing.
    #[default]
    Fresh,
    /// The list up to this number; then changes from that one on.
    Listing(u64, u64),
    /// The changes before this one.
    At(u64),
}

/// What a replica is to be told next.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Delta {
    pub(super) opened: Vec<OpenSession>,
    pub(super) closed: Vec<u64>,
    pub(super) is_complete: bool,
}

impl Roster {
    /// These are open, whatever was known.
    pub(super) fn reset(&mut self, open: Vec<OpenSession>) {
        self.open = open
            .into_iter()
            .map(|session| (session.number, session))
            .collect();
        // One change that nobody can find in the log: everybody is told everything.
        self.before = self.end() + 1;
        self.log.clear();
    }

    /// Takes a change; `Resync` is for [`Self::reset`].
    pub(super) fn take(&mut self, change: Change) {
        let entry = match change {
            Change::Opened(session) => {
                let number = session.number;
                self.open.insert(number, session);
                (number, true)
            }
            Change::Closed(number) => {
                self.open.remove(&number);
                (number, false)
            }
            Change::Resync => return,
        };
        self.log.push_back(entry);
        if self.log.len() > KEPT {
            self.log.pop_front();
            self.before += 1;
        }
    }

    /// What is to be told now, and how far that goes.
    pub(super) fn next(&self, cursor: Cursor) -> (Delta, Cursor) {
        match cursor {
            Cursor::At(from) if from >= self.before && from <= self.end() => self.changes(from),
            Cursor::Listing(after, from) if from >= self.before => {
                self.list(Bound::Excluded(after), from, false)
            }
            _ => self.list(Bound::Unbounded, self.end(), true),
        }
    }

    fn list(&self, after: Bound<u64>, from: u64, is_complete: bool) -> (Delta, Cursor) {
        let left = self.open.range((after, Bound::Unbounded));
        let opened: Vec<OpenSession> = left
            .take(MOST)
            .map(|(_, session)| session.clone())
            .collect();
        let next = match opened.last() {
            Some(last) if opened.len() == MOST => Cursor::Listing(last.number, from),
            _ => Cursor::At(from),
        };
        let delta = Delta {
            opened,
            closed: Vec::new(),
            is_complete,
        };
        (delta, next)
    }

    fn changes(&self, from: u64) -> (Delta, Cursor) {
        let skip = (from - self.before) as usize;
        let (mut opened, mut closed) = (BTreeSet::new(), Vec::new());
        for &(number, is_open) in self.log.iter().skip(skip) {
            // What came and went since is not worth a word.
            if is_open {
                opened.insert(number);
            } else if !opened.remove(&number) {
                closed.push(number);
            }
        }
        let opened = opened.iter().filter_map(|number| self.open.get(number));
        let delta = Delta {
            opened: opened.cloned().collect(),
            closed,
            is_complete: false,
        };
        (delta, Cursor::At(self.end()))
    }

    fn end(&self) -> u64 {
        self.before + self.log.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access_control::Holder;
    use meridian_session::transport::Transport;

    fn session(number: u64) -> OpenSession {
        OpenSession {
            number,
            holder: Holder {
                meeting: Some("council".to_owned()),
                participant: "ana".to_owned(),
            },
            sid: None,
            generation: 0,
            issued_at: 0,
            opened_at: 0,
            limit: 0,
            transport: Transport::Quic,
        }
    }

    fn numbers(delta: &Delta) -> Vec<u64> {
        delta.opened.iter().map(|session| session.number).collect()
    }

    #[test]
    fn a_replica_is_told_everything_first_and_then_what_has_changed() {
        let mut roster = Roster::default();
        roster.reset(vec![session(1), session(2)]);
        let (delta, cursor) = roster.next(Cursor::Fresh);
        assert!(delta.is_complete && numbers(&delta) == [1, 2]);
        roster.take(Change::Opened(session(3)));
        roster.take(Change::Opened(session(4)));
        roster.take(Change::Closed(4));
        roster.take(Change::Closed(1));
        let (delta, cursor) = roster.next(cursor);
        assert_eq!(
            (numbers(&delta), &delta.closed[..], delta.is_complete),
            (vec![3], &[1][..], false)
        );
        let (delta, _) = roster.next(cursor);
        assert_eq!(delta, Delta::default());
    }

    #[test]
    fn a_replica_that_has_missed_too_much_is_told_everything_anew() {
        let mut roster = Roster::default();
        roster.reset(Vec::new());
        let (_, cursor) = roster.next(Cursor::Fresh);
        for number in 0..=KEPT as u64 {
            roster.take(Change::Opened(session(number)));
        }
        assert!(roster.next(cursor).0.is_complete);
        let (_, cursor) = roster.next(Cursor::At(roster.end()));
        roster.reset(vec![session(9)]);
        let (delta, _) = roster.next(cursor);
        assert!(delta.is_complete && numbers(&delta) == [9]);
    }

    #[test]
    fn a_long_list_comes_in_pieces_and_changes_meanwhile_come_after_it() {
        let mut roster = Roster::default();
        let all = 1..=MOST as u64 + 10;
        roster.reset(all.clone().map(session).collect());
        let (first, cursor) = roster.next(Cursor::Fresh);
        assert!(first.is_complete && first.opened.len() == MOST);
        roster.take(Change::Closed(3));
        let (second, cursor) = roster.next(cursor);
        assert!(!second.is_complete && second.opened.len() == 10);
        let (third, _) = roster.next(cursor);
        assert_eq!(third.closed, [3]);
    }
}
