//! What one replica knows from edges themselves: who is there, how they are, how far apart, who is in their sessions.
//!
//! Every edge reports to every replica, so nothing of this is in the store, and each replica can answer alone.

mod registration;
mod settings;

use crate::config::Config;
use crate::offices::Offices;
use crate::records::EdgeRecord;
use meridian_control_core::admission::Admission;
use meridian_control_core::ids::{Meeting, Office, Participant, Replica, SessionId};
use meridian_control_core::placement::{self, Placer, Refusal, Site};
use meridian_control_core::places::CountryCode;
use meridian_control_core::registry::{self, Change, Instance, Registry, ReportError, State};
use meridian_control_core::sessions::{self, Presence, Session, Transport};
use meridian_control_core::topology::{Rtts, Talk};
use meridian_proto::v1;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;
use tokio::sync::mpsc;
use tonic::Status;

/// What edges have told one replica.
pub struct Desk {
    /// Who is there.
    pub registry: Registry,
    /// How far apart they are.
    pub rtts: Rtts,
    /// Where offices are.
    pub offices: Offices,
    /// Who is in which edge's sessions.
    pub presence: Presence,
    /// Where delegates go, and which places are kept for them.
    pub placer: Placer,
    /// Who comes in next.
    pub admission: Admission,
    told: BTreeMap<Office, Told>,
    outlets: BTreeMap<Office, mpsc::Sender<v1::ReportResponse>>,
    /// What edges said of themselves while the store was away.
    unwritten: BTreeMap<Office, EdgeRecord>,
    most_present: BTreeMap<Meeting, usize>,
    choices: BTreeMap<(Meeting, Participant), String>,
    chosen: VecDeque<(Meeting, Participant)>,
    started: Instant,
}

/// What an edge said last.
#[derive(Clone, Debug, Default)]
struct Told {
    talks: Vec<v1::Talk>,
    capacity: v1::Capacity,
    software: String,
    load: v1::Load,
    neighbours: Vec<v1::NeighbourReport>,
    applied: Option<v1::Version>,
    refused: String,
    at: Option<Instant>,
}

/// A session to end, and at which edge.
pub type End = (Office, v1::EndSession);

/// Namespaces an edge may tell of in one report.
const MAX_TALKS: usize = 256;
/// Delegates whose last choice is remembered.
const MAX_CHOICES: usize = 20_000;
/// Offices an edge may say something of in one report: more than there are.
const MAX_SAID: usize = 1_024;

impl Desk {
    /// An empty one of this replica.
    pub fn new(config: &Config, replica: &Replica, offices: Offices) -> Desk {
        let started = Instant::now();
        Desk {
            registry: Registry::new(settings::registry(config), started),
            rtts: Rtts::new(),
            presence: Presence::new(sessions::Config::default()),
            placer: settings::placer(config, replica, started),
            admission: Admission::new(settings::admission(config), started),
            offices,
            told: BTreeMap::new(),
            outlets: BTreeMap::new(),
            unwritten: BTreeMap::new(),
            most_present: BTreeMap::new(),
            choices: BTreeMap::new(),
            chosen: VecDeque::new(),
            started,
        }
    }

    /// An edge has come.
    ///
    /// # Errors
    /// INVALID_ARGUMENT if it says something that cannot be; FAILED_PRECONDITION for an older run or an unknown office.
    pub fn register(
        &mut self,
        request: &v1::RegisterRequest,
        now: Instant,
    ) -> Result<Office, Status> {
        let registration = self.registration(request)?;
        let office = registration.office.clone();
        let registered = self.registry.register(registration, now);
        registered.map_err(|error| Status::failed_precondition(error.to_string()))?;
        let told = self.told.entry(office.clone()).or_default();
        told.capacity = request.capacity.unwrap_or_default();
        told.software = request.software.chars().take(64).collect();
        told.at = Some(now);
        Ok(office)
    }

    /// Which run of an edge reports, by the name it gave when it registered.
    ///
    /// # Errors
    /// FAILED_PRECONDITION: it has to register first.
    pub fn instance(&self, office: &Office, name: &str) -> Result<Instance, Status> {
        let known = self
            .registry
            .edge(office)
            .map(|edge| &edge.registration().instance);
        let known = known.filter(|instance| instance.name == name);
        known.cloned().ok_or_else(|| {
            Status::failed_precondition(format!(
                "this run of {office} is not registered here: register"
            ))
        })
    }

