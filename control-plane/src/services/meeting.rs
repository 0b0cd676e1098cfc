//! MeetingService: organisers make meetings and say who is in them, without anybody elsewhere.

mod delegates;
mod invitations;
mod office;
mod roster;

use super::{Answers, follow};
use crate::caller::{self, Caller};
use crate::decision::Decision;
use crate::plane::Plane;
use crate::records::{DelegateRecord, MeetingRecord, RevocationRecord, key};
use meridian_control_core::ids::{Meeting as MeetingId, Office, Participant};
use meridian_control_core::people::{self, MeetingError};
use meridian_proto::v1::meeting_service_server::MeetingService;
use meridian_proto::v1::*;
use std::sync::Arc;
use std::time::Duration;
use tonic::{Request, Response, Status};

pub(crate) use delegates::{no_delegate, role_out};

/// The service.
pub struct Service(pub Arc<Plane>);

/// Changes within this time come as one.
const WATCH: Duration = Duration::from_millis(100);
/// The same for rosters, which change with everybody who comes and goes.
const WATCH_ROSTER: Duration = Duration::from_millis(500);
/// Whose tokens a revocation makes void, if not one participant's.
const EVERYBODY: &str = "*";
/// Revocations are kept for so many lives of a token: replicas' clocks may differ by less than one.
const REVOKED_FOR: u64 = 2;
/// Sessions a participant may have if nothing is said: a computer and a telephone.
const SESSIONS: u32 = 2;

#[tonic::async_trait]
impl MeetingService for Service {
    async fn create_meeting(
        &self,
        request: Request<CreateMeetingRequest>,
    ) -> Result<Response<CreateMeetingResponse>, Status> {
        let caller = caller::of_person(&self.0, &request)?;
        let asked = request.into_inner().meeting.unwrap_or_default();
        let mut meeting = meeting_in(&asked)?;
        if asked.sessions_per_participant == 0 {
            meeting.sessions_per_participant = SESSIONS;
        }
        let allowed = meeting.check_create(&caller.to_core(), self.0.now_s());
        self.allow(allowed)?;
        office::is_known(&self.0, &meeting.office)?;
        let record = MeetingRecord::from_core(&meeting);
        let change = self.0.change(|decision| {
            let key = key::meeting(meeting.id.as_str());
            if decision.read::<MeetingRecord>(&key).is_some() {
                let id = &meeting.id;
                return Err(Status::already_exists(format!(
                    "there is a meeting `{id}`: choose another id"
                )));
            }
            decision.put(key, &record);
            decision.audit(
                &caller,
                "CreateMeeting",
                meeting.id.as_str(),
                meeting.title.clone(),
            );
            Ok(())
        });
        let ((), revision) = change.await?;
        let meeting = Some(meeting_out(&meeting, revision));
        Ok(Response::new(CreateMeetingResponse { meeting }))
    }

    async fn get_meeting(
        &self,
        request: Request<GetMeetingRequest>,
    ) -> Result<Response<GetMeetingResponse>, Status> {
        let caller = caller::of_person(&self.0, &request)?;
        let (meeting, revision) = own_meeting(&self.0, &caller, &request.into_inner().id)?;
        let meeting = Some(meeting_out(&meeting, revision));
        Ok(Response::new(GetMeetingResponse { meeting }))
    }

    type WatchMeetingStream = Answers<WatchMeetingResponse>;

    async fn watch_meeting(
        &self,
        request: Request<WatchMeetingRequest>,
    ) -> Result<Response<Self::WatchMeetingStream>, Status> {
        let caller = caller::of_person(&self.0, &request)?;
        let (plane, id) = (self.0.clone(), request.into_inner().id);
        own_meeting(&plane, &caller, &id)?;
        Ok(follow(self.0.mirror.changed(), WATCH, move || {
            let (meeting, revision) = own_meeting(&plane, &caller, &id)?;
            let meeting = Some(meeting_out(&meeting, revision));
            Ok(WatchMeetingResponse { meeting })
        }))
    }

