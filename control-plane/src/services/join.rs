//! JoinService: from an invitation to a token and edges to go to.

mod queue;

use super::{Answers, invitation};
use crate::caller::Caller;
use crate::plane::Plane;
use crate::records::{DelegateRecord, EdgeRecord, MeetingRecord, key};
use crate::snapshot::edge;
use crate::tokens::{Media, TokenError};
use meridian_control_core::admission::Answer;
use meridian_control_core::ids::{Meeting, Office, Participant, Person, SessionId};
use meridian_control_core::people::{self, MeetingError};
use meridian_control_core::placement::{self, NoPlace, Placement, Refusal, Whereabouts};
use meridian_control_core::places::CountryCode;
use meridian_proto::v1::join_service_server::JoinService;
use meridian_proto::v1::*;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

/// The service.
pub struct Service(pub Arc<Plane>);

/// Offices a client may say something of.
const MAX_MEASURED: usize = 64;
/// When no edge has a place, in milliseconds.
const RETRY_MS: u64 = 5_000;
/// A token is renewed after this part of its life.
const RENEW_AT: (u64, u64) = (2, 3);

/// Somebody whose credential is good.
struct Known {
    meeting: Meeting,
    participant: Participant,
    record: people::MeetingRecord,
    delegate: people::Delegate,
}

impl Known {
    fn person(&self) -> Person {
        Person {
            meeting: self.meeting.clone(),
            participant: self.participant.clone(),
        }
    }
}

/// What a client says of where it is.
#[derive(Default)]
struct Said {
    country: String,
    address: Option<IpAddr>,
    measured: Vec<Rtt>,
    previous: String,
    unreachable: Vec<String>,
}

#[tonic::async_trait]
impl JoinService for Service {
    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<JoinResponse>, Status> {
        let address = address_of(&request);
        self.0
            .join(&request.into_inner(), address)
            .map(Response::new)
    }

    type WaitAndJoinStream = Answers<JoinResponse>;

