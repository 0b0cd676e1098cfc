//! `meridian probe`: every transport and draft, each on a connection of its own.

use crate::cli::{ProbeArgs, TransportName};
use crate::dial;
use crate::exit::{ExitCode, Failure};
use crate::report::milliseconds;
use anyhow::anyhow;
use meridian_session::client::{DialError, Dialed, Dialer};
use meridian_wire::Draft;
use serde::Serialize;
use std::fmt::Write as _;
use std::io::Write as _;

/// What came of one attempt.
#[derive(Debug, Serialize)]
pub struct Answer {
    /// `quic`, `webtransport` or `websocket`.
    pub transport: &'static str,
    /// As in `moqt-22`.
    pub draft: &'static str,
    /// Whether a session was set up.
    pub ok: bool,
    /// From the start to a connection that carries MoQT.
    pub connect_ms: Option<f64>,
    /// From there to the peer's SETUP.
    pub setup_ms: Option<f64>,
    /// What the edge calls itself.
    pub implementation: Option<String>,
    /// Why not.
    pub error: Option<String>,
}

/// Tries everything and prints what came of it.
///
/// # Errors
/// Nothing answered, or nothing but refusals of the token came.
pub async fn run(args: ProbeArgs) -> Result<(), Failure> {
    let trust = dial::trust(&args.trust)?;
    let mut answers = Vec::new();
    let mut refused = false;
    for (transport, name) in TRANSPORTS {
        for draft in Draft::PREFERRED {
            let dialer = Dialer {
                url: args.url.clone(),
                transport: transport.into(),
                drafts: vec![draft],
                trust: trust.clone(),
                token: args.token.clone(),
                patience: args.timeout,
                harbour: None,
            };
            let dialed = dialer.dial().await;
            refused |= matches!(dialed, Err(DialError::Refused(_)));
            answers.push(answer(name, draft, &dialed));
            if let Ok(dialed) = dialed {
                dialed.line.hang_up().await;
            }
        }
    }
    print(&answers, args.json);
    match answers.iter().any(|answer| answer.ok) {
        true => Ok(()),
        false if refused => Err(Failure::new(
            ExitCode::Denied,
            anyhow!("the edge refuses the token"),
        )),
        false => Err(Failure::new(
            ExitCode::Unavailable,
            anyhow!("no edge at {} answers MoQT over any transport", args.url),
        )),
    }
}

const TRANSPORTS: [(TransportName, &str); 3] = [
    (TransportName::Quic, "quic"),
    (TransportName::Webtransport, "webtransport"),
    (TransportName::Websocket, "websocket"),
];

fn answer(transport: &'static str, draft: Draft, dialed: &Result<Dialed, DialError>) -> Answer {
    let base = Answer {
        transport,
        draft: draft.protocol(),
        ok: false,
        connect_ms: None,
        setup_ms: None,
        implementation: None,
        error: None,
    };
    match dialed {
        Ok(dialed) => {
            let implementation = dialed.line.session.peer_setup().implementation.as_deref();
            Answer {
                ok: true,
                connect_ms: Some(milliseconds(dialed.connect)),
                setup_ms: Some(milliseconds(dialed.setup)),
                implementation: implementation
                    .map(|name| String::from_utf8_lossy(name).into_owned()),
                ..base
            }
        }
        Err(error) => Answer {
            error: Some(error.to_string()),
            ..base
        },
    }
}

fn print(answers: &[Answer], json: bool) {
    let mut out = String::new();
    if json {
        for answer in answers {
            let line = serde_json::to_string(answer).expect("strings and numbers always serialize");
            let _ = writeln!(out, "{line}");
        }
    } else {
        let _ = writeln!(
            out,
            "{:<14}{:<9}{:>12}{:>12}  what",
            "transport", "draft", "connect ms", "setup ms"
        );
        for answer in answers {
            let time = |ms: Option<f64>| ms.map_or("-".to_owned(), |ms| format!("{ms:.1}"));
            let what = answer
                .error
                .as_deref()
                .or(answer.implementation.as_deref())
                .unwrap_or("ok");
            let (connect, setup) = (time(answer.connect_ms), time(answer.setup_ms));
            let _ = writeln!(
                out,
                "{:<14}{:<9}{connect:>12}{setup:>12}  {what}",
                answer.transport, answer.draft
            );
        }
    }
    let _ = std::io::stdout().write_all(out.as_bytes());
}