    /// What is to be written to the store of an edge.
    pub fn to_write(&mut self, office: &Office, record: EdgeRecord) {
        self.unwritten.insert(office.clone(), record);
    }

    /// It is written.
    pub fn written(&mut self, office: &Office, record: &EdgeRecord) {
        if self.unwritten.get(office) == Some(record) {
            self.unwritten.remove(office);
        }
    }

    /// What is still to be written.
    pub fn unwritten(&self) -> Vec<(Office, EdgeRecord)> {
        self.unwritten.clone().into_iter().collect()
    }

    /// An edge's report. Gives the sessions to end, here and at other edges.
    ///
    /// # Errors
    /// FAILED_PRECONDITION: it has to register first.
    pub fn report(
        &mut self,
        report: v1::ReportRequest,
        instance: &Instance,
        now: Instant,
    ) -> Result<Vec<End>, Status> {
        let office = Office::new(&report.office);
        let office = office.map_err(|error| Status::invalid_argument(error.to_string()))?;
        let load = report.load.unwrap_or_default();
        let heard = report.neighbours.iter().take(MAX_SAID);
        let heard: BTreeSet<Office> = heard
            .filter(|neighbour| neighbour.is_heard)
            .filter_map(|neighbour| Office::new(&neighbour.office).ok())
            .collect();
        let known = registry::Report {
            load: registry::Load {
                clients: load.clients,
                bits_per_second: load.sent_bits_per_second,
            },
            heard,
        };
        let taken = self.registry.handle_report(&office, instance, known, now);
        taken.map_err(|error: ReportError| Status::failed_precondition(error.to_string()))?;
        let opened = report.opened.iter().filter_map(session).collect();
        match report.is_complete {
            true => self.presence.handle_complete(&office, opened, now),
            false => {
                self.presence.handle_opened(&office, opened, now);
                self.presence.handle_closed(&office, &report.closed);
            }
        }
        for rtt in report.rtts.iter().take(MAX_SAID) {
            self.rtts
                .record(office.as_str(), &rtt.office, rtt.rtt_us, now);
        }
        let told = self.told.entry(office).or_default();
        told.load = load;
        told.neighbours = report.neighbours;
        told.neighbours.truncate(MAX_SAID);
        told.talks = report.talks;
        told.talks.truncate(MAX_TALKS);
        told.applied = report.applied;
        told.refused = report.refused.chars().take(512).collect();
        told.at = Some(now);
        Ok(self.settle())
    }

    /// Where to tell an edge something at once; a later stream takes the place of an earlier one.
    pub fn open_outlet(&mut self, office: &Office, outlet: mpsc::Sender<v1::ReportResponse>) {
        self.outlets.insert(office.clone(), outlet);
    }

    /// The way to an edge, while it has a stream here.
    pub fn outlet(&self, office: &Office) -> Option<mpsc::Sender<v1::ReportResponse>> {
        self.outlets.get(office).cloned()
    }

    /// An edge's stream has ended.
    pub fn stream_lost(
        &mut self,
        office: &Office,
        instance: &Instance,
        outlet: &mpsc::Sender<v1::ReportResponse>,
        now: Instant,
    ) {
        let is_ours = |current: &mpsc::Sender<_>| current.same_channel(outlet);
        if self.outlets.get(office).is_some_and(is_ours) {
            self.outlets.remove(office);
            self.registry.handle_stream_lost(office, instance, now);
        }
    }

    /// All measured round-trip times, each pair once.
    pub fn pair_rtts(&self) -> Vec<v1::PairRtt> {
        let offices: Vec<&Office> = self
            .registry
            .edges()
            .map(|edge| &edge.registration().office)
            .collect();
        let pairs = offices
            .iter()
            .enumerate()
            .flat_map(|(n, a)| offices[n + 1..].iter().map(move |b| (*a, *b)));
        let measured = pairs.filter_map(|(a, b)| {
            let one_way_us = self.rtts.one_way_us(a.as_str(), b.as_str())?;
            Some(v1::PairRtt {
                office: a.to_string(),
                other: b.to_string(),
                rtt_us: one_way_us * 2,
            })
        });
        measured.collect()
    }

