//! When edges' refusals of tokens are to be believed. Pure but for the clock.

use super::error::JoinError;
use super::race::Outcome;
use std::time::{Duration, Instant};

/// How long edges have refused tokens, another one included: an edge that has just started may not have its keys yet.
#[derive(Default)]
pub(super) struct Refusals {
    said: Option<String>,
    first: Option<(String, Instant)>,
}

impl Refusals {
    /// An edge has refused `token`, if there are words for it; the control plane has said no, if there is a refusal.
    ///
    /// # Errors
    /// It is refused for good.
    pub(super) fn note(
        &mut self,
        refused: Option<String>,
        token: &str,
        refusal: Option<&str>,
    ) -> Result<(), JoinError> {
        let Some(said) = refused else { return Ok(()) };
        if let Some(refusal) = refusal {
            return Err(JoinError::Refused(refusal.to_owned()));
        }
        let now = Instant::now();
        let (before, since) = self.first.get_or_insert_with(|| (token.to_owned(), now));
        if before != token && since.elapsed() >= REFUSED_FOR {
            return Err(JoinError::Refused(said));
        }
        self.said = Some(said);
        Ok(())
    }

    /// Why no edge was found.
    pub(super) fn or(self, outcomes: &[Outcome]) -> JoinError {
        if let Some(said) = self.said {
            return JoinError::Refused(said);
        }
        let each = outcomes.iter().map(|outcome| {
            let error = outcome.error.as_deref().unwrap_or("no answer");
            format!("{}: {error}", outcome.office)
        });
        JoinError::NoEdge(each.collect::<Vec<_>>().join("; "))
    }
}

/// An edge has the control plane's keys within this.
const REFUSED_FOR: Duration = Duration::from_secs(3);
