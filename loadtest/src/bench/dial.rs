//! Connections to what is measured.

use super::lite;
use anyhow::{Context, Result};
use clap::ValueEnum;
use meridian_session::endpoint::QuicSettings;
use meridian_session::session::{Options, Session};
use meridian_session::tls::{self, Trust};
use meridian_session::transport::Connection;
use meridian_wire::Draft;
use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr};

/// What the target speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Dialect {
    /// MoQT draft 22 on raw QUIC.
    Moqt22,
    /// MoQT draft 18 on raw QUIC.
    Moqt18,
    /// moq-lite, version 03, on raw QUIC.
    MoqLite,
    /// The yardstick's: who publishes and who subscribes is said by ALPN, and nothing else is said.
    Bare,
}

impl Dialect {
    /// The draft of MoQT it is, if it is one. What streams and datagrams look like is the same in all of them.
    fn draft(self) -> Option<Draft> {
        match self {
            Dialect::Moqt22 => Some(Draft::D22),
            Dialect::Moqt18 => Some(Draft::D18),
            Dialect::MoqLite | Dialect::Bare => None,
        }
    }

    fn protocols(self, purpose: Purpose) -> Vec<Vec<u8>> {
        match (self, self.draft()) {
            (_, Some(draft)) => tls::moqt_protocols(&[draft]),
            (Dialect::MoqLite, None) => vec![lite::ALPN.to_vec()],
            (_, None) => vec![purpose.alpn()],
        }
    }
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Publish,
    Subscribe,
}

impl Purpose {
    /// The yardstick's name for it.
    pub(super) fn alpn(self) -> Vec<u8> {
        match self {
            Purpose::Publish => b"bare-publish".to_vec(),
            Purpose::Subscribe => b"bare-subscribe".to_vec(),
        }
    }
}

/// Opens connections from a few sockets in turn.
pub(super) struct Dialer {
    endpoints: Vec<quinn::Endpoint>,
    next: Cell<usize>,
    config: quinn::ClientConfig,
    dialect: Dialect,
}

impl Dialer {
    /// Must run inside a tokio runtime.
    pub(super) fn new(
        dialect: Dialect,
        purpose: Purpose,
        settings: &QuicSettings,
        sockets: usize,
    ) -> Result<Dialer> {
        let tls = tls::client(&Trust::Anyone, None, dialect.protocols(purpose))?;
        let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let endpoints = (0..sockets).map(|_| settings.endpoint(local, None));
        Ok(Dialer {
            endpoints: endpoints.collect::<Result<_, _>>()?,
            next: Cell::new(0),
            config: settings.client_config(tls)?,
            dialect,
        })
    }

    /// Connects; with MoQT, sets up a session too.
    pub(super) async fn connect(&self, to: SocketAddr) -> Result<(Connection, Option<Session>)> {
        let turn = self.next.get();
        self.next.set((turn + 1) % self.endpoints.len());
        let connecting = self.endpoints[turn].connect_with(self.config.clone(), to, "localhost")?;
        let connection = connecting.await.context("connecting")?;
        let Some(draft) = self.dialect.draft() else {
            return Ok((Connection::from_quic(connection, Draft::D22), None));
        };
        let connection = Connection::from_quic(connection, draft);
        let mut options = Options::default();
        options.setup.path = Some("/".into());
        options.setup.authority = Some(to.to_string().into());
        let session = Session::connect(connection.clone(), options).await;
        Ok((connection, Some(session.context("setting up")?)))
    }
}

/// A listener that takes everything it is sent.
pub(super) fn attentive() -> QuicSettings {
    QuicSettings {
        max_uni_streams: 1024,
        stream_receive_window: 2 << 20,
        receive_window: 8 << 20,
        ..QuicSettings::client_side()
    }
}
