//! What one client's tokens let it do, and until when.

use crate::access::{Access, Pass, TokenError};
use crate::entries::Entries;
use meridian_relay::Permissions;
use meridian_wire::Message;
use meridian_wire::param::AuthorizationToken;
use std::future::pending;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::watch;

/// Stands beside a client's session.
pub(crate) struct Gate {
    access: Arc<Access>,
    entries: Arc<Entries>,
    /// `None`: never.
    expires: watch::Sender<Option<SystemTime>>,
}

impl Gate {
    /// Lets a client in with the tokens it brought. A bad one is an error; without one it may do nothing
    /// until it brings one with a request.
    pub(crate) fn open(
        access: &Arc<Access>,
        entries: &Arc<Entries>,
        tokens: &[AuthorizationToken],
    ) -> Result<(Gate, Permissions), TokenError> {
        let gate = Gate {
            access: access.clone(),
            entries: entries.clone(),
            expires: watch::Sender::new(None),
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
        let checked = self.access.check(tokens);
        if let Err(error) = checked {
            self.entries.count(error.into());
        }
        let Some(pass) = checked? else {
            return Ok(None);
        };
        let Pass {
            participant,
            permissions,
            expires,
        } = pass;
        tracing::debug!(participant, "token");
        self.expires
            .send_modify(|until| *until = Some(until.map_or(expires, |until| until.max(expires))));
        Ok(Some(permissions))
    }

    /// Waits until the last token is out of its time.
    pub(crate) async fn expired(&self) {
        let mut changes = self.expires.subscribe();
        loop {
            let until = *changes.borrow_and_update();
            let over = async {
                match until.map(|until| until.duration_since(SystemTime::now())) {
                    None => pending().await,
                    Some(Ok(left)) => tokio::time::sleep(left).await,
                    Some(Err(_)) => {}
                }
            };
            tokio::select! {
                () = over => return,
                _ = changes.changed() => {}
            }
        }
    }
}
