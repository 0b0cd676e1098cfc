//! The command line, checked before anything is opened.

// What these comments say of options is also their help, where a link has no brackets.
#![allow(rustdoc::bare_urls)]

use crate::exit::EXIT_CODES;
use clap::{Args, Parser, Subcommand, ValueEnum};
use meridian_session::transport::Transport;
use meridian_wire::{Draft, Namespace};
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

/// Publishes and watches media over MoQT, and probes edges.
#[derive(Debug, Parser)]
#[command(name = "meridian", version, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Publish a WebM or Matroska file in real time (Opus; VP8, VP9, AV1 or H.264).
    #[command(after_help = EXIT_CODES)]
    Publish(PublishArgs),
    /// Watch what is published under a namespace and write it to a file.
    #[command(after_help = EXIT_CODES)]
    Watch(WatchArgs),
    /// Tell which transports and drafts an edge answers.
    #[command(after_help = EXIT_CODES)]
    Probe(ProbeArgs),
}

/// `meridian publish`.
#[derive(Debug, Args)]
pub struct PublishArgs {
    /// The file.
    pub file: PathBuf,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub target: TargetArgs,
    /// Start over at the end, without a seam.
    #[arg(long = "loop")]
    pub repeat: bool,
    /// Put before the names of the audio and video tracks.
    #[arg(long, default_value = "", value_name = "PREFIX")]
    pub track_prefix: String,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub run: RunArgs,
}

/// `meridian watch`.
#[derive(Debug, Args)]
pub struct WatchArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub target: TargetArgs,
    /// The file to write: WebM, or Matroska if the video is H.264.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// The audio track to take; the catalog's first of Opus if not given.
    #[arg(long, value_name = "NAME")]
    pub audio_track: Option<String>,
    /// The video track to take; the catalog's first that can be written if not given.
    #[arg(long, value_name = "NAME")]
    pub video_track: Option<String>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub run: RunArgs,
}

/// `meridian probe`.
#[derive(Debug, Args)]
pub struct ProbeArgs {
    /// The edge, as in https://127.0.0.1:4443/. Host and port count; every transport is tried.
    #[arg(value_parser = edge_url)]
    pub url: Url,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// How long to wait for each answer.
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = duration)]
    pub timeout: Duration,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub trust: TrustArgs,
    /// A token for the edge (JWT).
    #[arg(long, env = "MERIDIAN_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
}

/// Where to go, and what for.
#[derive(Debug, Args)]
pub struct TargetArgs {
    /// The edge: moqt://HOST:PORT is raw QUIC, https:// WebTransport, wss:// qmux over WebSocket.
    #[arg(long, value_parser = edge_url, required_unless_present = "join", conflicts_with = "join")]
    pub url: Option<Url>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub invited: JoinArgs,
    /// The namespace, its fields between slashes, as in meridian/demo/p/bkk. With --join also without what all of a
    /// meeting's have in front, as in p/bkk; a publisher may leave it out.
    #[arg(long, value_parser = namespace, required_unless_present = "join")]
    pub namespace: Option<Namespace>,
    /// Speak only this draft; all are offered otherwise.
    #[arg(long, value_parser = draft)]
    pub draft: Option<Draft>,
    /// Use this transport instead of the URL scheme's.
    #[arg(long)]
    pub transport: Option<TransportName>,
    /// A token for the edge (JWT).
    #[arg(long, env = "MERIDIAN_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub trust: TrustArgs,
}

/// Who says where to go.
#[derive(Clone, Debug, Default, Args)]
pub struct JoinArgs {
    /// Come in by invitation: a replica of the control plane, as in https://control-plane:8443. It says which edges to go
    /// to, instead of --url. Several, repeated or with commas between, are asked in turn.
    #[arg(long, value_name = "URL", value_delimiter = ',', value_parser = replica_url, requires = "invitation")]
    pub join: Vec<Url>,
    /// The invitation, or the link it came in, or @FILE with either.
    #[arg(
        long,
        env = "MERIDIAN_INVITATION",
        hide_env_values = true,
        value_name = "TEXT|@FILE"
    )]
    pub invitation: Option<String>,
    /// Trust the authorities in this PEM file for the control plane; the machine's own if not given.
    #[arg(long, value_name = "FILE", requires = "join")]
    pub join_ca: Option<PathBuf>,
    /// Where this is, as in KE (ISO 3166-1): the control plane picks edges near it.
    #[arg(long, value_name = "CC", requires = "join")]
    pub country: Option<String>,
}

