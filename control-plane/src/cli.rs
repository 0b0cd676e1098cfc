//! The command line.

use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// Meridian's control plane: one replica.
///
/// Speaks gRPC and gRPC-web, and serves the web pages, on one port. Exits 0 after SIGTERM, 64 if the configuration is
/// wrong, 1 if it cannot go on.
#[derive(Debug, Parser)]
#[command(name = "meridian-control-plane", version)]
pub struct Cli {
    /// The configuration (TOML).
    #[arg(long, env = "MERIDIAN_CONTROL_PLANE_CONFIG")]
    pub config: PathBuf,

    /// Check the configuration, say what it means, and exit.
    #[arg(long)]
    pub check_config: bool,

    /// Instead of running a replica.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What else there is to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print an access token, made with the keys in the store: for the first operator. Later ones are issued with
    /// `meridianctl access issue`. An embedded store must not be in use.
    Access {
        /// Whose: a name or e-mail address.
        #[arg(long)]
        subject: String,
        /// May do everything.
        #[arg(long, conflicts_with = "offices")]
        operator: bool,
        /// The offices an organiser acts for, as in `bangkok,jakarta`.
        #[arg(long, value_delimiter = ',', required_unless_present = "operator")]
        offices: Vec<String>,
        /// Hours it is good for, 1 to 2160.
        #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u64).range(1..=2160))]
        hours: u64,
    },
}
