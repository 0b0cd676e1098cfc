//! From a URL to an established MoQT session, over any transport, with the time each step took.

use crate::endpoint::{Harbour, QuicSettings};
use crate::session::{Options, RequestStream, SendError, Session, SessionError};
use crate::tls::{self, Trust};
use crate::transport::{
    Connection, ConnectionLost, Transport, UpgradeError, WebSocketSettings, alpn,
    connect_web_socket, connect_web_transport,
};
use meridian_wire::control::Subscribe;
use meridian_wire::param::AuthorizationToken;
use meridian_wire::{Draft, FullTrackName, Message, Parameters, TerminationCode};
use rustls::pki_types::ServerName;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use url::Url;

/// Where to connect and how.
#[derive(Clone, Debug)]
pub struct Dialer {
    /// The edge.
    pub url: Url,
    /// What to connect over.
    pub transport: Transport,
    /// Drafts to offer, the preferred one first.
    pub drafts: Vec<Draft>,
    /// Whom to trust.
    pub trust: Trust,
    /// A JWT, if the edge wants one.
    pub token: Option<String>,
    /// How long all of it may take.
    pub patience: Duration,
    /// Where QUIC connections are dialled from; a socket of its own for each if none.
    pub harbour: Option<Harbour>,
}

impl Dialer {
    /// The same towards where a GOAWAY points (draft-22 §9.2); `None` if it points nowhere, or to what is no edge.
    pub fn toward(&self, uri: &[u8]) -> Option<Dialer> {
        let url = Url::parse(str::from_utf8(uri).ok()?).ok()?;
        let transport = match url.scheme() {
            "moqt" => Transport::Quic,
            "https" => Transport::WebTransport,
            "wss" => Transport::Qmux,
            _ => return None,
        };
        url.host()?;
        Some(Dialer {
            url,
            transport,
            ..self.clone()
        })
    }
}

/// An established session and how long it took.
#[derive(Debug)]
pub struct Dialed {
    /// The session and what carries it.
    pub line: Line,
    /// From the start to a connection that carries MoQT.
    pub connect: Duration,
    /// From there to the peer's SETUP.
    pub setup: Duration,
}

/// A session and what carries it.
#[derive(Clone, Debug)]
pub struct Line {
    /// The session.
    pub session: Session,
    endpoint: Option<quinn::Endpoint>,
}

impl Line {
    /// Ends when nothing has come from the edge for half a second, although this side keeps asking. Never ends over a
    /// WebSocket, whose packets are the kernel's.
    pub async fn silence(self) {
        let connection = self.session.connection();
        if connection.quic().is_none() {
            return std::future::pending().await;
        }
        let mut heard = connection.stats().udp_received_datagrams;
        let mut last = Instant::now();
        loop {
            tokio::time::sleep(LISTEN_EVERY).await;
            let now = connection.stats().udp_received_datagrams;
            if now != heard {
                (heard, last) = (now, Instant::now());
            } else if last.elapsed() >= SILENCE {
                return;
            }
        }
    }

    /// Shows the edge another token of the same holder, so that the session outlives the first one's time: with a question
    /// about a track (TRACK_STATUS, draft-22 §9.17), whose answer comes on what is returned.
    ///
    /// # Errors
    /// The session is over.
    pub async fn show_token(
        &self,
        token: &str,
        about: FullTrackName,
    ) -> Result<RequestStream, SendError> {
        let params = Parameters {
            authorization_tokens: vec![token_parameter(token)],
            ..Parameters::default()
        };
        let ask = |request_id| {
            Message::TrackStatus(Subscribe {
                request_id,
                track: about,
                params,
            })
        };
        self.session.open_request(ask).await
    }

    /// Ends a session whose edge does not answer, without waiting. Should it come back, it knows at once.
    pub fn cut(self) {
        self.session.close(TerminationCode::NO_ERROR, "no answer");
    }

    /// Ends the session and waits, half a second at most, until the edge has been told.
    pub async fn hang_up(self) {
        self.session.close(TerminationCode::NO_ERROR, "done");
        let told = async {
            self.session.closed().await;
            if let Some(endpoint) = &self.endpoint {
                endpoint.wait_idle().await;
            }
        };
        let _ = timeout(GOODBYE_WITHIN, told).await;
    }
}

