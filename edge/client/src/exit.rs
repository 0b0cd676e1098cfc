//! Which error ends the program with which exit code.

use crate::link::is_over;
use crate::media::MediaError;
pub use meridian_process::exit::{ExitCode, Failure};
use meridian_session::client::DialError;
use meridian_session::session::SessionError;

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

/// What an edge that cannot be reached means for the program.
pub fn of(error: DialError) -> Failure {
    let code = match &error {
        DialError::Refused(_) => ExitCode::Denied,
        _ if is_over(&error) => ExitCode::Denied,
        DialError::Session(SessionError::Closed { .. }) => ExitCode::Protocol,
        _ => ExitCode::Unavailable,
    };
    Failure::new(code, error)
}

impl From<MediaError> for Failure {
    fn from(error: MediaError) -> Failure {
        let code = match error {
            MediaError::Write(_) => ExitCode::Output,
            _ => ExitCode::Data,
        };
        Failure::new(code, error)
    }
}
