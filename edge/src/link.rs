//! A session and the relay: requests, data streams and datagrams in; messages out.

use crate::access::TokenError;
use crate::gate::Gate;
use crate::joined::{self, Joining};
use crate::worker::{State, Worker};
use meridian_relay::{Command, OutRequestId, Peer, Role, SessionId};
use meridian_session::session::{
    IncomingRequest, RequestEvent, RequestReceiver, RequestSender, RequestStream, SendError,
    Session, SessionError,
};
use meridian_session::transport::SendStream;
use meridian_wire::control::{Goaway, RequestError};
use meridian_wire::{Draft, LocationFilter, Message, ResetCode};
use slotmap::SecondaryMap;
use std::collections::HashMap;
use std::time::Instant;
use tokio::task::AbortHandle;

/// A session as its worker holds it.
pub(crate) struct Link {
    pub(crate) session: Session,
    /// A stream that was opened while the relay waited for credit.
    pub(crate) spare: Option<SendStream>,
    pub(crate) waits_for_credit: bool,
    pub(crate) is_client: bool,
    /// It was sent GOAWAY, which can be said once.
    pub(crate) is_told_to_leave: bool,
    /// The peer's requests, by ID.
    incoming: HashMap<u64, Exchange>,
    /// Ours.
    outgoing: SecondaryMap<OutRequestId, Exchange>,
    /// Which of ours are fetches, by their ID on the wire: their data streams name it.
    pub(crate) fetches: HashMap<u64, OutRequestId>,
    /// Joining fetches of ours, by their ID on the wire.
    pub(crate) joining: HashMap<u64, Joining>,
}

/// A request stream: how to say something on it, and the task that listens.
struct Exchange {
    sender: RequestSender,
    listener: AbortHandle,
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

/// Serves a session until it ends. The error tells why it did. Clients have a gate.
pub(crate) async fn serve(
    worker: Worker,
    session: Session,
    peer: Peer,
    gate: Option<Gate>,
) -> SessionError {
    join(&worker, &session, peer).serve(gate).await
}

/// Makes a session known to the worker, for as long as what is returned lives.
pub(crate) fn join(worker: &Worker, session: &Session, peer: Peer) -> Joined {
    let link = Link {
        session: session.clone(),
        spare: None,
        waits_for_credit: false,
        is_client: peer.role == Role::Client,
        is_told_to_leave: false,
        incoming: HashMap::new(),
        outgoing: SecondaryMap::new(),
        fetches: HashMap::new(),
        joining: HashMap::new(),
    };
    let id = worker.state(|state| {
        let id = state.relay.add_session(peer, Instant::now());
        state.links.insert(id, link);
        id
    });
    Joined {
        worker: worker.clone(),
        session: session.clone(),
        id,
    }
}

/// A session that its worker knows. It is taken out of it however its task ends.
pub(crate) struct Joined {
    worker: Worker,
    session: Session,
    id: SessionId,
}

impl Joined {
    /// What the relay calls it.
    pub(crate) fn id(&self) -> SessionId {
        self.id
    }