    async fn list_meetings(
        &self,
        request: Request<ListMeetingsRequest>,
    ) -> Result<Response<ListMeetingsResponse>, Status> {
        let caller = caller::of_person(&self.0, &request)?;
        let request = request.into_inner();
        let now_s = self.0.now_s();
        let all = self.0.records::<MeetingRecord>(key::MEETINGS).into_iter();
        let all = all.filter_map(|(id, record, revision)| Some((record.to_core(&id)?, revision)));
        let meetings = all
            .filter(|(meeting, _)| caller.may_act_for(meeting.office.as_str()))
            .filter(|(meeting, _)| {
                request.office.is_empty() || request.office == meeting.office.as_str()
            })
            .filter(|(meeting, _)| {
                request.with_closed || meeting.phase(now_s) != people::Phase::Closed
            })
            .map(|(meeting, revision)| meeting_out(&meeting, revision))
            .collect();
        Ok(Response::new(ListMeetingsResponse { meetings }))
    }

    async fn update_meeting(
        &self,
        request: Request<UpdateMeetingRequest>,
    ) -> Result<Response<UpdateMeetingResponse>, Status> {
        let caller = caller::of_person(&self.0, &request)?;
        let asked = request.into_inner().meeting.unwrap_or_default();
        let fresh = meeting_in(&asked)?;
        let change = self.0.change(|decision| {
            let before = self.read(decision, &caller, &asked.id)?;
            let key = key::meeting(&asked.id);
            if decision.revision(&key) != asked.revision {
                return Err(Status::aborted(
                    "somebody has changed the meeting: read it again",
                ));
            }
            let allowed = fresh.check_update(&before, &caller.to_core(), self.0.now_s());
            self.allow(allowed)?;
            let fresh = people::MeetingRecord {
                is_closed: before.is_closed,
                ..fresh.clone()
            };
            decision.put(key, &MeetingRecord::from_core(&fresh));
            decision.audit(&caller, "UpdateMeeting", &asked.id, String::new());
            Ok(fresh)
        });
        let (meeting, revision) = change.await?;
        let meeting = Some(meeting_out(&meeting, revision));
        Ok(Response::new(UpdateMeetingResponse { meeting }))
    }

    async fn close_meeting(
        &self,
        request: Request<CloseMeetingRequest>,
    ) -> Result<Response<CloseMeetingResponse>, Status> {
        let caller = caller::of_person(&self.0, &request)?;
        let id = request.into_inner().id;
        let (meeting, revision) = self.close(&caller, &id).await?;
        let meeting = Some(meeting_out(&meeting, revision));
        Ok(Response::new(CloseMeetingResponse { meeting }))
    }

    async fn import_delegates(
        &self,
        request: Request<ImportDelegatesRequest>,
    ) -> Result<Response<ImportDelegatesResponse>, Status> {
        let caller = caller::of_person(&self.0, &request)?;
        self.import(&caller, &request.into_inner())
            .await
            .map(Response::new)
    }

    async fn list_delegates(
        &self,
        request: Request<ListDelegatesRequest>,
    ) -> Result<Response<ListDelegatesResponse>, Status> {
        let caller = caller::of_person(&self.0, &request)?;
        let meeting = request.into_inner().meeting;
        own_meeting(&self.0, &caller, &meeting)?;
        let delegates = delegates::all(&self.0, &meeting)
            .values()
            .map(delegates::out)
            .collect();
        Ok(Response::new(ListDelegatesResponse { delegates }))
    }

    async fn invite_delegates(
        &self,
        request: Request<InviteDelegatesRequest>,
    ) -> Result<Response<InviteDelegatesResponse>, Status> {
        let caller = caller::of_person(&self.0, &request)?;
        self.invite(&caller, &request.into_inner())
            .await
            .map(Response::new)
    }

