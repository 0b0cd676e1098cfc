//! OpsService: edges, drains, the topology, who did what, and access for organisers and operators.

use super::{Answers, follow};
use crate::caller::{self, Caller};
use crate::plane::Plane;
use crate::records::{
    AccessRecord, AuditRecord, DrainRecord, EdgeRecord, MeetingRecord, TreeRecord, key,
};
use crate::snapshot::tree_parts;
use crate::tokens::Access;
use meridian_control_core::ids::Office;
use meridian_proto::v1::ops_service_server::OpsService;
use meridian_proto::v1::*;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tonic::{Request, Response, Status};

/// The service.
pub struct Service(pub Arc<Plane>);

/// How long clients have to leave an edge if nothing is said, in milliseconds.
const DRAIN_MS: u32 = 30_000;
/// The most they can have.
const MAX_DRAIN_MS: u32 = 3_600_000;
/// An edge that was emptied and forgotten takes clients again by itself after so long, in milliseconds.
const FORGOTTEN_MS: u64 = 23 * 3_600_000;
/// How long access tokens are good if nothing is said, and at most, in seconds.
const ACCESS_S: u64 = 12 * 3_600;
const MAX_ACCESS_S: u64 = 90 * 24 * 3_600;
/// How often load is told to who watches edges.
const WATCH_EDGES: Duration = Duration::from_secs(1);
/// Changes of the tree within this time come as one.
const WATCH_TREE: Duration = Duration::from_millis(100);

#[tonic::async_trait]
impl OpsService for Service {
    async fn list_edges(
        &self,
        request: Request<ListEdgesRequest>,
    ) -> Result<Response<ListEdgesResponse>, Status> {
        caller::of_person(&self.0, &request)?;
        let edges = edges(&self.0);
        Ok(Response::new(ListEdgesResponse { edges }))
    }

    type WatchEdgesStream = Answers<WatchEdgesResponse>;

    async fn watch_edges(
        &self,
        request: Request<WatchEdgesRequest>,
    ) -> Result<Response<Self::WatchEdgesStream>, Status> {
        caller::of_person(&self.0, &request)?;
        let plane = self.0.clone();
        let beat = self.0.beat.subscribe();
        Ok(follow(beat, WATCH_EDGES, move || {
            let edges = edges(&plane);
            Ok(WatchEdgesResponse { edges })
        }))
    }

    async fn drain_edge(
        &self,
        request: Request<DrainEdgeRequest>,
    ) -> Result<Response<DrainEdgeResponse>, Status> {
        let caller = self.operator(&request)?;
        let request = request.into_inner();
        let within_ms = match request.within_ms {
            0 => DRAIN_MS,
            ms => ms.clamp(1_000, MAX_DRAIN_MS),
        };
        let office = self.office(&request.office)?;
        let (targets, meetings) = targets(&self.0, &office)?;
        let now_ms = self.0.now_ms();
        let record = DrainRecord {
            deadline_ms: now_ms + u64::from(within_ms),
            until_ms: now_ms + FORGOTTEN_MS,
            by: caller.subject.clone(),
            reason: request.reason.chars().take(256).collect(),
            targets,
            meetings,
        };
        let change = self.0.change(|decision| {
            let key = key::drain(office.as_str());
            decision.read::<DrainRecord>(&key);
            decision.put(key, &record);
            let detail = format!("within {within_ms} ms: {}", record.reason);
            decision.audit(&caller, "DrainEdge", office.as_str(), detail);
            Ok(())
        });
        change.await?;
        let drain = Some(crate::snapshot::drain(office.as_str(), record));
        Ok(Response::new(DrainEdgeResponse { drain }))
    }

    async fn undrain_edge(
        &self,
        request: Request<UndrainEdgeRequest>,
    ) -> Result<Response<UndrainEdgeResponse>, Status> {
        let caller = self.operator(&request)?;
        let office = request.into_inner().office;
        let change = self.0.change(|decision| {
            let key = key::drain(&office);
            if decision.read::<DrainRecord>(&key).is_none() {
                return Err(Status::failed_precondition(format!(
                    "{office} is not being drained"
                )));
            }
            decision.delete(key);
            decision.audit(&caller, "UndrainEdge", &office, String::new());
            Ok(())
        });
        change.await?;
        Ok(Response::new(UndrainEdgeResponse {}))
    }

