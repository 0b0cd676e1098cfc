//! What one client's tokens let it do, and until when.

use crate::access::{Pass, TokenError};
use crate::access_control::{AccessControl, Holder};
use crate::entries::Entries;
use crate::sessions::{Sessions, Ticket, Why};
use meridian_relay::Permissions;
use meridian_session::transport::Transport;
use meridian_wire::param::AuthorizationToken;
use meridian_wire::{Message, TerminationCode};
use std::cell::RefCell;
use std::future::pending;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::watch;

/// What the gates of an edge share.
#[derive(Clone)]
pub(crate) struct Gates {
    pub(crate) access: Arc<AccessControl>,
    pub(crate) entries: Arc<Entries>,
    pub(crate) sessions: Arc<Sessions>,
}

/// Stands beside a client's session.
pub(crate) struct Gate {
    gates: Gates,
    transport: Transport,
    /// Whose session it is, since it has shown a token.
    ticket: RefCell<Option<Ticket>>,
    shown: watch::Sender<Option<Shown>>,
}

/// What the tokens of a session say together.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub(crate) holder: Holder,
    /// The smallest.
    generation: u64,
    /// The latest.
    expires: SystemTime,
}

impl Gate {
    /// Lets a client in with the tokens it brought. A bad one is an error; without one it may do nothing
    /// until it brings one with a request.
    pub(crate) fn open(
        gates: &Gates,
        transport: Transport,
        tokens: &[AuthorizationToken],
    ) -> Result<(Gate, Permissions), TokenError> {
        let gate = Gate {
            gates: gates.clone(),
            transport,
            ticket: RefCell::new(None),
            shown: watch::Sender::new(None),
        };
        let permissions = match gate.check(tokens) {
            Err(TokenError::Missing) => Permissions::none(),
            Err(error) => return Err(error),
            Ok(permissions) => permissions.unwrap_or_default(),
        };
        Ok((gate, permissions))
    }

    /// Checks the tokens that came with a request, if any did. What they allow is to be added to what is allowed already.
    pub(crate) fn of_request(
        &self,
        message: &mut Message,
    ) -> Result<Option<Permissions>, TokenError> {
        match message.authorization_tokens() {
            Some(tokens) if !tokens.is_empty() => self.check(&std::mem::take(tokens)),
            _ => Ok(None),
        }
    }

    fn check(&self, tokens: &[AuthorizationToken]) -> Result<Option<Permissions>, TokenError> {
        let checked = self.gates.access.check(tokens);
        let checked = checked.and_then(|pass| pass.map(|pass| self.take(pass)).transpose());
        if let Err(error) = &checked {
            self.gates.entries.count((*error).into());
        }
        checked
    }

    /// A session is one person's, in one meeting.
    fn take(&self, pass: Pass) -> Result<Permissions, TokenError> {
        let shown = self.shown.borrow().clone();
        if shown
            .as_ref()
            .is_some_and(|shown| shown.holder != pass.holder)
        {
            return Err(TokenError::AnotherHolder);
        }
        tracing::debug!(participant = pass.holder.participant, "token");
        let mut ticket = self.ticket.borrow_mut();
        match &*ticket {
            Some(ticket) => ticket.shown(&pass),
            None => {
                let (sessions, now) = (&self.gates.sessions, SystemTime::now());
                *ticket = Some(sessions.open(&pass, self.transport, now));
            }
        }
        let (generation, expires) = shown.map_or((pass.generation, pass.expires), |shown| {
            (
                shown.generation.min(pass.generation),
                shown.expires.max(pass.expires),
            )
        });
        self.shown.send_replace(Some(Shown {
            holder: pass.holder,
            generation,
            expires,
        }));
        Ok(pass.permissions)
    }

    /// What the client's tokens say, also later ones.
    pub(crate) fn shown(&self) -> watch::Receiver<Option<Shown>> {
        self.shown.subscribe()
    }

    /// Waits until the session is to end: what it is closed with.
    pub(crate) async fn ended(&self) -> (TerminationCode, &'static str) {
        let mut changes = self.gates.access.changes();
        let mut shown = self.shown.subscribe();
        let why = loop {
            let now = shown.borrow_and_update().clone();
            changes.borrow_and_update();
            if let Some(now) = &now
                && self.gates.access.has_revoked(&now.holder, now.generation)
            {
                break Why::Revoked;
            }
            let ended = self.ticket.borrow().as_ref().map(Ticket::ended);
            tokio::select! {
                () = over(now.map(|now| now.expires)) => {
                    let why = TokenError::Expired;
                    return (why.termination(), why.reason());
                }
                why = told(ended) => break why,
                _ = shown.changed() => {}
                _ = changes.changed() => {}
            }
        };
        self.gates.entries.count(why.entry());
        (why.termination(), why.reason())
    }
}

/// Waits until a token is out of its time.
async fn over(expires: Option<SystemTime>) {
    match expires.map(|until| until.duration_since(SystemTime::now())) {
        None => pending().await,
        Some(Ok(left)) => tokio::time::sleep(left).await,
        Some(Err(_)) => {}
    }
}

/// Waits until a session is told to end.
async fn told(ended: Option<watch::Receiver<Option<Why>>>) -> Why {
    let Some(mut ended) = ended else {
        return pending().await;
    };
    match ended.wait_for(Option::is_some).await {
        Ok(why) => why.unwrap_or(Why::Operator),
        Err(_) => pending().await,
    }
}