    async fn revoke_delegate(
        &self,
        request: Request<RevokeDelegateRequest>,
    ) -> Result<Response<RevokeDelegateResponse>, Status> {
        let caller = caller::of_person(&self.0, &request)?;
        let request = request.into_inner();
        let change = self.0.change(|decision| {
            self.read(decision, &caller, &request.meeting)?;
            let mut delegate = self.read_delegate(decision, &request.meeting, &request.delegate)?;
            let below = delegate.revoke();
            self.put_delegate(decision, &request.meeting, &delegate, Some(below));
            let target = format!("{}/{}", request.meeting, request.delegate);
            decision.audit(&caller, "RevokeDelegate", &target, delegate.name.clone());
            Ok(delegate)
        });
        let (delegate, revision) = change.await?;
        let epoch = self.0.mirror.epoch().unwrap_or_default();
        Ok(Response::new(RevokeDelegateResponse {
            delegate: Some(delegates::out(&delegate)),
            version: Some(Version { epoch, revision }),
        }))
    }

    async fn get_roster(
        &self,
        request: Request<GetRosterRequest>,
    ) -> Result<Response<GetRosterResponse>, Status> {
        let caller = caller::of_person(&self.0, &request)?;
        let meeting = request.into_inner().meeting;
        own_meeting(&self.0, &caller, &meeting)?;
        let roster = Some(roster::roster(&self.0, &meeting));
        Ok(Response::new(GetRosterResponse { roster }))
    }

    type WatchRosterStream = Answers<WatchRosterResponse>;

    async fn watch_roster(
        &self,
        request: Request<WatchRosterRequest>,
    ) -> Result<Response<Self::WatchRosterStream>, Status> {
        let caller = caller::of_person(&self.0, &request)?;
        let (plane, meeting) = (self.0.clone(), request.into_inner().meeting);
        own_meeting(&plane, &caller, &meeting)?;
        Ok(follow(self.0.beat.subscribe(), WATCH_ROSTER, move || {
            own_meeting(&plane, &caller, &meeting)?;
            let roster = Some(roster::roster(&plane, &meeting));
            Ok(WatchRosterResponse { roster })
        }))
    }

    async fn get_statistics(
        &self,
        request: Request<GetStatisticsRequest>,
    ) -> Result<Response<GetStatisticsResponse>, Status> {
        let caller = caller::of_person(&self.0, &request)?;
        let meeting = request.into_inner().meeting;
        own_meeting(&self.0, &caller, &meeting)?;
        Ok(Response::new(roster::statistics(&self.0, &meeting)))
    }
}

impl Service {
    /// What the core says of what is asked, as an answer; what was not allowed is counted.
    fn allow(&self, checked: Result<(), MeetingError>) -> Result<(), Status> {
        match checked {
            Err(error @ MeetingError::OtherOffice(_)) => self
                .0
                .held(Err(Status::permission_denied(error.to_string()))),
            Err(error @ MeetingError::Closed) => {
                Err(Status::failed_precondition(error.to_string()))
            }
            Err(error) => Err(Status::invalid_argument(error.to_string())),
            Ok(()) => Ok(()),
        }
    }

    /// A meeting the caller runs. It must not change until this decision is committed.
    fn read(
        &self,
        decision: &mut Decision<'_>,
        caller: &Caller,
        id: &str,
    ) -> Result<people::MeetingRecord, Status> {
        let record: Option<MeetingRecord> = decision.read(&key::meeting(id));
        let meeting = record
            .and_then(|record| record.to_core(id))
            .ok_or_else(|| no_meeting(id))?;
        self.allow(caller.to_core().check(&meeting.office))?;
        Ok(meeting)
    }

    /// Closes a meeting, and makes everybody's tokens void. Again is no error.
    async fn close(
        &self,
        caller: &Caller,
        id: &str,
    ) -> Result<(people::MeetingRecord, u64), Status> {
        let change = self.0.change(|decision| {
            let mut meeting = self.read(decision, caller, id)?;
            if meeting.is_closed {
                return Ok(meeting);
            }
            let closed = meeting.close(&caller.to_core());
            self.allow(closed)?;
            decision.put(key::meeting(id), &MeetingRecord::from_core(&meeting));
            self.put_revocation(decision, id, EVERYBODY, u64::MAX);
            decision.audit(caller, "CloseMeeting", id, String::new());
            Ok(meeting)
        });
        let (meeting, _) = change.await?;
        let revision = self
            .0
            .mirror
            .get(&key::meeting(id))
            .map_or(0, |entry| entry.revision);
        Ok((meeting, revision))
    }

