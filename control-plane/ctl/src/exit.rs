//! Exit codes (as in sysexits.h) and the errors that carry them.

use anyhow::anyhow;
use std::{fmt, io};
use tonic::{Code, Status};

/// How the program ends when it does not end well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitCode {
    /// Nobody reads what is printed any more, as in `… | head`: a quiet end, with 0.
    Unheard = 0,
    /// 1: the server could not do it.
    Failed = 1,
    /// 64: the command line or the settings are wrong.
    Usage = 64,
    /// 65: a file cannot be used.
    Data = 65,
    /// 69: no server answered in time, or one is not ready.
    Unavailable = 69,
    /// 74: a file cannot be written.
    Output = 74,
    /// 77: access was denied.
    Denied = 77,
}

impl ExitCode {
    /// As the system wants it.
    pub fn number(self) -> i32 {
        self as i32
    }
}

/// For `--help`.
pub const EXIT_CODES: &str = "\
Exit codes:
   0  all went well
   1  the server could not do it; the message says why
  64  the command line or the settings are wrong
  65  a file cannot be used; the message says what is wrong in it
  69  no server answered in time, or one is not ready
  74  a file cannot be written
  77  access was denied";

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

    /// The same with words of our own.
    pub fn said(code: ExitCode, what: impl fmt::Display) -> Failure {
        Failure::new(code, anyhow!("{what}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.error)
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Failure {
        let (code, advice) = match status.code() {
            Code::InvalidArgument => (ExitCode::Usage, ""),
            Code::Unauthenticated => (
                ExitCode::Denied,
                " (the token is the one of --token, --token-file or the settings)",
            ),
            Code::PermissionDenied => (ExitCode::Denied, ""),
            Code::Unavailable | Code::DeadlineExceeded => (ExitCode::Unavailable, ""),
            Code::Aborted => (ExitCode::Failed, " (run the same command again)"),
            Code::Unimplemented => (
                ExitCode::Failed,
                " (the server is older than this program: update it)",
            ),
            _ => (ExitCode::Failed, ""),
        };
        let what = match status.message() {
            "" => status.code().description(),
            what => what,
        };
        // Only the server knows what it wrote; it comes to a terminal.
        Failure::said(code, format!("{}{advice}", crate::text::lines(what)))
    }
}

impl From<io::Error> for Failure {
    /// Of writing to standard output.
    fn from(error: io::Error) -> Failure {
        let code = match error.kind() {
            io::ErrorKind::BrokenPipe => ExitCode::Unheard,
            _ => ExitCode::Output,
        };
        Failure::new(code, anyhow!(error).context("standard output"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_says_decides_the_exit_code() {
        let ends = |status: Status| Failure::from(status).code;
        assert_eq!(ends(Status::permission_denied("no")), ExitCode::Denied);
        assert_eq!(ends(Status::unauthenticated("no")), ExitCode::Denied);
        assert_eq!(ends(Status::unavailable("no")), ExitCode::Unavailable);
        assert_eq!(ends(Status::invalid_argument("no")), ExitCode::Usage);
        assert_eq!(ends(Status::not_found("no")), ExitCode::Failed);
    }

    #[test]
    fn an_error_keeps_its_lines_but_not_what_would_steer_the_terminal() {
        let failure = Failure::from(Status::invalid_argument("line 2: a\nline 3: \u{1b}[2Jb"));
        assert_eq!(failure.to_string(), "line 2: a\nline 3: \u{fffd}[2Jb");
    }

    #[test]
    fn a_reader_who_has_left_is_no_error() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(failure.code.number(), 0);
    }
}
