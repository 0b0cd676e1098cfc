//! The command line. Flags that belong to one office live in its config file.

use crate::config::MAX_WORKERS;
use clap::Parser;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// A Meridian edge: a MoQT relay for one office.
///
/// Speaks drafts 22, 20 and 18 over raw QUIC and WebTransport on one UDP port, and over secure WebSocket on the TCP
/// port of the same number. Exits 0 after a drain, 64 if the configuration is wrong, 1 if it cannot go on.
#[derive(Debug, Parser)]
#[command(name = "meridian-edge", version)]
pub struct Cli {
    /// The office's configuration (TOML).
    #[arg(
        long,
        env = "MERIDIAN_EDGE_CONFIG",
        required_unless_present = "dev",
        conflicts_with = "dev"
    )]
    pub config: Option<PathBuf>,

    /// Check the configuration, say what it means, and exit.
    #[arg(long)]
    pub check_config: bool,

    /// A stand-alone edge for trying things out: a fresh 13-day certificate, open access, no neighbours.
    #[arg(long)]
    pub dev: bool,

    /// Where `--dev` listens, UDP and TCP.
    #[arg(long, default_value = "127.0.0.1:4443", requires = "dev")]
    pub listen: SocketAddr,

    /// Threads that serve clients with `--dev`; 0 for one on each core. An office's are in its file.
    #[arg(long, default_value_t = 1, requires = "dev", value_parser = workers)]
    pub workers: usize,

    /// Print a line of JSON with counters this often, as in `1s`.
    #[arg(long, value_parser = duration)]
    pub report_every: Option<Duration>,
}

fn workers(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(workers) if workers <= MAX_WORKERS => Ok(workers),
        _ => Err(format!("'{text}' is no number up to {MAX_WORKERS}")),
    }
}

/// `500ms`, `20s`, `2m`, or seconds without a unit.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits
        .parse()
        .map_err(|_| format!("'{text}' is no duration; try '1s'"))?;
    match &text[digits.len()..] {
        "ms" => Ok(Duration::from_millis(number)),
        "" | "s" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number.saturating_mul(60))),
        unit => Err(format!("'{unit}' is no unit; use ms, s or m")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("2"), Ok(Duration::from_secs(2)));
        assert_eq!(duration("3m"), Ok(Duration::from_secs(180)));
        assert!(duration("fast").is_err());
        assert!(duration("3h").is_err());
    }

    #[test]
    fn a_config_or_dev_is_needed() {
        assert!(Cli::try_parse_from(["meridian-edge"]).is_err());
        assert!(Cli::try_parse_from(["meridian-edge", "--dev"]).is_ok());
        assert!(Cli::try_parse_from(["meridian-edge", "--dev", "--workers", "2"]).is_ok());
        assert!(Cli::try_parse_from(["meridian-edge", "--dev", "--workers", "65"]).is_err());
        assert!(Cli::try_parse_from(["meridian-edge", "--dev", "--config", "x"]).is_err());
    }
}
