//! Who is there: every edge's open sessions, as its reports tell them, and which of them are too many.
//!
//! Nothing of this is in the store. Every replica hears every edge and decides alike, so that it does not matter which
//! of them tells an edge to end a session.

mod limit;
#[cfg(test)]
mod tests;

use crate::ids::{Meeting, Office, Participant, SessionId};
use crate::placement::Occupancy;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

/// An open session of a participant at an edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The edge's number for it, never used twice by one run of the edge.
    pub number: u64,
    /// Its meeting.
    pub meeting: Meeting,
    /// Whose.
    pub participant: Participant,
    /// Its token's session id.
    pub id: SessionId,
    /// When its token was issued, in seconds since the Unix epoch.
    pub issued_at_s: u64,
    /// When it was opened, in microseconds since the Unix epoch, by the edge's clock.
    pub opened_at_us: u64,
    /// How many sessions the token allows its participant at a time; 0: any number.
    pub limit: u32,
    /// What carries it.
    pub transport: Transport,
}

/// What carries a session, as its edge tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// It does not say, or something that is not known here.
    #[default]
    Unknown,
    /// MoQT over QUIC.
    Quic,
    /// WebTransport.
    WebTransport,
    /// WebSocket.
    WebSocket,
}

impl Transport {
    /// By its name in the contract; empty if it is not known.
    pub fn name(self) -> &'static str {
        match self {
            Transport::Unknown => "",
            Transport::Quic => "quic",
            Transport::WebTransport => "webtransport",
            Transport::WebSocket => "websocket",
        }
    }

    /// The reverse of [`Transport::name`].
    pub fn named(name: &str) -> Transport {
        let all = [
            Transport::Quic,
            Transport::WebTransport,
            Transport::WebSocket,
        ];
        let known = all.into_iter().find(|transport| transport.name() == name);
        known.unwrap_or_default()
    }
}

/// How sessions are counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How long two sessions with one token may be open: a client dials two edges and keeps one, or moves.
    pub grace: Duration,
    /// How many sessions one edge may report; more are ignored and counted.
    pub max_sessions_per_edge: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(10),
            max_sessions_per_edge: 20_000,
        }
    }
}

/// What has changed, or is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A session was opened: its place need not be kept any more.
    Opened {
        /// At this edge.
        office: Office,
        /// By this token.
        id: SessionId,
    },
    /// A participant's first session was opened.
    Came {
        /// Of this meeting.
        meeting: Meeting,
        /// Who.
        participant: Participant,
    },
    /// A participant's last session is closed.
    Left {
        /// Of this meeting.
        meeting: Meeting,
        /// Who.
        participant: Participant,
    },
    /// A session is to be ended: newer ones have taken its place.
    End {
        /// At this edge.
        office: Office,
        /// The edge's number for it.
        number: u64,
    },
}

/// A participant who is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Present {
    /// Who.
    pub participant: Participant,
    /// At which edges.
    pub offices: BTreeSet<Office>,
    /// Since when, in microseconds since the Unix epoch: the oldest session's opening.
    pub since_us: u64,
}

/// All edges' sessions.
#[derive(Debug)]
pub struct Presence {
    config: Config,
    sessions: BTreeMap<At, Held>,
    by_meeting: BTreeMap<Meeting, BTreeMap<Participant, BTreeSet<At>>>,
    occupancy: BTreeMap<Office, Occupancy>,
    /// Participants with two sessions by one token, and when that has to end.
    graces: BTreeSet<(Instant, Meeting, Participant)>,
    events: VecDeque<Event>,
    ignored: u64,
}

/// Which session: an edge, and its number there.
type At = (Office, u64);

#[derive(Debug)]
struct Held {
    session: Session,
    /// When this replica heard of it.
    seen: Instant,
    /// The edge has been told to end it.
    is_ending: bool,
}