    /// Serves it until it ends. The error tells why it did.
    pub(crate) async fn serve(self, gate: Option<Gate>) -> SessionError {
        let Joined {
            worker,
            session,
            id,
        } = &self;
        tokio::select! {
            error = take_requests(worker, session, *id, gate.as_ref()) => error,
            error = crate::receiving::take_data(worker, session, *id) => error,
            error = crate::receiving::take_datagrams(worker, session, *id) => error,
            error = hear_goaway(worker, session, *id) => error,
            error = hold_to_token(session, gate.as_ref()) => error,
            error = session.closed() => error,
        }
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        self.worker.state(|state| {
            state.links.remove(self.id);
            state.drop_sending(self.id);
            state.relay.remove_session(self.id, Instant::now());
        });
    }
}

/// Tells the relay when the peer is about to leave.
async fn hear_goaway(worker: &Worker, session: &Session, id: SessionId) -> SessionError {
    let mut goaway = session.goaway();
    if goaway.wait_for(Option::is_some).await.is_ok() {
        worker.relay(|relay| relay.handle_goaway(id, Instant::now()));
    }
    session.closed().await
}

/// Ends the session of a client whose token is good no longer, or who is not to have it for another reason.
async fn hold_to_token(session: &Session, gate: Option<&Gate>) -> SessionError {
    if let Some(gate) = gate {
        let (code, reason) = gate.ended().await;
        session.close(code, reason);
    }
    session.closed().await
}

async fn take_requests(
    worker: &Worker,
    session: &Session,
    id: SessionId,
    gate: Option<&Gate>,
) -> SessionError {
    loop {
        let IncomingRequest {
            id: request,
            mut message,
            stream,
            ..
        } = match session.accept_request().await {
            Ok(incoming) => incoming,
            Err(error) => return error,
        };
        if let Some(gate) = gate {
            match gate.of_request(&mut message) {
                Ok(None) => {}
                Ok(Some(more)) => worker.relay(|relay| relay.permit(id, more)),
                Err(error) => {
                    refuse(&stream, error);
                    continue;
                }
            }
        }
        let (sender, receiver) = stream.split();
        let listener =
            tokio::task::spawn_local(hear_request(worker.clone(), id, request, receiver))
                .abort_handle();
        worker.state(|state| {
            if let Some(link) = state.links.get_mut(id) {
                link.incoming.insert(request, Exchange { sender, listener });
                state.relay.handle_request(id, message, Instant::now());
            }
        });
    }
}

fn refuse(stream: &RequestStream, error: TokenError) {
    let answer = RequestError {
        code: error.request_error(),
        retry_interval: 0,
        reason: error.reason().to_owned(),
        redirect: None,
    };
    let sent = stream.send(&Message::RequestError(answer));
    if let Err(error) = sent.and_then(|()| stream.finish()) {
        tracing::debug!(%error, "a request was not refused");
    }
}

/// Hands what the peer says on a request of its own to the relay.
async fn hear_request(worker: Worker, id: SessionId, request: u64, mut receiver: RequestReceiver) {
    loop {
        let Ok(event) = receiver.recv().await else {
            return;
        };
        let now = Instant::now();
        match event {
            RequestEvent::Message(message) => {
                worker.relay(|relay| relay.handle_request_message(id, request, message, now));
            }
            RequestEvent::Fin => {
                worker.relay(|relay| relay.handle_request_closed(id, request, false, now));
            }
            RequestEvent::Reset(_) | RequestEvent::Stopped(_) => {
                worker.state(|state| {
                    state.relay.handle_request_closed(id, request, true, now);
                    state.end_incoming(id, request, ResetCode::CANCELLED);
                });
                return;
            }
            RequestEvent::Done => {
                worker.state(|state| {
                    if let Some(link) = state.links.get_mut(id) {
                        link.incoming.remove(&request);
                    }
                });
                return;
            }
        }
    }
}

/// Hands what the peer says on a request of ours to the relay. `joins`: its ID on the wire, if a subscription's newest group
/// has to be fetched.
async fn hear_response(
    worker: Worker,
    id: SessionId,
    request: OutRequestId,
    joins: Option<u64>,
    mut receiver: RequestReceiver,
) {
    loop {
        let Ok(event) = receiver.recv().await else {
            return;
        };
        let now = Instant::now();
        let cancelled = match event {
            RequestEvent::Message(message) => {
                let alias = joined::alias_to_join(&message);
                let join = joins.zip(alias);
                worker.relay(|relay| {
                    if let Some((_, alias)) = join {
                        relay.handle_joining(id, alias);
                    }
                    relay.handle_response(id, request, message, now);
                });
                if let Some((subscription, alias)) = join {
                    let fetching = joined::fetch(worker.clone(), id, subscription, alias);
                    tokio::task::spawn_local(fetching);
                }
                continue;
            }
            RequestEvent::Fin => false,
            RequestEvent::Reset(_) | RequestEvent::Stopped(_) => true,
            RequestEvent::Done => return,
        };
        worker.state(|state| {
            state
                .relay
                .handle_response_closed(id, request, cancelled, now);
            if cancelled && let Some(link) = state.links.get_mut(id) {
                // The stream of an answered fetch may be yet to come; it says how the fetch ends.
                if !link.is_fetch(request) || !state.relay.awaits(id, request) {
                    link.forget(request);
                }
            }
        });
        if cancelled {
            return;
        }
    }
}

impl State {
    /// Does a piece of slow work for the relay.
    pub(crate) fn perform(&mut self, worker: &Worker, command: Command) {
        match command {
            Command::Respond {
                session,
                request,
                message,
                finish,
            } => {
                self.respond(session, request, message, finish);
            }
            Command::Reject {
                session,
                request,
                code,
            } => {
                self.end_incoming(session, request, code);
            }
            Command::Request {
                session,
                request,
                message,
            } => {
                self.request(worker, session, request, message);
            }
            Command::Update {
                session,
                request,
                message,
                finish,
            } => {
                self.update(session, request, message, finish);
            }
            Command::Cancel {
                session,
                request,
                code,
            } => {
                if let Some(exchange) = self.take_outgoing(session, request) {
                    exchange.sender.reset(code);
                }
            }
            Command::FinishResponse { session, request } => {
                // It is forgotten when the peer has closed its direction too: sooner would be to cancel it.
                let link = self.links.get_mut(session);
                if let Some(exchange) = link.and_then(|link| link.incoming.get(&request)) {
                    exchange.finish();
                }
            }
            Command::FinishRequest { session, request } => {
                if let Some(exchange) = self.take_outgoing(session, request) {
                    exchange.finish();
                }
            }
            other => self.control(other),
        }
    }

