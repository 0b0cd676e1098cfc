//! HTTP/3 as far as WebTransport needs it: SETTINGS, one CONNECT, and the capsule that closes a session (RFC 9114, RFC 9220,
//! draft-ietf-webtrans-http3).

use quinn::{Connection, RecvStream, SendStream};
use std::fmt::Display;
use std::time::Duration;
use tokio::time::timeout;
use web_transport_quinn::proto::{
    Capsule, ConnectRequest, ConnectResponse, Frame, Http3CapsuleReader, Settings, VarInt,
};

/// The control streams of both sides. HTTP/3 wants them to live as long as the connection.
pub(super) type Control = (SendStream, RecvStream);

/// A session's HTTP/3 side.
pub(super) struct Http3 {
    pub(super) connection: Connection,
    pub(super) control: Control,
    /// The CONNECT stream: it ends with the session.
    pub(super) send: SendStream,
    pub(super) recv: RecvStream,
}

/// A CONNECT that awaits its answer.
pub(super) struct Asked {
    pub(super) request: ConnectRequest,
    http3: Http3,
}

/// What went wrong, for people.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Failed(String);

fn failed(error: impl Display) -> Failed {
    Failed(error.to_string())
}

/// How long an answer that refuses is on its way.
const REFUSING: Duration = Duration::from_millis(250);

impl Asked {
    /// Reads the client's settings and its CONNECT.
    pub(super) async fn read(connection: Connection) -> Result<Asked, Failed> {
        let control = settings(&connection).await?;
        let (send, mut recv) = connection.accept_bi().await.map_err(failed)?;
        let request = ConnectRequest::read(&mut recv).await.map_err(failed)?;
        let http3 = Http3 {
            connection,
            control,
            send,
            recv,
        };
        Ok(Asked { request, http3 })
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.http3.connection
    }

    /// Answers that the session may begin.
    pub(super) async fn respond(mut self, response: ConnectResponse) -> Result<Http3, Failed> {
        let written = response.write(&mut self.http3.send).await;
        written.map_err(failed)?;
        Ok(self.http3)
    }

    /// Answers that it may not, and waits until the client has read it.
    pub(super) async fn reject(self, status: http::StatusCode) -> Result<(), Failed> {
        let mut http3 = self.respond(ConnectResponse::new(status)).await?;
        // Fails only for a stream that the client has stopped, and with it the answer.
        let _ = http3.send.finish();
        let _ = timeout(REFUSING, http3.send.stopped()).await;
        Ok(())
    }
}

impl Http3 {
    /// Asks for a session.
    pub(super) async fn open(
        connection: Connection,
        request: &ConnectRequest,
    ) -> Result<(Http3, ConnectResponse), Failed> {
        let control = settings(&connection).await?;
        let (mut send, mut recv) = connection.open_bi().await.map_err(failed)?;
        request.write(&mut send).await.map_err(failed)?;
        let response = ConnectResponse::read(&mut recv).await.map_err(failed)?;
        if response.status != http::StatusCode::OK {
            return Err(failed(format!("http error status: {}", response.status)));
        }
        let http3 = Http3 {
            connection,
            control,
            send,
            recv,
        };
        Ok((http3, response))
    }
}

/// Exchanges SETTINGS.
async fn settings(connection: &Connection) -> Result<Control, Failed> {
    let say = async {
        let mut send = connection.open_uni().await.map_err(failed)?;
        let mut settings = Settings::default();
        settings.enable_webtransport(1);
        settings.write(&mut send).await.map_err(failed)?;
        Ok(send)
    };
    let hear = async {
        let mut recv = connection.accept_uni().await.map_err(failed)?;
        let settings = Settings::read(&mut recv).await.map_err(failed)?;
        match settings.supports_webtransport() {
            0 => Err(failed("the peer does not support WebTransport")),
            _ => Ok(recv),
        }
    };
    tokio::try_join!(say, hear)
}

/// What ends a session on its CONNECT stream: WT_CLOSE_SESSION in a DATA frame (RFC 9297 §3.2).
pub(super) fn farewell(code: u32, reason: &str) -> Vec<u8> {
    let mut capsule = Vec::new();
    let reason = reason.to_owned();
    Capsule::CloseWebTransportSession { code, reason }.encode(&mut capsule);
    let mut frame = Vec::new();
    Frame::DATA.encode(&mut frame);
    let length = VarInt::try_from(capsule.len()).expect("a length");
    length.encode(&mut frame);
    frame.extend_from_slice(&capsule);
    frame
}

/// Reads a CONNECT stream to its end: the code and the words of a close, or nothing if it ended without.
pub(super) async fn last_words(recv: RecvStream) -> Option<(u32, String)> {
    let mut capsules = Http3CapsuleReader::new(recv);
    loop {
        match capsules.read().await {
            Ok(Some(Capsule::CloseWebTransportSession { code, reason })) => {
                return Some((code, reason));
            }
            // Others may be sent by whoever knows more.
            Ok(Some(_)) => {}
            Ok(None) => return None,
            Err(error) => {
                tracing::debug!(%error, "a CONNECT stream broke off");
                return None;
            }
        }
    }
}
