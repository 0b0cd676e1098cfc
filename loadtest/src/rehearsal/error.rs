//! Why there is no rehearsal.

use crate::agents::AgentsError;

/// Why there is no rehearsal, or none to the end.
#[derive(Debug, thiserror::Error)]
pub enum RehearsalError {
    /// What was asked for cannot be done; nothing was started.
    #[error("{0}")]
    Usage(String),
    /// The control plane, the stage or the edges do not answer, or refuse.
    #[error("{0}")]
    Unavailable(String),
    /// This machine does not do what is needed.
    #[error("{0}: {1}")]
    Machine(String, std::io::Error),
    /// Agents are not there, or not ready.
    #[error(transparent)]
    Agents(#[from] AgentsError),
}

impl RehearsalError {
    /// Something of this machine's, with what it was about.
    pub(super) fn machine(about: &str) -> impl FnOnce(std::io::Error) -> RehearsalError + use<> {
        let about = about.to_owned();
        move |error| RehearsalError::Machine(about, error)
    }

    /// What a program that ends with it is to exit with.
    pub fn exit_code(&self) -> u8 {
        match self {
            RehearsalError::Usage(_) => 64,
            RehearsalError::Unavailable(_) => 69,
            RehearsalError::Machine(..) => 1,
            RehearsalError::Agents(error) => error.exit_code(),
        }
    }
}
