//! Exit codes (as in sysexits.h) and the errors that carry them.

use crate::media::MediaError;
use meridian_session::client::DialError;
use meridian_session::session::SessionError;
use std::fmt;

/// How the program ends when it does not end well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitCode {
    /// 64: the command line is wrong.
    Usage = 64,
    /// 65: the media file cannot be used.
    Media = 65,
    /// 69: no edge answered, or nobody published, within the time allowed.
    Unavailable = 69,
    /// 74: a file cannot be written.
    Output = 74,
    /// 76: the other side does not keep to the protocol.
    Protocol = 76,
    /// 77: the edge refuses the token.
    Refused = 77,
}

/// For `--help`.
pub const EXIT_CODES: &str = "\
Exit codes:
   0  all went well (also after Ctrl-C)
  64  the command line is wrong
  65  the media file cannot be used; the message says how to convert it
  69  no edge answered, or nobody published, within the time allowed
  74  a file cannot be written
  76  the other side does not keep to the protocol
  77  the edge refuses the token";

/// An error and the code to end with.
#[derive(Debug)]
pub struct Failure {
    /// The code.
    pub code: ExitCode,
    /// What to print.
    pub error: anyhow::Error,
}

impl Failure {
    /// An error that ends with `code`.
    pub fn new(code: ExitCode, error: impl Into<anyhow::Error>) -> Failure {
        Failure {
            code,
            error: error.into(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.error)
    }
}

impl From<DialError> for Failure {
    fn from(error: DialError) -> Failure {
        let code = match error {
            DialError::Refused(_) => ExitCode::Refused,
            DialError::Session(SessionError::Closed { .. }) => ExitCode::Protocol,
            _ => ExitCode::Unavailable,
        };
        Failure::new(code, error)
    }
}

impl From<MediaError> for Failure {
    fn from(error: MediaError) -> Failure {
        let code = match error {
            MediaError::Write(_) => ExitCode::Output,
            _ => ExitCode::Media,
        };
        Failure::new(code, error)
    }
}
