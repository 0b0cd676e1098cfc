//! What an error of etcd's means for the call that met it.

use std::error::Error as StdError;

use etcd_client::Error;
use tonic::{Code, ConnectError, Status};

use crate::store::StoreError;

/// What to do about an error.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It was certainly not done: ask the next member.
    NotDone(StoreError),
    /// It may have been done.
    Unknown(StoreError),
    /// It was not done, because the token is no good: log in anew.
    LogIn(StoreError),
    /// Asking again would not help.
    Final(Refusal),
}

/// Why a call was not done.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It asked for a revision that is forgotten, or has not come.
    Revision,
    /// Anything else.
    Error(StoreError),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Error(error)
    }
}

impl From<Refusal> for StoreError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Revision => Self::Unavailable("the revision is not there".into()),
            Refusal::Error(error) => error,
        }
    }
}

/// The words are etcd's own, the same since 3.4.
pub(super) fn judge(error: &Error) -> Verdict {
    match error {
        Error::GRpcStatus(status) => judge_status(status),
        // Before anything is sent.
        Error::InvalidArgs(_) | Error::InvalidUri(_) => refused(StoreError::Invalid(chain(error))),
        Error::TransportError(_) => Verdict::NotDone(unavailable(chain(error))),
        Error::LeaseKeepAliveError(text) if text.contains("lease not found") => {
            refused(StoreError::LeaseLapsed)
        }
        other => Verdict::Unknown(unavailable(chain(other))),
    }
}

fn judge_status(status: &Status) -> Verdict {
    let says = |words: &str| status.message().contains(words);
    if says("requested lease not found") {
        return refused(StoreError::LeaseLapsed);
    }
    if says("revision has been compacted") || says("is a future revision") {
        return Verdict::Final(Refusal::Revision);
    }
    if says("database space exceeded") {
        let text = "etcd's space is used up: compact and defragment it, then disarm its alarm";
        return refused(unavailable(text));
    }
    let said = || status.message().to_owned();
    if status.code() == Code::Unauthenticated || says("auth store is old") {
        return Verdict::LogIn(StoreError::Denied(said()));
    }
    let denied = [
        "authentication failed",
        "user name",
        "authentication is not enabled",
    ];
    if status.code() == Code::PermissionDenied || denied.iter().any(|words| says(words)) {
        return refused(StoreError::Denied(said()));
    }
    let not_done = ["no leader", "too many requests", "for learner"];
    if is_connecting(status) || not_done.iter().any(|words| says(words)) {
        return Verdict::NotDone(unavailable(chain(status)));
    }
    match status.code() {
        Code::InvalidArgument | Code::Unimplemented => refused(StoreError::Invalid(said())),
        _ => Verdict::Unknown(unavailable(chain(status))),
    }
}

/// Whether it failed before anything was sent.
fn is_connecting(status: &Status) -> bool {
    sources(status).any(|source| source.is::<ConnectError>())
}

/// An error with its causes, each once.
pub(super) fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = String::new();
    for source in sources(error) {
        let part = match source.downcast_ref::<Status>() {
            Some(status) => status.message().to_owned(),
            None => source.to_string(),
        };
        if !text.contains(&part) {
            let between = if text.is_empty() { "" } else { ": " };
            text = format!("{text}{between}{part}");
        }
    }
    text
}

fn sources<'e>(
    error: &'e (dyn StdError + 'static),
) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error: &&'e (dyn StdError + 'static)| {
        let error: &'e (dyn StdError + 'static) = *error;
        error.source()
    })
}

fn refused(error: StoreError) -> Verdict {
    Verdict::Final(Refusal::Error(error))
}

pub(super) fn unavailable(text: impl Into<String>) -> StoreError {
    StoreError::Unavailable(text.into())
}
