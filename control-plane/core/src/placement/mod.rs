//! Which edges a delegate goes to, and why: near by, with a place that is kept for them, and a way out if it fails.
//!
//! [`Placer`] holds what one replica has reserved and its share of every edge's places. The edges are an argument: the
//! registry has them. An edge refuses beyond its capacity by itself; the share makes that an exception.

mod drain;
mod ledger;
mod predict;
mod rank;
mod reason;
mod share;
#[cfg(test)]
mod tests;

pub use drain::{DrainTarget, drain_targets};
pub use ledger::Ledger;
pub use predict::{Evidence, Prediction, Whereabouts};
pub use reason::{Reason, Refusal, Why};
pub use share::{Occupancy, Shares, Table};

use crate::ids::{Office, Person, SessionId};
use crate::places::{CountryCode, Place};
use crate::registry::{self, Capacity, Load, State};
use rank::Ranking;
use share::Room;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// How delegates are placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How long a place is kept for a delegate who is on the way.
    pub reservation: Duration,
    /// What one delegate takes in the end, in bit/s: limits what an edge that knows its bandwidth is given.
    pub client_bits_per_second: u64,
    /// How many edges a delegate is told.
    pub candidates: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            reservation: Duration::from_secs(15),
            client_bits_per_second: 2_000_000,
            candidates: 3,
        }
    }
}

/// What placement has to know of an edge.
#[derive(Clone, Debug, PartialEq)]
pub struct Site {
    /// Whose edge.
    pub office: Office,
    /// Where it stands.
    pub place: Place,
    /// What it fails together with.
    pub domain: String,
    /// What it can carry.
    pub capacity: Capacity,
    /// What it carries.
    pub load: Load,
    /// Whether it can be used.
    pub state: State,
    /// When this replica heard from it last.
    pub reported: Option<Instant>,
}

impl From<&registry::Edge> for Site {
    fn from(edge: &registry::Edge) -> Self {
        let known = edge.registration();
        Self {
            office: known.office.clone(),
            place: known.place.clone(),
            domain: known.domain.clone(),
            capacity: known.capacity,
            load: edge.load(),
            state: edge.state(),
            reported: edge.reported(),
        }
    }
}

/// Who is to be placed.
#[derive(Clone, Debug)]
pub struct Request {
    /// The session that the place is kept for.
    pub session: SessionId,
    /// Whose it is.
    pub person: Person,
    /// How many sessions they may have at a time, and so how many places are kept for them.
    pub sessions: u32,
    /// Where the delegate is, as far as is known.
    pub whereabouts: Whereabouts,
    /// Countries whose edges may carry the meeting; empty: all.
    pub allowed: BTreeSet<CountryCode>,
    /// The office the delegate was at before.
    pub previous: Option<Office>,
    /// Offices the delegate could not reach.
    pub unreachable: BTreeSet<Office>,
}

/// An edge to go to.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// Whose edge.
    pub office: Office,
    /// How far it is.
    pub prediction: Prediction,
    /// Why it is at this place in the list.
    pub why: Why,
}

/// Where a delegate is to go, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Placement {
    /// Best first; a place is kept at the first alone. Two at least, where two edges can be used.
    pub candidates: Vec<Candidate>,
    /// For every edge considered, in the order of their offices.
    pub reasons: Vec<Reason>,
}

/// No edge has a place for a delegate.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{refusal}")]
pub struct NoPlace {
    /// In short.
    pub refusal: Refusal,
    /// For every edge considered, in the order of their offices.
    pub reasons: Vec<Reason>,
}

/// One replica's placement.
#[derive(Debug)]
pub struct Placer {
    config: Config,
    shares: Shares,
    ledger: Ledger,
}

impl Placer {
    /// A replica's, with nothing reserved.
    pub fn new(config: Config, shares: Shares) -> Self {
        Self {
            config,
            shares,
            ledger: Ledger::default(),
        }
    }

    /// Finds edges for a delegate and keeps a place at the first for them. A place kept for the same session before is
    /// given up, also if none is found.
    ///
    /// `occupancy` tells whose sessions an edge has; an edge that is missing there has none.
    ///
    /// # Errors
    /// If no edge that may be used has a place this replica may give away.
    pub fn place(
        &mut self,
        request: &Request,
        sites: &[Site],
        occupancy: &BTreeMap<Office, Occupancy>,
        now: Instant,
    ) -> Result<Placement, NoPlace> {
        self.ledger.expire(now);
        self.ledger.settle(sites, now);
        self.ledger.release(&request.session);
        let placement = self.look(request, sites, occupancy, now)?;
        let first = placement
            .candidates
            .first()
            .expect("a placement names an edge");
        let expires = now + self.config.reservation;
        self.ledger.reserve(
            request.session.clone(),
            &request.person,
            request.sessions,
            first.office.clone(),
            expires,
        );
        Ok(placement)
    }

    /// The same without keeping a place: what would be answered now.
    ///
    /// # Errors
    /// As [`Self::place`].
    pub fn look(
        &self,
        request: &Request,
        sites: &[Site],
        occupancy: &BTreeMap<Office, Occupancy>,
        now: Instant,
    ) -> Result<Placement, NoPlace> {
        let rooms = self.rooms(sites, occupancy, now);
        Ranking::new(request, sites, &rooms).place(self.config.candidates)
    }

    /// Edges for a delegate whom they let in anyway, or while the store is away and nobody has a share: by their own
    /// reports alone, with no place kept. Such delegates may find an edge full, and go on to the next.
    ///
    /// # Errors
    /// If no edge that may be used has a place.
    pub fn advise(
        &self,
        request: &Request,
        sites: &[Site],
        occupancy: &BTreeMap<Office, Occupancy>,
        now: Instant,
    ) -> Result<Placement, NoPlace> {
        let rooms = self.rooms(sites, occupancy, now);
        let rooms: Vec<Room> = rooms.into_iter().map(Room::whole).collect();
        Ranking::new(request, sites, &rooms).place(self.config.candidates)
    }

    fn rooms(
        &self,
        sites: &[Site],
        occupancy: &BTreeMap<Office, Occupancy>,
        now: Instant,
    ) -> Vec<Room> {
        let none = Occupancy::default();
        let room = |site: &Site| {
            let occupancy = occupancy.get(&site.office).unwrap_or(&none);
            let reserved = self.ledger.reserved(&site.office);
            self.shares
                .room(site, self.places(site), occupancy, reserved, now)
        };
        sites.iter().map(room).collect()
    }

    /// The edge has the session, or the delegate has taken another: the kept place is free, or taken for good.
    pub fn release(&mut self, session: &SessionId) {
        self.ledger.release(session);
    }

    /// This replica's share of edges' places.
    pub fn shares(&mut self) -> &mut Shares {
        &mut self.shares
    }

    /// What is reserved.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// When [`Self::handle_timeout`] is to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.ledger.poll_timeout()
    }

    /// Time has passed: lets go of places whose delegates have not come.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.ledger.expire(now);
    }

    /// How many delegates an edge can have, by its limit and by its bandwidth.
    fn places(&self, site: &Site) -> u32 {
        let by_bandwidth = site.capacity.bits_per_second.map(|limit| {
            let left = limit.saturating_sub(site.load.bits_per_second);
            let more = left / self.config.client_bits_per_second.max(1);
            u32::try_from(u64::from(site.load.clients) + more).unwrap_or(u32::MAX)
        });
        by_bandwidth.unwrap_or(u32::MAX).min(site.capacity.clients)
    }
}
