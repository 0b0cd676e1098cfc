//! One connection for every transport.

use super::error::{ConnectionLost, DatagramError, StreamError, to_quic};
use super::header::{self, HeadReader};
use super::qmux::{QmuxRecv, QmuxSend};
use super::quic::{QuicRecv, QuicSend};
use super::stats::ConnectionStats;
use super::stream::{RecvStream, SendStream};
use super::web_socket::WebSocket;
use super::web_transport::WebTransport;
use bytes::Bytes;
use futures_util::FutureExt;
use meridian_wire::{Draft, TerminationCode};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use web_transport_quinn::generic::{Session as _, Stats as _};

/// A connection that carries one MoQT session. Clones are the same connection; dropping the last closes it.
#[derive(Clone, Debug)]
pub struct Connection {
    pub(super) kind: Kind,
    pub(super) draft: Draft,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Quic(quinn::Connection),
    WebTransport(Arc<WebTransport>),
    Qmux(Arc<WebSocket>),
}

/// What a connection runs over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// MoQT directly on QUIC.
    Quic,
    /// WebTransport over HTTP/3.
    WebTransport,
    /// qmux over a secure WebSocket, or between two threads.
    Qmux,
}

impl Transport {
    /// A short name for logs and labels.
    pub const fn name(self) -> &'static str {
        match self {
            Transport::Quic => "quic",
            Transport::WebTransport => "webtransport",
            Transport::Qmux => "qmux",
        }
    }
}

impl Connection {
    /// A connection of raw QUIC on which `draft` was negotiated by ALPN.
    pub fn from_quic(connection: quinn::Connection, draft: Draft) -> Connection {
        Connection {
            kind: Kind::Quic(connection),
            draft,
        }
    }

    /// The draft that the handshake agreed on.
    pub fn draft(&self) -> Draft {
        self.draft
    }

    /// What it runs over.
    pub fn transport(&self) -> Transport {
        match &self.kind {
            Kind::Quic(_) => Transport::Quic,
            Kind::WebTransport(_) => Transport::WebTransport,
            Kind::Qmux(_) => Transport::Qmux,
        }
    }

    /// Whether it joins two threads of this process (see [`in_process`](super::in_process())).
    pub fn is_in_process(&self) -> bool {
        matches!(&self.kind, Kind::Qmux(carrier) if carrier.is_in_process())
    }

    /// The QUIC connection below, if there is one.
    pub fn quic(&self) -> Option<&quinn::Connection> {
        match &self.kind {
            Kind::Quic(connection) => Some(connection),
            Kind::WebTransport(carrier) => Some(carrier.quic()),
            Kind::Qmux(_) => None,
        }
    }

    /// Path and query that the client asked for when it upgraded; `None` on raw QUIC, where SETUP says it.
    pub fn path_and_query(&self) -> Option<&str> {
        match &self.kind {
            Kind::Quic(_) => None,
            Kind::WebTransport(carrier) => Some(carrier.path_and_query()),
            Kind::Qmux(carrier) => Some(carrier.path_and_query()),
        }
    }

    /// Opens a unidirectional stream if the peer's credit allows one now.
    ///
    /// # Errors
    /// The connection is lost.
    pub fn try_open_uni(&self) -> Result<Option<SendStream>, ConnectionLost> {
        self.open_uni().now_or_never().transpose()
    }

    /// Opens a unidirectional stream, waiting for credit. Safe to drop.
    pub async fn open_uni(&self) -> Result<SendStream, ConnectionLost> {
        Ok(match &self.kind {
            Kind::Quic(quic) => SendStream::quic(QuicSend::raw(quic.open_uni().await?)),
            Kind::WebTransport(carrier) => {
                let opened = carrier.quic().open_uni().await;
                let stream = opened.map_err(|error| carrier.lost(error))?;
                SendStream::quic(QuicSend::web_transport(stream, header::UNI))
            }
            Kind::Qmux(carrier) => {
                let opened = carrier.session().open_uni().await;
                let stream = opened.map_err(|error| carrier.lost(error))?;
                SendStream::qmux(QmuxSend::new(stream))
            }
        })
    }