    async fn remove_edge(
        &self,
        request: Request<RemoveEdgeRequest>,
    ) -> Result<Response<RemoveEdgeResponse>, Status> {
        let caller = self.operator(&request)?;
        let office = self.office(&request.into_inner().office)?;
        let forgotten = self.0.desk().registry.forget(&office, Instant::now());
        forgotten.map_err(|error| Status::failed_precondition(error.to_string()))?;
        let change = self.0.change(|decision| {
            decision.delete(key::edge(office.as_str()));
            decision.delete(key::drain(office.as_str()));
            decision.audit(&caller, "RemoveEdge", office.as_str(), String::new());
            Ok(())
        });
        change.await?;
        Ok(Response::new(RemoveEdgeResponse {}))
    }

    async fn get_topology(
        &self,
        request: Request<GetTopologyRequest>,
    ) -> Result<Response<GetTopologyResponse>, Status> {
        caller::of_person(&self.0, &request)?;
        let topology = Some(topology(&self.0, true));
        Ok(Response::new(GetTopologyResponse { topology }))
    }

    type WatchTopologyStream = Answers<WatchTopologyResponse>;

    async fn watch_topology(
        &self,
        request: Request<WatchTopologyRequest>,
    ) -> Result<Response<Self::WatchTopologyStream>, Status> {
        caller::of_person(&self.0, &request)?;
        let (plane, changed) = (self.0.clone(), self.0.snapshot.subscribe());
        Ok(follow(changed, WATCH_TREE, move || {
            // Round-trip times change all the time; they are there to be asked for.
            let topology = Some(topology(&plane, false));
            Ok(WatchTopologyResponse { topology })
        }))
    }

    async fn why(&self, request: Request<WhyRequest>) -> Result<Response<WhyResponse>, Status> {
        let caller = caller::of_person(&self.0, &request)?;
        let request = request.into_inner();
        super::join::why(&self.0, &caller, &request).map(Response::new)
    }

    async fn list_audit(
        &self,
        request: Request<ListAuditRequest>,
    ) -> Result<Response<ListAuditResponse>, Status> {
        let caller = caller::of_person(&self.0, &request)?;
        let request = request.into_inner();
        if request.meeting.is_empty() {
            self.0.held(caller.operates())?;
        } else {
            super::meeting::own_meeting(&self.0, &caller, &request.meeting)?;
        }
        let limit = match request.limit {
            0 => 100,
            limit => limit.min(1_000) as usize,
        };
        let is_about = |record: &AuditRecord| {
            let of = record.target.split('/').next();
            request.meeting.is_empty() || of == Some(request.meeting.as_str())
        };
        let log = self.0.records::<AuditRecord>(key::AUDIT).into_iter().rev();
        let log = log
            .map(|(_, record, _)| record)
            .filter(is_about)
            .take(limit);
        Ok(Response::new(ListAuditResponse {
            entries: log.map(entry).collect(),
        }))
    }

    async fn issue_access(
        &self,
        request: Request<IssueAccessRequest>,
    ) -> Result<Response<IssueAccessResponse>, Status> {
        let caller = self.operator(&request)?;
        let request = request.into_inner();
        let access = self.access(&request)?;
        let token = self.0.rings().access.sign(&access);
        let token = token.map_err(|error| Status::internal(error.to_string()))?;
        let what = match access.operator {
            true => "operator".to_owned(),
            false => format!("organiser of {}", access.offices.join(", ")),
        };
        let change = self.0.change(|decision| {
            decision.audit(&caller, "IssueAccess", &access.sub, what.clone());
            Ok(())
        });
        change.await?;
        Ok(Response::new(IssueAccessResponse {
            token,
            expires_at_s: access.exp,
        }))
    }

    async fn revoke_access(
        &self,
        request: Request<RevokeAccessRequest>,
    ) -> Result<Response<RevokeAccessResponse>, Status> {
        let caller = self.operator(&request)?;
        let subject = request.into_inner().subject;
        let change = self.0.change(|decision| {
            let key = key::access(&subject);
            let before = decision.read::<AccessRecord>(&key);
            let generation = before.map_or(0, |before| before.generation) + 1;
            let record = AccessRecord {
                subject: subject.clone(),
                generation,
            };
            decision.put(key, &record);
            decision.audit(&caller, "RevokeAccess", &subject, String::new());
            Ok(())
        });
        change.await?;
        Ok(Response::new(RevokeAccessResponse {}))
    }

