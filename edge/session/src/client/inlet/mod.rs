//! The watching side of a session: subscribes to tracks and gives out their objects as they arrive.

mod reader;

pub use reader::Arrival;

use crate::session::{DataStream, RequestEvent, RequestSender, SendError, Session, SessionError};
use crate::transport::RecvStream;
use bytes::Bytes;
use meridian_wire::control::{Goaway, RequestError, Subscribe, SubscribeOk};
use meridian_wire::error::PublishDoneCode;
use meridian_wire::{FullTrackName, Message, Parameters, ResetCode};
use std::collections::{HashMap, VecDeque};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// Subscriptions on one session. Dropped, they are cancelled.
pub struct Inlet {
    session: Session,
    /// Of streams that are not there whole when they are accepted.
    arrivals: mpsc::Receiver<(u64, Arrival)>,
    arrivals_out: reader::Out,
    goaway: watch::Receiver<Option<Goaway>>,
    answers: mpsc::Receiver<(usize, RequestEvent)>,
    answers_out: mpsc::Sender<(usize, RequestEvent)>,
    subscriptions: HashMap<usize, Subscription>,
    track_by_alias: HashMap<u64, usize>,
    /// Tracks that were cancelled and not asked for again, by alias: what was on its way is of no use.
    cancelled: HashMap<u64, FullTrackName>,
    /// Arrivals of tracks whose SUBSCRIBE_OK is still on its way.
    early: VecDeque<(u64, Arrival)>,
    /// What one stream or SUBSCRIBE_OK has brought: no more than the edge may send ahead.
    ready: VecDeque<(usize, Arrival)>,
    early_dropped: u64,
    /// The edge has said goodbye, once.
    leaving: bool,
    /// Each ends with the session's end, if it saw it.
    tasks: JoinSet<Option<SessionError>>,
}

struct Subscription {
    sender: RequestSender,
    name: FullTrackName,
}

/// What happens on an inlet. `track` is the number the caller gave.
#[derive(Debug)]
pub enum Event {
    /// A subscription is accepted.
    Accepted {
        /// The track.
        track: usize,
        /// The answer.
        ok: SubscribeOk,
    },
    /// A subscription is refused.
    Refused {
        /// The track.
        track: usize,
        /// The answer.
        error: RequestError,
    },
    /// The publisher, or the edge, ended a subscription.
    Done {
        /// The track.
        track: usize,
        /// Why; `None` if it broke off without a word.
        code: Option<PublishDoneCode>,
    },
    /// An object, or the end of a group.
    Arrival {
        /// The track.
        track: usize,
        /// What arrived.
        arrival: Arrival,
    },
    /// The edge asks to go elsewhere, and perhaps says where.
    Goaway(Goaway),
    /// The session is over.
    Ended(SessionError),
}

impl Inlet {
    /// Takes what comes over `session`.
    pub fn new(session: Session) -> Inlet {
        let (arrivals_out, arrivals) = mpsc::channel(ARRIVALS);
        let (answers_out, answers) = mpsc::channel(ANSWERS);
        Inlet {
            goaway: session.goaway(),
            session,
            arrivals,
            arrivals_out,
            answers,
            answers_out,
            subscriptions: HashMap::new(),
            track_by_alias: HashMap::new(),
            cancelled: HashMap::new(),
            early: VecDeque::new(),
            ready: VecDeque::new(),
            early_dropped: 0,
            leaving: false,
            tasks: JoinSet::new(),
        }
    }

    /// Objects that came before their track was known and were too many to keep.
    pub fn early_dropped(&self) -> u64 {
        self.early_dropped
    }

    /// Asks for a track. The answer comes as an event.
    ///
    /// # Errors
    /// The request cannot be said or the session is over.
    pub async fn subscribe(
        &mut self,
        track: usize,
        name: FullTrackName,
        params: Parameters,
    ) -> Result<(), SendError> {
        self.cancelled.retain(|_, cancelled| *cancelled != name);
        let request = self.session.open_request(|request_id| {
            Message::Subscribe(Subscribe {
                request_id,
                track: name.clone(),
                params,
            })
        });
        let (sender, mut receiver) = request.await?.split();
        let answers = self.answers_out.clone();
        self.subscriptions
            .insert(track, Subscription { sender, name });
        self.tasks.spawn(async move {
            loop {
                let event = match receiver.recv().await {
                    Ok(event) => event,
                    Err(error) => return Some(error),
                };
                let is_last = !matches!(event, RequestEvent::Message(_) | RequestEvent::Fin);
                if answers.send((track, event)).await.is_err() || is_last {
                    return None;
                }
            }
        });
        Ok(())
    }