    /// Does what is not about one request.
    fn control(&mut self, command: Command) {
        match command {
            Command::Resume { stream, .. } => {
                if let Some(resume) = self.paused.remove(stream) {
                    // The reader may have been stopped meanwhile.
                    let _ = resume.send(());
                }
            }
            Command::Stop { stream, code, .. } => {
                if let Some(stop) = self.reading.remove(stream) {
                    // The reader may have come to the end by itself.
                    let _ = stop.send(code);
                }
            }
            Command::Goaway { session, within } => {
                if let Some(link) = self.links.get_mut(session) {
                    link.tell_to_leave(Goaway {
                        timeout: within.as_millis() as u64,
                        ..Goaway::default()
                    });
                }
            }
            Command::Close {
                session,
                code,
                reason,
            } => {
                if let Some(link) = self.links.get(session) {
                    link.session.close(code, reason);
                }
            }
            _ => debug_assert!(false, "requests are done with above"),
        }
    }

    fn respond(&mut self, session: SessionId, request: u64, message: Message, finish: bool) {
        let Some(link) = self.links.get_mut(session) else {
            return;
        };
        if let Some(exchange) = link.incoming.get(&request) {
            exchange.say(message, finish);
        }
        if finish {
            link.incoming.remove(&request);
        }
    }

    fn update(
        &mut self,
        session: SessionId,
        request: OutRequestId,
        message: Message,
        finish: bool,
    ) {
        let Some(link) = self.links.get_mut(session) else {
            return;
        };
        if let Some(exchange) = link.outgoing.get(request) {
            exchange.say(message, finish);
        }
        if finish {
            link.forget(request);
        }
    }

