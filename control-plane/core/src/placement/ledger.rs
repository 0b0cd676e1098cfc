//! Places kept for delegates who are on their way, by one replica.

use crate::ids::{Office, SessionId};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Instant;

/// Reservations, each for one session at one office. At most as many as edges have places.
#[derive(Debug, Default)]
pub struct Ledger {
    by_session: HashMap<SessionId, (Office, Instant)>,
    by_expiry: BTreeSet<(Instant, SessionId)>,
    count_by_office: BTreeMap<Office, u32>,
    expired: u64,
}

impl Ledger {
    /// Keeps a place until `expires`, instead of one that is kept for the same session.
    pub fn reserve(&mut self, session: SessionId, office: Office, expires: Instant) {
        self.release(&session);
        *self.count_by_office.entry(office.clone()).or_default() += 1;
        self.by_expiry.insert((expires, session.clone()));
        self.by_session.insert(session, (office, expires));
    }

    /// Lets go of a place; none is no error.
    pub fn release(&mut self, session: &SessionId) {
        let Some((office, expires)) = self.by_session.remove(session) else {
            return;
        };
        self.by_expiry.remove(&(expires, session.clone()));
        if let Some(count) = self.count_by_office.get_mut(&office) {
            *count -= 1;
            if *count == 0 {
                self.count_by_office.remove(&office);
            }
        }
    }

    /// Lets go of the places whose time is over.
    pub fn expire(&mut self, now: Instant) {
        while let Some((_, session)) = self
            .by_expiry
            .first()
            .filter(|(expires, _)| *expires <= now)
        {
            let session = session.clone();
            self.release(&session);
            self.expired += 1;
        }
    }

    /// How many places are kept at an office.
    pub fn reserved(&self, office: &Office) -> u32 {
        self.count_by_office.get(office).copied().unwrap_or(0)
    }

    /// Where a place is kept for a session.
    pub fn office(&self, session: &SessionId) -> Option<&Office> {
        self.by_session.get(session).map(|(office, _)| office)
    }

    /// How many places were kept for delegates who did not come.
    pub fn expired(&self) -> u64 {
        self.expired
    }

    /// When the next place is let go.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.by_expiry.first().map(|(expires, _)| *expires)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_place_is_kept_until_it_is_released_moved_or_too_old() {
        let (now, mut ledger) = (Instant::now(), Ledger::default());
        let (geneva, cairo) = (
            Office::new("geneva").unwrap(),
            Office::new("cairo").unwrap(),
        );
        let later = now + Duration::from_secs(15);
        let session = |text: &str| SessionId::from_text(text);
        for text in ["a", "b", "c"] {
            ledger.reserve(session(text), geneva.clone(), later);
        }
        ledger.reserve(session("b"), cairo.clone(), later + Duration::from_secs(1));
        ledger.release(&session("c"));
        ledger.release(&session("c"));
        assert_eq!((ledger.reserved(&geneva), ledger.reserved(&cairo)), (1, 1));
        assert_eq!(ledger.poll_timeout(), Some(later));
        ledger.expire(later);
        assert_eq!((ledger.reserved(&geneva), ledger.reserved(&cairo)), (0, 1));
        assert_eq!(ledger.office(&session("b")), Some(&cairo));
        assert_eq!(ledger.expired(), 1);
    }
}
