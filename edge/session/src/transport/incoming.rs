//! What a QUIC connection just accepted turns out to carry, by its ALPN.

use super::connection::Connection;
use super::web_transport::{UpgradeError, WebTransportRequest};
use meridian_wire::{Draft, TerminationCode};

/// An accepted QUIC connection.
pub enum Incoming {
    /// MoQT on raw QUIC: ready for [`Session::accept`](crate::session::Session::accept).
    Quic(Connection),
    /// A WebTransport request to accept or reject.
    WebTransport(Box<WebTransportRequest>),
}

impl Incoming {
    /// Tells raw QUIC from WebTransport. For the latter it reads the CONNECT request: put a timeout around it.
    ///
    /// # Errors
    /// The handshake of HTTP/3 fails, or the ALPN is none of ours (the connection is then closed).
    pub async fn read(connection: quinn::Connection) -> Result<Incoming, UpgradeError> {
        let alpn = alpn(&connection).unwrap_or_default();
        if alpn == web_transport_quinn::ALPN.as_bytes() {
            let request = WebTransportRequest::read(connection).await?;
            return Ok(Incoming::WebTransport(Box::new(request)));
        }
        match Draft::from_protocol(&alpn) {
            Some(draft) => Ok(Incoming::Quic(Connection::from_quic(connection, draft))),
            None => {
                let code = TerminationCode::VERSION_NEGOTIATION_FAILED.0 as u32;
                connection.close(code.into(), b"no common MoQT draft");
                Err(UpgradeError::NoDraft)
            }
        }
    }

    /// Accepts whatever it is.
    pub async fn accept(self) -> Result<Connection, UpgradeError> {
        match self {
            Incoming::Quic(connection) => Ok(connection),
            Incoming::WebTransport(request) => request.accept().await,
        }
    }
}

/// The protocol that TLS agreed on.
pub fn alpn(connection: &quinn::Connection) -> Option<Vec<u8>> {
    let data = connection.handshake_data()?;
    let data = data
        .downcast::<quinn::crypto::rustls::HandshakeData>()
        .ok()?;
    data.protocol
}
