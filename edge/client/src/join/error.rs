//! Why somebody did not come in.

use crate::exit::{ExitCode, Failure};
use thiserror::Error;

/// Why somebody did not come in, or may not stay.
#[derive(Debug, Error)]
pub enum JoinError {
    /// The options cannot be used.
    #[error("{0}")]
    Usage(String),
    /// The control plane, or every edge, refuses the invitation or the token; in their words.
    #[error("{0}")]
    Refused(String),
    /// Not now; in the control plane's words.
    #[error("{0}")]
    NotNow(String),
    /// No replica of the control plane answered.
    #[error("the control plane does not answer ({0}); check --join and --join-ca")]
    Silent(String),
    /// No edge answered.
    #[error("no edge answers ({0})")]
    NoEdge(String),
}

impl From<JoinError> for Failure {
    fn from(error: JoinError) -> Failure {
        let code = match error {
            JoinError::Usage(_) => ExitCode::Usage,
            JoinError::Refused(_) => ExitCode::Denied,
            _ => ExitCode::Unavailable,
        };
        Failure::new(code, error)
    }
}
