//! Which edges there are, as one replica of the control plane knows them: from their registrations and reports, and
//! from what they say of each other.
//!
//! Every replica has a registry of its own. `Gone` is said late and for good reason, since an edge goes on without us.

mod edge;
mod event;
mod liveness;
#[cfg(test)]
mod tests;

pub use edge::{Addresses, Capacity, Edge, Instance, Load, Registration, State};
pub use event::{Change, Event, OperateError, RegisterError, ReportError};

use crate::ids::Office;
use edge::{Drain, Liveness};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

/// How patient the registry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// An edge that has not reported for so long is suspect. Several times the interval of reports.
    pub suspect_after: Duration,
    /// Its lease: without a report for so long it has to register again. At least twice `suspect_after`, so that
    /// the loss of many edges is seen as a whole before the first is judged.
    pub lease: Duration,
    /// Nobody is declared gone for so long after a start, or after most edges have been silent.
    pub grace: Duration,
    /// The longest time that delegates are given to leave.
    pub longest_drain: Duration,
    /// How many edges there may be.
    pub max_edges: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            suspect_after: Duration::from_secs(3),
            lease: Duration::from_secs(10),
            grace: Duration::from_secs(30),
            longest_drain: Duration::from_secs(3_600),
            max_edges: 1_000,
        }
    }
}

/// What an edge says about once a second.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What it carries.
    pub load: Load,
    /// The edges it has had packets from within the time in which a link is declared failed.
    pub heard: BTreeSet<Office>,
}

/// The edges.
#[derive(Debug)]
pub struct Registry {
    config: Config,
    edges: BTreeMap<Office, Edge>,
    /// Most edges are silent.
    cut_off: bool,
    /// Nobody is declared gone before.
    lenient_until: Instant,
    /// At most a few for each edge, as the caller takes them after every call.
    events: VecDeque<Event>,
}

impl Registry {
    /// An empty registry of a replica that starts `now`.
    pub fn new(config: Config, now: Instant) -> Self {
        let lenient_until = now + config.grace;
        Self {
            config,
            edges: BTreeMap::new(),
            cut_off: false,
            lenient_until,
            events: VecDeque::new(),
        }
    }

    /// An edge that the store knows, and that has not come to this replica yet. Changes nothing about one that has.
    pub fn restore(&mut self, registration: Registration, drain: Option<Instant>, now: Instant) {
        let office = registration.office.clone();
        if self.edges.contains_key(&office) || self.edges.len() >= self.config.max_edges {
            return;
        }
        let mut edge = Edge::new(registration);
        edge.drain = drain.map(|until| Drain {
            until,
            is_due: until <= now,
        });
        self.edges.insert(office, edge);
        self.judge(now);
    }

    /// An edge has come, or come back, or says something else of itself. From now on its reports are taken.
    ///
    /// # Errors
    /// An older run, a stranger that claims to be the same run, or too many edges.
    pub fn register(
        &mut self,
        registration: Registration,
        now: Instant,
    ) -> Result<(), RegisterError> {
        let office = registration.office.clone();
        let full = self.edges.len() >= self.config.max_edges;
        let change = match self.edges.get_mut(&office) {
            Some(edge) => renew(edge, registration)?,
            None if full => return Err(RegisterError::Full(self.config.max_edges)),
            None => {
                self.edges.insert(office.clone(), Edge::new(registration));
                Some(Change::Came)
            }
        };
        let edge = self.edges.get_mut(&office).expect("it was put there");
        edge.liveness = Liveness::Fresh;
        edge.reported = Some(now);
        self.tell(&office, change);
        self.judge(now);
        Ok(())
    }

