//! Channels to replicas: TLS with both sides' certificates, and a line that is found dead when it is.

use crate::config::NeighbourIdentity;
use crate::control::settings::ControlSettings;
use anyhow::Context;
use meridian_proto::v1::edge_service_client::EdgeServiceClient;
use std::net::SocketAddr;
use std::time::Duration;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

/// How long everything until HTTP/2 may take: several round trips across the world.
const CONNECT: Duration = Duration::from_secs(5);
/// Silence after which a ping is sent, and how long its answer may take: a frozen replica is left within two seconds.
const PING_AFTER: Duration = Duration::from_millis(500);
const PONG_WITHIN: Duration = Duration::from_millis(1250);

/// One address of a replica, and the name its certificate is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Replica {
    pub(super) address: SocketAddr,
    pub(super) name: String,
}

/// What is needed to dial. The files are read at each dial: certificates are renewed while an edge runs.
#[derive(Clone, Debug)]
pub(super) struct Dialler {
    pub(super) settings: ControlSettings,
    pub(super) identity: NeighbourIdentity,
}

impl Dialler {
    /// Whether the files are what they should be.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        meridian_session::tls::load_certificates(&self.settings.ca)?;
        self.tls("localhost").map(|_| ())
    }

    pub(super) async fn dial(
        &self,
        replica: &Replica,
    ) -> anyhow::Result<EdgeServiceClient<Channel>> {
        let endpoint = self.endpoint(replica)?;
        let connected = tokio::time::timeout(CONNECT, endpoint.connect()).await;
        let channel = connected.context("it does not answer")?.map_err(plain)?;
        let client = EdgeServiceClient::new(channel);
        Ok(client.max_decoding_message_size(super::kept::LARGEST))
    }

    fn endpoint(&self, replica: &Replica) -> anyhow::Result<Endpoint> {
        let endpoint = Endpoint::from_shared(format!("https://{}", replica.address))?
            .tls_config(self.tls(&replica.name)?)?
            .connect_timeout(CONNECT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(PING_AFTER)
            .keep_alive_timeout(PONG_WITHIN)
            .keep_alive_while_idle(true);
        Ok(endpoint)
    }

    fn tls(&self, name: &str) -> anyhow::Result<ClientTlsConfig> {
        let read = |path: &std::path::Path| {
            std::fs::read(path).with_context(|| path.display().to_string())
        };
        let own = &self.identity;
        let identity = Identity::from_pem(read(&own.certificate)?, read(&own.key)?);
        let authority = Certificate::from_pem(read(&self.settings.ca)?);
        let tls = ClientTlsConfig::new()
            .identity(identity)
            .ca_certificate(authority);
        Ok(tls.domain_name(name).timeout(CONNECT))
    }
}

/// The last cause says what happened; those before it, that something did.
fn plain(error: tonic::transport::Error) -> anyhow::Error {
    let mut cause: &dyn std::error::Error = &error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    anyhow::anyhow!("{cause}")
}
