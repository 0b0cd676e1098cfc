//! Which answer of a server ends the program with which exit code.

pub use meridian_process::exit::{ExitCode, Failure};
use tonic::{Code, Status};

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

/// What a server's refusal means for the program.
pub fn of(status: &Status) -> Failure {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_says_decides_the_exit_code() {
        let ends = |status: Status| of(&status).code;
        assert_eq!(ends(Status::permission_denied("no")), ExitCode::Denied);
        assert_eq!(ends(Status::unauthenticated("no")), ExitCode::Denied);
        assert_eq!(ends(Status::unavailable("no")), ExitCode::Unavailable);
        assert_eq!(ends(Status::invalid_argument("no")), ExitCode::Usage);
        assert_eq!(ends(Status::not_found("no")), ExitCode::Failed);
    }

    #[test]
    fn an_error_keeps_its_lines_but_not_what_would_steer_the_terminal() {
        let failure = of(&Status::invalid_argument("line 2: a\nline 3: \u{1b}[2Jb"));
        assert_eq!(failure.to_string(), "line 2: a\nline 3: \u{fffd}[2Jb");
    }
}
