//! The organiser: makes the meeting, registers and invites everybody, and closes it in the end.

use super::error::RehearsalError;
use super::programme::{Programme, Voice};
use super::target::Target;
use crate::scenario::{Part, Scenario};
use meridian_proto::v1::join_service_client::JoinServiceClient;
use meridian_proto::v1::meeting_service_client::MeetingServiceClient;
use meridian_proto::v1::ops_service_client::OpsServiceClient;
use meridian_proto::v1::*;
use rand::RngExt as _;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::time::sleep;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Response, Status};

/// Whoever runs the rehearsal, at the control plane.
#[derive(Clone, Debug)]
pub(super) struct Organiser {
    channels: Vec<Channel>,
    token: MetadataValue<Ascii>,
}

/// Personal links by participant.
pub(crate) type Invitations = BTreeMap<String, String>;

impl Organiser {
    /// Connects when it is asked to do something.
    pub(super) fn new(target: &Target) -> Result<Organiser, RehearsalError> {
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&target.control_ca));
        let channel = |url: &url::Url| {
            let wrong = |error| RehearsalError::Usage(format!("{url}: {error}"));
            let endpoint = Endpoint::from_shared(url.to_string()).map_err(wrong)?;
            let endpoint = endpoint
                .connect_timeout(CONNECT_WITHIN)
                .timeout(ANSWER_WITHIN);
            Ok(endpoint
                .tls_config(tls.clone())
                .map_err(wrong)?
                .connect_lazy())
        };
        let token = format!("Bearer {}", target.token).parse();
        let mut token: MetadataValue<Ascii> =
            token.map_err(|_| RehearsalError::Usage("the token is none".to_owned()))?;
        token.set_sensitive(true);
        Ok(Organiser {
            channels: target
                .control
                .iter()
                .map(channel)
                .collect::<Result<_, RehearsalError>>()?,
            token,
        })
    }

    /// A name for the meeting that no rehearsal before has had.
    pub(super) fn fresh_id(scenario: &str) -> String {
        let kept: String = scenario.chars().take(LONGEST_NAME).collect();
        format!("{kept}-{:06x}", rand::rng().random_range(0..1 << 24))
    }

    /// The offices that take people now.
    pub(super) async fn offices(&self) -> Result<Vec<String>, RehearsalError> {
        let call =
            |channel, ask| async move { JoinServiceClient::new(channel).list_offices(ask).await };
        let listed = self.call("asking for offices", ListOfficesRequest {}, call);
        let offices = listed.await?.offices.into_iter();
        Ok(offices.map(|office| office.office).collect())
    }

    /// Makes the meeting and invites everybody.
    pub(super) async fn hold(
        &self,
        scenario: &Scenario,
        programme: &Programme,
        cast: &[Part],
        office: &str,
    ) -> Result<Invitations, RehearsalError> {
        let meeting = Meeting {
            id: programme.meeting.clone(),
            title: scenario.title.clone(),
            office: office.to_owned(),
            languages: scenario.booths.languages.clone(),
            ..Meeting::default()
        };
        let create = CreateMeetingRequest {
            meeting: Some(meeting),
        };
        self.ask("making the meeting", create, |mut to, ask| async move {
            to.create_meeting(ask).await
        })
        .await?;
        let heard = programme.voices();
        let everybody = heard.iter().map(host).chain(cast.iter().map(guest));
        let everybody: Vec<_> = everybody.collect();
        let mut invitations = Invitations::new();
        for some in everybody.chunks(AT_ONCE) {
            self.import(&programme.meeting, some).await?;
            invitations.extend(self.invite(&programme.meeting, some).await?);
        }
        Ok(invitations)
    }

    async fn import(&self, meeting: &str, some: &[Delegate]) -> Result<(), RehearsalError> {
        let import = ImportDelegatesRequest {
            meeting: meeting.to_owned(),
            delegates: some.to_vec(),
            ..ImportDelegatesRequest::default()
        };
        let import = self.ask("registering people", import, |mut to, ask| async move {
            to.import_delegates(ask).await
        });
        import.await.map(|_| ())
    }

    async fn invite(
        &self,
        meeting: &str,
        some: &[Delegate],
    ) -> Result<Vec<(String, String)>, RehearsalError> {
        let invite = InviteDelegatesRequest {
            meeting: meeting.to_owned(),
            delegates: some.iter().map(|one| one.id.clone()).collect(),
            ..InviteDelegatesRequest::default()
        };
        let invited = self.ask("inviting people", invite, |mut to, ask| async move {
            to.invite_delegates(ask).await
        });
        let invitations = invited.await?.invitations.into_iter();
        let named = invitations.filter_map(|one| Some((one.delegate?.id, one.invitation)));
        Ok(named.collect())
    }

    /// Sessions that the control plane still counts when everybody has gone, after the time that takes.
    pub(super) async fn ghosts(&self, meeting: &str) -> Result<u64, RehearsalError> {
        let since = Instant::now();
        loop {
            let ask = GetStatisticsRequest {
                meeting: meeting.to_owned(),
            };
            let told = self.ask("counting who is there", ask, |mut to, ask| async move {
                to.get_statistics(ask).await
            });
            let present = u64::from(told.await?.present);
            if present == 0 || since.elapsed() > GHOSTS_VANISH {
                return Ok(present);
            }
            sleep(POLL).await;
        }
    }

    /// Closes the meeting.
    pub(super) async fn close(&self, meeting: &str) -> Result<(), RehearsalError> {
        let close = CloseMeetingRequest {
            id: meeting.to_owned(),
        };
        let closed = self.ask("closing the meeting", close, |mut to, ask| async move {
            to.close_meeting(ask).await
        });
        closed.await.map(|_| ())
    }

    /// Empties an edge within a time.
    pub(super) async fn drain(&self, office: &str, within: Duration) -> Result<(), RehearsalError> {
        let drain = DrainEdgeRequest {
            office: office.to_owned(),
            within_ms: u32::try_from(within.as_millis()).unwrap_or(u32::MAX),
            reason: "a rehearsal".to_owned(),
        };
        let call =
            |channel, ask| async move { OpsServiceClient::new(channel).drain_edge(ask).await };
        self.call("draining the edge", drain, call)
            .await
            .map(|_| ())
    }

    /// Has an edge take people again.
    pub(super) async fn undrain(&self, office: &str) -> Result<(), RehearsalError> {
        let undrain = UndrainEdgeRequest {
            office: office.to_owned(),
        };
        let call =
            |channel, ask| async move { OpsServiceClient::new(channel).undrain_edge(ask).await };
        self.call("taking the drain back", undrain, call)
            .await
            .map(|_| ())
    }

    async fn ask<Q: Clone, A, F: Future<Output = Result<Response<A>, Status>>>(
        &self,
        what: &str,
        question: Q,
        call: impl Fn(MeetingServiceClient<Channel>, Request<Q>) -> F,
    ) -> Result<A, RehearsalError> {
        let call = |channel, ask| {
            let client = MeetingServiceClient::new(channel);
            call(client.max_decoding_message_size(LONGEST_ANSWER), ask)
        };
        self.call(what, question, call).await
    }

    /// Any replica answers any call; the next is asked when one does not.
    async fn call<Q: Clone, A, F: Future<Output = Result<Response<A>, Status>>>(
        &self,
        what: &str,
        question: Q,
        call: impl Fn(Channel, Request<Q>) -> F,
    ) -> Result<A, RehearsalError> {
        let mut why = "there is no replica".to_owned();
        for channel in &self.channels {
            let mut request = Request::new(question.clone());
            request
                .metadata_mut()
                .insert("authorization", self.token.clone());
            let status = match call(channel.clone(), request).await {
                Ok(answer) => return Ok(answer.into_inner()),
                Err(status) => status,
            };
            why = words(&status);
            if !matches!(
                status.code(),
                Code::Unavailable | Code::DeadlineExceeded | Code::Unknown
            ) {
                break;
            }
        }
        Err(RehearsalError::Unavailable(format!("{what}: {why}")))
    }
}