/// Whom to trust. The machine's own authorities if nothing is said.
#[derive(Clone, Debug, Default, Args)]
pub struct TrustArgs {
    /// Trust the authorities in this PEM file.
    #[arg(long, value_name = "FILE", group = "trust")]
    pub ca: Option<PathBuf>,
    /// Trust the certificate with this SHA-256 (hex).
    #[arg(long, value_name = "SHA256", group = "trust", value_parser = certificate_hash)]
    pub cert_hash: Option<[u8; 32]>,
    /// Trust anyone. For trying things out on one machine.
    #[arg(long, group = "trust")]
    pub insecure: bool,
}

/// How long, and what to tell.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// End after this long, as in 20s, 500ms, 5m; at the end of the file or of the broadcast otherwise.
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    pub length: Option<Duration>,
    /// Give up when there was no edge, or nothing to watch, for this long.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub wait: Duration,
    /// Leave the sound out.
    #[arg(long, conflicts_with = "no_video")]
    pub no_audio: bool,
    /// Leave the picture out.
    #[arg(long)]
    pub no_video: bool,
    /// Print a JSON object a second and a summary at the end, on stdout.
    #[arg(long)]
    pub json: bool,
    /// Write a line per object: track, group, object, FNV-1a hash and length of its payload.
    #[arg(long, value_name = "FILE")]
    pub digest: Option<PathBuf>,
}

/// A transport by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TransportName {
    /// MoQT directly on QUIC.
    Quic,
    /// WebTransport over HTTP/3.
    Webtransport,
    /// qmux over a secure WebSocket.
    Websocket,
}

impl From<TransportName> for Transport {
    fn from(name: TransportName) -> Transport {
        match name {
            TransportName::Quic => Transport::Quic,
            TransportName::Webtransport => Transport::WebTransport,
            TransportName::Websocket => Transport::Qmux,
        }
    }
}

impl TargetArgs {
    /// The transport asked for, or the scheme's; raw QUIC where the control plane says where to go.
    pub fn transport(&self) -> TransportName {
        let schemes = self.url.as_ref().map(transport_of);
        self.transport.or(schemes).unwrap_or(TransportName::Quic)
    }
}

fn transport_of(url: &Url) -> TransportName {
    match url.scheme() {
        "moqt" | "quic" => TransportName::Quic,
        "wss" => TransportName::Websocket,
        _ => TransportName::Webtransport,
    }
}

fn edge_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("{error}; try https://HOST:PORT/"))?;
    if !matches!(url.scheme(), "moqt" | "quic" | "https" | "wss") {
        return Err(format!(
            "scheme {} is none of moqt, https and wss",
            url.scheme()
        ));
    }
    match url.host_str() {
        Some(host) if !host.is_empty() => Ok(url),
        _ => Err("the host is missing; try https://HOST:PORT/".to_owned()),
    }
}

fn replica_url(text: &str) -> Result<Url, String> {
    let hint = "write https://HOST:PORT";
    let url = Url::parse(text).map_err(|error| format!("{error}; {hint}"))?;
    let is_good = url.scheme() == "https" && url.host_str().is_some_and(|host| !host.is_empty());
    is_good.then_some(url).ok_or_else(|| hint.to_owned())
}

/// At most 32 fields of at least one byte, 4,096 bytes in all (draft-22 §2.4.1).
fn namespace(text: &str) -> Result<Namespace, String> {
    let fields: Vec<&str> = text.split('/').collect();
    if fields.iter().any(|field| field.is_empty()) {
        return Err("a field is empty; write meridian/demo/p/bkk".to_owned());
    }
    if fields.len() > 32 || text.len() > 4_000 {
        return Err("more than 32 fields or 4,000 bytes".to_owned());
    }
    let fields = fields
        .into_iter()
        .map(|field| field.as_bytes().to_vec().into());
    Ok(Namespace(fields.collect()))
}

fn draft(text: &str) -> Result<Draft, String> {
    let protocol = format!("moqt-{text}");
    Draft::from_protocol(protocol.as_bytes()).ok_or_else(|| "22, 20 or 18".to_owned())
}

