//! A session and the relay: requests, data streams and datagrams in. What is said to peers is in `performing`.

use crate::access::TokenError;
use crate::gate::{Gate, Shown};
use crate::joined::{self, Joining};
use crate::siblings;
use crate::worker::Worker;
use meridian_relay::{OutRequestId, Peer, Role, SessionId};
use meridian_session::session::{
    IncomingRequest, RequestEvent, RequestReceiver, RequestSender, RequestStream, Session,
    SessionError,
};
use meridian_session::transport::SendStream;
use meridian_wire::control::{Goaway, RequestError};
use meridian_wire::{Message, ResetCode};
use slotmap::SecondaryMap;
use std::collections::HashMap;
use std::time::Instant;
use tokio::sync::watch;
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
    pub(crate) incoming: HashMap<u64, Exchange>,
    /// Ours.
    pub(crate) outgoing: SecondaryMap<OutRequestId, Exchange>,
    /// Which of ours are fetches, by their ID on the wire: their data streams name it.
    pub(crate) fetches: HashMap<u64, OutRequestId>,
    /// Joining fetches of ours, by their ID on the wire.
    pub(crate) joining: HashMap<u64, Joining>,
    /// A client's.
    shown: Option<watch::Receiver<Option<Shown>>>,
}

impl Link {
    /// The meeting that a client's tokens are of.
    pub(crate) fn meeting(&self) -> Option<String> {
        let shown = self.shown.as_ref()?.borrow();
        shown.as_ref()?.holder.meeting.clone()
    }
}

/// A request stream: how to say something on it, and the task that listens.
pub(crate) struct Exchange {
    pub(crate) sender: RequestSender,
    pub(crate) listener: AbortHandle,
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
    let joined = join(&worker, &session, peer);
    if let Some(gate) = &gate {
        worker.look(|state| {
            if let Some(link) = state.links.get_mut(joined.id) {
                link.shown = Some(gate.shown());
            }
        });
    }
    joined.serve(gate).await
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
        shown: None,
    };
    let id = worker.state(|state| {
        let id = state.relay.add_session(peer, Instant::now());
        state.links.insert(id, link);
        if siblings::is_inner(session) {
            state.stats.sibling_came(id);
        }
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
            state.stats.sibling_left(self.id);
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
pub(crate) async fn hear_response(
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

    pub(crate) fn forget(&mut self, request: OutRequestId) -> Option<Exchange> {
        let exchange = self.outgoing.remove(request)?;
        self.fetches.remove(&exchange.sender.id());
        Some(exchange)
    }
}

impl Exchange {
    pub(crate) fn finish(&self) {
        // A stream that the peer has stopped needs no end.
        let _ = self.sender.finish();
    }

    pub(crate) fn say(&self, message: Message, finish: bool) {
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
