//! The door for networks that block UDP: qmux over secure WebSocket (R6).

use crate::clients::Entrance;
use crate::crowd::Count;
use crate::entries::Entry;
use meridian_session::tls::{self, Identity};
use meridian_session::transport::{Connection, UpgradeError, WebSocketSettings, accept_web_socket};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// How long TLS and the upgrade may take together.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Handshakes in progress beyond which nobody is let in.
const MAX_HANDSHAKES: usize = 1024;

/// TLS as WebSockets want it.
pub(crate) fn acceptor(identity: Identity) -> anyhow::Result<TlsAcceptor> {
    let tls = tls::server(identity, vec![b"http/1.1".to_vec()])?;
    Ok(TlsAcceptor::from(Arc::new(tls)))
}

pub(crate) fn listen(
    entrance: &Entrance,
    listener: std::net::TcpListener,
    acceptor: TlsAcceptor,
) -> anyhow::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    tokio::task::spawn_local(take_connections(entrance.clone(), listener, acceptor));
    Ok(())
}

async fn take_connections(entrance: Entrance, listener: TcpListener, acceptor: TlsAcceptor) {
    loop {
        match listener.accept().await {
            Ok((stream, remote)) if entrance.crowd.handshakes() < MAX_HANDSHAKES => {
                let handshake = entrance.crowd.handshake();
                let (entrance, acceptor) = (entrance.clone(), acceptor.clone());
                tokio::task::spawn_local(enter(entrance, acceptor, stream, remote, handshake));
            }
            Ok(_) => entrance.entries.count(Entry::Busy),
            // Out of file descriptors, most likely: the next try waits until some have been closed.
            Err(error) => {
                tracing::warn!(%error, "a TCP connection was not accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn enter(
    entrance: Entrance,
    acceptor: TlsAcceptor,
    stream: TcpStream,
    remote: SocketAddr,
    handshake: Count,
) {
    let connected = tokio::time::timeout(HANDSHAKE, async {
        // Small frames are not to wait for others (Nagle).
        stream.set_nodelay(true)?;
        let stream = acceptor.accept(stream).await?;
        let settings = WebSocketSettings::default();
        anyhow::Ok::<Connection>(accept_web_socket(stream, remote, &settings).await?)
    });
    match connected.await {
        Ok(Ok(connection)) => {
            drop(handshake);
            entrance.admit(connection).await;
        }
        Ok(Err(error)) => {
            let entry = match error.downcast_ref() {
                Some(UpgradeError::NoDraft) => Entry::UnknownProtocol,
                _ => Entry::HandshakeFailed,
            };
            entrance.entries.count(entry);
            tracing::debug!(%error, "a WebSocket did not come about");
        }
        Err(_) => {
            entrance.entries.count(Entry::HandshakeTimeout);
            tracing::debug!("a WebSocket handshake took too long");
        }
    }
}
