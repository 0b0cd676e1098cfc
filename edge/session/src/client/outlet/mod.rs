//! The publishing side of a session: announces a namespace, answers requests for its tracks, and sends objects to whoever
//! asked for them. Never waits for a slow taker: what does not go out in time is dropped and counted.

mod answer;
mod kept;
mod past;
mod range;
mod stream;
mod track;

use super::Object;
use super::inlet::said;
use crate::session::{RequestEvent, RequestStream, SendError, Session, SessionError};
use meridian_wire::control::{Goaway, NamespaceRequest};
use meridian_wire::error::PublishDoneCode;
use meridian_wire::property::Properties;
use meridian_wire::{Message, Namespace, Parameters, RequestErrorCode};
use std::time::Duration;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use track::Track;

/// A track to offer.
#[derive(Clone, Debug)]
pub struct Offer {
    /// Its name.
    pub name: String,
    /// Its properties.
    pub properties: Properties,
    /// Publisher priority, 0 is sent first.
    pub priority: u8,
    /// Every group is one object, on a stream of its own.
    pub single_objects: bool,
}

/// What became of an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Subscribers it was handed to the transport for.
    pub taken: u64,
    /// Subscribers it was dropped for: no stream credit, too far behind, or their stream is broken.
    pub dropped: u64,
}

/// The tracks of one namespace, with or without a session to send them over.
pub struct Outlet {
    namespace: Namespace,
    tracks: Vec<Track>,
    link: Option<Link>,
}

struct Link {
    session: Session,
    announcement: RequestStream,
    tasks: JoinSet<()>,
    events: mpsc::Receiver<(u64, RequestEvent)>,
    events_out: mpsc::Sender<(u64, RequestEvent)>,
    /// The edge has said goodbye, once.
    leaving: bool,
}

impl Link {
    /// Keeps the session until what was handed to it has arrived, for two seconds at most.
    async fn drain(mut self) {
        // Nobody answers what comes meanwhile: the tasks that listen end with this.
        self.events.close();
        let drained = async { while self.tasks.join_next().await.is_some() {} };
        let _ = timeout(FLUSH_WITHIN, drained).await;
    }
}

/// A session at which the namespace is announced.
pub struct Announced {
    session: Session,
    announcement: RequestStream,
}

