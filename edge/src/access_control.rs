//! Who may come in, as it is now: keys and revocations may be replaced while clients are in. All doors share one.

use crate::access::{Access, Keys, Pass, TokenError};
use meridian_wire::param::AuthorizationToken;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::watch;

/// What all doors and sessions ask.
pub struct AccessControl {
    state: RwLock<Arc<State>>,
    changes: watch::Sender<()>,
}

struct State {
    access: Arc<Access>,
    /// The smallest generation that is still good, by whom tokens were given to.
    revoked: HashMap<Holder, u64>,
}

/// Whom a token was given to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Holder {
    /// In which meeting; `None`: in none in particular.
    pub meeting: Option<String>,
    /// The participant.
    pub participant: String,
}

/// Tokens that are not good any more, though their time is not over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// Of this meeting; `None`: of every meeting.
    pub meeting: Option<String>,
    /// Given to this participant; `*`: to anybody.
    pub participant: String,
    /// Of a generation (`gen`) below this one.
    pub below_generation: u64,
}

impl AccessControl {
    /// What the configuration says, until something is replaced.
    pub fn new(access: Access) -> AccessControl {
        let state = State {
            access: Arc::new(access),
            revoked: HashMap::new(),
        };
        AccessControl {
            state: RwLock::new(Arc::new(state)),
            changes: watch::Sender::new(()),
        }
    }

    /// Has tokens verified with these keys from now on. Sessions go on until their token's time is over. Whether the keys are
    /// used: an edge that its configuration opens to everybody, or to nobody, stays so.
    pub fn replace_keys(&self, keys: Keys) -> bool {
        let now = self.now();
        if matches!(*now.access, Access::Open | Access::Closed) {
            return false;
        }
        self.replace(State {
            access: Arc::new(Access::Tokens(keys)),
            revoked: now.revoked.clone(),
        });
        true
    }

    /// Has these tokens refused from now on, and no others; sessions that have one end at once.
    pub fn replace_revocations(&self, revocations: Vec<Revocation>) {
        let mut revoked = HashMap::new();
        for revocation in revocations {
            let holder = Holder {
                meeting: revocation.meeting,
                participant: revocation.participant,
            };
            let below: &mut u64 = revoked.entry(holder).or_default();
            *below = (*below).max(revocation.below_generation);
        }
        self.replace(State {
            access: self.now().access.clone(),
            revoked,
        });
    }

    /// Checks the first token in a SETUP or request that verifies. `None`: none is needed here.
    ///
    /// # Errors
    /// Why the last of them does not, or that there is none.
    pub fn check(&self, tokens: &[AuthorizationToken]) -> Result<Option<Pass>, TokenError> {
        let now = self.now();
        let pass = now.access.check(tokens)?;
        match &pass {
            Some(pass) if now.has_revoked(&pass.holder, pass.generation) => {
                Err(TokenError::Revoked)
            }
            _ => Ok(pass),
        }
    }

    /// Whether nobody is let in, for now or ever.
    pub fn is_closed(&self) -> bool {
        matches!(*self.now().access, Access::Closed | Access::ControlPlane)
    }

    /// Whether a token of this generation is not good any more.
    pub(crate) fn has_revoked(&self, holder: &Holder, generation: u64) -> bool {
        self.now().has_revoked(holder, generation)
    }

    /// Told of every replacement.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    fn now(&self) -> Arc<State> {
        let state = self.state.read();
        state.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn replace(&self, state: State) {
        let mut now = self.state.write().unwrap_or_else(PoisonError::into_inner);
        *now = Arc::new(state);
        drop(now);
        self.changes.send_replace(());
    }
}

impl State {
    fn has_revoked(&self, holder: &Holder, generation: u64) -> bool {
        if self.revoked.is_empty() {
            return false;
        }
        let everywhere = Holder {
            meeting: None,
            participant: holder.participant.clone(),
        };
        let everybody = Holder {
            meeting: holder.meeting.clone(),
            participant: EVERYBODY.to_owned(),
        };
        let below = |holder: &Holder| self.revoked.get(holder).copied().unwrap_or(0);
        let voids = [holder, &everywhere, &everybody].map(below);
        voids.into_iter().any(|below| generation < below)
    }
}

/// Stands for whoever has a token: no participant's id has an asterisk.
const EVERYBODY: &str = "*";

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(meeting: Option<&str>) -> Holder {
        Holder {
            meeting: meeting.map(str::to_owned),
            participant: "p-17".to_owned(),
        }
    }

    fn revocation(meeting: Option<&str>, below_generation: u64) -> Revocation {
        Revocation {
            meeting: meeting.map(str::to_owned),
            participant: "p-17".to_owned(),
            below_generation,
        }
    }

    #[test]
    fn what_is_revoked_is_so_below_its_generation_and_in_its_meeting() {
        let access = AccessControl::new(Access::ControlPlane);
        access.replace_revocations(vec![revocation(Some("council"), 3)]);
        assert!(access.has_revoked(&holder(Some("council")), 2));
        assert!(!access.has_revoked(&holder(Some("council")), 3));
        assert!(!access.has_revoked(&holder(Some("plenary")), 0));
        access.replace_revocations(vec![revocation(None, 1)]);
        assert!(access.has_revoked(&holder(Some("plenary")), 0));
        assert!(!access.has_revoked(&holder(Some("council")), 2));
    }

    #[test]
    fn a_whole_meeting_can_be_revoked_and_no_other_is() {
        let access = AccessControl::new(Access::ControlPlane);
        access.replace_revocations(vec![Revocation {
            participant: "*".to_owned(),
            ..revocation(Some("council"), u64::MAX)
        }]);
        assert!(access.has_revoked(&holder(Some("council")), 9));
        assert!(!access.has_revoked(&holder(Some("plenary")), 0));
        assert!(!access.has_revoked(&holder(None), 0));
    }

    #[test]
    fn an_edge_that_waits_for_keys_is_closed_until_they_come() {
        let key = |kid: &str| {
            format!(
                r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"{kid}","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}}]}}"#
            )
        };
        let keys = || Keys::parse(&key("a")).expect("a key set");
        let access = AccessControl::new(Access::ControlPlane);
        assert!(access.is_closed());
        assert!(access.replace_keys(keys()));
        assert!(!access.is_closed());
        let closed = AccessControl::new(Access::Closed);
        assert!(!closed.replace_keys(keys()) && closed.is_closed());
    }
}
