//! What the relay wants said to peers: requests, answers, goodbyes.

use crate::link::{Exchange, hear_response};
use crate::worker::{State, Worker};
use meridian_relay::{Command, OutRequestId, SessionId};
use meridian_session::session::SendError;
use meridian_wire::control::Goaway;
use meridian_wire::{Draft, LocationFilter, Message, ResetCode};
use std::time::Instant;

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
    pub(crate) fn end_incoming(&mut self, session: SessionId, request: u64, code: ResetCode) {
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
/// group has before it is fetched (see `joined.rs`).
fn in_terms_of(draft: Draft, mut message: Message) -> Message {
    if let (Draft::D18, Message::Subscribe(ask)) = (draft, &mut message) {
        ask.params.location_filter = Some(LocationFilter::NextObject);
    }
    message
}
