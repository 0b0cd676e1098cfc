//! Places kept for delegates who are on their way, by one replica.

use super::Site;
use super::share::MAX_SILENCE;
use crate::ids::{Office, Person, SessionId};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

/// Reservations, each for one session at one office. At most as many as edges have places, and for each person as many as
/// they may have sessions.
#[derive(Debug, Default)]
pub struct Ledger {
    by_session: HashMap<SessionId, Kept>,
    /// Oldest first.
    by_person: HashMap<Person, VecDeque<SessionId>>,
    by_expiry: BTreeSet<(Instant, SessionId)>,
    count_by_office: BTreeMap<Office, u32>,
    expired: u64,
}

/// A place that is kept.
#[derive(Debug)]
struct Kept {
    office: Office,
    expires: Instant,
    person: Person,
}

impl Ledger {
    /// Keeps a place until `expires`, and until it is known that nobody has come, instead of one that is kept for the same
    /// session, and instead of the person's oldest if they have `most` already.
    pub fn reserve(
        &mut self,
        session: SessionId,
        person: &Person,
        most: u32,
        office: Office,
        expires: Instant,
    ) {
        self.release(&session);
        while let Some(theirs) = self.by_person.get(person)
            && theirs.len() >= most.max(1) as usize
        {
            let oldest = theirs.front().expect("it is not empty").clone();
            self.release(&oldest);
        }
        *self.count_by_office.entry(office.clone()).or_default() += 1;
        self.by_expiry.insert((expires, session.clone()));
        let theirs = self.by_person.entry(person.clone()).or_default();
        theirs.push_back(session.clone());
        let person = person.clone();
        let kept = Kept {
            office,
            expires,
            person,
        };
        self.by_session.insert(session, kept);
    }

    /// Lets go of a place; none is no error.
    pub fn release(&mut self, session: &SessionId) {
        let Some(kept) = self.by_session.remove(session) else {
            return;
        };
        let Kept {
            office,
            expires,
            person,
        } = kept;
        if let Some(theirs) = self.by_person.get_mut(&person) {
            theirs.retain(|other| other != session);
            if theirs.is_empty() {
                self.by_person.remove(&person);
            }
        }
        self.by_expiry.remove(&(expires, session.clone()));
        if let Some(count) = self.count_by_office.get_mut(&office) {
            *count -= 1;
            if *count == 0 {
                self.count_by_office.remove(&office);
            }
        }
    }

    /// Lets go of places that nobody can come to any more, and that nobody has come to: whose time is over, and whose edge
    /// has reported since.
    pub fn settle(&mut self, sites: &[Site], now: Instant) {
        let reported = |office: &Office| {
            let site = sites.iter().find(|site| site.office == *office)?;
            site.reported
        };
        let over = self
            .by_expiry
            .iter()
            .take_while(|(expires, _)| *expires <= now);
        let has_not_come = |(expires, session): &&(Instant, SessionId)| {
            let office = self.office(session);
            let reported = office.and_then(reported);
            reported.is_some_and(|reported| *expires + UNDER_WAY <= reported)
        };
        let free = over
            .filter(has_not_come)
            .map(|(_, session)| session.clone());
        for session in free.collect::<Vec<_>>() {
            self.release(&session);
            self.expired += 1;
        }
    }

    /// Lets go of places whose time is long over: an edge that has not reported since is not sent anybody.
    pub fn expire(&mut self, now: Instant) {
        while let Some((_, session)) = self
            .by_expiry
            .first()
            .filter(|(expires, _)| *expires + UNHEARD <= now)
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
        self.by_session.get(session).map(|kept| &kept.office)
    }

    /// How many places were kept for delegates who did not come.
    pub fn expired(&self) -> u64 {
        self.expired
    }

    /// When the next place is let go.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.by_expiry
            .first()
            .map(|(expires, _)| *expires + UNHEARD)
    }
}

/// How long a report may be under way: somebody who came at the last moment is in the one after it.
const UNDER_WAY: Duration = Duration::from_secs(2);
/// When an edge that has reported nothing of a place's time is not sent anybody.
const UNHEARD: Duration = MAX_SILENCE.saturating_add(UNDER_WAY);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_kept_until_it_is_released_moved_or_too_old() {
        let (now, mut ledger) = (Instant::now(), Ledger::default());
        let (geneva, cairo) = (
            Office::new("geneva").unwrap(),
            Office::new("cairo").unwrap(),
        );
        let later = now + Duration::from_secs(15);
        let session = |text: &str| SessionId::from_text(text);
        let ann = person("ann");
        for text in ["a", "b", "c"] {
            ledger.reserve(session(text), &ann, 3, geneva.clone(), later);
        }
        let latest = later + Duration::from_secs(1);
        ledger.reserve(session("b"), &ann, 3, cairo.clone(), latest);
        ledger.release(&session("c"));
        ledger.release(&session("c"));
        assert_eq!((ledger.reserved(&geneva), ledger.reserved(&cairo)), (1, 1));
        assert_eq!(ledger.poll_timeout(), Some(later + UNHEARD));
        ledger.expire(later + UNHEARD);
        assert_eq!((ledger.reserved(&geneva), ledger.reserved(&cairo)), (0, 1));
        assert_eq!(ledger.office(&session("b")), Some(&cairo));
        assert_eq!(ledger.expired(), 1);
    }

    #[test]
    fn a_person_has_as_many_places_as_sessions_and_a_new_one_instead_of_the_oldest() {
        let (now, mut ledger) = (Instant::now(), Ledger::default());
        let geneva = Office::new("geneva").unwrap();
        let session = |n: u64| SessionId::from_text(&format!("s{n}"));
        for n in 0..1_000 {
            let expires = now + Duration::from_millis(n);
            ledger.reserve(session(n), &person("ann"), 2, geneva.clone(), expires);
        }
        ledger.reserve(session(1_000), &person("bob"), 2, geneva.clone(), now);
        assert_eq!(ledger.reserved(&geneva), 3);
        let kept = (0..=1_000).filter(|n| ledger.office(&session(*n)).is_some());
        assert_eq!(kept.collect::<Vec<_>>(), [998, 999, 1_000]);
        ledger.expire(now + Duration::from_secs(1) + UNHEARD);
        assert!(ledger.by_person.is_empty() && ledger.by_expiry.is_empty());
    }

    fn person(name: &str) -> Person {
        Person {
            meeting: crate::ids::Meeting::new("council").unwrap(),
            participant: crate::ids::Participant::new(name).unwrap(),
        }
    }
}
