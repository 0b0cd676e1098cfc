//! WebTransport over HTTP/3: the CONNECT handshake, close and datagrams. Streams are quinn's own behind a header.

use super::connection::{Connection, Kind};
use super::error::{ConnectionLost, DatagramError, to_quic};
use super::header::quic_varint;
use super::http3::{Asked, Control, Http3, farewell, last_words};
use super::stream::RecvStream;
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::FutureExt;
use meridian_wire::{Draft, TerminationCode};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use url::Url;
use web_transport_quinn::proto::{ConnectRequest, ConnectResponse};

/// HTTP/3 has two QPACK streams a side; anything more is a peer's experiment and may be stopped.
const MAX_FOREIGN: usize = 4;

/// How long at least the peer has to take note of a close before the connection is closed below it.
const FAREWELL: Duration = Duration::from_millis(100);

/// Session 0 as a quarter stream ID, in front of each datagram (RFC 9297 §2.1).
const DATAGRAM_HEAD: u8 = 0;

/// An established WebTransport session.
pub(super) struct WebTransport {
    quic: quinn::Connection,
    path_and_query: String,
    /// Of HTTP/3, which wants them open.
    _control: Control,
    foreign: Mutex<Vec<RecvStream>>,
    /// Our half of the CONNECT stream, until this side closes.
    connect: Mutex<Option<quinn::SendStream>>,
    /// Who has closed, if the session was closed before the connection.
    end: Arc<OnceLock<ConnectionLost>>,
    listener: AbortHandle,
}

impl WebTransport {
    fn new(http3: Http3, url: &Url) -> WebTransport {
        let end = Arc::<OnceLock<ConnectionLost>>::default();
        let listener = listen(http3.connection.clone(), http3.recv, end.clone());
        WebTransport {
            quic: http3.connection,
            path_and_query: path_and_query(url),
            _control: http3.control,
            foreign: Mutex::default(),
            connect: Mutex::new(Some(http3.send)),
            end,
            listener: tokio::spawn(listener).abort_handle(),
        }
    }

    pub(super) fn quic(&self) -> &quinn::Connection {
        &self.quic
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
        let sent = self.quic().send_datagram(framed.freeze());
        sent.map_err(|error| match error {
            quinn::SendDatagramError::ConnectionLost(error) => {
                DatagramError::Lost(self.lost(error))
            }
            error => error.into(),
        })
    }