/// Why the namespace could not be announced.
#[derive(Debug, Error)]
pub enum AnnounceError {
    /// The edge says no.
    #[error("the edge refuses the namespace: {0:?} {1}")]
    Refused(RequestErrorCode, String),
    /// No answer within ten seconds.
    #[error("the edge does not answer PUBLISH_NAMESPACE")]
    Silent,
    /// The request could not be made, or was cancelled.
    #[error("announcing the namespace: {0}")]
    Send(#[from] SendError),
    /// The session is over.
    #[error("announcing the namespace: {0}")]
    Session(#[from] SessionError),
}

impl AnnounceError {
    /// The session's end, if it is over.
    pub fn session(&self) -> Option<&SessionError> {
        match self {
            AnnounceError::Send(SendError::Session(error)) | AnnounceError::Session(error) => {
                Some(error)
            }
            _ => None,
        }
    }

    /// Whether the edge refuses the token, or wants one: trying again does not help.
    pub fn is_refusal(&self) -> bool {
        match self {
            AnnounceError::Refused(code, _) => matches!(
                *code,
                RequestErrorCode::UNAUTHORIZED
                    | RequestErrorCode::MALFORMED_AUTH_TOKEN
                    | RequestErrorCode::EXPIRED_AUTH_TOKEN
            ),
            AnnounceError::Send(SendError::Session(error)) | AnnounceError::Session(error) => {
                error.is_refusal()
            }
            AnnounceError::Silent | AnnounceError::Send(_) => false,
        }
    }
}

/// Why an outlet's session is of no more use.
#[derive(Debug)]
pub enum Ended {
    /// The session is over.
    Session(SessionError),
    /// The edge asks to go elsewhere, and perhaps says where. Its session goes on for a while.
    Goaway(Goaway),
    /// The edge takes the announcement back.
    Withdrawn,
}

/// Announces `namespace` at `session`.
///
/// # Errors
/// [`AnnounceError`].
pub async fn announce(session: Session, namespace: Namespace) -> Result<Announced, AnnounceError> {
    let request = session.open_request(|request_id| {
        Message::PublishNamespace(NamespaceRequest {
            request_id,
            namespace,
            params: Parameters::default(),
        })
    });
    let mut announcement = request.await?;
    let answer = timeout(ANSWER_WITHIN, announcement.recv()).await;
    match answer.map_err(|_| AnnounceError::Silent)?? {
        RequestEvent::Message(Message::RequestOk(_)) => Ok(Announced {
            session,
            announcement,
        }),
        RequestEvent::Message(Message::RequestError(error)) => {
            Err(AnnounceError::Refused(error.code, error.reason))
        }
        _ => Err(AnnounceError::Send(SendError::Closed)),
    }
}

impl Outlet {
    /// An outlet without a session.
    pub fn new(namespace: Namespace, offers: Vec<Offer>) -> Outlet {
        let tracks = offers.into_iter().enumerate();
        Outlet {
            namespace,
            tracks: tracks
                .map(|(index, offer)| Track::new(index as u64, offer))
                .collect(),
            link: None,
        }
    }

    /// Sends over `announced` from now on. What is on its way over another session may still arrive.
    pub fn attach(&mut self, announced: Announced) {
        let (events_out, events) = mpsc::channel(EVENTS);
        let mut tasks = JoinSet::new();
        if let Some(before) = self.link.take() {
            for track in &mut self.tracks {
                track.leave();
            }
            tasks.spawn(before.drain());
        }
        self.link = Some(Link {
            session: announced.session,
            announcement: announced.announcement,
            tasks,
            events,
            events_out,
            leaving: false,
        });
    }

    /// The same tracks without a session: for another one beside this, on which the same objects are to be published.
    pub fn twin(&self) -> Outlet {
        Outlet {
            namespace: self.namespace.clone(),
            tracks: self.tracks.iter().map(Track::twin).collect(),
            link: None,
        }
    }

    /// Whether there is a session.
    pub fn is_attached(&self) -> bool {
        self.link.is_some()
    }

    /// Lets go of the session.
    pub fn detach(&mut self) {
        self.link = None;
        for track in &mut self.tracks {
            track.leave();
        }
    }

    /// Publishes an object of the track at `index`, in the order of groups and objects.
    pub fn publish(&mut self, index: usize, object: &Object) -> Sent {
        let track = &mut self.tracks[index];
        match &mut self.link {
            Some(link) => {
                while link.tasks.try_join_next().is_some() {}
                track.publish(object, Some((link.session.connection(), &mut link.tasks)))
            }
            None => track.publish(object, None),
        }
    }

    /// Answers requests until the session is of no more use; for ever without one. Safe to drop.
    pub async fn serve(&mut self) -> Ended {
        loop {
            let Some(link) = &mut self.link else {
                return std::future::pending().await;
            };
            let mut goaway = link.session.goaway();
            tokio::select! {
                request = link.session.accept_request() => match request {
                    Ok(request) => self.answer(request),
                    Err(error) => return Ended::Session(error),
                },
                Some((request, event)) = link.events.recv() => self.take(request, event),
                event = link.announcement.recv() => match event {
                    Err(error) => return Ended::Session(error),
                    Ok(RequestEvent::Message(_)) => {}
                    Ok(_) => return Ended::Withdrawn,
                },
                goaway = said(&mut goaway), if !link.leaving => {
                    link.leaving = true;
                    return Ended::Goaway(goaway);
                }
            }
        }
    }

    /// Ends all tracks and waits, at most two seconds, until the edge has everything.
    pub async fn finish(mut self) {
        let Some(mut link) = self.link.take() else {
            return;
        };
        let mut open = 0;
        for track in &mut self.tracks {
            open += track.finish(PublishDoneCode::TRACK_ENDED);
        }
        let flushed = async {
            while link.tasks.join_next().await.is_some() {}
            while open > 0 {
                match link.events.recv().await {
                    Some((_, RequestEvent::Message(_) | RequestEvent::Fin)) => {}
                    Some(_) => open -= 1,
                    None => break,
                }
            }
        };
        let _ = timeout(FLUSH_WITHIN, flushed).await;
    }
}

/// How long an edge may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How long the end of a broadcast may take to reach the edge.
const FLUSH_WITHIN: Duration = Duration::from_secs(2);
/// Messages of subscribers that wait to be looked at; further ones wait in the transport.
const EVENTS: usize = 64;