impl Presence {
    /// Nobody is there.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            sessions: BTreeMap::new(),
            by_meeting: BTreeMap::new(),
            occupancy: BTreeMap::new(),
            graces: BTreeSet::new(),
            events: VecDeque::new(),
            ignored: 0,
        }
    }

    /// An edge has opened sessions. One that is known is of no account.
    pub fn handle_opened(&mut self, office: &Office, opened: Vec<Session>, now: Instant) {
        for session in opened {
            let (meeting, participant) = (session.meeting.clone(), session.participant.clone());
            if self.insert(office, session, now) {
                self.judge(&meeting, &participant, now);
            }
        }
    }

    /// An edge has closed sessions.
    pub fn handle_closed(&mut self, office: &Office, numbers: &[u64]) {
        for number in numbers {
            self.remove(&(office.clone(), *number));
        }
    }

    /// All the sessions an edge has: what was known before of others is void.
    pub fn handle_complete(&mut self, office: &Office, all: Vec<Session>, now: Instant) {
        let kept: BTreeMap<u64, &Session> = all
            .iter()
            .map(|session| (session.number, session))
            .collect();
        let gone: Vec<At> = self
            .at(office)
            .filter(|(at, held)| kept.get(&at.1) != Some(&&held.session))
            .map(|(at, _)| at.clone())
            .collect();
        for at in gone {
            self.remove(&at);
        }
        for held in self.sessions.range_mut(whole(office)).map(|(_, held)| held) {
            // Whoever was told to end it may not have heard.
            held.is_ending = false;
        }
        let again: Vec<_> = all
            .iter()
            .map(|one| (one.meeting.clone(), one.participant.clone()))
            .collect();
        self.handle_opened(office, all, now);
        for (meeting, participant) in again {
            self.judge(&meeting, &participant, now);
        }
    }

    /// An edge is gone, or has started anew: it has no sessions.
    pub fn handle_edge_lost(&mut self, office: &Office) {
        let gone: Vec<At> = self.at(office).map(|(at, _)| at.clone()).collect();
        for at in gone {
            self.remove(&at);
        }
    }

    /// When [`Self::handle_timeout`] is to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.graces.first().map(|(until, ..)| *until)
    }

    /// Time has passed: who still has two sessions by one token loses the older.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((until, ..)) = self.graces.first()
            && *until <= now
        {
            let (_, meeting, participant) = self.graces.pop_first().expect("it is there");
            self.judge(&meeting, &participant, now);
        }
    }

    /// What has changed and is to be done, oldest first. To be called until `None` after every other call.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Who is there of a meeting, in the order of their ids.
    pub fn roster(&self, meeting: &Meeting) -> impl Iterator<Item = Present> {
        let participants = self.by_meeting.get(meeting).into_iter().flatten();
        participants.map(|(participant, at)| self.present(participant, at))
    }

    /// How many are there of a meeting.
    pub fn present_count(&self, meeting: &Meeting) -> usize {
        self.by_meeting.get(meeting).map_or(0, BTreeMap::len)
    }

    /// Meetings that somebody is in.
    pub fn meetings(&self) -> impl Iterator<Item = &Meeting> {
        self.by_meeting.keys()
    }

    /// A participant's sessions and where they are.
    pub fn sessions(
        &self,
        meeting: &Meeting,
        participant: &Participant,
    ) -> impl Iterator<Item = (&Office, &Session)> {
        let at = self
            .by_meeting
            .get(meeting)
            .and_then(|of| of.get(participant));
        at.into_iter()
            .flatten()
            .map(|at| (&at.0, &self.sessions[at].session))
    }

    /// How many sessions of a meeting an edge has.
    pub fn count_at(&self, office: &Office, meeting: &Meeting) -> u32 {
        let of_meeting = |(_, held): &(&At, &Held)| held.session.meeting == *meeting;
        self.at(office).filter(of_meeting).count() as u32
    }

    /// Every edge's sessions, by the replica that issued their tokens: what placement counts with.
    pub fn occupancy(&self) -> &BTreeMap<Office, Occupancy> {
        &self.occupancy
    }

    /// How many sessions there are.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// How many reported sessions were ignored, as an edge had too many.
    pub fn ignored(&self) -> u64 {
        self.ignored
    }

    fn at(&self, office: &Office) -> impl Iterator<Item = (&At, &Held)> {
        self.sessions.range(whole(office))
    }

    fn present(&self, participant: &Participant, at: &BTreeSet<At>) -> Present {
        let opened = at.iter().map(|at| self.sessions[at].session.opened_at_us);
        Present {
            participant: participant.clone(),
            offices: at.iter().map(|(office, _)| office.clone()).collect(),
            since_us: opened.min().unwrap_or(0),
        }
    }

    /// Whether it is new.
    fn insert(&mut self, office: &Office, session: Session, now: Instant) -> bool {
        let at = (office.clone(), session.number);
        if self.sessions.contains_key(&at) {
            return false;
        }
        let occupancy = self.occupancy.entry(office.clone()).or_default();
        if occupancy.total() as usize >= self.config.max_sessions_per_edge {
            self.ignored += 1;
            return false;
        }
        *occupancy.of_mut(session.id.replica()) += 1;
        let of = self.by_meeting.entry(session.meeting.clone()).or_default();
        let mine = of.entry(session.participant.clone()).or_default();
        mine.insert(at.clone());
        let is_first = mine.len() == 1;
        self.events.push_back(Event::Opened {
            office: office.clone(),
            id: session.id.clone(),
        });
        if is_first {
            let (meeting, participant) = (session.meeting.clone(), session.participant.clone());
            self.events.push_back(Event::Came {
                meeting,
                participant,
            });
        }
        self.sessions.insert(
            at,
            Held {
                session,
                seen: now,
                is_ending: false,
            },
        );
        true
    }

    fn remove(&mut self, at: &At) {
        let Some(Held { session, .. }) = self.sessions.remove(at) else {
            return;
        };
        let Session {
            meeting,
            participant,
            id,
            ..
        } = session;
        if let Some(occupancy) = self.occupancy.get_mut(&at.0) {
            *occupancy.of_mut(id.replica()) -= 1;
            occupancy.by_replica.retain(|_, count| *count > 0);
            if occupancy.total() == 0 {
                self.occupancy.remove(&at.0);
            }
        }
        let Some(of) = self.by_meeting.get_mut(&meeting) else {
            return;
        };
        let Some(mine) = of.get_mut(&participant) else {
            return;
        };
        mine.remove(at);
        if !mine.is_empty() {
            return;
        }
        of.remove(&participant);
        if of.is_empty() {
            self.by_meeting.remove(&meeting);
        }
        self.events.push_back(Event::Left {
            meeting,
            participant,
        });
    }

    /// Has sessions ended that are beyond what a participant may have.
    fn judge(&mut self, meeting: &Meeting, participant: &Participant, now: Instant) {
        let Some(mine) = self
            .by_meeting
            .get(meeting)
            .and_then(|of| of.get(participant))
        else {
            return;
        };
        let held = mine.iter().map(|at| (at, &self.sessions[at]));
        let verdict = limit::over_limit(held, self.config.grace, now);
        for at in verdict.end {
            if let Some(held) = self.sessions.get_mut(&at).filter(|held| !held.is_ending) {
                held.is_ending = true;
                self.events.push_back(Event::End {
                    office: at.0,
                    number: at.1,
                });
            }
        }
        if let Some(until) = verdict.again_at {
            self.graces
                .insert((until, meeting.clone(), participant.clone()));
        }
    }
}

fn whole(office: &Office) -> std::ops::RangeInclusive<At> {
    (office.clone(), 0)..=(office.clone(), u64::MAX)
}
