//! The sessions of those who came with a token: who they are, since when, and how to end them. Shared by all workers.

use crate::access::Pass;
use crate::access_control::Holder;
use crate::entries::Entry;
use meridian_session::transport::Transport;
use meridian_wire::TerminationCode;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::{Notify, watch};

/// Changes that wait to be read; beyond them the whole list is to be read anew. A meeting's storm of joins fits.
const CHANGES: usize = 4096;

/// An edge's sessions.
#[derive(Debug, Default)]
pub struct Sessions(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    open: BTreeMap<u64, Held>,
    by_holder: HashMap<Holder, Vec<u64>>,
    last_number: u64,
    feed: Option<Arc<Feed>>,
}

#[derive(Debug)]
struct Held {
    session: OpenSession,
    ends: watch::Sender<Option<Why>>,
}

/// A session, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenSession {
    /// Its own for ever: larger than any before, also of an edge that was restarted, as long as its clock does not go back.
    pub number: u64,
    /// The participant, and the meeting the token is for.
    pub holder: Holder,
    /// The token's `sid`: what the control plane calls the session.
    pub sid: Option<String>,
    /// The token's `gen`: the smallest, if there were several.
    pub generation: u64,
    /// The token's `iat`, in seconds since the Unix epoch; 0 if it has none.
    pub issued_at: u64,
    /// When it was opened, in microseconds since the Unix epoch.
    pub opened_at: u64,
    /// The token's `sessions`: how many its holder may have at once; 0: any number.
    pub limit: u32,
    /// How it came in.
    pub transport: Transport,
}

/// Why a session is ended from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its token is not good any more.
    Revoked,
    /// Its holder has opened another, and may have no more at once.
    OpenedElsewhere,
    /// The meeting is over.
    MeetingOver,
    /// Whoever runs the network wants it.
    Operator,
}

/// What has become of the sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// One more.
    Opened(OpenSession),
    /// The one of this number is gone.
    Closed(u64),
    /// More has changed than was kept: read [`Sessions::list`].
    Resync,
}

impl Why {
    /// For the person whose session it is.
    pub fn reason(self) -> &'static str {
        match self {
            Why::Revoked => "the token has been withdrawn: ask for a new one",
            Why::OpenedElsewhere => "opened elsewhere",
            Why::MeetingOver => "the meeting is over",
            Why::Operator => "ended by the network's operators",
        }
    }

    pub(crate) fn termination(self) -> TerminationCode {
        match self {
            Why::Revoked => TerminationCode::UNAUTHORIZED,
            Why::OpenedElsewhere | Why::MeetingOver | Why::Operator => TerminationCode::NO_ERROR,
        }
    }

    pub(crate) fn entry(self) -> Entry {
        match self {
            Why::Revoked => Entry::TokenRevoked,
            Why::OpenedElsewhere => Entry::Displaced,
            Why::MeetingOver | Why::Operator => Entry::Ended,
        }
    }
}

impl Sessions {
    /// All that are open.
    pub fn list(&self) -> Vec<OpenSession> {
        let inner = self.lock();
        inner
            .open
            .values()
            .map(|held| held.session.clone())
            .collect()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.lock().open.len()
    }

    /// Ends these sessions. Those that are gone already are passed over.
    pub fn end(&self, numbers: &[u64], why: Why) {
        let inner = self.lock();
        for held in numbers.iter().filter_map(|number| inner.open.get(number)) {
            held.end(why);
        }
    }

    /// What changes from now on, for one reader; it begins with [`Change::Resync`]. A reader there was before hears no more.
    pub fn changes(&self) -> Changes {
        let feed = Arc::new(Feed::default());
        feed.push(Change::Resync);
        self.lock().feed = Some(feed.clone());
        Changes(feed)
    }

    /// A session has shown a token. If its holder has more than are allowed then, the oldest end: by when their tokens were
    /// issued, then by when they were opened.
    pub(crate) fn open(
        self: &Arc<Self>,
        pass: &Pass,
        transport: Transport,
        now: SystemTime,
    ) -> Ticket {
        let opened_at = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let opened_at = opened_at.as_micros() as u64;
        let mut inner = self.lock();
        let number = opened_at.max(inner.last_number + 1);
        inner.last_number = number;
        let session = OpenSession {
            number,
            holder: pass.holder.clone(),
            sid: pass.sid.clone(),
            generation: pass.generation,
            issued_at: pass.issued_at,
            opened_at,
            limit: pass.sessions,
            transport,
        };
        let (ends, ended) = watch::channel(None);
        inner.tell(Change::Opened(session.clone()));
        inner.open.insert(number, Held { session, ends });
        let of_holder = inner.by_holder.entry(pass.holder.clone()).or_default();
        of_holder.push(number);
        inner.displace(&pass.holder, pass.sessions);
        Ticket {
            sessions: self.clone(),
            number,
            ended,
        }
    }

