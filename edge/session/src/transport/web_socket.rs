//! qmux over a WebSocket: the upgrade handshake, either side. TLS is the caller's.

use super::connection::{Connection, Kind};
use super::error::{ConnectionLost, DatagramError};
use super::last_words::{Goodbye, LastWords, Lingering};
use super::web_transport::UpgradeError;
use bytes::Bytes;
use futures_util::FutureExt;
use meridian_wire::{Draft, TerminationCode};
use qmux::ws::tokio_tungstenite::tungstenite::client::IntoClientRequest;
use qmux::ws::tokio_tungstenite::tungstenite::handshake::server;
use qmux::ws::tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use qmux::ws::tokio_tungstenite::{accept_hdr_async_with_config, client_async_with_config};
use qmux::ws::{KeepAlive, Upgraded};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use url::Url;
use web_transport_quinn::generic::{Error as _, Session as _};

/// Framings offered and taken, the newest first. Older ones know no records and thus no datagrams.
const FRAMINGS: [&str; 2] = ["qmux-02.", "qmux-01."];

/// A qmux record is at most 16 KiB; twice that leaves room for the framing of any peer that keeps to it.
const MAX_MESSAGE: usize = 64 * 1024;

/// The address of what has none.
const NOWHERE: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));

/// Limits of a qmux session, the same for both directions.
#[derive(Clone, Copy, Debug)]
pub struct WebSocketSettings {
    /// Unidirectional streams the peer may have open at once.
    pub max_uni_streams: u64,
    /// Bidirectional streams the peer may have open at once.
    pub max_bidi_streams: u64,
    /// Bytes the peer may send ahead on one stream.
    pub stream_receive_window: u64,
    /// Bytes the peer may send ahead in all.
    pub receive_window: u64,
    /// Silence after which the peer is gone.
    pub idle_timeout: Duration,
}

impl Default for WebSocketSettings {
    /// The limits of [`QuicSettings::client_side`](crate::endpoint::QuicSettings::client_side).
    fn default() -> WebSocketSettings {
        WebSocketSettings {
            max_uni_streams: 128,
            max_bidi_streams: 64,
            stream_receive_window: 256 * 1024,
            receive_window: 1024 * 1024,
            idle_timeout: Duration::from_secs(15),
        }
    }
}

impl WebSocketSettings {
    fn qmux(&self) -> qmux::Config {
        let mut config = qmux::Config::default();
        config.max_streams_uni = self.max_uni_streams;
        config.max_streams_bidi = self.max_bidi_streams;
        config.max_data = self.receive_window;
        config.max_stream_data_uni = self.stream_receive_window;
        config.max_stream_data_bidi_local = self.stream_receive_window;
        config.max_stream_data_bidi_remote = self.stream_receive_window;
        let idle = self.idle_timeout.as_millis();
        config.max_idle_timeout = u64::try_from(idle).unwrap_or(u64::MAX);
        config
    }

    fn keep_alive(&self) -> KeepAlive {
        KeepAlive::new(self.idle_timeout / 3, self.idle_timeout)
    }
}

/// An established qmux session, on a WebSocket or between two threads.
pub(super) struct WebSocket {
    session: qmux::Session,
    path_and_query: String,
    /// Nowhere, if the peer is another thread.
    remote: Option<SocketAddr>,
    goodbye: Goodbye,
}

impl WebSocket {
    pub(super) fn session(&self) -> &qmux::Session {
        &self.session
    }

    pub(super) fn is_in_process(&self) -> bool {
        self.remote.is_none()
    }

    pub(super) fn path_and_query(&self) -> &str {
        &self.path_and_query
    }

    pub(super) fn remote_address(&self) -> SocketAddr {
        self.remote.unwrap_or(NOWHERE)
    }

    pub(super) fn send_datagram(&self, datagram: Bytes) -> Result<(), DatagramError> {
        self.session
            .send_datagram(datagram)
            .map_err(|error| match error {
                qmux::Error::DatagramsUnsupported => DatagramError::Unsupported,
                qmux::Error::FrameTooLarge => DatagramError::TooLarge,
                error => DatagramError::Lost(self.lost(error)),
            })
    }

    pub(super) fn close(&self, code: u32, reason: &str) {
        if self.end().is_none() {
            // Fails if another close was here at the same moment.
            let _ = self.goodbye.set((code, reason.to_owned()));
            self.session.close(code, reason);
        }
    }

    /// Why the session is over, if it is.
    pub(super) fn end(&self) -> Option<ConnectionLost> {
        let error = self.session.closed().now_or_never()?;
        Some(match error.session_error() {
            // The library tells both ends' closes alike.
            Some(said) if self.goodbye.get() == Some(&said) => ConnectionLost::ClosedLocally,
            Some((code, reason)) => ConnectionLost::ClosedByPeer {
                code: TerminationCode(u64::from(code)),
                reason,
            },
            None => error.into(),
        })
    }

    /// Why an operation failed: what it says itself only if the session's end says nothing.
    pub(super) fn lost(&self, error: qmux::Error) -> ConnectionLost {
        self.end().unwrap_or_else(|| error.into())
    }

    pub(super) async fn closed(&self) -> ConnectionLost {
        let error = self.session.closed().await;
        self.lost(error)
    }
}

