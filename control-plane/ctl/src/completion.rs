//! `meridianctl completion`.

use crate::cli::Cli;
use crate::exit::Failure;
use crate::output::Output;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

/// `meridianctl completion`.
#[derive(Debug, Args)]
pub struct CompletionArgs {
    /// The shell.
    pub shell: Shell,
}

/// Prints the script.
///
/// # Errors
/// Nobody reads it.
pub fn run(args: &CompletionArgs, output: &Output) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "meridianctl", &mut script);
    output.raw(&String::from_utf8_lossy(&script))
}

/// For `--help`.
pub const EXAMPLES: &str = "\
Examples:
  meridianctl completion bash > ~/.local/share/bash-completion/completions/meridianctl
  meridianctl completion zsh > ~/.zfunc/_meridianctl
  meridianctl completion fish > ~/.config/fish/completions/meridianctl.fish";
