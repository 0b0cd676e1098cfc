//! Connections to what is measured.

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
    Moqt,
    /// The yardstick's: who publishes and who subscribes is said by ALPN, and nothing else is said.
    Bare,
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
        let protocols = match dialect {
            Dialect::Moqt => tls::moqt_protocols(&[Draft::D22]),
            Dialect::Bare => vec![purpose.alpn()],
        };
        let tls = tls::client(&Trust::Anyone, None, protocols)?;
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
        let connection = Connection::from_quic(connection, Draft::D22);
        if self.dialect == Dialect::Bare {
            return Ok((connection, None));
        }
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
