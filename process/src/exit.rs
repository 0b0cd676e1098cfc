//! Exit codes (as in sysexits.h) and the errors that carry them. Which error has which code, each program knows.

use anyhow::anyhow;
use std::{fmt, io};

/// How a program ends when it does not end well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitCode {
    /// Nobody reads what is printed any more, as in `… | head`: a quiet end, with 0.
    Unheard = 0,
    /// 1: it cannot go on, or whom it asked could not do it.
    Failed = 1,
    /// 64: the command line, the settings or the configuration are wrong.
    Usage = 64,
    /// 65: a file cannot be used.
    Data = 65,
    /// 69: nobody answered within the time allowed.
    Unavailable = 69,
    /// 74: a file cannot be written.
    Output = 74,
    /// 76: the other side does not keep to the protocol.
    Protocol = 76,
    /// 77: access was denied.
    Denied = 77,
}

impl ExitCode {
    /// As the system wants it.
    pub fn number(self) -> i32 {
        self as i32
    }
}

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
    fn a_reader_who_has_left_is_no_error() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(failure.code.number(), 0);
    }
}