    fn request(&mut self, worker: &Worker, id: SessionId, request: OutRequestId, message: Message) {
        let Some(link) = self.links.get_mut(id) else {
            return;
        };
        let session = link.session.clone();
        let worker = worker.clone();
        let is_fetch = matches!(message, Message::Fetch(_));
        // A request waits for stream credit in a task of its own; nothing else waits for it.
        tokio::task::spawn_local(async move {
            let message = in_terms_of(session.draft(), message);
            let opened = session
                .open_request(|id| with_request_id(message, id))
                .await;
            let now = Instant::now();
            match opened {
                Ok(stream) => {
                    let (sender, receiver) = stream.split();
                    let joins = (session.draft() == Draft::D18).then_some(sender.id());
                    let hear = hear_response(worker.clone(), id, request, joins, receiver);
                    let listener = tokio::task::spawn_local(hear).abort_handle();
                    let exchange = Exchange { sender, listener };
                    worker.state(|state| match state.links.get_mut(id) {
                        Some(link) if state.relay.awaits(id, request) => {
                            if is_fetch {
                                link.fetches.insert(exchange.sender.id(), request);
                            }
                            link.outgoing.insert(request, exchange);
                        }
                        _ => exchange.sender.reset(ResetCode::CANCELLED),
                    });
                }
                Err(SendError::Session(_)) => {}
                Err(error) => {
                    tracing::warn!(%error, "a request could not be made");
                    worker.relay(|relay| relay.handle_response_closed(id, request, true, now));
                }
            }
        });
    }

    /// Forgets a request of the peer's that one side has cancelled.
    fn end_incoming(&mut self, session: SessionId, request: u64, code: ResetCode) {
        let link = self.links.get_mut(session);
        if let Some(exchange) = link.and_then(|link| link.incoming.remove(&request)) {
            exchange.sender.reset(code);
        }
    }

    /// Forgets a request of ours.
    fn take_outgoing(&mut self, session: SessionId, request: OutRequestId) -> Option<Exchange> {
        self.links.get_mut(session)?.forget(request)
    }
}

impl Link {
    /// Sends GOAWAY, unless it was sent before. Whether it was sent now.
    pub(crate) fn tell_to_leave(&mut self, goaway: Goaway) -> bool {
        if std::mem::replace(&mut self.is_told_to_leave, true) {
            return false;
        }
        let sent = self.session.send_goaway(goaway);
        if let Err(error) = &sent {
            tracing::debug!(%error, "GOAWAY was not sent");
        }
        sent.is_ok()
    }

    fn is_fetch(&self, request: OutRequestId) -> bool {
        let exchange = self.outgoing.get(request);
        exchange.is_some_and(|exchange| self.fetches.contains_key(&exchange.sender.id()))
    }

    fn forget(&mut self, request: OutRequestId) -> Option<Exchange> {
        let exchange = self.outgoing.remove(request)?;
        self.fetches.remove(&exchange.sender.id());
        Some(exchange)
    }
}

impl Exchange {
    fn finish(&self) {
        // A stream that the peer has stopped needs no end.
        let _ = self.sender.finish();
    }

    fn say(&self, message: Message, finish: bool) {
        let sent = match message {
            Message::RequestUpdate(update) => self.sender.update(update.params).map(|_| ()),
            message => self.sender.send(&message),
        };
        if let Err(error) = sent {
            tracing::debug!(%error, "a message was not sent");
        }
        if finish {
            self.finish();
        }
    }
}

/// The message with the request ID that the session chose.
fn with_request_id(mut message: Message, id: u64) -> Message {
    match &mut message {
        Message::Subscribe(ask) | Message::TrackStatus(ask) => ask.request_id = id,
        Message::Publish(offer) => offer.request_id = id,
        Message::Fetch(ask) => ask.request_id = id,
        Message::PublishNamespace(ask)
        | Message::SubscribeNamespace(ask)
        | Message::SubscribeTracks(ask) => ask.request_id = id,
        _ => {}
    }
    message
}

/// Draft 18 cannot ask for the newest group's start in a SUBSCRIBE: there a track begins with its next object, and what the
/// group has before it is fetched (see [`joined`]).
fn in_terms_of(draft: Draft, mut message: Message) -> Message {
    if let (Draft::D18, Message::Subscribe(ask)) = (draft, &mut message) {
        ask.params.location_filter = Some(LocationFilter::NextObject);
    }
    message
}