/// Why there is no session.
#[derive(Debug, Error)]
pub enum DialError {
    /// The host has no address.
    #[error("{host} cannot be resolved: {source}")]
    Resolve {
        /// The host.
        host: String,
        /// What the resolver says.
        source: std::io::Error,
    },
    /// Nothing came back.
    #[error("no answer within {0:?}: is an edge there, and does the network let {1} through?")]
    Silent(Duration, &'static str),
    /// The connection was refused or failed, TLS included.
    #[error("{0}")]
    Connect(String),
    /// The edge's certificate is not trusted.
    #[error("the edge's certificate is not trusted ({0}); check --ca or --cert-hash")]
    Untrusted(String),
    /// The edge speaks none of the drafts offered.
    #[error("the edge speaks none of the drafts offered over this transport")]
    NoDraft,
    /// The edge refuses the token, or wants one.
    #[error("the edge refuses the token: {0}")]
    Refused(String),
    /// MoQT's own handshake failed.
    #[error("the session could not be set up: {0}")]
    Session(SessionError),
}

impl DialError {
    /// Whether trying again later can help.
    pub fn is_lasting(&self) -> bool {
        matches!(
            self,
            DialError::Refused(_) | DialError::NoDraft | DialError::Untrusted(_)
        )
    }
}

/// A connection, and the QUIC endpoint it runs on.
type Carried = (Connection, Option<quinn::Endpoint>);

impl Dialer {
    /// Connects and sets up a session.
    ///
    /// # Errors
    /// [`DialError`].
    pub async fn dial(&self) -> Result<Dialed, DialError> {
        let start = Instant::now();
        let silent = |_| DialError::Silent(self.patience, self.needs());
        let connecting = timeout(self.patience, self.connect()).await;
        let (connection, endpoint) = connecting.map_err(silent)??;
        let connected = Instant::now();
        let session = Session::connect(connection, self.options());
        let session = timeout(self.patience, session).await.map_err(silent)?;
        let session = session.map_err(session_error)?;
        Ok(Dialed {
            line: Line { session, endpoint },
            connect: connected - start,
            setup: connected.elapsed(),
        })
    }

    async fn connect(&self) -> Result<Carried, DialError> {
        match self.transport {
            Transport::Quic => self.quic().await,
            Transport::WebTransport => self.web_transport().await,
            Transport::Qmux => self.web_socket().await.map(|socket| (socket, None)),
        }
    }

    async fn quic(&self) -> Result<Carried, DialError> {
        let (connection, endpoint) = self
            .quic_connection(tls::moqt_protocols(&self.drafts))
            .await?;
        let draft = alpn(&connection).and_then(|name| Draft::from_protocol(&name));
        let draft = draft.ok_or(DialError::NoDraft)?;
        Ok((Connection::from_quic(connection, draft), Some(endpoint)))
    }

    async fn web_transport(&self) -> Result<Carried, DialError> {
        let (connection, endpoint) = self.quic_connection(vec![b"h3".to_vec()]).await?;
        let url = self.url_with_token("https")?;
        let upgraded = connect_web_transport(connection, url, &self.drafts).await;
        Ok((upgraded.map_err(upgrade_error)?, Some(endpoint)))
    }

    async fn web_socket(&self) -> Result<Connection, DialError> {
        let remote = self.resolve().await?;
        let tcp = TcpStream::connect(remote).await.map_err(connect_error)?;
        tcp.set_nodelay(true).map_err(connect_error)?;
        let tls = tls::client(&self.trust, None, vec![b"http/1.1".to_vec()]);
        let connector = TlsConnector::from(Arc::new(tls.map_err(connect_error)?));
        let name = ServerName::try_from(self.host()).map_err(connect_error)?;
        let stream = connector.connect(name, tcp).await.map_err(tls_error)?;
        let (url, settings) = (self.url_with_token("wss")?, WebSocketSettings::default());
        let upgraded = connect_web_socket(stream, remote, &url, &self.drafts, &settings).await;
        upgraded.map_err(upgrade_error)
    }

