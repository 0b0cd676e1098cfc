//! `meridian-delegates`: many simulated delegates in one process, steered by lines on standard input.

// What these comments say of options is also their help, where a link has no brackets.
#![allow(rustdoc::bare_urls)]

use anyhow::{Context, anyhow, bail};
use clap::Parser;
use meridian_client::join::{Manner, Replicas};
use meridian_loadtest::delegates::{Delegate, Hearing, Wanted};
use meridian_session::tls::Trust;
use meridian_session::transport::Transport;
use meridian_wire::{Draft, FullTrackName, Namespace};
use serde_json::json;
use std::cell::RefCell;
use std::collections::HashMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, BufReader, stdin};
use tokio::task::LocalSet;
use url::Url;

/// Simulated delegates: each joins by an invitation of its own and listens to one audio track, as `meridian watch` does.
///
/// Reads commands from standard input, a line each, and answers with a line of JSON: `mark NAME` (gaps are counted from
/// now on), `report` (how each of them fares). Ends with its standard input, or after `--for`, with a last report.
#[derive(Debug, Parser)]
#[command(name = "meridian-delegates", version)]
struct Cli {
    /// The control plane's replicas, as in https://10.0.0.1:8443; several with commas between.
    #[arg(long, value_delimiter = ',', required = true)]
    join: Vec<Url>,
    /// The authorities of its certificate (PEM).
    #[arg(long, value_name = "FILE")]
    join_ca: PathBuf,
    /// The authorities of edges' certificates, where the control plane names none (PEM).
    #[arg(long, value_name = "FILE")]
    ca: PathBuf,
    /// Invitations, one on a line: one delegate each.
    #[arg(long, value_name = "FILE")]
    invitations: PathBuf,
    /// Whom to listen to, as in meridian/council/p/chair.
    #[arg(long)]
    namespace: String,
    /// The audio track.
    #[arg(long, default_value = "audio")]
    track: String,
    /// Over how many seconds they come in, at even intervals.
    #[arg(long, default_value_t = 1.0)]
    ramp_s: f64,
    /// End after so many seconds.
    #[arg(long = "for", value_name = "SECONDS")]
    length_s: Option<f64>,
    /// Dial an office at another address, as in `geneva=127.0.0.1:4600`: a path that is emulated.
    #[arg(long, value_name = "OFFICE=IP:PORT", value_parser = via)]
    via: Vec<(String, SocketAddr)>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    meridian_session::tls::install_default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let result = runtime
        .context("no runtime")
        .and_then(|runtime| LocalSet::new().block_on(&runtime, run(cli)));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("meridian-delegates: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    let wanted = wanted(&cli)?;
    let text = std::fs::read_to_string(&cli.invitations);
    let text = text.with_context(|| cli.invitations.display().to_string())?;
    let invitations: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    if invitations.is_empty() {
        bail!("{}: no invitation in it", cli.invitations.display());
    }
    let step = Duration::try_from_secs_f64(cli.ramp_s)? / invitations.len() as u32;
    let mut all = Vec::new();
    for (invitation, n) in invitations.iter().zip(0u32..) {
        let hearing = Rc::new(RefCell::new(Hearing::new(Instant::now())));
        let invitation = meridian_client::join::bare(invitation);
        let delegate = Delegate::new(wanted.clone(), invitation.to_owned(), hearing.clone());
        all.push(hearing);
        tokio::task::spawn_local(async move {
            tokio::time::sleep(step * n).await;
            delegate.live().await;
        });
    }
    let length = cli.length_s.map(Duration::try_from_secs_f64).transpose()?;
    let over = async {
        match length {
            Some(length) => tokio::time::sleep(length).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        done = obey(&all) => done?,
        () = over => {}
    }
    say(&report(&all));
    Ok(())
}

/// Does what standard input says, until it ends.
async fn obey(all: &[Rc<RefCell<Hearing>>]) -> anyhow::Result<()> {
    let mut lines = BufReader::new(stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        match line.split_once(' ').unwrap_or((&line, "")) {
            ("mark", name) => {
                let now = Instant::now();
                all.iter()
                    .for_each(|hearing| hearing.borrow_mut().mark(now));
                say(&json!({ "kind": "mark", "name": name }));
            }
            ("report", _) => say(&report(all)),
            (other, _) => say(&json!({
                "kind": "error",
                "error": format!("`{other}` is no command: write `mark NAME` or `report`"),
            })),
        }
    }
    Ok(())
}

fn report(all: &[Rc<RefCell<Hearing>>]) -> serde_json::Value {
    let now = Instant::now();
    let delegates: Vec<_> = all
        .iter()
        .map(|hearing| hearing.borrow().heard(now))
        .collect();
    json!({ "kind": "report", "delegates": delegates })
}

fn say(line: &serde_json::Value) {
    // Nobody may be listening any more; that is no reason to stop.
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn wanted(cli: &Cli) -> anyhow::Result<Wanted> {
    let pem = std::fs::read(&cli.join_ca).with_context(|| cli.join_ca.display().to_string())?;
    let fields = cli
        .namespace
        .split('/')
        .map(|field| field.as_bytes().to_vec());
    let namespace = Namespace::new(fields).map_err(|error| anyhow!("--namespace: {error}"))?;
    let track = FullTrackName::new(namespace, cli.track.clone().into_bytes());
    Ok(Wanted {
        replicas: Arc::new(Replicas::new(&cli.join, &pem)?),
        manner: Manner {
            transport: Transport::Quic,
            drafts: Draft::PREFERRED.to_vec(),
            trust: Trust::load(&cli.ca)?,
            via: cli.via.iter().cloned().collect::<HashMap<_, _>>(),
            patience: DIAL,
            harbour: None,
        },
        track: track.map_err(|error| anyhow!("--track: {error}"))?,
    })
}

fn via(text: &str) -> Result<(String, SocketAddr), String> {
    let parsed = text
        .split_once('=')
        .and_then(|(office, address)| Some((office.to_owned(), address.parse().ok()?)));
    parsed.ok_or_else(|| format!("`{text}` is not like geneva=127.0.0.1:4600"))
}

/// How long one attempt to reach an edge may take.
const DIAL: Duration = Duration::from_secs(5);
