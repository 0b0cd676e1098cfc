//! Links between edges: mTLS on a port of their own. Parents and shortcuts are dialled, again and again; children come in.

use crate::config::{Config, Neighbour};
use crate::link;
use crate::worker::Worker;
use anyhow::{Context, bail};
use meridian_relay::{Peer, Permissions};
use meridian_session::endpoint::QuicSettings;
use meridian_session::session::{Options, Session};
use meridian_session::tls::{self, Identity, Trust};
use meridian_session::transport::{Connection, Incoming};
use meridian_wire::{Draft, TerminationCode};
use rand::RngExt;
use rustls::pki_types::{CertificateDer, ServerName};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Silence after which a neighbour is gone. A vanished host sends no word of it.
const SILENCE: Duration = Duration::from_millis(500);
/// How often silence is looked for.
const LISTEN_EVERY: Duration = Duration::from_millis(50);
/// The first pause before dialling again, and the longest; each is shortened at random by up to half.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A link that held this long was a good one: the pauses start over.
const GOOD_LINK: Duration = Duration::from_secs(10);
/// How long dialling may take.
const DIAL: Duration = Duration::from_secs(3);

/// Starts listening for children, and dialling the others.
pub fn start(worker: &Worker, config: &Config) -> anyhow::Result<()> {
    let Some(credentials) = Credentials::load(config)? else {
        return Ok(());
    };
    if let Some(address) = config.listen.neighbours {
        let expected = config
            .neighbours
            .iter()
            .filter(|other| other.address.is_none());
        let children = Rc::new(Children {
            worker: worker.clone(),
            expected: expected.cloned().collect(),
        });
        let endpoint = credentials
            .listen(address)
            .with_context(|| format!("UDP {address} cannot be bound; is another edge running?"))?;
        tokio::task::spawn_local(take_connections(children, endpoint));
    }
    let credentials = Rc::new(credentials);
    for neighbour in config
        .neighbours
        .iter()
        .filter(|other| other.address.is_some())
    {
        let dialling = keep_dialling(worker.clone(), credentials.clone(), neighbour.clone());
        tokio::task::spawn_local(dialling);
    }
    Ok(())
}

/// What an edge shows its neighbours, whom it believes, and how it talks to them.
struct Credentials {
    identity: Identity,
    authorities: Vec<CertificateDer<'static>>,
    settings: QuicSettings,
}