    /// An edge's report.
    ///
    /// # Errors
    /// If it has to register first, or is an older run.
    pub fn handle_report(
        &mut self,
        office: &Office,
        instance: &Instance,
        report: Report,
        now: Instant,
    ) -> Result<(), ReportError> {
        let unknown = || ReportError::Register(office.clone());
        let edge = self.edges.get_mut(office).ok_or_else(unknown)?;
        let known = &edge.registration.instance;
        if instance.started_at_ms < known.started_at_ms {
            return Err(ReportError::Older {
                office: office.clone(),
                newer: known.name.clone(),
            });
        }
        if instance != known || edge.liveness >= Liveness::Lapsed {
            return Err(unknown());
        }
        let was_silent = edge.liveness == Liveness::Silent;
        edge.liveness = Liveness::Fresh;
        edge.reported = Some(now);
        edge.load = report.load;
        edge.heard = Some(report.heard);
        self.tell(office, was_silent.then_some(Change::Back));
        self.judge(now);
        Ok(())
    }

    /// The stream of an edge's reports has ended. A stream of another run means nothing.
    pub fn handle_stream_lost(&mut self, office: &Office, instance: &Instance, now: Instant) {
        if let Some(edge) = self.edges.get_mut(office)
            && &edge.registration.instance == instance
            && edge.liveness == Liveness::Fresh
        {
            edge.liveness = Liveness::Silent;
            self.tell(office, Some(Change::Suspected));
            self.judge(now);
        }
    }

    /// An edge says goodbye: it stops.
    pub fn handle_goodbye(&mut self, office: &Office, instance: &Instance, now: Instant) {
        if let Some(edge) = self.edges.get(office)
            && &edge.registration.instance == instance
        {
            self.lose(office);
            self.judge(now);
        }
    }

    /// Has an edge take nobody new, until the drain is called off, and gives those who are there until `until` to leave.
    ///
    /// # Errors
    /// No such edge; a time that is past, or further ahead than allowed.
    pub fn drain(
        &mut self,
        office: &Office,
        until: Instant,
        now: Instant,
    ) -> Result<(), OperateError> {
        if until <= now || until > now + self.config.longest_drain {
            return Err(OperateError::Deadline(self.config.longest_drain));
        }
        let edge = self
            .edges
            .get_mut(office)
            .ok_or_else(|| OperateError::Unknown(office.clone()))?;
        let drain = Drain {
            until,
            is_due: false,
        };
        let changed = edge.drain.replace(drain) != Some(drain);
        self.tell(office, changed.then_some(Change::DrainBegan { until }));
        Ok(())
    }

    /// Calls a drain off. None is no error.
    ///
    /// # Errors
    /// No such edge.
    pub fn undrain(&mut self, office: &Office) -> Result<(), OperateError> {
        let edge = self
            .edges
            .get_mut(office)
            .ok_or_else(|| OperateError::Unknown(office.clone()))?;
        let ended = edge.drain.take().map(|_| Change::DrainEnded);
        self.tell(office, ended);
        Ok(())
    }

    /// Declares an edge gone that an operator knows to be, and forgets it.
    ///
    /// # Errors
    /// No such edge, or it reports.
    pub fn forget(&mut self, office: &Office, now: Instant) -> Result<(), OperateError> {
        let edge = self
            .edges
            .get(office)
            .ok_or_else(|| OperateError::Unknown(office.clone()))?;
        if edge.is_fresh() {
            return Err(OperateError::Alive(office.clone()));
        }
        self.lose(office);
        self.edges.remove(office);
        self.judge(now);
        Ok(())
    }