    /// Cancels a subscription.
    pub fn cancel(&mut self, track: usize) {
        let Some(Subscription { sender, name }) = self.subscriptions.remove(&track) else {
            return;
        };
        sender.reset(ResetCode::CANCELLED);
        self.ready.retain(|(of, _)| *of != track);
        let known = self.track_by_alias.iter();
        let known = known.filter(|(_, other)| **other == track);
        for alias in known.map(|(alias, _)| *alias).collect::<Vec<_>>() {
            self.track_by_alias.remove(&alias);
            self.cancelled.insert(alias, name.clone());
        }
    }

    /// What happens next. Safe to drop.
    pub async fn next(&mut self) -> Event {
        loop {
            if let Some((track, arrival)) = self.ready.pop_front() {
                return Event::Arrival { track, arrival };
            }
            tokio::select! {
                biased;
                Some((track, event)) = self.answers.recv() => {
                    if let Some(event) = self.answered(track, event) {
                        return event;
                    }
                }
                Some((alias, arrival)) = self.arrivals.recv() => self.sort(alias, arrival),
                data = self.session.accept_data() => match data {
                    Ok(DataStream::Subgroup { first, stream }) => self.take(first, stream),
                    // Nothing was fetched.
                    Ok(DataStream::Fetch { mut stream, .. }) => stream.stop(ResetCode::CANCELLED),
                    Err(error) => return Event::Ended(error),
                },
                datagram = self.session.accept_datagram() => match datagram {
                    Ok(datagram) => reader::of_datagram(datagram)
                        .for_each(|(alias, arrival)| self.sort(alias, arrival)),
                    Err(error) => return Event::Ended(error),
                },
                Some(ended) = self.tasks.join_next() => {
                    if let Ok(Some(error)) = ended {
                        return Event::Ended(error);
                    }
                }
                goaway = said(&mut self.goaway), if !self.leaving => {
                    self.leaving = true;
                    return Event::Goaway(goaway);
                }
            }
        }
    }

    /// Most streams are there whole: an object in one packet.
    fn take(&mut self, first: Bytes, stream: RecvStream) {
        let rest = reader::read_now(first, stream, |(alias, arrival)| self.sort(alias, arrival));
        if let Some(rest) = rest {
            let reading = rest.read(self.arrivals_out.clone());
            self.tasks.spawn(async move {
                reading.await;
                None
            });
        }
    }

    fn sort(&mut self, alias: u64, arrival: Arrival) {
        match self.track_by_alias.get(&alias) {
            Some(track) => self.ready.push_back((*track, arrival)),
            None if self.cancelled.contains_key(&alias) => {}
            None if self.early.len() < EARLY => self.early.push_back((alias, arrival)),
            None => self.early_dropped += 1,
        }
    }

    fn answered(&mut self, track: usize, event: RequestEvent) -> Option<Event> {
        if !self.subscriptions.contains_key(&track) {
            if let RequestEvent::Message(Message::SubscribeOk(ok)) = event {
                // Taken back before it was accepted.
                self.early.retain(|(alias, _)| *alias != ok.track_alias);
            }
            return None;
        }
        match event {
            RequestEvent::Message(Message::SubscribeOk(ok)) => {
                self.track_by_alias.insert(ok.track_alias, track);
                let (known, early) = std::mem::take(&mut self.early)
                    .into_iter()
                    .partition::<VecDeque<_>, _>(|(alias, _)| *alias == ok.track_alias);
                self.early = early;
                self.ready
                    .extend(known.into_iter().map(|(_, arrival)| (track, arrival)));
                Some(Event::Accepted { track, ok })
            }
            RequestEvent::Message(Message::RequestError(error)) => {
                self.subscriptions.remove(&track);
                Some(Event::Refused { track, error })
            }
            RequestEvent::Message(Message::PublishDone(done)) => {
                self.subscriptions.remove(&track);
                let code = Some(done.code);
                Some(Event::Done { track, code })
            }
            RequestEvent::Message(_) | RequestEvent::Fin => None,
            RequestEvent::Reset(_) | RequestEvent::Stopped(_) | RequestEvent::Done => {
                self.subscriptions.remove(&track);
                Some(Event::Done { track, code: None })
            }
        }
    }
}

/// Waits for the edge's goodbye; for ever if the session ends without one.
pub(super) async fn said(goaway: &mut watch::Receiver<Option<Goaway>>) -> Goaway {
    match goaway.wait_for(Option::is_some).await {
        Ok(said) => said.clone().unwrap_or_default(),
        Err(_) => std::future::pending().await,
    }
}

/// Arrivals that wait to be looked at; then streams are read no further, and the edge feels it.
const ARRIVALS: usize = 1_024;
/// Answers that wait to be looked at.
const ANSWERS: usize = 16;
/// Arrivals kept for a SUBSCRIBE_OK that is overtaken by its objects.
const EARLY: usize = 1_024;