    async fn rotate_keys(
        &self,
        request: Request<RotateKeysRequest>,
    ) -> Result<Response<RotateKeysResponse>, Status> {
        let caller = self.operator(&request)?;
        let lifetime_s = self.0.config.tokens.media_s;
        let change = self.0.change(|decision| {
            let key = format!("{}media", key::KEYS);
            let ring = decision.read::<crate::tokens::ring::Ring>(&key);
            let ring = ring.ok_or_else(|| Status::internal("there are no signing keys"))?;
            let fresh = crate::tokens::ring::SigningKey::generate();
            let fresh = fresh.map_err(|error| Status::internal(error.to_string()))?;
            let rotated = ring.rotated(self.0.now_s(), lifetime_s, fresh);
            decision.put(key, &rotated);
            let id = rotated.current.id.clone();
            decision.audit(&caller, "RotateKeys", "media", id.clone());
            Ok(id)
        });
        let (key, _) = change.await?;
        Ok(Response::new(RotateKeysResponse { key }))
    }
}

impl Service {
    fn operator<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        let caller = caller::of_person(&self.0, request)?;
        self.0.held(caller.operates())?;
        Ok(caller)
    }

    /// An office that has, or had, an edge.
    fn office(&self, id: &str) -> Result<Office, Status> {
        let known: Option<EdgeRecord> = self.0.record(&key::edge(id));
        let office = Office::new(id).ok().filter(|_| known.is_some());
        office.ok_or_else(|| Status::not_found(format!("no edge of `{id}` is in the network")))
    }

    fn access(&self, request: &IssueAccessRequest) -> Result<Access, Status> {
        let wrong = |what: &str| Err(Status::invalid_argument(what));
        if !(1..=254).contains(&request.subject.len()) {
            return wrong("say whose token it is: a name or e-mail address of 1 to 254 bytes");
        }
        if request.is_operator != request.offices.is_empty() {
            return wrong("an operator acts for all offices, an organiser for those named");
        }
        for office in &request.offices {
            let id = Office::new(office);
            let id = id.map_err(|error| Status::invalid_argument(error.to_string()))?;
            if self.0.desk().offices.of(&id).is_none() {
                return wrong("one of the offices is not in the table of offices");
            }
        }
        let valid_s = match request.valid_s {
            0 => ACCESS_S,
            s => s.min(MAX_ACCESS_S),
        };
        Ok(Access {
            sub: request.subject.clone(),
            operator: request.is_operator,
            offices: request.offices.clone(),
            generation: self.0.generation(&request.subject),
            exp: self.0.now_s() + valid_s,
        })
    }
}

/// Offices and their places.
type Targets = Vec<(String, u32)>;

/// Where the clients of an edge that is emptied go, and where those of meetings go that not every country's edges may carry.
fn targets(plane: &Plane, office: &Office) -> Result<(Targets, Vec<(String, Targets)>), Status> {
    let desk = plane.desk();
    let none = |whose: &str| {
        let why = format!("no other edge has a place for {whose} of {office}");
        Err(Status::failed_precondition(why))
    };
    let targets = desk.drain_targets(office, None, &BTreeSet::new());
    if targets.is_empty() {
        return none("the clients");
    }
    let mut meetings = Vec::new();
    for (id, record, _) in plane.records::<MeetingRecord>(key::MEETINGS) {
        let Some(meeting) = record.to_core(&id) else {
            continue;
        };
        if meeting.countries.is_empty() || meeting.is_closed {
            continue;
        }
        let there = desk.presence.count_at(office, &meeting.id);
        let own = desk.drain_targets(office, Some(there), &meeting.countries);
        if own.is_empty() && there > 0 {
            return none(&format!(
                "the delegates of `{id}`, in the countries it allows,"
            ));
        }
        meetings.push((id, own));
    }
    Ok((targets, meetings))
}

fn edges(plane: &Plane) -> Vec<EdgeStatus> {
    let mut edges = plane.desk().statuses(Instant::now(), plane.now_ms());
    for edge in &mut edges {
        let office = edge.edge.as_ref().map_or("", |edge| edge.office.as_str());
        if let Some(drain) = plane.record::<DrainRecord>(&key::drain(office)) {
            edge.drain_deadline_ms = drain.deadline_ms;
        }
    }
    edges
}

fn topology(plane: &Plane, with_rtts: bool) -> Topology {
    let tree: TreeRecord = plane.record(key::TREE).unwrap_or_default();
    let (rows, failures, shortcuts) = tree_parts(&tree);
    Topology {
        version: plane.snapshot.borrow().version,
        origin: tree.origin,
        standby: tree.standby,
        tree: rows,
        failures,
        shortcuts,
        rtts: match with_rtts {
            true => plane.desk().pair_rtts(),
            false => Vec::new(),
        },
    }
}

fn entry(record: AuditRecord) -> AuditEntry {
    AuditEntry {
        at_ms: record.at_ms,
        who: record.who,
        what: record.what,
        target: record.target,
        detail: record.detail,
    }
}