    fn put_revocation(&self, decision: &mut Decision<'_>, meeting: &str, id: &str, below: u64) {
        let record = RevocationRecord {
            below_generation: below,
            until_s: self.0.now_s() + REVOKED_FOR * self.0.config.tokens.media_s,
        };
        decision.put(key::revoked(meeting, id), &record);
    }

    fn read_delegate(
        &self,
        decision: &mut Decision<'_>,
        meeting: &str,
        id: &str,
    ) -> Result<people::Delegate, Status> {
        let record: Option<DelegateRecord> = decision.read(&key::delegate(meeting, id));
        let delegate = record.and_then(|record| record.to_core(id));
        delegate.ok_or_else(|| delegates::no_delegate(id, meeting))
    }

    /// Writes a delegate down; tokens of generations below `below` become void.
    fn put_delegate(
        &self,
        decision: &mut Decision<'_>,
        meeting: &str,
        delegate: &people::Delegate,
        below: Option<u64>,
    ) {
        let id = delegate.id.as_str();
        decision.put(
            key::delegate(meeting, id),
            &DelegateRecord::from_core(delegate),
        );
        if let Some(below) = below {
            self.put_revocation(decision, meeting, id, below);
        }
    }
}

/// A meeting the caller runs, and its revision.
///
/// # Errors
/// NOT_FOUND; PERMISSION_DENIED for another office's.
pub(crate) fn own_meeting(
    plane: &Plane,
    caller: &Caller,
    id: &str,
) -> Result<(people::MeetingRecord, u64), Status> {
    let entry = plane.mirror.get(&key::meeting(id));
    let record: Option<MeetingRecord> = plane.record(&key::meeting(id));
    let meeting = record
        .and_then(|record| record.to_core(id))
        .ok_or_else(|| no_meeting(id))?;
    let checked = caller.to_core().check(&meeting.office);
    plane.held(checked.map_err(|error| Status::permission_denied(error.to_string())))?;
    Ok((meeting, entry.map_or(0, |entry| entry.revision)))
}

fn no_meeting(id: &str) -> Status {
    Status::not_found(format!("there is no meeting `{id}`"))
}

fn meeting_in(asked: &Meeting) -> Result<people::MeetingRecord, Status> {
    let wrong = |error: &dyn std::fmt::Display| Status::invalid_argument(error.to_string());
    let countries = asked.countries.iter().map(|code| code.parse());
    Ok(people::MeetingRecord {
        id: MeetingId::new(&asked.id).map_err(|error| wrong(&error))?,
        title: asked.title.clone(),
        office: Office::new(&asked.office).map_err(|error| wrong(&error))?,
        opens_at_s: asked.opens_at_s,
        closes_at_s: asked.closes_at_s,
        is_closed: false,
        languages: asked
            .languages
            .iter()
            .map(|tag| tag.to_ascii_lowercase())
            .collect(),
        countries: countries
            .collect::<Result<_, meridian_control_core::places::CountryError>>()
            .map_err(|error| wrong(&error))?,
        sessions_per_participant: asked.sessions_per_participant,
    })
}

fn meeting_out(meeting: &people::MeetingRecord, revision: u64) -> Meeting {
    Meeting {
        id: meeting.id.to_string(),
        title: meeting.title.clone(),
        office: meeting.office.to_string(),
        opens_at_s: meeting.opens_at_s,
        closes_at_s: meeting.closes_at_s,
        is_closed: meeting.is_closed,
        languages: meeting.languages.clone(),
        countries: meeting.countries.iter().map(ToString::to_string).collect(),
        sessions_per_participant: meeting.sessions_per_participant,
        revision,
    }
}