    fn close(&self, number: u64) {
        let mut inner = self.lock();
        let Some(held) = inner.open.remove(&number) else {
            return;
        };
        let holder = held.session.holder;
        if let Some(of_holder) = inner.by_holder.get_mut(&holder) {
            of_holder.retain(|other| *other != number);
            if of_holder.is_empty() {
                inner.by_holder.remove(&holder);
            }
        }
        inner.tell(Change::Closed(number));
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Ends the oldest of a holder's sessions beyond `allowed`; 0 allows any number.
    fn displace(&mut self, holder: &Holder, allowed: u32) {
        if allowed == 0 {
            return;
        }
        let numbers = self.by_holder.get(holder).into_iter().flatten();
        let held = numbers.filter_map(|number| self.open.get(number));
        let mut living: Vec<&Held> = held.filter(|held| held.ends.borrow().is_none()).collect();
        living.sort_by_key(|held| {
            let session = &held.session;
            (session.issued_at, session.opened_at, session.number)
        });
        let beyond = living.len().saturating_sub(allowed as usize);
        for held in living.into_iter().take(beyond) {
            held.end(Why::OpenedElsewhere);
        }
    }

    fn tell(&self, change: Change) {
        if let Some(feed) = &self.feed {
            feed.push(change);
        }
    }
}

impl Held {
    fn end(&self, why: Why) {
        // The first reason counts.
        self.ends.send_if_modified(|ended| {
            let is_first = ended.is_none();
            ended.get_or_insert(why);
            is_first
        });
    }
}

/// A session is open for as long as this lives.
#[derive(Debug)]
pub(crate) struct Ticket {
    sessions: Arc<Sessions>,
    number: u64,
    ended: watch::Receiver<Option<Why>>,
}

impl Ticket {
    /// Told why the session is to end.
    pub(crate) fn ended(&self) -> watch::Receiver<Option<Why>> {
        self.ended.clone()
    }

    /// The session has shown another token of its holder's.
    pub(crate) fn shown(&self, pass: &Pass) {
        let mut inner = self.sessions.lock();
        if let Some(held) = inner.open.get_mut(&self.number) {
            let session = &mut held.session;
            session.generation = session.generation.min(pass.generation);
            session.issued_at = session.issued_at.max(pass.issued_at);
            session.limit = pass.sessions;
        }
        inner.displace(&pass.holder, pass.sessions);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.sessions.close(self.number);
    }
}

/// Reads what changes.
#[derive(Debug)]
pub struct Changes(Arc<Feed>);

impl Changes {
    /// The next change. Safe to drop.
    pub async fn next(&mut self) -> Change {
        loop {
            if let Some(change) = self.0.pop() {
                return change;
            }
            self.0.there.notified().await;
        }
    }
}

#[derive(Debug, Default)]
struct Feed {
    queue: Mutex<VecDeque<Change>>,
    there: Notify,
}

impl Feed {
    fn push(&self, change: Change) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        // Who has to read the whole list will find this in it.
        if queue.front() == Some(&Change::Resync) {
            return;
        }
        if queue.len() >= CHANGES || change == Change::Resync {
            queue.clear();
            queue.push_back(Change::Resync);
        } else {
            queue.push_back(change);
        }
        drop(queue);
        self.there.notify_one();
    }

    fn pop(&self) -> Option<Change> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use meridian_relay::Permissions;
    use std::time::Duration;

    fn pass(participant: &str, issued_at: u64, sessions: u32) -> Pass {
        Pass {
            holder: Holder {
                meeting: Some("council".to_owned()),
                participant: participant.to_owned(),
            },
            permissions: Permissions::none(),
            expires: UNIX_EPOCH,
            generation: 1,
            sid: None,
            sessions,
            issued_at,
        }
    }

    fn open(sessions: &Arc<Sessions>, pass: &Pass, now: SystemTime) -> Ticket {
        sessions.open(pass, Transport::Quic, now)
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn fate(ticket: &Ticket) -> Option<Why> {
        *ticket.ended.borrow()
    }

    #[test]
    fn the_newest_sessions_of_a_participant_stay_and_others_are_not_touched() {
        let sessions = Arc::new(Sessions::default());
        let old = open(&sessions, &pass("ana", 10, 2), at(100));
        let late_with_old_token = open(&sessions, &pass("ana", 5, 2), at(101));
        let other = open(&sessions, &pass("bo", 1, 1), at(102));
        let new = open(&sessions, &pass("ana", 11, 2), at(103));
        assert_eq!(fate(&late_with_old_token), Some(Why::OpenedElsewhere));
        assert_eq!([fate(&old), fate(&new), fate(&other)], [None; 3]);
        let newest = open(&sessions, &pass("ana", 11, 2), at(104));
        assert_eq!(fate(&old), Some(Why::OpenedElsewhere));
        assert_eq!([fate(&new), fate(&newest)], [None; 2]);
    }

    #[test]
    fn without_a_limit_there_may_be_any_number() {
        let sessions = Arc::new(Sessions::default());
        let all: Vec<Ticket> = (0..50)
            .map(|n| open(&sessions, &pass("ana", n, 0), at(n)))
            .collect();
        assert!(all.iter().all(|ticket| fate(ticket).is_none()));
        assert_eq!(sessions.count(), 50);
        drop(all);
        assert_eq!(sessions.count(), 0);
        assert!(sessions.lock().by_holder.is_empty());
    }

    #[test]
    fn numbers_rise_even_if_the_clock_goes_back() {
        let sessions = Arc::new(Sessions::default());
        let first = open(&sessions, &pass("ana", 0, 0), at(100));
        let second = open(&sessions, &pass("ana", 0, 0), at(50));
        assert!(second.number > first.number);
    }

    #[tokio::test]
    async fn a_reader_hears_every_change_or_that_it_has_to_read_the_list() {
        let sessions = Arc::new(Sessions::default());
        let mut changes = sessions.changes();
        assert_eq!(changes.next().await, Change::Resync);
        let ticket = open(&sessions, &pass("ana", 0, 0), at(1));
        let number = ticket.number;
        drop(ticket);
        assert!(
            matches!(changes.next().await, Change::Opened(session) if session.number == number)
        );
        assert_eq!(changes.next().await, Change::Closed(number));
        for n in 0..CHANGES as u64 {
            drop(open(&sessions, &pass("ana", 0, 0), at(n)));
        }
        assert_eq!(changes.next().await, Change::Resync);
        let _ticket = open(&sessions, &pass("ana", 0, 0), at(9));
        assert!(matches!(changes.next().await, Change::Opened(_)));
    }
}