    /// When [`Self::handle_timeout`] is to be called. A scan: there are some dozens of edges.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let judgement = self.has_lapsed().then_some(self.lenient_until);
        let waiting = judgement.filter(|_| !self.cut_off && !self.is_judged());
        self.edges
            .values()
            .filter_map(|edge| edge.deadline(&self.config))
            .chain(waiting)
            .min()
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        let due = |edge: &Edge| {
            edge.deadline(&self.config)
                .is_some_and(|deadline| deadline <= now)
        };
        let offices: Vec<Office> = self
            .edges
            .iter()
            .filter(|(_, edge)| due(edge))
            .map(|(office, _)| office.clone())
            .collect();
        for office in offices {
            self.age(&office, now);
        }
        self.judge(now);
    }

    /// What has changed, oldest first. To be called until `None` after every other call.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// One edge.
    pub fn edge(&self, office: &Office) -> Option<&Edge> {
        self.edges.get(office)
    }

    /// All edges, gone ones too, in the order of their offices.
    pub fn edges(&self) -> impl Iterator<Item = &Edge> {
        self.edges.values()
    }

    /// Whether this replica takes itself to be cut off, and therefore declares no edge gone.
    pub fn is_cut_off(&self) -> bool {
        self.cut_off
    }

    /// Takes one edge through all that time has brought it.
    fn age(&mut self, office: &Office, now: Instant) {
        let Some(edge) = self.edges.get_mut(office) else {
            return;
        };
        let silence = edge
            .reported
            .map(|reported| now.saturating_duration_since(reported));
        let mut changes = Vec::new();
        if let Some(drain) = edge
            .drain
            .as_mut()
            .filter(|drain| !drain.is_due && drain.until <= now)
        {
            drain.is_due = true;
            changes.push(Change::DrainDue);
        }
        if edge.liveness == Liveness::Fresh && silence >= Some(self.config.suspect_after) {
            edge.liveness = Liveness::Silent;
            changes.push(Change::Suspected);
        }
        if edge.liveness == Liveness::Silent && silence >= Some(self.config.lease) {
            edge.liveness = Liveness::Lapsed;
        }
        for change in changes {
            self.tell(office, Some(change));
        }
    }

    /// Declares those gone whom nobody hears, unless it may be us who do not hear.
    fn judge(&mut self, now: Instant) {
        let was_cut_off =
            std::mem::replace(&mut self.cut_off, liveness::most_are_silent(&self.edges));
        if was_cut_off && !self.cut_off {
            self.lenient_until = self.lenient_until.max(now + self.config.grace);
        }
        if self.cut_off || now < self.lenient_until || !self.has_lapsed() {
            return;
        }
        for office in self.unheard() {
            self.lose(&office);
        }
    }

    fn unheard(&self) -> Vec<Office> {
        let Some(alive) = liveness::vouched_for(&self.edges) else {
            return Vec::new();
        };
        let lapsed = self
            .edges
            .iter()
            .filter(|(_, edge)| edge.liveness == Liveness::Lapsed);
        lapsed
            .filter(|(office, _)| !alive.contains(*office))
            .map(|(office, _)| office.clone())
            .collect()
    }

    fn has_lapsed(&self) -> bool {
        self.edges
            .values()
            .any(|edge| edge.liveness == Liveness::Lapsed)
    }

    /// Whether all who have lapsed are known to be heard by others, so that only a report can change that.
    fn is_judged(&self) -> bool {
        self.unheard().is_empty()
    }

    fn lose(&mut self, office: &Office) {
        if let Some(edge) = self.edges.get_mut(office)
            && edge.liveness != Liveness::Gone
        {
            edge.liveness = Liveness::Gone;
            edge.load = Load::default();
            edge.heard = None;
            self.tell(office, Some(Change::Gone));
        }
    }

    fn tell(&mut self, office: &Office, change: Option<Change>) {
        self.events.extend(change.map(|change| Event {
            office: office.clone(),
            change,
        }));
    }
}

/// A known edge registers: what is new about it.
fn renew(edge: &mut Edge, registration: Registration) -> Result<Option<Change>, RegisterError> {
    let office = || registration.office.clone();
    let known = &edge.registration;
    let (instance, held) = (&registration.instance, &known.instance);
    if instance.started_at_ms < held.started_at_ms {
        return Err(RegisterError::Older {
            office: office(),
            newer: held.name.clone(),
        });
    }
    let at_once = instance.started_at_ms == held.started_at_ms && instance.name != held.name;
    if at_once || instance == held && registration.certificate != known.certificate {
        return Err(RegisterError::Foreign { office: office() });
    }
    let change = if instance != held {
        edge.load = Load::default();
        edge.heard = None;
        Some(Change::Restarted)
    } else if edge.liveness != Liveness::Fresh {
        Some(Change::Back)
    } else {
        (registration != *known).then_some(Change::Changed)
    };
    edge.registration = registration;
    Ok(change)
}