impl Credentials {
    fn load(config: &Config) -> anyhow::Result<Option<Credentials>> {
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

    fn listen(&self, address: SocketAddr) -> anyhow::Result<quinn::Endpoint> {
        let settings = &self.settings;
        let protocols = tls::moqt_protocols(&Draft::PREFERRED);
        let server =
            tls::mutual_server(self.identity.clone(), self.authorities.clone(), protocols)?;
        Ok(settings.endpoint(address, Some(settings.server_config(server)?))?)
    }

    async fn dial(&self, neighbour: &Neighbour) -> anyhow::Result<Session> {
        let Some(address) = neighbour.address else {
            bail!("{} has no address", neighbour.office);
        };
        let settings = &self.settings;
        let trust = Trust::Authorities(self.authorities.clone());
        let protocols = tls::moqt_protocols(&Draft::PREFERRED);
        let client = tls::client(&trust, Some(self.identity.clone()), protocols)?;
        let local = SocketAddr::new(unspecified(address), 0);
        let endpoint = settings.endpoint(local, None)?;
        let config = settings.client_config(client)?;
        let connection = endpoint
            .connect_with(config, address, &neighbour.office)?
            .await?;
        let connection = Incoming::read(connection).await?.accept().await?;
        Ok(Session::connect(connection, Options::default()).await?)
    }
}

async fn keep_dialling(worker: Worker, credentials: Rc<Credentials>, neighbour: Neighbour) {
    let mut pause = FIRST_PAUSE;
    loop {
        let dialled = tokio::time::timeout(DIAL, credentials.dial(&neighbour)).await;
        match dialled.context("no answer").and_then(|dialled| dialled) {
            Ok(session) => {
                let since = Instant::now();
                serve(&worker, session, &neighbour).await;
                if since.elapsed() >= GOOD_LINK {
                    pause = FIRST_PAUSE;
                }
            }
            Err(error) => {
                tracing::warn!(office = neighbour.office, "cannot be reached: {error:#}");
            }
        }
        let shortened = rand::rng().random_range(0.5..=1.0);
        tokio::time::sleep(pause.mul_f64(shortened)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// The neighbours that dial in.
struct Children {
    worker: Worker,
    expected: Vec<Neighbour>,
}

async fn take_connections(children: Rc<Children>, endpoint: quinn::Endpoint) {
    while let Some(incoming) = endpoint.accept().await {
        let children = children.clone();
        tokio::task::spawn_local(async move {
            match tokio::time::timeout(DIAL, children.welcome(incoming)).await {
                Ok(Ok((session, neighbour))) => serve(&children.worker, session, &neighbour).await,
                Ok(Err(error)) => tracing::warn!("a neighbour was not let in: {error:#}"),
                Err(_) => tracing::debug!("a neighbour's handshake took too long"),
            }
        });
    }
}

impl Children {
    async fn welcome(&self, incoming: quinn::Incoming) -> anyhow::Result<(Session, Neighbour)> {
        let connection = incoming.await?;
        let connection = Incoming::read(connection).await?.accept().await?;
        let Some(neighbour) = self.recognise(&connection) else {
            connection.close(
                TerminationCode::UNAUTHORIZED,
                "not a neighbour of this edge",
            );
            bail!("its certificate names none of the neighbours");
        };
        Ok((
            Session::accept(connection, Options::default()).await?,
            neighbour,
        ))
    }

    /// The neighbour that the certificate is for.
    fn recognise(&self, connection: &Connection) -> Option<Neighbour> {
        let certificates = connection.peer_certificates();
        let certificate = webpki::EndEntityCert::try_from(certificates.first()?).ok()?;
        let is_for = |neighbour: &&Neighbour| {
            ServerName::try_from(neighbour.office.as_str())
                .is_ok_and(|name| certificate.verify_is_valid_for_subject_name(&name).is_ok())
        };
        self.expected.iter().find(is_for).cloned()
    }
}

/// Serves a link until it ends or falls silent.
async fn serve(worker: &Worker, session: Session, neighbour: &Neighbour) {
    let office = &neighbour.office;
    tracing::info!(office, role = ?neighbour.role, draft = ?session.draft(), "neighbour");
    let role = neighbour.role.in_relay();
    let connection = session.connection().clone();
    worker.state(|state| state.stats.neighbour_came(office, role, connection.clone()));
    let peer = Peer {
        draft: session.draft(),
        office: Some(office.clone()),
        ..Peer::new(role, Permissions::default())
    };
    tokio::select! {
        error = link::serve(worker.clone(), session.clone(), peer, None) => {
            tracing::warn!(office, %error, "neighbour lost");
        }
        () = silence(&connection) => {
            session.close(TerminationCode::NO_ERROR, "silent for too long");
            tracing::warn!(office, "neighbour silent");
        }
    }
    worker.state(|state| state.stats.neighbour_left(office));
}

/// Waits until nothing has come for too long. Both ends keep the link alive, so silence means that it is gone.
async fn silence(connection: &Connection) {
    let mut packets = connection.stats().udp_received_datagrams;
    let mut heard = Instant::now();
    while heard.elapsed() < SILENCE {
        tokio::time::sleep(LISTEN_EVERY).await;
        let now = connection.stats().udp_received_datagrams;
        if now != packets {
            (packets, heard) = (now, Instant::now());
        }
    }
}

/// Any address of the same family.
fn unspecified(like: SocketAddr) -> std::net::IpAddr {
    match like {
        SocketAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    }
}
