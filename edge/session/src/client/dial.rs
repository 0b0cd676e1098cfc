//! From a URL to a client.

use super::Client;
use crate::endpoint::QuicSettings;
use crate::session::{Options, Session, SessionError};
use crate::tls::{self, Identity, TlsError, Trust};
use crate::transport::{
    Connection, UpgradeError, WebSocketSettings, alpn, connect_web_socket, connect_web_transport,
};
use bytes::Bytes;
use meridian_wire::Draft;
use meridian_wire::param::AuthorizationToken;
use rustls::pki_types::ServerName;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

/// What to connect over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TransportChoice {
    /// By the URL's scheme: `moqt` raw QUIC, `https` WebTransport, `wss` qmux.
    #[default]
    ByScheme,
    /// Raw QUIC.
    Quic,
    /// WebTransport.
    WebTransport,
    /// qmux over a secure WebSocket.
    WebSocket,
}

/// How a client connects.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// What to connect over.
    pub transport: TransportChoice,
    /// Drafts to offer, the preferred first.
    pub drafts: Vec<Draft>,
    /// Whom to trust.
    pub trust: Trust,
    /// What to show when asked for a certificate.
    pub identity: Option<Identity>,
    /// A token (type, value) to show in SETUP.
    pub token: Option<(u64, Bytes)>,
    /// The session's settings; path and authority are set from the URL.
    pub session: Options,
    /// The QUIC endpoint's settings.
    pub quic: QuicSettings,
    /// The WebSocket's settings.
    pub web_socket: WebSocketSettings,
    /// How long the connection may take, without SETUP.
    pub patience: Duration,
}