    /// Opens a bidirectional stream, waiting for credit. Safe to drop.
    pub async fn open_bi(&self) -> Result<(SendStream, RecvStream), ConnectionLost> {
        Ok(match &self.kind {
            Kind::Quic(quic) => raw_pair(quic.open_bi().await?),
            Kind::WebTransport(carrier) => {
                let opened = carrier.quic().open_bi().await;
                let (send, recv) = opened.map_err(|error| carrier.lost(error))?;
                (
                    SendStream::quic(QuicSend::web_transport(send, header::BIDI)),
                    RecvStream::quic(QuicRecv::web_transport(recv, None)),
                )
            }
            Kind::Qmux(carrier) => {
                let opened = carrier.session().open_bi().await;
                qmux_pair(opened.map_err(|error| carrier.lost(error))?)
            }
        })
    }

    /// The peer's next unidirectional stream. Safe to drop.
    pub async fn accept_uni(&self) -> Result<RecvStream, ConnectionLost> {
        Ok(match &self.kind {
            Kind::Quic(quic) => RecvStream::quic(QuicRecv::raw(quic.accept_uni().await?)),
            Kind::WebTransport(carrier) => {
                let accepted = carrier.quic().accept_uni().await;
                let stream = accepted.map_err(|error| carrier.lost(error))?;
                RecvStream::quic(QuicRecv::web_transport(stream, Some(HeadReader::uni())))
            }
            Kind::Qmux(carrier) => {
                let accepted = carrier.session().accept_uni().await;
                let stream = accepted.map_err(|error| carrier.lost(error))?;
                RecvStream::qmux(QmuxRecv::new(stream))
            }
        })
    }

    /// The peer's next bidirectional stream. Safe to drop.
    pub async fn accept_bi(&self) -> Result<(SendStream, RecvStream), ConnectionLost> {
        Ok(match &self.kind {
            Kind::Quic(quic) => raw_pair(quic.accept_bi().await?),
            Kind::WebTransport(carrier) => {
                let accepted = carrier.quic().accept_bi().await;
                let (send, recv) = accepted.map_err(|error| carrier.lost(error))?;
                (
                    SendStream::quic(QuicSend::web_transport(send, &[])),
                    RecvStream::quic(QuicRecv::web_transport(recv, Some(HeadReader::bidi()))),
                )
            }
            Kind::Qmux(carrier) => {
                let accepted = carrier.session().accept_bi().await;
                qmux_pair(accepted.map_err(|error| carrier.lost(error))?)
            }
        })
    }

    /// Sends a datagram. When the send buffer is full the transport drops the oldest.
    pub fn send_datagram(&self, datagram: Bytes) -> Result<(), DatagramError> {
        match &self.kind {
            Kind::Quic(quic) => quic.send_datagram(datagram).map_err(DatagramError::from),
            Kind::WebTransport(carrier) => carrier.send_datagram(&datagram),
            Kind::Qmux(carrier) => carrier.send_datagram(datagram),
        }
    }

    /// The next datagram. Safe to drop.
    pub async fn read_datagram(&self) -> Result<Bytes, ConnectionLost> {
        match &self.kind {
            Kind::Quic(quic) => Ok(quic.read_datagram().await?),
            Kind::WebTransport(carrier) => carrier.read_datagram().await,
            Kind::Qmux(carrier) => {
                let datagram = carrier.session().recv_datagram().await;
                datagram.map_err(|error| carrier.lost(error))
            }
        }
    }

    /// The largest datagram in bytes that the path carries now; 0 if the peer takes none.
    pub fn max_datagram_size(&self) -> usize {
        match &self.kind {
            Kind::Quic(quic) => quic.max_datagram_size().unwrap_or(0),
            Kind::WebTransport(carrier) => carrier.max_datagram_size(),
            Kind::Qmux(carrier) => carrier.session().max_datagram_size(),
        }
    }

    /// Closes the connection at once; what was not sent is lost. Only the first close counts.
    pub fn close(&self, code: TerminationCode, reason: &str) {
        let short = u32::try_from(code.0).unwrap_or(u32::MAX);
        match &self.kind {
            Kind::Quic(quic) => quic.close(to_quic(code.0, false), reason.as_bytes()),
            Kind::WebTransport(carrier) => carrier.close(short, reason),
            Kind::Qmux(carrier) => carrier.close(short, reason),
        }
    }

    /// Waits for the connection's end and tells its reason.
    pub async fn closed(&self) -> ConnectionLost {
        match &self.kind {
            Kind::Quic(quic) => quic.closed().await.into(),
            Kind::WebTransport(carrier) => carrier.closed().await,
            Kind::Qmux(carrier) => carrier.closed().await,
        }
    }

