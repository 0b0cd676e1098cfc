//! What Meridian's programs have in common as processes: configuration files, the log, how they end. Not what they do.

pub mod config;
pub mod exit;

use clap::Parser;
use exit::{ExitCode, Failure};
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::process;
use tracing_subscriber::EnvFilter;

/// The command line. One that makes no sense ends the program with [`ExitCode::Usage`]; `--help` and `--version` end it
/// too.
pub fn arguments<C: Parser>() -> C {
    C::try_parse().unwrap_or_else(|error| {
        // Nothing is left to say if even stderr is gone.
        let _ = error.print();
        process::exit(match error.use_stderr() {
            true => ExitCode::Usage.number(),
            false => 0,
        })
    })
}

/// Has the log go to stderr: what `RUST_LOG` selects, else INFO and above.
pub fn log_to_stderr() {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()))
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
}

/// Prints a line on stdout.
pub fn say(line: impl Display) {
    // Nobody may be listening any more; that is no reason to stop.
    let _ = writeln!(io::stdout(), "{line}");
}

/// Ends the program: with 0, or with a failure's code once it is told on stderr. Threads that are left are not waited for.
pub fn end(program: &str, result: Result<(), Failure>) -> ! {
    let Err(failure) = result else {
        process::exit(0);
    };
    if failure.code != ExitCode::Unheard {
        eprintln!("{program}: {failure}");
    }
    process::exit(failure.code.number())
}
