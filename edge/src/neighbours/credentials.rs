//! What an edge shows its neighbours, whom it believes, and how it connects to them.

use crate::config::Config;
use crate::neighbours::link::Kind;
use crate::neighbours::place::Place;
use anyhow::{Context, anyhow};
use meridian_session::endpoint::QuicSettings;
use meridian_session::session::{Options, Session};
use meridian_session::tls::{self, Identity, Trust};
use meridian_session::transport::{Connection, Incoming};
use meridian_wire::Draft;
use rustls::pki_types::{CertificateDer, ServerName};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Of one edge.
pub(super) struct Credentials {
    identity: Identity,
    authorities: Vec<CertificateDer<'static>>,
    settings: QuicSettings,
}

impl Credentials {
    pub(super) fn load(config: &Config) -> anyhow::Result<Option<Credentials>> {
        let Some(from) = &config.neighbour_tls else {
            return Ok(None);
        };
        let controller = config.congestion.neighbours;
        Ok(Some(Credentials {
            identity: Identity::load(&from.certificate, &from.key)?,
            authorities: tls::load_certificates(&from.ca)?,
            settings: controller.applied_to(QuicSettings::neighbour()),
        }))
    }

    pub(super) fn listen(&self, address: SocketAddr) -> anyhow::Result<quinn::Endpoint> {
        let settings = &self.settings;
        let protocols = tls::moqt_protocols(&Draft::PREFERRED);
        let server =
            tls::mutual_server(self.identity.clone(), self.authorities.clone(), protocols)?;
        let endpoint = settings.endpoint(address, Some(settings.server_config(server)?));
        endpoint.with_context(|| format!("UDP {address} cannot be bound; is another edge running?"))
    }

    /// Dials an office, at each address of its place in turn.
    pub(super) async fn dial(
        &self,
        office: &str,
        place: &Place,
        kind: Kind,
    ) -> anyhow::Result<Session> {
        let addresses = place.addresses().await;
        let addresses = addresses.with_context(|| format!("{place} cannot be looked up"))?;
        let mut result = Err(anyhow!("{place} has no address"));
        for address in addresses {
            result = self.dial_at(office, address, kind).await;
            if result.is_ok() {
                break;
            }
        }
        result
    }

    async fn dial_at(
        &self,
        office: &str,
        address: SocketAddr,
        kind: Kind,
    ) -> anyhow::Result<Session> {
        let settings = &self.settings;
        let trust = Trust::Authorities(self.authorities.clone());
        let protocols = tls::moqt_protocols(&Draft::PREFERRED);
        let client = tls::client(&trust, Some(self.identity.clone()), protocols)?;
        let endpoint = settings.endpoint(SocketAddr::new(unspecified(address), 0), None)?;
        let config = settings.client_config(client)?;
        let connection = endpoint.connect_with(config, address, office)?.await?;
        let connection = Incoming::read(connection).await?.accept().await?;
        let mut options = Options::default();
        options.setup.path = kind.path().map(Into::into);
        Ok(Session::connect(connection, options).await?)
    }
}

/// Whether the certificate the peer has shown is an office's.
pub(super) fn is_of(connection: &Connection, office: &str) -> bool {
    let certificates = connection.peer_certificates();
    let first = certificates.first();
    let certificate = first.and_then(|first| webpki::EndEntityCert::try_from(first).ok());
    let name = ServerName::try_from(office).ok();
    certificate.zip(name).is_some_and(|(certificate, name)| {
        certificate.verify_is_valid_for_subject_name(&name).is_ok()
    })
}

/// Any address of the same family.
fn unspecified(like: SocketAddr) -> IpAddr {
    match like {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}