fn host(voice: &Voice) -> Delegate {
    let id = voice.participant();
    let (role, languages) = match voice {
        Voice::Speaker(_) => (Role::Delegate, Vec::new()),
        Voice::Booth(language) => (Role::Interpreter, vec![language.clone()]),
    };
    Delegate {
        name: id.clone(),
        delegation: "Rehearsal".to_owned(),
        role: role.into(),
        is_listed_speaker: matches!(voice, Voice::Speaker(_)),
        languages,
        id,
        ..Delegate::default()
    }
}

fn guest(part: &Part) -> Delegate {
    let role = match part.role.as_str() {
        "listener" => Role::Listener,
        _ => Role::Delegate,
    };
    Delegate {
        id: part.id.clone(),
        name: part.id.clone(),
        delegation: part.delegation.clone(),
        role: role.into(),
        country: part.country.clone(),
        ..Delegate::default()
    }
}

/// With what is below it: "transport error" alone helps nobody.
fn words(status: &Status) -> String {
    let mut words = status.message().to_owned();
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        let more = error.to_string();
        if !words.contains(&more) {
            words = format!("{words}: {more}");
        }
        source = error.source();
    }
    words
}

/// A meeting's id has at most 63 bytes.
const LONGEST_NAME: usize = 50;
/// People of one call: some hundred bytes each, and an answer within seconds.
const AT_ONCE: usize = 1_000;
const LONGEST_ANSWER: usize = 64 << 20;
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// A thousand people are written in some fifty transactions.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// Edges tell at once who has gone; an edge that was lost, within its silence.
const GHOSTS_VANISH: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(250);
