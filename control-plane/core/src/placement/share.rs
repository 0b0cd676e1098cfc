//! A replica's share of every edge's places, so that several replicas, each with somewhat old reports, never give away
//! one place twice.
//!
//! A table in the store names the replicas and their weights. An edge's places are divided by it, and a replica counts
//! what it has given away itself: sessions it has issued, as the edge reports them, and reservations. It need not know
//! what the others give away now, since they keep to their own parts. What sessions of former replicas take is divided
//! too, and a part that others already exceed is not touched.
//!
//! When the table changes, a replica uses the smaller of its old and new part at once and says so in the store
//! ([`Shares::poll_acknowledgement`]). The larger one it uses when every other replica has said so too, or has lost its
//! lease, and reservations made before have been used or have expired; at each edge, when that has reported since.

use super::Site;
use crate::ids::Replica;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Who may give away places. A replica is left out of the next table only when its lease has lapsed or it has resigned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Grows with every change.
    pub epoch: u64,
    /// Each replica's part of the sum of all.
    pub weights: BTreeMap<Replica, u32>,
}

impl Table {
    /// The same weight for all.
    pub fn even(epoch: u64, replicas: impl IntoIterator<Item = Replica>) -> Self {
        Self {
            epoch,
            weights: replicas.into_iter().map(|replica| (replica, 1)).collect(),
        }
    }

    /// A replica's part of `places`. All parts together are `places`.
    fn part(&self, replica: &Replica, places: u32) -> u32 {
        let Some(weight) = self.weights.get(replica) else {
            return 0;
        };
        let before: u64 = self
            .weights
            .range::<Replica, _>(..replica)
            .map(|(_, weight)| u64::from(*weight))
            .sum();
        let share = |weight: u64| u64::from(places) * weight / self.sum().max(1);
        u32::try_from(share(before + u64::from(*weight)) - share(before)).unwrap_or(u32::MAX)
    }

    /// A replica's part of what is to be left out, rounded up.
    fn burden(&self, replica: &Replica, places: u32) -> u32 {
        let weight = u64::from(self.weights.get(replica).copied().unwrap_or(0));
        u32::try_from((u64::from(places) * weight).div_ceil(self.sum().max(1))).unwrap_or(u32::MAX)
    }

    fn sum(&self) -> u64 {
        self.weights.values().map(|weight| u64::from(*weight)).sum()
    }
}

/// Whose sessions an edge has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Occupancy {
    /// By the replica that issued them.
    pub by_replica: BTreeMap<Replica, u32>,
    /// Issued by none that is known.
    pub others: u32,
}

/// One edge's places, as one replica may use them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    /// All.
    pub(super) places: u32,
    /// Taken, or reserved by this replica.
    pub(super) taken: u32,
    /// What this replica may still give away.
    pub(super) left: u32,
    /// Whether it may give away any, were there more.
    pub(super) has_share: bool,
}

impl Room {
    /// The same as if there were no other replicas.
    pub(super) fn whole(self) -> Self {
        Self {
            left: self.places.saturating_sub(self.taken),
            has_share: true,
            ..self
        }
    }

    /// How full it is, per thousand.
    pub(super) fn permille(self) -> u32 {
        let full = u64::from(self.taken) * 1_000 / u64::from(self.places.max(1));
        u32::try_from(full.min(1_000)).expect("1,000 at most")
    }
}

/// One replica's view of the table.
#[derive(Debug)]
pub struct Shares {
    me: Replica,
    settle: Duration,
    /// The table in force, and later ones that are not yet: the smallest part of all counts.
    tables: Vec<Table>,
    /// Others that have to acknowledge the latest table, or to lose their leases.
    awaited: BTreeSet<Replica>,
    /// When the latest table is in force, if nobody is awaited.
    in_force_at: Option<Instant>,
    leased_until: Instant,
    to_acknowledge: Option<u64>,
}

impl Shares {
    /// A replica that may give away nothing yet.
    ///
    /// `settle`: how long reservations made under an earlier table can still turn into sessions that this replica has
    /// not heard of: the time a reservation lasts, and the longest time a report is under way. Zero only where no other
    /// replica has ever been.
    pub fn new(me: Replica, settle: Duration, now: Instant) -> Self {
        Self {
            me,
            settle,
            tables: vec![Table::even(0, [])],
            awaited: BTreeSet::new(),
            in_force_at: None,
            leased_until: now,
            to_acknowledge: None,
        }
    }

    /// The store has a table. One that is not later than the last is of no account.
    pub fn handle_table(&mut self, table: Table, now: Instant) {
        self.forget_tables(now);
        let last = self.tables.last().expect("there is always one");
        if table.epoch <= last.epoch {
            return;
        }
        let involved = last.weights.keys().chain(table.weights.keys()).cloned();
        self.awaited
            .extend(involved.filter(|replica| *replica != self.me));
        self.to_acknowledge = Some(table.epoch);
        if self.tables.len() == MAX_TABLES {
            // Nothing is given away before all this has settled.
            self.tables = vec![Table::even(0, [])];
        }
        self.tables.push(table);
        self.in_force_at = None;
        self.check(now);
    }