impl std::fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("WebSocket")
            .field(&self.path_and_query)
            .finish()
    }
}

/// Answers a client's upgrade on `stream` (TLS already done). Put a timeout around it.
///
/// # Errors
/// The client offers none of our subprotocols (it is told 400), or the handshake fails.
pub async fn accept_web_socket<S>(
    stream: S,
    remote: SocketAddr,
    settings: &WebSocketSettings,
) -> Result<Connection, UpgradeError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut seen = None;
    // The callback's signature, and with it the large error, is the library's.
    #[allow(clippy::result_large_err)]
    let answer = |request: &server::Request, mut response: server::Response| {
        let Some((subprotocol, draft)) = choose(request) else {
            let mut refusal = server::ErrorResponse::new(Some("no MoQT subprotocol".to_owned()));
            *refusal.status_mut() = http::StatusCode::BAD_REQUEST;
            return Err(refusal);
        };
        let value = http::HeaderValue::from_str(&subprotocol).expect("our names are header text");
        response
            .headers_mut()
            .insert(http::header::SEC_WEBSOCKET_PROTOCOL, value);
        seen = Some((subprotocol, draft, request.uri().to_string()));
        Ok(response)
    };
    let stream = Lingering::new(stream);
    let socket = accept_hdr_async_with_config(stream, answer, Some(frame_limits()));
    let socket = socket.await.map_err(failed)?;
    let (subprotocol, draft, path_and_query) = seen.ok_or(UpgradeError::NoDraft)?;
    let goodbye = Goodbye::default();
    let session = Upgraded::new(LastWords::new(socket, goodbye.clone()))
        .with_alpn(&subprotocol)
        .with_keep_alive(settings.keep_alive())
        .with_session_config(settings.qmux())
        .accept();
    Ok(established(
        session,
        goodbye,
        (path_and_query, Some(remote)),
        draft,
    ))
}

/// Upgrades `stream` (TLS already done) at `url`, offering `drafts`. Put a timeout around it.
pub async fn connect_web_socket<S>(
    stream: S,
    remote: SocketAddr,
    url: &Url,
    drafts: &[Draft],
    settings: &WebSocketSettings,
) -> Result<Connection, UpgradeError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut request = url.as_str().into_client_request().map_err(failed)?;
    let value = http::HeaderValue::from_str(&offer(drafts)).map_err(failed)?;
    request
        .headers_mut()
        .insert(http::header::SEC_WEBSOCKET_PROTOCOL, value);
    let stream = Lingering::new(stream);
    let upgraded = client_async_with_config(request, stream, Some(frame_limits()));
    let (socket, response) = upgraded.await.map_err(failed)?;
    let chosen = response.headers().get(http::header::SEC_WEBSOCKET_PROTOCOL);
    let subprotocol = chosen
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let draft = parse(subprotocol).filter(|draft| drafts.contains(draft));
    let draft = draft.ok_or(UpgradeError::NoDraft)?;
    let goodbye = Goodbye::default();
    let session = Upgraded::new(LastWords::new(socket, goodbye.clone()))
        .with_alpn(subprotocol)
        .with_keep_alive(settings.keep_alive())
        .with_session_config(settings.qmux())
        .connect();
    let path = url.path().to_owned();
    Ok(established(session, goodbye, (path, Some(remote)), draft))
}

pub(super) fn established(
    session: qmux::Session,
    goodbye: Goodbye,
    (path_and_query, remote): (String, Option<SocketAddr>),
    draft: Draft,
) -> Connection {
    let carrier = WebSocket {
        session,
        path_and_query,
        remote,
        goodbye,
    };
    Connection {
        kind: Kind::Qmux(Arc::new(carrier)),
        draft,
    }
}

/// The best draft that is offered, on the newest framing offered with it.
fn choose(request: &server::Request) -> Option<(String, Draft)> {
    let headers = request
        .headers()
        .get_all(http::header::SEC_WEBSOCKET_PROTOCOL);
    let lists = headers.iter().filter_map(|value| value.to_str().ok());
    let offered: Vec<&str> = lists
        .flat_map(|list| list.split(','))
        .map(str::trim)
        .collect();
    let ours = Draft::PREFERRED.into_iter();
    ours.flat_map(|draft| FRAMINGS.map(|framing| (subprotocol(framing, draft), draft)))
        .find(|(name, _)| offered.contains(&name.as_str()))
}

fn offer(drafts: &[Draft]) -> String {
    let names = drafts
        .iter()
        .flat_map(|draft| FRAMINGS.map(|framing| subprotocol(framing, *draft)));
    names.collect::<Vec<_>>().join(", ")
}

fn subprotocol(framing: &str, draft: Draft) -> String {
    format!("{framing}{}", draft.protocol())
}

fn parse(subprotocol: &str) -> Option<Draft> {
    let name = FRAMINGS
        .iter()
        .find_map(|framing| subprotocol.strip_prefix(framing))?;
    Draft::from_protocol(name.as_bytes())
}

fn frame_limits() -> WebSocketConfig {
    WebSocketConfig::default()
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE))
}

fn failed(error: impl std::fmt::Display) -> UpgradeError {
    UpgradeError::Handshake(error.to_string())
}
