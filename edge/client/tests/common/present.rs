//! Somebody who is at every edge at once, as if with many devices.

#![allow(dead_code, reason = "each user has its part")]

use crate::plane::Plane;
use meridian_proto::v1::{Edge, Invitation};
use meridian_session::client::{DialError, Dialer, Line};
use meridian_session::session::SessionError;
use meridian_session::tls::{Fingerprint, Trust};
use meridian_session::transport::Transport;
use meridian_wire::{Draft, TerminationCode};
use std::time::Duration;
use url::Url;

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Somebody with a session at every edge.
pub(crate) struct Present {
    /// The participant's id.
    pub(crate) id: String,
    /// The last one's; good until it is revoked.
    pub(crate) token: String,
    /// By office.
    pub(crate) lines: Vec<(String, Line)>,
}

impl Present {
    /// Comes in, and dials these edges.
    pub(crate) async fn enter(plane: &Plane, invited: &Invitation, edges: &[Edge]) -> Present {
        // One token of the control plane's in two places would be somebody who moves.
        let mut token = String::new();
        let mut lines = Vec::new();
        for edge in edges {
            token = plane.admits(invited).await;
            let line = dial(edge, &token).await;
            lines.push((edge.office.clone(), line.expect("it is let in")));
        }
        Present {
            id: invited.delegate.clone().expect("it is somebody's").id,
            token,
            lines,
        }
    }
}

/// Opens a session at an edge.
pub(crate) async fn dial(edge: &Edge, token: &str) -> Result<Line, DialError> {
    let hash = edge.certificate_sha256[..].try_into();
    let dialer = Dialer {
        url: Url::parse(&format!("moqt://{}/", edge.client_address)).expect("an address"),
        transport: Transport::Quic,
        drafts: vec![Draft::D22],
        trust: Trust::Fingerprints(vec![Fingerprint(hash.expect("it publishes one"))]),
        token: Some(token.to_owned()),
        patience: PATIENCE,
        harbour: None,
    };
    Ok(dialer.dial().await?.line)
}

/// Why a session ended, once it has.
pub(crate) async fn end_of(line: &Line) -> SessionError {
    let ended = tokio::time::timeout(PATIENCE, line.session.closed()).await;
    ended.expect("the session ends")
}

/// Whether a session has not ended.
pub(crate) async fn is_open(line: &Line) -> bool {
    tokio::select! {
        biased;
        _ = line.session.closed() => false,
        () = std::future::ready(()) => true,
    }
}

/// Whether an edge lets nobody in by a token.
pub(crate) async fn refuses(edge: &Edge, token: &str) -> bool {
    match dial(edge, token).await {
        Ok(line) => end_of(&line).await.code() == Some(TerminationCode::UNAUTHORIZED),
        Err(error) => matches!(error, DialError::Refused(_)),
    }
}
