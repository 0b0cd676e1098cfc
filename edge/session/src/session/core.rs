//! What all parts of one session share.

use super::closer::Closer;
use super::counters::Counters;
use super::dispatch::Dispatch;
use super::error::{Fault, SendError, SessionError};
use super::options::{Options, Role};
use super::outbox::{Outbox, Put};
use super::request_ids::{OwnIds, PeerIds};
use super::requests::Slow;
use super::tasks::Tasks;
use super::tokens::TokenCache;
use crate::transport::{Connection, SendStream};
use bytes::{Bytes, BytesMut};
use meridian_wire::control::Goaway;
use meridian_wire::setup::SetupOptions;
use meridian_wire::{Draft, EncodeError, Message, TerminationCode};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use tokio::sync::watch;

/// The control stream goes before everything, the request streams next, and all data after them.
const CONTROL_PRIORITY: i32 = i32::MAX;
pub(super) const REQUEST_PRIORITY: i32 = i32::MAX - 1;

#[derive(Debug)]
pub(super) struct Core {
    pub(super) closer: Closer,
    pub(super) role: Role,
    pub(super) options: Options,
    pub(super) own_ids: OwnIds,
    pub(super) dispatch: Dispatch,
    pub(super) slow_requests: Slow,
    pub(super) counters: Counters,
    pub(super) goaway: watch::Sender<Option<Goaway>>,
    control: OnceLock<Outbox>,
    peer_setup: OnceLock<SetupOptions>,
    peer_ids: Mutex<PeerIds>,
    tokens: Mutex<TokenCache>,
    tasks: Tasks,
}

impl Core {
    pub(super) fn new(connection: Connection, role: Role, options: Options) -> Core {
        let token_bytes = options.setup.max_auth_token_cache_size.unwrap_or(0);
        Core {
            closer: Closer::new(connection),
            role,
            own_ids: OwnIds::new(role),
            dispatch: Dispatch::default(),
            slow_requests: Slow::default(),
            counters: Counters::default(),
            goaway: watch::Sender::new(None),
            control: OnceLock::new(),
            peer_setup: OnceLock::new(),
            peer_ids: Mutex::new(PeerIds::new(role)),
            tokens: Mutex::new(TokenCache::new(token_bytes)),
            tasks: Tasks::default(),
            options,
        }
    }

    pub(super) fn connection(&self) -> &Connection {
        self.closer.connection()
    }

    pub(super) fn draft(&self) -> Draft {
        self.connection().draft()
    }

    /// The peer's SETUP; empty until it has come.
    pub(super) fn peer_setup(&self) -> &SetupOptions {
        static NONE: SetupOptions = SetupOptions {
            path: None,
            authority: None,
            authorization_tokens: Vec::new(),
            max_auth_token_cache_size: None,
            max_filter_ranges: None,
            implementation: None,
            max_request_updates: None,
        };
        self.peer_setup.get().unwrap_or(&NONE)
    }

    /// Takes the peer's SETUP, its tokens made plain.
    pub(super) fn set_peer_setup(&self, mut setup: SetupOptions) -> Result<(), Fault> {
        let at_server = self.role == Role::Server;
        let tokens = &mut setup.authorization_tokens;
        lock(&self.tokens).resolve_setup(tokens, at_server)?;
        self.peer_setup
            .set(setup)
            .map_err(|_| Fault::violation("a second SETUP"))
    }

    /// Takes our control stream, with SETUP to be sent first.
    pub(super) fn start_control(&self, mut stream: SendStream) -> Result<(), SendError> {
        stream.set_priority(CONTROL_PRIORITY);
        let outbox = Outbox::new(stream);
        self.put(&outbox, &Message::Setup(self.own_setup()))?;
        // A session is started once.
        let _ = self.control.set(outbox);
        Ok(())
    }

    fn own_setup(&self) -> SetupOptions {
        let mut setup = self.options.setup.clone();
        let raw = self.connection().transport() == crate::transport::Transport::Quic;
        if self.role == Role::Server || !raw {
            setup.path = None;
            setup.authority = None;
        }
        setup
    }

    /// Sends a message on the control stream.
    fn send_control(&self, message: &Message) -> Result<(), SendError> {
        let outbox = self.control.get().ok_or(SendError::Closed)?;
        self.put(outbox, message)
    }

    /// Sends GOAWAY, with the mark of what was processed that draft 18 wants.
    pub(super) fn send_goaway(&self, mut goaway: Goaway) -> Result<(), SendError> {
        if self.draft() == Draft::D18 {
            let unseen = lock(&self.peer_ids).smallest_unseen();
            goaway.request_id.get_or_insert(unseen);
        }
        self.send_control(&Message::Goaway(goaway))
    }

    /// Sends a message on `outbox`. A peer that lets too much pile up is cut off.
    pub(super) fn put(&self, outbox: &Outbox, message: &Message) -> Result<(), SendError> {
        self.put_encoded(outbox, self.encode(message)?)
    }

    /// The message in the bytes of the session's draft.
    pub(super) fn encode(&self, message: &Message) -> Result<Bytes, EncodeError> {
        let mut bytes = BytesMut::new();
        message.encode(self.draft(), &mut bytes)?;
        Ok(bytes.freeze())
    }

    pub(super) fn put_encoded(&self, outbox: &Outbox, bytes: Bytes) -> Result<(), SendError> {
        let put = outbox.put(bytes, self.options.max_unsent);
        match put.map_err(|error| self.sending(error))? {
            Put::Done => Ok(()),
            Put::NeedsFlush => {
                self.tasks.spawn(outbox.clone().flush());
                Ok(())
            }
            Put::Overflow => {
                let code = TerminationCode::CONTROL_MESSAGE_TIMEOUT;
                let fault = Fault::new(code, "the peer does not read its messages");
                Err(SendError::Session(self.closer.fail(fault)))
            }
        }
    }

    fn sending(&self, error: crate::transport::StreamError) -> SendError {
        match error {
            crate::transport::StreamError::Lost(lost) => SendError::Session(self.closer.lost(lost)),
            other => SendError::from(other),
        }
    }

    /// Checks and makes plain what a request message of the peer's carries for the session.
    pub(super) fn admit(&self, message: &mut Message) -> Result<(), Fault> {
        if let Some(id) = request_id(message) {
            lock(&self.peer_ids).take(id)?;
        }
        match message.authorization_tokens() {
            Some(tokens) if !tokens.is_empty() => lock(&self.tokens).resolve(tokens),
            _ => Ok(()),
        }
    }

    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Waits for the end.
    pub(super) async fn closed(&self) -> SessionError {
        let lost = self.connection().closed().await;
        self.closer.lost(lost)
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        // Without this the peer would first see the control stream break off, which is a violation.
        self.connection().close(TerminationCode::NO_ERROR, "");
        let streams = (self.control.take(), std::mem::take(&mut self.tasks));
        self.connection().keep_until_end(streams);
    }
}

fn request_id(message: &Message) -> Option<u64> {
    match message {
        Message::RequestUpdate(update) => Some(update.request_id),
        other => super::exchange::Opener::of(other).map(|(_, id)| id),
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