    async fn quic_connection(
        &self,
        protocols: Vec<Vec<u8>>,
    ) -> Result<(quinn::Connection, quinn::Endpoint), DialError> {
        let remote = self.resolve().await?;
        let settings = QuicSettings {
            max_uni_streams: RECEIVED_STREAMS,
            receive_window: RECEIVED_BYTES,
            stream_receive_window: RECEIVED_BYTES / 2,
            // A vanished edge sends nothing: see [`Line::silence`], which listens for what these packets bring back.
            idle_timeout: Duration::from_secs(3),
            keep_alive: Some(Duration::from_millis(100)),
            ..QuicSettings::client_side()
        };
        let local: SocketAddr = match remote {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let tls = tls::client(&self.trust, None, protocols).map_err(connect_error)?;
        let config = settings.client_config(tls).map_err(connect_error)?;
        let endpoint = match &self.harbour {
            Some(harbour) => harbour.open(&settings, local),
            None => settings.endpoint(local, None),
        };
        let endpoint = endpoint.map_err(connect_error)?;
        let connecting = endpoint.connect_with(config, remote, &self.host());
        let connection = connecting.map_err(connect_error)?.await;
        Ok((connection.map_err(quic_error)?, endpoint))
    }

    async fn resolve(&self) -> Result<SocketAddr, DialError> {
        let host = self.host();
        let port = self.url.port().unwrap_or(443);
        let failed = |source| DialError::Resolve {
            host: host.clone(),
            source,
        };
        let mut found = lookup_host((host.as_str(), port)).await.map_err(failed)?;
        let nothing = || failed(std::io::Error::other("no address"));
        found.next().ok_or_else(nothing)
    }

    /// The host without the brackets of an IPv6 address.
    fn host(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        host.trim_matches(['[', ']']).to_owned()
    }

    fn url_with_token(&self, scheme: &str) -> Result<Url, DialError> {
        let text = format!("{scheme}{}", &self.url.as_str()[self.url.scheme().len()..]);
        let mut url = Url::parse(&text).map_err(connect_error)?;
        if let Some(token) = &self.token {
            url.query_pairs_mut().append_pair("jwt", token);
        }
        Ok(url)
    }

    /// On raw QUIC the URL's path and authority, and the token, travel in SETUP (draft-22 §9.1).
    fn options(&self) -> Options {
        let mut options = Options {
            handshake_timeout: self.patience,
            ..Options::default()
        };
        if self.transport == Transport::Quic {
            let path = match self.url.query() {
                Some(query) => format!("{}?{query}", self.url.path()),
                None => self.url.path().to_owned(),
            };
            let path = if path.starts_with('/') {
                path
            } else {
                format!("/{path}")
            };
            options.setup.path = Some(path.into());
            options.setup.authority = Some(self.url.authority().to_owned().into());
            options.setup.authorization_tokens = self
                .token
                .iter()
                .map(|token| token_parameter(token))
                .collect();
        }
        options
    }

    fn needs(&self) -> &'static str {
        match self.transport {
            Transport::Qmux => "TCP",
            _ => "UDP",
        }
    }
}

/// Keep-alives go out every 100 ms: four may be lost.
const SILENCE: Duration = Duration::from_millis(500);
const LISTEN_EVERY: Duration = Duration::from_millis(50);
/// How long a farewell may take.
const GOODBYE_WITHIN: Duration = Duration::from_millis(500);
/// Streams the edge may have open towards us. Audio is one per 20 ms and track, alive for a round trip and a half: two
/// tracks over 600 ms, after a stall of a second, with room to spare.
const RECEIVED_STREAMS: u32 = 512;
/// Bytes the edge may send ahead: 10 Mbit/s over 300 ms are 375 kB; a joining watcher takes a whole group at once.
const RECEIVED_BYTES: u32 = 4 << 20;

/// Token type 0: agreed out of band (draft-22 §9.20.1).
fn token_parameter(token: &str) -> AuthorizationToken {
    AuthorizationToken::UseValue {
        kind: 0,
        value: token.to_owned().into(),
    }
}

fn session_error(error: SessionError) -> DialError {
    if error.is_refusal() {
        return DialError::Refused(error.to_string());
    }
    match error.code() {
        Some(TerminationCode::VERSION_NEGOTIATION_FAILED) => DialError::NoDraft,
        _ => DialError::Session(error),
    }
}

fn upgrade_error(error: UpgradeError) -> DialError {
    match error {
        UpgradeError::NoDraft => DialError::NoDraft,
        UpgradeError::Handshake(text) if text.contains("401") || text.contains("403") => {
            DialError::Refused(text)
        }
        UpgradeError::Handshake(text) => DialError::Connect(text),
    }
}

/// TLS alerts arrive as QUIC errors 0x100 + alert (RFC 9001 §4.8); 120 is no_application_protocol.
fn quic_error(error: quinn::ConnectionError) -> DialError {
    let code = match &error {
        quinn::ConnectionError::TransportError(error) => u64::from(error.code),
        quinn::ConnectionError::ConnectionClosed(close) => u64::from(close.error_code),
        _ => 0,
    };
    match code {
        0x178 => DialError::NoDraft,
        // bad_certificate to unknown_ca; access_denied: it is not the one whose hash was given
        0x12a..=0x131 => DialError::Untrusted(error.to_string()),
        _ => DialError::Connect(ConnectionLost::from(error).to_string()),
    }
}

fn tls_error(error: std::io::Error) -> DialError {
    let rustls = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match rustls {
        Some(rustls::Error::InvalidCertificate(_)) => DialError::Untrusted(error.to_string()),
        _ => connect_error(error),
    }
}

fn connect_error(error: impl std::fmt::Display) -> DialError {
    DialError::Connect(error.to_string())
}