    /// The replicas whose leases hold, and the epoch each has acknowledged: as the store has them now, at a revision not
    /// before that of the last table. To be called after every change of either.
    pub fn handle_replicas(&mut self, acknowledged: &BTreeMap<Replica, u64>, now: Instant) {
        let latest = self.epoch();
        self.awaited.retain(|replica| {
            acknowledged
                .get(replica)
                .is_some_and(|epoch| *epoch < latest)
        });
        self.check(now);
    }

    /// This replica's own lease in the store holds until then, counted from before it was asked for. Without it, others
    /// may take it to be gone, and it gives away nothing.
    pub fn handle_leased(&mut self, until: Instant) {
        self.leased_until = until;
    }

    /// The epoch this replica has to write to the store as acknowledged.
    pub fn poll_acknowledgement(&mut self) -> Option<u64> {
        self.to_acknowledge.take()
    }

    /// When the latest table comes into force by itself. Nothing has to be called then.
    pub fn in_force_at(&self) -> Option<Instant> {
        self.in_force_at
    }

    /// What this replica may use of an edge that has so many `places` in all, and for which it keeps `reserved`.
    pub(super) fn room(
        &self,
        site: &Site,
        places: u32,
        held: &Occupancy,
        reserved: u32,
        now: Instant,
    ) -> Room {
        let clients = site.load.clients;
        let taken = clients.max(held.total()).saturating_add(reserved);
        let tables = self.tables_at(site.reported);
        let is_known = site
            .reported
            .is_some_and(|reported| now <= reported + MAX_SILENCE);
        let has_share = now < self.leased_until
            && is_known
            && tables.iter().all(|table| {
                table
                    .weights
                    .get(&self.me)
                    .is_some_and(|weight| *weight > 0)
            });
        let part = tables
            .iter()
            .map(|table| self.part(table, places, clients, held))
            .min()
            .unwrap_or(0);
        let used = held.of(&self.me).saturating_add(reserved);
        let left = if has_share {
            part.saturating_sub(used).min(places.saturating_sub(taken))
        } else {
            0
        };
        Room {
            places,
            taken,
            left,
            has_share,
        }
    }

    /// How many of an edge's places this replica may have given away in all, by one table.
    fn part(&self, table: &Table, places: u32, clients: u32, held: &Occupancy) -> u32 {
        let members = || table.weights.keys();
        let by_members: u32 = members().map(|replica| held.of(replica)).sum();
        let foreign = clients.max(held.total()).saturating_sub(by_members);
        let part_of = |replica: &Replica| {
            table
                .part(replica, places)
                .saturating_sub(table.burden(replica, foreign))
        };
        let others = members().filter(|replica| **replica != self.me);
        let by_others: u32 = others
            .map(|replica| part_of(replica).max(held.of(replica)))
            .sum();
        part_of(&self.me).min(places.saturating_sub(foreign).saturating_sub(by_others))
    }

    /// The tables that count for an edge: all, unless it has reported since the latest is in force.
    fn tables_at(&self, reported: Option<Instant>) -> &[Table] {
        match self.in_force_at {
            Some(at) if reported >= Some(at) => &self.tables[self.tables.len() - 1..],
            _ => &self.tables,
        }
    }

    fn check(&mut self, now: Instant) {
        if self.awaited.is_empty() && self.in_force_at.is_none() && self.epoch() > 0 {
            self.in_force_at = Some(now + self.settle);
        }
    }

    fn epoch(&self) -> u64 {
        self.tables.last().expect("there is always one").epoch
    }

    /// Lets go of tables that count for no edge any more.
    fn forget_tables(&mut self, now: Instant) {
        if self.in_force_at.is_some_and(|at| at + MAX_SILENCE <= now) {
            self.tables.drain(..self.tables.len() - 1);
        }
    }
}

impl Occupancy {
    /// All of them.
    pub fn total(&self) -> u32 {
        self.by_replica
            .values()
            .sum::<u32>()
            .saturating_add(self.others)
    }

    /// The count that sessions issued by `replica` go into.
    pub(crate) fn of_mut(&mut self, replica: Option<Replica>) -> &mut u32 {
        match replica {
            Some(replica) => self.by_replica.entry(replica).or_default(),
            None => &mut self.others,
        }
    }

    fn of(&self, replica: &Replica) -> u32 {
        self.by_replica.get(replica).copied().unwrap_or(0)
    }
}

/// Nobody is sent to an edge that has not reported for so long: what it has is not known.
pub(super) const MAX_SILENCE: Duration = Duration::from_secs(10);
/// Changes of the table that may be under way at a time; they are rare.
const MAX_TABLES: usize = 8;