    /// Why it has ended, if it has.
    pub fn end(&self) -> Option<ConnectionLost> {
        match &self.kind {
            Kind::Quic(quic) => quic.close_reason().map(ConnectionLost::from),
            Kind::WebTransport(carrier) => carrier.end(),
            Kind::Qmux(carrier) => carrier.end(),
        }
    }

    /// Keeps `what` until the connection has ended: a close takes a moment over WebTransport, and streams that broke off
    /// before it would look like a mistake to the peer.
    pub(crate) fn keep_until_end(&self, what: impl Send + 'static) {
        if self.end().is_some() {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let connection = self.clone();
            runtime.spawn(async move {
                connection.closed().await;
                drop(what);
            });
        }
    }

    /// Where the peer is. It may change when a client migrates; within a process it is nowhere: `0.0.0.0:0`.
    pub fn remote_address(&self) -> SocketAddr {
        match &self.kind {
            Kind::Quic(quic) => quic.remote_address(),
            Kind::WebTransport(carrier) => carrier.quic().remote_address(),
            Kind::Qmux(carrier) => carrier.remote_address(),
        }
    }

    /// The estimated round-trip time; zero while a WebSocket has not measured it.
    pub fn rtt(&self) -> Duration {
        match &self.kind {
            Kind::Quic(quic) => quic.rtt(),
            Kind::WebTransport(carrier) => carrier.quic().rtt(),
            Kind::Qmux(carrier) => carrier.session().stats().rtt().unwrap_or_default(),
        }
    }

    /// Counters of the path; all but the round-trip time are zero on a WebSocket.
    pub fn stats(&self) -> ConnectionStats {
        match self.quic() {
            Some(quic) => ConnectionStats::from(&quic.stats()),
            None => ConnectionStats {
                rtt: self.rtt(),
                ..ConnectionStats::default()
            },
        }
    }

    /// The peer's certificate chain, leaf first, where the handshake verified one (mTLS).
    pub fn peer_certificates(&self) -> Vec<rustls::pki_types::CertificateDer<'static>> {
        let identity = self.quic().and_then(|quic| quic.peer_identity());
        identity
            .and_then(|any| any.downcast().ok())
            .map(|chain| *chain)
            .unwrap_or_default()
    }

    /// Changes how many unidirectional streams the peer may have open at once. Lowering revokes nothing, and a WebSocket's
    /// limit is fixed.
    pub fn set_max_uni_streams(&self, count: u32) {
        if let Some(quic) = self.quic() {
            quic.set_max_concurrent_uni_streams(quinn::VarInt::from_u32(count));
        }
    }

    /// Keeps a stream of the HTTP/3 layer open, as that protocol wants of its QPACK streams; gives it back where there is
    /// no such layer, or too many are kept.
    pub(crate) fn keep_foreign(&self, stream: RecvStream) -> Result<(), RecvStream> {
        match &self.kind {
            Kind::WebTransport(carrier) => carrier.keep_foreign(stream),
            _ => Err(stream),
        }
    }
}

fn raw_pair((send, recv): (quinn::SendStream, quinn::RecvStream)) -> (SendStream, RecvStream) {
    (
        SendStream::quic(QuicSend::raw(send)),
        RecvStream::quic(QuicRecv::raw(recv)),
    )
}

fn qmux_pair((send, recv): (qmux::SendStream, qmux::RecvStream)) -> (SendStream, RecvStream) {
    (
        SendStream::qmux(QmuxSend::new(send)),
        RecvStream::qmux(QmuxRecv::new(recv)),
    )
}

impl From<quinn::SendDatagramError> for DatagramError {
    fn from(error: quinn::SendDatagramError) -> DatagramError {
        match error {
            quinn::SendDatagramError::TooLarge => DatagramError::TooLarge,
            quinn::SendDatagramError::ConnectionLost(error) => DatagramError::Lost(error.into()),
            quinn::SendDatagramError::UnsupportedByPeer | quinn::SendDatagramError::Disabled => {
                DatagramError::Unsupported
            }
        }
    }
}

impl From<ConnectionLost> for std::io::Error {
    fn from(error: ConnectionLost) -> std::io::Error {
        std::io::Error::other(error)
    }
}

// Keeps the compiler's eye on what tasks rely on.
const _: fn() = || {
    fn movable<T: Send + Sync>() {}
    movable::<Connection>();
    movable::<StreamError>();
};