impl Default for ClientOptions {
    fn default() -> ClientOptions {
        ClientOptions {
            transport: TransportChoice::default(),
            drafts: Draft::PREFERRED.to_vec(),
            trust: Trust::Authorities(Vec::new()),
            identity: None,
            token: None,
            session: Options::default(),
            quic: QuicSettings::client_side(),
            web_socket: WebSocketSettings::default(),
            patience: Duration::from_secs(10),
        }
    }
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The URL has no host, or a scheme that names no transport.
    #[error("{0}: not a URL to connect to")]
    Url(Url),
    /// The host has no address, or nothing could be bound.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// TLS cannot be set up as asked.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The connection failed.
    #[error("{0}")]
    Connection(#[from] quinn::ConnectionError),
    /// The connection could not be begun.
    #[error("{0}")]
    Connect(#[from] quinn::ConnectError),
    /// HTTP/3 or WebSocket failed, or there is no common draft.
    #[error(transparent)]
    Upgrade(#[from] UpgradeError),
    /// Nothing came back in time.
    #[error("no answer in time")]
    Silent,
    /// SETUP failed.
    #[error(transparent)]
    Session(#[from] SessionError),
}

/// Connects once. For many connections keep a [`Dialler`].
pub async fn connect(url: &Url, options: &ClientOptions) -> Result<Client, ConnectError> {
    Dialler::new(options.clone())?.connect(url).await
}

/// Connects any number of clients through one UDP socket.
pub struct Dialler {
    options: ClientOptions,
    endpoint: quinn::Endpoint,
    raw: quinn::ClientConfig,
    http3: quinn::ClientConfig,
    tcp: TlsConnector,
}

impl std::fmt::Debug for Dialler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dialler")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Dialler {
    /// Binds a socket. Must run inside a tokio runtime.
    pub fn new(options: ClientOptions) -> Result<Dialler, ConnectError> {
        let config = |protocols| tls::client(&options.trust, options.identity.clone(), protocols);
        let quic = |protocols| {
            let config = options.quic.client_config(config(protocols)?);
            // The suites are fixed, and QUIC's is among them.
            config.map_err(|error| TlsError::from(rustls::Error::General(error.to_string())))
        };
        Ok(Dialler {
            raw: quic(tls::moqt_protocols(&options.drafts))?,
            http3: quic(vec![b"h3".to_vec()])?,
            tcp: TlsConnector::from(Arc::new(config(vec![b"http/1.1".to_vec()])?)),
            endpoint: bind(&options.quic)?,
            options,
        })
    }

    /// Connects and sets up a session.
    pub async fn connect(&self, url: &Url) -> Result<Client, ConnectError> {
        let connecting = tokio::time::timeout(self.options.patience, self.connection(url));
        let connection = connecting.await.map_err(|_| ConnectError::Silent)??;
        let session = Session::connect(connection, self.session_options(url)).await?;
        Ok(Client::new(session))
    }

    /// Connects the transport only. Put a timeout around it.
    pub async fn connection(&self, url: &Url) -> Result<Connection, ConnectError> {
        let wrong = || ConnectError::Url(url.clone());
        let transport = match (self.options.transport, url.scheme()) {
            (TransportChoice::ByScheme, "moqt") => TransportChoice::Quic,
            (TransportChoice::ByScheme, "https") => TransportChoice::WebTransport,
            (TransportChoice::ByScheme, "wss") => TransportChoice::WebSocket,
            (TransportChoice::ByScheme, _) => return Err(wrong()),
            (choice, _) => choice,
        };
        let address = resolve(url).await?.ok_or_else(wrong)?;
        match transport {
            TransportChoice::WebTransport => self.web_transport(url, address).await,
            TransportChoice::WebSocket => self.web_socket(url, address).await,
            TransportChoice::Quic | TransportChoice::ByScheme => self.quic(url, address).await,
        }
    }

    async fn quic(&self, url: &Url, address: SocketAddr) -> Result<Connection, ConnectError> {
        let connection = self.dial(&self.raw, url, address).await?;
        let draft = alpn(&connection).and_then(|name| Draft::from_protocol(&name));
        let draft = draft.ok_or(UpgradeError::NoDraft)?;
        Ok(Connection::from_quic(connection, draft))
    }

    async fn web_transport(
        &self,
        url: &Url,
        address: SocketAddr,
    ) -> Result<Connection, ConnectError> {
        let connection = self.dial(&self.http3, url, address).await?;
        let url = with_scheme(url, "https")?;
        Ok(connect_web_transport(connection, url, &self.options.drafts).await?)
    }

    async fn dial(
        &self,
        config: &quinn::ClientConfig,
        url: &Url,
        address: SocketAddr,
    ) -> Result<quinn::Connection, ConnectError> {
        let address = match self.endpoint.local_addr()?.is_ipv6() {
            true => mapped(address),
            false => address,
        };
        let connecting = self
            .endpoint
            .connect_with(config.clone(), address, &server_name(url));
        Ok(connecting?.await?)
    }

    async fn web_socket(&self, url: &Url, address: SocketAddr) -> Result<Connection, ConnectError> {
        let name = ServerName::try_from(server_name(url));
        let name = name.map_err(|_| ConnectError::Url(url.clone()))?;
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let stream = self.tcp.connect(name, stream).await?;
        let url = with_scheme(url, "wss")?;
        let (drafts, settings) = (&self.options.drafts, &self.options.web_socket);
        Ok(connect_web_socket(stream, address, &url, drafts, settings).await?)
    }

    fn session_options(&self, url: &Url) -> Options {
        let mut options = self.options.session.clone();
        let path = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        options.setup.path = Some(path.into());
        options.setup.authority = Some(authority(url).into());
        if let Some((kind, value)) = self.options.token.clone() {
            let token = AuthorizationToken::UseValue { kind, value };
            options.setup.authorization_tokens.push(token);
        }
        options
    }
}

/// Both IP versions where the system has them.
fn bind(settings: &QuicSettings) -> std::io::Result<quinn::Endpoint> {
    let both = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    let one = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    settings
        .endpoint(both, None)
        .or_else(|_| settings.endpoint(one, None))
}

/// IPv4 as an IPv6 socket takes it.
fn mapped(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) => (v4.ip().to_ipv6_mapped(), v4.port()).into(),
        v6 => v6,
    }
}

async fn resolve(url: &Url) -> std::io::Result<Option<SocketAddr>> {
    let port = url.port().unwrap_or(443);
    Ok(match host(url) {
        Some(Host::Ipv4(ip)) => Some((ip, port).into()),
        Some(Host::Ipv6(ip)) => Some((ip, port).into()),
        Some(Host::Domain(name)) => {
            let mut found = tokio::net::lookup_host((name, port)).await?;
            found.next()
        }
        None => None,
    })
}

/// The host with addresses told from names, which `url` does by itself for well-known schemes only.
fn host(url: &Url) -> Option<Host<String>> {
    Host::parse(url.host_str()?).ok()
}

fn server_name(url: &Url) -> String {
    match host(url) {
        Some(Host::Ipv6(ip)) => ip.to_string(),
        Some(host) => host.to_string(),
        None => String::new(),
    }
}

fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// `moqt` URLs become those of the transport that carries them (draft-22 §6.1.3).
fn with_scheme(url: &Url, scheme: &str) -> Result<Url, ConnectError> {
    let (_, rest) = url.as_str().split_once(':').unwrap_or_default();
    Url::parse(&format!("{scheme}:{rest}")).map_err(|_| ConnectError::Url(url.clone()))
}