    /// Time has passed. Gives the sessions to end.
    pub fn handle_time(&mut self, now: Instant) -> Vec<End> {
        self.registry.handle_timeout(now);
        self.presence.handle_timeout(now);
        self.placer.handle_timeout(now);
        self.admission.handle_timeout(now);
        self.settle()
    }

    /// Carries what has happened to one part on to the others. Gives the sessions to end.
    fn settle(&mut self) -> Vec<End> {
        while let Some(event) = self.registry.poll_event() {
            tracing::info!(office = %event.office, change = ?event.change, "edge");
            if matches!(event.change, Change::Gone | Change::Restarted) {
                self.presence.handle_edge_lost(&event.office);
            }
        }
        let mut ends = Vec::new();
        while let Some(event) = self.presence.poll_event() {
            match event {
                sessions::Event::Opened { id, .. } => self.placer.release(&id),
                sessions::Event::Came { meeting, .. } => self.note_most(&meeting),
                sessions::Event::Left { .. } => {}
                sessions::Event::End { office, number } => {
                    let reason = v1::EndReason::Displaced.into();
                    ends.push((office, v1::EndSession { number, reason }));
                }
            }
        }
        ends
    }

    /// Where a delegate would be sent now; keeps nothing.
    ///
    /// # Errors
    /// No edge has a place.
    pub fn look(
        &self,
        request: &placement::Request,
        now: Instant,
    ) -> Result<placement::Placement, placement::NoPlace> {
        self.placer
            .look(request, &self.sites(), self.presence.occupancy(), now)
    }

    /// Where a delegate has gone, in their client's words. The oldest are forgotten.
    pub fn note_choice(&mut self, meeting: &Meeting, participant: &Participant, choice: String) {
        let who = (meeting.clone(), participant.clone());
        if self.choices.insert(who.clone(), choice).is_none() {
            self.chosen.push_back(who);
        }
        if self.chosen.len() > MAX_CHOICES
            && let Some(oldest) = self.chosen.pop_front()
        {
            self.choices.remove(&oldest);
        }
    }

    /// Where a delegate went last; empty if that is not known here.
    pub fn choice(&self, meeting: &Meeting, participant: &Participant) -> String {
        let who = (meeting.clone(), participant.clone());
        self.choices.get(&who).cloned().unwrap_or_default()
    }

    fn note_most(&mut self, meeting: &Meeting) {
        let now = self.presence.present_count(meeting);
        let most = self.most_present.entry(meeting.clone()).or_default();
        *most = (*most).max(now);
    }

    /// The most that were there of a meeting at a time, since this replica started.
    pub fn most_present(&self, meeting: &Meeting) -> usize {
        self.most_present.get(meeting).copied().unwrap_or(0)
    }

    /// Edges as placement wants them.
    pub fn sites(&self) -> Vec<Site> {
        self.registry.edges().map(Site::from).collect()
    }

    /// Finds edges for a delegate and keeps a place; without one if `anyway`, where this replica may not keep any.
    ///
    /// # Errors
    /// No edge has one.
    pub fn place(
        &mut self,
        request: &placement::Request,
        anyway: bool,
        now: Instant,
    ) -> Result<placement::Placement, placement::NoPlace> {
        let (sites, occupancy) = (self.sites(), self.presence.occupancy());
        match self.placer.place(request, &sites, occupancy, now) {
            Err(none) if anyway && none.refusal == Refusal::NoShare => {
                self.placer.advise(request, &sites, occupancy, now)
            }
            placed => placed,
        }
    }