    async fn wait_and_join(
        &self,
        request: Request<JoinRequest>,
    ) -> Result<Response<Self::WaitAndJoinStream>, Status> {
        let address = address_of(&request);
        let (answers, stream) = mpsc::channel(1);
        let (plane, mut asked) = (self.0.clone(), request.into_inner());
        tokio::spawn(async move {
            loop {
                let answer = plane.join(&asked, address);
                let waiting = match &answer {
                    Ok(JoinResponse {
                        outcome: Some(join_response::Outcome::Waiting(waiting)),
                    }) => Some(waiting.clone()),
                    _ => None,
                };
                if answers.send(answer).await.is_err() {
                    return;
                }
                let Some(waiting) = waiting else {
                    return;
                };
                asked.ticket = waiting.ticket;
                let pause = Duration::from_millis(waiting.retry_after_ms.into());
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = answers.closed() => return,
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    async fn renew(
        &self,
        request: Request<RenewRequest>,
    ) -> Result<Response<RenewResponse>, Status> {
        let address = address_of(&request);
        let request = request.into_inner();
        let (known, media) = self.0.holder(&request.token)?;
        let said = Said {
            address,
            measured: request.measured,
            previous: request.previous_office,
            unreachable: request.unreachable,
            ..Said::default()
        };
        // The same session goes on: nobody is displaced by it.
        let session = SessionId::from_text(&media.sid);
        let admitted = Some(self.0.admit(&known, session, &said, 0)?);
        Ok(Response::new(RenewResponse { admitted }))
    }

    async fn arrive(
        &self,
        request: Request<ArriveRequest>,
    ) -> Result<Response<ArriveResponse>, Status> {
        let request = request.into_inner();
        let (known, media) = self.0.holder(&request.token)?;
        let race = request.race.iter().take(MAX_MEASURED);
        let race: Vec<String> = race
            .map(|one| match one.connected_after_us {
                0 => format!("{}: {}", one.office, cut(&one.error)),
                us => format!("{} in {} ms", one.office, us / 1_000),
            })
            .collect();
        let choice = format!("{} ({})", cut(&request.office), race.join(", "));
        let mut desk = self.0.desk();
        desk.placer.release(&SessionId::from_text(&media.sid));
        desk.note_choice(&known.meeting, &known.participant, choice);
        Ok(Response::new(ArriveResponse {}))
    }

    async fn list_offices(
        &self,
        _request: Request<ListOfficesRequest>,
    ) -> Result<Response<ListOfficesResponse>, Status> {
        let desk = self.0.desk();
        let open = desk.sites().into_iter();
        let open = open.filter(|site| site.state == meridian_control_core::registry::State::Alive);
        let office = |site: placement::Site| {
            let record: EdgeRecord = self.0.record(&key::edge(site.office.as_str()))?;
            let edge = edge(site.office.as_str(), &record);
            Some(meridian_proto::v1::Office {
                city: desk
                    .offices
                    .of(&site.office)
                    .map_or(String::new(), |office| office.city.clone()),
                office: edge.office,
                address: edge.client_address,
                certificate_sha256: edge.certificate_sha256,
            })
        };
        let offices = open.filter_map(office).collect();
        Ok(Response::new(ListOfficesResponse { offices }))
    }
}

impl Plane {
    fn join(&self, request: &JoinRequest, address: Option<IpAddr>) -> Result<JoinResponse, Status> {
        let known = self.invited(&request.invitation)?;
        let answer = self.ask(&known, &request.ticket)?;
        let outcome = match answer {
            Answer::Admitted { video_after_ms } => {
                let said = Said {
                    country: request.country.clone(),
                    address,
                    measured: request.measured.clone(),
                    previous: request.previous_office.clone(),
                    unreachable: request.unreachable.clone(),
                };
                let session = SessionId::new(&self.replica, rand::random());
                let admission = self.admit(&known, session, &said, video_after_ms);
                let admission = admission.inspect_err(|_| {
                    let (person, now) = (known.person(), Instant::now());
                    self.desk().admission.handle_no_place(&person, now);
                })?;
                self.counters.joins_admitted.add();
                join_response::Outcome::Admitted(admission)
            }
            Answer::Waiting(waiting) => {
                self.counters.joins_waiting.add();
                join_response::Outcome::Waiting(Waiting {
                    ticket: self.sign_ticket(&waiting.ticket, &known)?,
                    position: waiting.position,
                    expected_wait_ms: waiting.expected_wait_ms,
                    retry_after_ms: waiting.retry_after_ms,
                })
            }
            Answer::Later { retry_after_ms } => {
                self.counters.joins_overflowed.add();
                return Err(later("too many people are waiting", retry_after_ms.into()));
            }
            Answer::TooOften { retry_after_ms } => {
                self.counters.joins_too_often.add();
                return Err(later("you join too often", retry_after_ms.into()));
            }
        };
        Ok(JoinResponse {
            outcome: Some(outcome),
        })
    }

    /// Whoever an invitation is for, if it is good.
    fn invited(&self, invitation: &str) -> Result<Known, Status> {
        let invitation = invitation::read(self, invitation)?;
        let known = self.known(&invitation.meeting, &invitation.sub)?;
        if let Err(void) = known.delegate.check(invitation.generation) {
            self.counters.invitations_revoked.add();
            tracing::info!(meeting = %known.meeting, participant = %known.participant, "a void invitation was refused");
            return Err(Status::unauthenticated(void.to_string()));
        }
        self.is_open(&known.record)?;
        Ok(known)
    }

    /// Whoever holds a media token, if it is good.
    fn holder(&self, token: &str) -> Result<(Known, Media), Status> {
        let refuse = |why: &str| {
            self.counters.renewals_refused.add();
            Err(Status::unauthenticated(why))
        };
        let media: Media = match self.rings().media.verify(token) {
            Ok(media) => media,
            Err(TokenError::Expired) => {
                return refuse("the token has expired: join again by the invitation");
            }
            Err(TokenError::Forged) => return refuse("this is no token of this network"),
        };
        let known = self.known(&media.meeting, &media.sub)?;
        if let Err(void) = known.delegate.check(media.generation) {
            return refuse(&void.to_string());
        }
        self.is_open(&known.record)?;
        Ok((known, media))
    }

    fn known(&self, meeting: &str, participant: &str) -> Result<Known, Status> {
        let gone =
            |what: &str| Status::unauthenticated(format!("there is no such {what} any more"));
        let record: Option<MeetingRecord> = self.record(&key::meeting(meeting));
        let record = record.and_then(|record| record.to_core(meeting));
        let delegate: Option<DelegateRecord> = self.record(&key::delegate(meeting, participant));
        let delegate = delegate.and_then(|delegate| delegate.to_core(participant));
        Ok(Known {
            record: record.ok_or_else(|| gone("meeting"))?,
            delegate: delegate.ok_or_else(|| gone("participant"))?,
            meeting: Meeting::new(meeting).map_err(|_| gone("meeting"))?,
            participant: Participant::new(participant).map_err(|_| gone("participant"))?,
        })
    }

    fn is_open(&self, meeting: &people::MeetingRecord) -> Result<(), Status> {
        let now_s = self.now_s();
        meeting.check_join(now_s).map_err(|error| match error {
            MeetingError::NotOpen { opens_at_s } => {
                let left = opens_at_s.saturating_sub(now_s);
                Status::failed_precondition(format!("the meeting opens in {left} s"))
            }
            error => Status::failed_precondition(error.to_string()),
        })
    }

    /// Places somebody and signs their token.
    fn admit(
        &self,
        known: &Known,
        session: SessionId,
        said: &Said,
        video_after_ms: u32,
    ) -> Result<Admission, Status> {
        let request = self.placement_request(known, session.clone(), said);
        // Nobody is turned away since the store is away: edges know themselves how many they can take.
        let anyway = self.mirror.stale_since().is_some() || self.is_alone();
        let placed = self.desk().place(&request, anyway, Instant::now());
        let placed = placed.map_err(|none| self.no_place(&none))?;
        let now_s = self.now_s();
        let life_s = self.config.tokens.media_s;
        let grants = known.delegate.grants(&known.meeting);
        let media = Media {
            sub: known.participant.to_string(),
            meeting: known.meeting.to_string(),
            sid: session.as_str().to_owned(),
            generation: known.delegate.generation,
            sessions: known.record.sessions_per_participant,
            iat: now_s,
            exp: now_s + life_s,
            publish: grants.publish,
            subscribe: grants.subscribe,
        };
        let token = self.rings().media.sign(&media);
        let token = token.map_err(|error| Status::internal(error.to_string()))?;
        Ok(Admission {
            meeting: media.meeting,
            participant: media.sub,
            display_name: known.delegate.name.clone(),
            role: super::meeting::role_out(known.delegate.role).into(),
            token,
            expires_at_s: media.exp,
            renew_after_ms: u32::try_from(life_s * 1_000 * RENEW_AT.0 / RENEW_AT.1)
                .unwrap_or(u32::MAX),
            candidates: self.candidates(&placed),
            video_after_ms,
            publish_namespace: media.publish.into_iter().next().unwrap_or_default(),
        })
    }

    /// Whether no other replica runs that could keep a place.
    fn is_alone(&self) -> bool {
        self.mirror.range(key::REPLICAS).len() <= 1
    }

    fn placement_request(
        &self,
        known: &Known,
        session: SessionId,
        said: &Said,
    ) -> placement::Request {
        let offices = said.unreachable.iter().take(MAX_MEASURED);
        placement::Request {
            session,
            person: known.person(),
            sessions: known.record.sessions_per_participant,
            whereabouts: self.whereabouts(known, said),
            allowed: known.record.countries.clone(),
            previous: Office::new(&said.previous).ok(),
            unreachable: offices
                .filter_map(|office| Office::new(office).ok())
                .collect(),
        }
    }

    fn whereabouts(&self, known: &Known, said: &Said) -> Whereabouts {
        let country = |code: &str| code.parse::<CountryCode>().ok();
        let desk = self.desk();
        let measured = said.measured.iter().take(MAX_MEASURED);
        let measured = measured.filter(|rtt| rtt.rtt_us > 0).filter_map(|rtt| {
            let office = Office::new(&rtt.office).ok()?;
            let point = desk.offices.of(&office)?.place.point;
            Some((office, (rtt.rtt_us, point)))
        });
        Whereabouts {
            measured: measured.collect(),
            point: said
                .address
                .and_then(|address| self.geography.point(address)),
            country: country(&said.country).or(known.delegate.country),
            region: None,
        }
    }

    fn candidates(&self, placed: &Placement) -> Vec<Candidate> {
        let candidate = |candidate: &placement::Candidate| {
            let record: EdgeRecord = self.record(&key::edge(candidate.office.as_str()))?;
            let edge = edge(candidate.office.as_str(), &record);
            Some(Candidate {
                office: edge.office,
                address: edge.client_address,
                certificate_sha256: edge.certificate_sha256,
                predicted_rtt_us: candidate.prediction.rtt_us,
                why: candidate.why.to_string(),
            })
        };
        placed.candidates.iter().filter_map(candidate).collect()
    }

    fn no_place(&self, none: &NoPlace) -> Status {
        self.counters.joins_without_place.add();
        tracing::warn!(why = %none.refusal, "somebody could not be placed");
        let retry_ms = match none.refusal {
            Refusal::ShareUsed | Refusal::NoShare => RETRY_MS / 10,
            _ => RETRY_MS,
        };
        later(&none.refusal.to_string(), retry_ms)
    }
}

/// Where a delegate would be sent now, and why; where they are.
pub(crate) fn why(
    plane: &Plane,
    caller: &Caller,
    request: &WhyRequest,
) -> Result<WhyResponse, Status> {
    super::meeting::own_meeting(plane, caller, &request.meeting)?;
    let known = plane.known(&request.meeting, &request.delegate);
    // The meeting is there.
    let known =
        known.map_err(|_| super::meeting::no_delegate(&request.delegate, &request.meeting))?;
    let said = Said {
        country: request.country.clone(),
        ..Said::default()
    };
    let session = SessionId::new(&plane.replica, rand::random());
    let asked = plane.placement_request(&known, session, &said);
    let looked = plane.desk().look(&asked, Instant::now());
    let (candidates, reasons) = match looked {
        Ok(placed) => (plane.candidates(&placed), placed.reasons),
        Err(none) => (Vec::new(), none.reasons),
    };
    let desk = plane.desk();
    let there: Vec<_> = desk
        .presence
        .sessions(&known.meeting, &known.participant)
        .collect();
    Ok(WhyResponse {
        offices: there.iter().map(|(office, _)| office.to_string()).collect(),
        sessions: there
            .iter()
            .map(|(_, session)| session_out(session))
            .collect(),
        candidates,
        reasons: reasons
            .into_iter()
            .map(|reason| Reason {
                office: reason.office.to_string(),
                code: reason.why.code().to_owned(),
                text: reason.why.to_string(),
                predicted_rtt_us: reason.prediction.rtt_us,
            })
            .collect(),
        last_choice: desk.choice(&known.meeting, &known.participant),
    })
}

fn session_out(session: &meridian_control_core::sessions::Session) -> Session {
    Session {
        number: session.number,
        meeting: session.meeting.to_string(),
        participant: session.participant.to_string(),
        session: session.id.as_str().to_owned(),
        issued_at_s: session.issued_at_s,
        opened_at_us: session.opened_at_us,
        limit: session.limit,
        transport: session.transport.name().to_owned(),
    }
}

/// Where a call comes from.
fn address_of<T>(request: &Request<T>) -> Option<IpAddr> {
    let remote = request.extensions().get::<crate::listener::Remote>();
    remote.map(|remote| remote.address.ip())
}

/// UNAVAILABLE, with when to try again also as `retry-after-ms`, for programs.
fn later(why: &str, retry_ms: u64) -> Status {
    let spread = rand::random_range(0..=retry_ms / 2);
    let retry_ms = retry_ms + spread;
    let mut status = Status::unavailable(format!(
        "{why}; try again in {} s",
        retry_ms.div_ceil(1_000)
    ));
    if let Ok(value) = retry_ms.to_string().parse() {
        status.metadata_mut().insert("retry-after-ms", value);
    }
    status
}

/// As much of a client's text as is kept.
fn cut(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(100).collect()
}
