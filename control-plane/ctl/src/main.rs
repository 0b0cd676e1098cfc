//! `meridianctl`: the command line, the runtime, and the exit code.

use clap::Parser;
use meridianctl::cli::Cli;
use meridianctl::exit::ExitCode;
use std::process;

fn main() {
    let cli = Cli::try_parse().unwrap_or_else(|error| {
        let _ = error.print();
        process::exit(match error.use_stderr() {
            true => ExitCode::Usage as i32,
            false => 0,
        });
    });
    // A second installation finds the first, which is the same.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("the system has descriptors for a runtime");
    if let Err(failure) = runtime.block_on(meridianctl::run(cli)) {
        if failure.code != ExitCode::Unheard {
            eprintln!("meridianctl: {failure}");
        }
        process::exit(failure.code.number());
    }
}
