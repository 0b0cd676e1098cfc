//! Those who were let in not long ago, and how often each of them comes back: a page loaded anew, a second device.

use super::bucket::Bucket;
use super::{Config, Rate};
use crate::ids::Person;
use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

/// Whom one replica has let in.
#[derive(Debug)]
pub(super) struct Returns {
    each: Rate,
    most: usize,
    longest: Duration,
    /// All together.
    bucket: Bucket,
    known: HashMap<Person, Known>,
    by_expiry: BTreeSet<(Instant, Person)>,
}

#[derive(Debug)]
struct Known {
    bucket: Bucket,
    /// When last, by the wall clock.
    let_in_us: u64,
    expires: Instant,
}

/// What is to be done with one who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// They were not let in here, or that is long ago.
    Stranger,
    /// They come in.
    Welcome,
    /// They would, if there were not so many of them at once.
    Crowded,
    /// They come in again and again: not before then.
    TooOften(Instant),
}

impl Returns {
    /// Nobody was let in.
    pub(super) fn new(config: &Config, now: Instant) -> Self {
        Self {
            each: config.returns_each,
            most: config.max_remembered.max(1),
            longest: config.longest_wait,
            bucket: Bucket::new(config.returns, now),
            known: HashMap::new(),
            by_expiry: BTreeSet::new(),
        }
    }

    pub(super) fn judge(&mut self, person: &Person, now: Instant) -> Verdict {
        let Some(known) = self.known.get_mut(person) else {
            return Verdict::Stranger;
        };
        if !known.bucket.is_ready(now) {
            return Verdict::TooOften(known.bucket.ready_at());
        }
        match self.bucket.is_ready(now) {
            true => Verdict::Welcome,
            false => Verdict::Crowded,
        }
    }

    /// One who was found welcome takes from what is there for all.
    pub(super) fn take(&mut self, now: Instant) {
        self.bucket.take(now);
    }

    /// Somebody is let in, with a turn or without. Whose last time is the longest ago is forgotten if they are too many.
    pub(super) fn remember(&mut self, person: Person, unix_us: u64, now: Instant) {
        let expires = now + self.longest;
        match self.known.get_mut(&person) {
            Some(known) => {
                known.bucket.take(now);
                known.let_in_us = unix_us;
                self.by_expiry.remove(&(known.expires, person.clone()));
                known.expires = expires;
            }
            None => {
                let known = Known {
                    bucket: Bucket::new(self.each, now),
                    let_in_us: unix_us,
                    expires,
                };
                self.known.insert(person.clone(), known);
            }
        }
        self.by_expiry.insert((expires, person));
        if self.known.len() > self.most
            && let Some((_, oldest)) = self.by_expiry.pop_first()
        {
            self.known.remove(&oldest);
        }
    }

    /// Somebody who was let in found no edge, and has to come again.
    pub(super) fn give_back(&mut self, person: &Person, now: Instant) {
        if let Some(known) = self.known.get_mut(person) {
            known.bucket.give_back(now);
            self.bucket.give_back(now);
        }
    }

    /// Forgets those whose last time is long ago.
    pub(super) fn forget(&mut self, now: Instant) {
        while let Some((expires, _)) = self.by_expiry.first()
            && *expires <= now
        {
            let (_, person) = self.by_expiry.pop_first().expect("it is there");
            self.known.remove(&person);
        }
    }

    /// When somebody was let in last, in microseconds since the Unix epoch.
    pub(super) fn let_in_us(&self, person: &Person) -> Option<u64> {
        self.known.get(person).map(|known| known.let_in_us)
    }

    /// How many are remembered.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }
}
