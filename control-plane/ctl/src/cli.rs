//! The command line: what all commands have in common, and the nouns.

// What these comments say of options is also their help, where a link has no brackets.
#![allow(rustdoc::bare_urls)]

use crate::exit::{EXIT_CODES, Failure};
use crate::output::Format;
use crate::settings::{Given, Settings};
use crate::{access, audit, completion, delegates, edges, keys, meetings, roster, topology, why};
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use std::time::Duration;

/// Meetings, delegates, edges and topology of a Meridian network.
///
/// What is asked for goes to standard output, everything else to standard error. All times are in UTC.
#[derive(Debug, Parser)]
#[command(name = "meridianctl", version, after_help = EXIT_CODES, after_long_help = AFTER_LONG_HELP)]
pub struct Cli {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What all commands take.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connection and output")]
pub struct Common {
    /// The control plane, as in https://control.example.org:8443; several, with commas between, are tried in their order.
    #[arg(
        long,
        global = true,
        env = "MERIDIAN_SERVER",
        value_name = "URL",
        value_delimiter = ','
    )]
    pub server: Vec<String>,
    /// Trust the authorities in this PEM file; the machine's own if not given.
    #[arg(long, global = true, env = "MERIDIAN_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// The access token. Others can see it in the list of processes: a file is better.
    #[arg(long, global = true, env = "MERIDIAN_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// The file with the access token.
    #[arg(long, global = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// The file with the settings not given here [default: ~/.config/meridian/ctl.toml]
    #[arg(long, global = true, env = "MERIDIAN_CTL_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How long to wait for an answer.
    #[arg(long, global = true, value_name = "TIME", default_value = "10s", value_parser = crate::moment::span)]
    pub timeout: Duration,
    /// For people or for machines.
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORM"
    )]
    pub output: Format,
    /// No colours. NO_COLOR does the same.
    #[arg(long, global = true, visible_alias = "no-color")]
    pub no_colour: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make, show, change and close meetings.
    #[command(subcommand, visible_alias = "meeting")]
    Meetings(meetings::Command),
    /// Import, list, invite and revoke a meeting's delegates.
    #[command(subcommand, visible_alias = "delegate")]
    Delegates(delegates::Command),
    /// Show who is in a meeting.
    Roster(roster::RosterArgs),
    /// List, empty and remove edges.
    #[command(subcommand, visible_alias = "edge")]
    Edges(edges::Command),
    /// Show how edges are joined.
    #[command(subcommand)]
    Topology(topology::Command),
    /// Tell where a delegate is, where they would be sent now, and why.
    Why(why::WhyArgs),
    /// Tell who did what.
    Audit(audit::AuditArgs),
    /// Issue and revoke the tokens of organisers and operators.
    #[command(subcommand)]
    Access(access::Command),
    /// The keys that sign media tokens.
    #[command(subcommand)]
    Keys(keys::Command),
    /// Tell whether every server is ready, and how the network is.
    #[command(
        long_about = "Tell whether every server given with --server is ready, and how the network is.\n\n\
        Ends with 69 if one of them is not ready."
    )]
    Status,
    /// Print what a shell needs to complete commands.
    #[command(after_help = completion::EXAMPLES)]
    Completion(completion::CompletionArgs),
}

impl Common {
    /// Where to go and as whom, with the settings file's word where nothing is said here.
    ///
    /// # Errors
    /// A file cannot be used, or no server is given.
    pub fn settings(&self) -> Result<Settings, Failure> {
        Settings::load(Given {
            servers: self.server.clone(),
            ca: self.ca.clone(),
            token: self.token.clone(),
            token_file: self.token_file.clone(),
            config: self.config.clone(),
            timeout: self.timeout,
        })
    }
}

const AFTER_LONG_HELP: &str = "\
Examples:
  meridianctl status
  meridianctl meetings create council --title \"Council 2026\" --office geneva
  meridianctl delegates import council registration.csv
  meridianctl delegates invite council --csv links.csv
  meridianctl topology show --failure geneva
  meridianctl why council keiko-tanaka

Settings that are not given are read from ~/.config/meridian/ctl.toml:
  server = \"https://control.example.org:8443\"   # or [\"https://…\", \"https://…\"]
  ca = \"ca.pem\"                                 # beside the settings file
  token_file = \"token\"

Exit codes:
   0  all went well
   1  the server could not do it; the message says why
  64  the command line or the settings are wrong
  65  a file cannot be used; the message says what is wrong in it
  69  no server answered in time, or one is not ready
  74  a file cannot be written
  77  access was denied";

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_long_help_has_all_exit_codes() {
        assert!(AFTER_LONG_HELP.ends_with(EXIT_CODES));
    }
}
