//! WebTransport over HTTP/3: the CONNECT handshake, close and datagrams. Streams are quinn's own behind a header.

use super::connection::{Connection, Kind};
use super::error::{ConnectionLost, DatagramError, from_http3};
use super::header::quic_varint;
use super::stream::RecvStream;
use bytes::{BufMut, Bytes, BytesMut};
use meridian_wire::{Draft, TerminationCode};
use std::sync::{Arc, Mutex, PoisonError};
use url::Url;
use web_transport_quinn::proto::{ConnectRequest, ConnectResponse};
use web_transport_quinn::{Request, Session, SessionError, WebTransportError};

/// HTTP/3 has two QPACK streams a side; anything more is a peer's experiment and may be stopped.
const MAX_FOREIGN: usize = 4;

/// Session 0 as a quarter stream ID, in front of each datagram (RFC 9297 §2.1).
const DATAGRAM_HEAD: u8 = 0;

/// An established WebTransport session.
pub(super) struct WebTransport {
    session: Session,
    path_and_query: String,
    foreign: Mutex<Vec<RecvStream>>,
}

impl WebTransport {
    fn new(session: Session, url: &Url) -> WebTransport {
        WebTransport {
            session,
            path_and_query: path_and_query(url),
            foreign: Mutex::default(),
        }
    }

    pub(super) fn quic(&self) -> &quinn::Connection {
        &self.session
    }

    pub(super) fn path_and_query(&self) -> &str {
        &self.path_and_query
    }

    pub(super) fn keep_foreign(&self, stream: RecvStream) -> Result<(), RecvStream> {
        let mut foreign = self.foreign.lock().unwrap_or_else(PoisonError::into_inner);
        if foreign.len() == MAX_FOREIGN {
            return Err(stream);
        }
        foreign.push(stream);
        Ok(())
    }

    pub(super) fn send_datagram(&self, datagram: &[u8]) -> Result<(), DatagramError> {
        let mut framed = BytesMut::with_capacity(datagram.len() + 1);
        framed.put_u8(DATAGRAM_HEAD);
        framed.extend_from_slice(datagram);
        Ok(self.quic().send_datagram(framed.freeze())?)
    }

    pub(super) async fn read_datagram(&self) -> Result<Bytes, ConnectionLost> {
        loop {
            let datagram = self.quic().read_datagram().await?;
            // Those of other sessions are none of ours, and datagrams may get lost anyway.
            if let Some((0, payload)) = quic_varint(&datagram) {
                return Ok(datagram.slice_ref(payload));
            }
        }
    }

    pub(super) fn max_datagram_size(&self) -> usize {
        self.quic()
            .max_datagram_size()
            .unwrap_or(0)
            .saturating_sub(1)
    }

    pub(super) fn close(&self, code: u32, reason: &str) {
        self.session.close(code, reason.as_bytes());
    }

    pub(super) async fn closed(&self) -> ConnectionLost {
        match self.session.closed().await {
            SessionError::ConnectionError(error) => error.into(),
            SessionError::WebTransportError(WebTransportError::Closed(code, reason)) => {
                let code = TerminationCode(from_http3(u64::from(code)));
                ConnectionLost::ClosedByPeer { code, reason }
            }
            other => ConnectionLost::Transport(other.to_string()),
        }
    }
}

impl std::fmt::Debug for WebTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("WebTransport")
            .field(&self.path_and_query)
            .finish()
    }
}

/// A client's CONNECT that awaits its answer.
pub struct WebTransportRequest {
    request: Request,
    draft: Option<Draft>,
}

/// Why no WebTransport session came about.
#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    /// The peer offered or chose none of our drafts.
    #[error("no common MoQT draft")]
    NoDraft,
    /// HTTP/3 or the CONNECT failed.
    #[error("WebTransport handshake failed: {0}")]
    Handshake(String),
}

impl WebTransportRequest {
    /// Reads HTTP/3 settings and the CONNECT request. Put a timeout around it.
    pub(super) async fn read(connection: quinn::Connection) -> Result<Self, UpgradeError> {
        let request = Request::accept(connection).await.map_err(failed)?;
        let offered = |draft: &Draft| {
            request
                .protocols
                .iter()
                .any(|name| name == draft.protocol())
        };
        let draft = Draft::PREFERRED.into_iter().find(offered);
        Ok(WebTransportRequest { request, draft })
    }

    /// The URL that the client asked for.
    pub fn url(&self) -> &Url {
        &self.request.url
    }

    /// The client's protocols, as it offered them. Some browsers offer none.
    pub fn offered(&self) -> &[String] {
        &self.request.protocols
    }

    /// The draft that would be chosen: the first of ours that the client offers.
    pub fn draft(&self) -> Option<Draft> {
        self.draft
    }

    /// Where the client is.
    pub fn remote_address(&self) -> std::net::SocketAddr {
        self.request.conn().remote_address()
    }

    /// Accepts on the common draft; without one the request is refused with 400.
    pub async fn accept(self) -> Result<Connection, UpgradeError> {
        let Some(draft) = self.draft else {
            self.reject(http::StatusCode::BAD_REQUEST).await?;
            return Err(UpgradeError::NoDraft);
        };
        let url = self.request.url.clone();
        let response = ConnectResponse::OK.with_protocol(draft.protocol());
        let session = self.request.respond(response).await.map_err(failed)?;
        Ok(established(session, &url, draft))
    }

    /// Refuses with an HTTP status.
    pub async fn reject(self, status: http::StatusCode) -> Result<(), UpgradeError> {
        self.request.reject(status).await.map_err(failed)
    }
}

/// Opens a WebTransport session on a fresh connection with ALPN `h3`, offering `drafts`.
pub async fn connect_web_transport(
    connection: quinn::Connection,
    url: Url,
    drafts: &[Draft],
) -> Result<Connection, UpgradeError> {
    let offered = drafts.iter().map(|draft| draft.protocol().to_owned());
    let request = ConnectRequest::new(url.clone()).with_protocols(offered);
    let session = Session::connect(connection, request)
        .await
        .map_err(failed)?;
    let chosen = session
        .protocol()
        .and_then(|name| Draft::from_protocol(name.as_bytes()));
    match chosen {
        Some(draft) if drafts.contains(&draft) => Ok(established(session, &url, draft)),
        _ => Err(UpgradeError::NoDraft),
    }
}

fn established(session: Session, url: &Url, draft: Draft) -> Connection {
    Connection {
        kind: Kind::WebTransport(Arc::new(WebTransport::new(session, url))),
        draft,
    }
}

fn failed(error: impl std::fmt::Display) -> UpgradeError {
    UpgradeError::Handshake(error.to_string())
}

fn path_and_query(url: &Url) -> String {
    match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    }
}