    pub(super) async fn read_datagram(&self) -> Result<Bytes, ConnectionLost> {
        loop {
            let datagram = self.quic().read_datagram().await;
            let datagram = datagram.map_err(|error| self.lost(error))?;
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

    /// Says goodbye in a capsule on the CONNECT stream, where browsers look for it. HTTP/3's own streams stay until the
    /// peer has heard: the end of one of them would be an error of its own (RFC 9114 §6.2.1).
    pub(super) fn close(self: &Arc<Self>, code: u32, reason: &str) {
        let is_over = self.quic.close_reason().is_some();
        if is_over || self.end.set(ConnectionLost::ClosedLocally).is_err() {
            return;
        }
        let mut connect = self.connect.lock().unwrap_or_else(PoisonError::into_inner);
        match (connect.take(), Handle::try_current()) {
            (Some(send), Ok(runtime)) => {
                let mut parting = Box::pin(self.clone().part(send, code, reason.to_owned()));
                // At once: whatever ends from now on is to come behind it.
                if (&mut parting).now_or_never().is_none() {
                    runtime.spawn(parting);
                }
            }
            _ => self.close_below(code, reason),
        }
    }

    async fn part(self: Arc<Self>, mut send: quinn::SendStream, code: u32, reason: String) {
        let patience = (self.quic.rtt() * 3).max(FAREWELL);
        let told = async {
            // Fails if the peer no longer listens; then the connection's close tells it.
            let _ = send.set_priority(i32::MAX);
            send.write_all(&farewell(code, &reason)).await?;
            send.finish().map_err(|_| quinn::WriteError::ClosedStream)?;
            self.quic.closed().await;
            Ok::<_, quinn::WriteError>(())
        };
        let _ = timeout(patience, told).await;
        self.close_below(code, &reason);
    }

    fn close_below(&self, code: u32, reason: &str) {
        close_below(&self.quic, code, reason);
    }

    /// Why the session is over, if it is.
    pub(super) fn end(&self) -> Option<ConnectionLost> {
        let error = self.quic.close_reason()?;
        Some(self.lost(error))
    }

    /// Why the session is over, given how the connection below has ended. Whoever hears the peer's goodbye closes the
    /// connection on this side, so that what waits there is told only of that.
    pub(super) fn lost(&self, error: quinn::ConnectionError) -> ConnectionLost {
        let end = self.end.get().cloned();
        end.unwrap_or_else(|| error.into())
    }

    pub(super) async fn closed(&self) -> ConnectionLost {
        let error = self.quic.closed().await;
        self.lost(error)
    }
}

impl Drop for WebTransport {
    fn drop(&mut self) {
        self.listener.abort();
        self.close_below(0, "");
    }
}

/// Waits for the peer's goodbye, and answers it by closing the connection below.
async fn listen(
    quic: quinn::Connection,
    recv: quinn::RecvStream,
    end: Arc<OnceLock<ConnectionLost>>,
) {
    let heard = last_words(recv).await;
    if heard.is_none() && quic.close_reason().is_some() {
        // The connection itself is over, and says why.
        return;
    }
    // A CONNECT stream that ends without a word is a close with code 0 (draft-ietf-webtrans-http3 §6).
    let (code, reason) = heard.unwrap_or_default();
    // Fails if this side has closed already.
    let _ = end.set(ConnectionLost::ClosedByPeer {
        code: TerminationCode(u64::from(code)),
        reason: reason.clone(),
    });
    close_below(&quic, code, &reason);
}

/// Closes a connection that is not closed yet: a second close would put itself in the place of the first reason.
fn close_below(quic: &quinn::Connection, code: u32, reason: &str) {
    if quic.close_reason().is_none() {
        quic.close(to_quic(u64::from(code), true), reason.as_bytes());
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
    asked: Asked,
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
        let asked = Asked::read(connection).await.map_err(failed)?;
        let offered = |draft: &Draft| {
            asked
                .request
                .protocols
                .iter()
                .any(|name| name == draft.protocol())
        };
        let draft = Draft::PREFERRED.into_iter().find(offered);
        Ok(WebTransportRequest { asked, draft })
    }

    /// The URL that the client asked for.
    pub fn url(&self) -> &Url {
        &self.asked.request.url
    }

    /// The client's protocols, as it offered them. Some browsers offer none.
    pub fn offered(&self) -> &[String] {
        &self.asked.request.protocols
    }

    /// The draft that would be chosen: the first of ours that the client offers.
    pub fn draft(&self) -> Option<Draft> {
        self.draft
    }

    /// Where the client is.
    pub fn remote_address(&self) -> std::net::SocketAddr {
        self.asked.connection().remote_address()
    }

    /// Accepts on the common draft; without one the request is refused with 400.
    pub async fn accept(self) -> Result<Connection, UpgradeError> {
        let Some(draft) = self.draft else {
            self.reject(http::StatusCode::BAD_REQUEST).await?;
            return Err(UpgradeError::NoDraft);
        };
        let url = self.asked.request.url.clone();
        let response = ConnectResponse::OK.with_protocol(draft.protocol());
        let http3 = self.asked.respond(response).await.map_err(failed)?;
        Ok(established(http3, &url, draft))
    }

    /// Refuses with an HTTP status.
    pub async fn reject(self, status: http::StatusCode) -> Result<(), UpgradeError> {
        self.asked.reject(status).await.map_err(failed)
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
    let opened = Http3::open(connection, &request).await;
    let (http3, response) = opened.map_err(failed)?;
    let chosen = response
        .protocol
        .and_then(|name| Draft::from_protocol(name.as_bytes()));
    match chosen {
        Some(draft) if drafts.contains(&draft) => Ok(established(http3, &url, draft)),
        _ => Err(UpgradeError::NoDraft),
    }
}

fn established(http3: Http3, url: &Url, draft: Draft) -> Connection {
    Connection {
        kind: Kind::WebTransport(Arc::new(WebTransport::new(http3, url))),
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