    /// Which edges' clients hear each other's: what one publishes and another wants.
    pub fn talks(&self, mut tell: impl FnMut(Talk<'_>)) {
        let all = || {
            self.told
                .iter()
                .flat_map(|(office, told)| told.talks.iter().map(move |talk| (office, talk)))
        };
        let mut published: BTreeMap<&[String], Vec<(&Office, u64)>> = BTreeMap::new();
        for (office, talk) in all().filter(|(_, talk)| talk.is_published_here) {
            let of = published.entry(&talk.namespace).or_default();
            of.push((office, talk.bits_per_second));
        }
        for (to, talk) in all().filter(|(_, talk)| talk.subscribers > 0) {
            for (from, bps) in published
                .get(talk.namespace.as_slice())
                .into_iter()
                .flatten()
            {
                if *from != to {
                    let (from, to) = (from.as_str(), to.as_str());
                    tell(Talk {
                        from,
                        to,
                        bps: *bps,
                    });
                }
            }
        }
    }

    /// Where the clients of an edge that is emptied can go, best first, with the places there: so many of them, or all of
    /// them, to edges in some countries, or in all.
    pub fn drain_targets(
        &self,
        office: &Office,
        clients: Option<u32>,
        allowed: &BTreeSet<CountryCode>,
    ) -> Vec<(String, u32)> {
        let sites = self.sites();
        let Some(from) = sites.iter().find(|site| site.office == *office) else {
            return Vec::new();
        };
        let clients = clients.unwrap_or(from.load.clients);
        let targets = placement::drain_targets(from, clients, allowed, &sites).into_iter();
        targets
            .map(|target| (target.office.to_string(), target.places))
            .collect()
    }

    /// Edges that the state says are being emptied, and until when they take no clients.
    pub fn handle_drains(&mut self, drains: &BTreeMap<Office, Instant>, now: Instant) {
        let offices: Vec<Office> = self
            .registry
            .edges()
            .map(|edge| edge.registration().office.clone())
            .collect();
        for office in offices {
            // A drain that is over, or of an edge that was removed, is no error.
            let _ = match drains.get(&office) {
                Some(until) => self.registry.drain(&office, *until, now),
                None => self.registry.undrain(&office),
            };
        }
    }

    /// Edges and how they are.
    pub fn statuses(&self, now: Instant, epoch_ms: u64) -> Vec<v1::EdgeStatus> {
        let of = |edge: &registry::Edge| self.status(edge, now, epoch_ms);
        self.registry.edges().map(of).collect()
    }

    fn status(&self, edge: &registry::Edge, now: Instant, now_ms: u64) -> v1::EdgeStatus {
        let registration = edge.registration();
        let office = registration.office.as_str();
        let told = self.told.get(office).cloned().unwrap_or_default();
        let (state, until) = match edge.state() {
            State::Alive => (v1::EdgeState::Alive, None),
            State::Suspect => (v1::EdgeState::Suspect, None),
            State::Gone => (v1::EdgeState::Gone, None),
            State::Draining { until } => (v1::EdgeState::Draining, Some(until)),
        };
        // What it said before it was gone is not so any more.
        let load = match state {
            v1::EdgeState::Gone => v1::Load::default(),
            _ => told.load,
        };
        let first = |addresses: &[String]| addresses.first().cloned().unwrap_or_default();
        let silent = told.at.unwrap_or(self.started);
        let ahead = |until: Instant| until.saturating_duration_since(now).as_millis() as u64;
        v1::EdgeStatus {
            edge: Some(v1::Edge {
                office: office.to_owned(),
                neighbour_address: first(&registration.addresses.neighbours),
                client_address: first(&registration.addresses.clients),
                certificate_sha256: registration::certificate_to(&registration.certificate).into(),
                failure_domain: registration.domain.clone(),
            }),
            state: state.into(),
            capacity: Some(told.capacity),
            load: Some(load),
            reserved: self.placer.ledger().reserved(&registration.office),
            neighbours: told.neighbours,
            applied: told.applied,
            refused: told.refused,
            silent_ms: now.saturating_duration_since(silent).as_millis() as u64,
            started_at_ms: registration.instance.started_at_ms,
            software: told.software,
            drain_deadline_ms: until.map_or(0, |until| now_ms + ahead(until)),
        }
    }
}

/// A session as reported; `None` if its token was of no meeting.
fn session(told: &v1::Session) -> Option<Session> {
    Some(Session {
        number: told.number,
        meeting: Meeting::new(&told.meeting).ok()?,
        participant: Participant::new(&told.participant).ok()?,
        id: SessionId::from_text(&told.session),
        issued_at_s: told.issued_at_s,
        opened_at_us: told.opened_at_us,
        limit: told.limit,
        transport: Transport::named(&told.transport),
    })
}