fn certificate_hash(text: &str) -> Result<[u8; 32], String> {
    let digits: Vec<u32> = text
        .chars()
        .filter(|digit| *digit != ':')
        .map(|digit| digit.to_digit(16).ok_or("64 hex digits"))
        .collect::<Result<_, _>>()?;
    let bytes: Vec<u8> = digits
        .chunks(2)
        .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | *digit as u8))
        .collect();
    let whole = digits.len() == 64;
    <[u8; 32]>::try_from(bytes)
        .ok()
        .filter(|_| whole)
        .ok_or_else(|| "64 hex digits".to_owned())
}

/// A number with `ms`, `s`, `m` or `h`; seconds without.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let seconds_per_unit = match &text[digits.len()..] {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        _ => return Err("a time such as 20s, 500ms, 5m".to_owned()),
    };
    let number: f64 = digits
        .parse()
        .map_err(|_| "a time such as 20s, 500ms, 5m".to_owned())?;
    Duration::try_from_secs_f64(number * seconds_per_unit).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_full_publish_line_is_understood() {
        let line = "meridian publish talk.webm --url moqt://edge:4443 --namespace meridian/demo/p/bkk \
                    --loop --for 1.5m --draft 20 --json --track-prefix a-";
        let Command::Publish(args) = parse(line).expect("well formed").command else {
            panic!("another command");
        };
        assert_eq!(args.run.length, Some(Duration::from_secs(90)));
        assert_eq!(args.target.draft, Some(Draft::D20));
        assert_eq!(args.target.transport(), TransportName::Quic);
        assert_eq!(args.target.namespace.expect("is given").0.len(), 4);
        assert!(args.repeat && args.run.json);
    }

    #[test]
    fn the_scheme_names_the_transport_unless_the_option_does() {
        let of = |url: &str, option: &str| {
            let line = format!("meridian watch --url {url} --namespace a --out x.webm {option}");
            let Command::Watch(args) = parse(&line).expect("well formed").command else {
                panic!("another command");
            };
            args.target.transport()
        };
        assert_eq!(of("https://e:1/", ""), TransportName::Webtransport);
        assert_eq!(of("wss://e:1/", ""), TransportName::Websocket);
        assert_eq!(of("https://e:1/", "--transport quic"), TransportName::Quic);
    }

    #[test]
    fn wrong_values_are_refused_with_a_hint() {
        let refused = |line: &str| parse(line).expect_err("wrong").to_string();
        assert!(
            refused("meridian watch --url http://e --namespace a --out x")
                .contains("moqt, https and wss")
        );
        assert!(
            refused("meridian watch --url https://e --namespace a//b --out x")
                .contains("a field is empty")
        );
        assert!(
            refused("meridian watch --url https://e --namespace a --out x --for 3d")
                .contains("20s")
        );
        assert!(
            refused("meridian watch --url https://e --namespace a --out x --draft 17")
                .contains("22, 20 or 18")
        );
        assert!(refused("meridian probe https://e --cert-hash abc").contains("64 hex digits"));
        assert!(
            refused("meridian probe https://e --insecure --ca x.pem")
                .contains("cannot be used with")
        );
    }

    #[test]
    fn who_is_invited_needs_no_url_but_an_invitation() {
        let line = "meridian publish a.webm --join https://one:8443,https://two:8443 --join https://three:8443 \
                    --invitation @link --country KE";
        let Command::Publish(args) = parse(line).expect("well formed").command else {
            panic!("another command");
        };
        assert_eq!(args.target.invited.join.len(), 3);
        assert_eq!(args.target.transport(), TransportName::Quic);
        let refused = |line: &str| parse(line).expect_err("wrong").to_string();
        let without = "meridian watch --join https://one:8443 --out x --namespace p/bkk";
        assert!(refused(without).contains("--invitation"));
        let both = "meridian watch --join https://one:8443 --invitation a --url https://e --out x";
        assert!(refused(both).contains("cannot be used with"));
        assert!(refused("meridian watch --out x --namespace a").contains("--url"));
        let plain = "meridian watch --join http://one:8443 --invitation a --out x --namespace a";
        assert!(refused(plain).contains("https://HOST:PORT"));
    }

    #[test]
    fn a_certificate_hash_may_have_colons() {
        let colons = vec!["0a"; 32].join(":");
        assert_eq!(certificate_hash(&colons), Ok([0x0a; 32]));
        assert!(certificate_hash(&"a".repeat(63)).is_err());
    }
}
