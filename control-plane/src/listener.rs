//! The port: TLS with an optional client certificate, then HTTP/1.1 or HTTP/2, whatever the other side chooses.
//!
//! Edges show certificates, people do not: who must is judged by each service (`caller.rs`). A certificate of another
//! authority does not come that far: its connection is refused here, counted and told of.

use crate::counters::Counters;
use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{CertificateError, RootCertStore, ServerConfig};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Who is at the other end of a connection: an extension of each request.
#[derive(Clone, Debug)]
pub struct Remote {
    /// Its address.
    pub address: SocketAddr,
    /// Its certificate, verified, if it has shown one.
    pub certificate: Option<CertificateDer<'static>>,
}

/// TLS for the port could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or is not the PEM that was expected.
    #[error("{}: {source}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: rustls::pki_types::pem::Error,
    },
    /// Key and certificate do not fit, or are of no use.
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
    /// No certificate can be checked with the edges' authority.
    #[error("the edges' authority: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

/// Connections at a time: a storm's, and all edges'.
const MAX_CONNECTIONS: usize = 16_384;
/// How long TLS may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long the other side may take to read why TLS failed, and how much of what it has sent by then is passed over.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: u64 = 64 << 10;
/// Between two lines of the log about refused certificates.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// How long calls in progress may take to end when the replica does.
const DRAIN: Duration = Duration::from_secs(3);

/// TLS as the port speaks it.
///
/// # Errors
/// [`TlsError`].
pub fn tls(identity: &crate::config::Identity, edges_ca: &Path) -> Result<TlsAcceptor, TlsError> {
    let mut authorities = RootCertStore::empty();
    for certificate in certificates(edges_ca)? {
        authorities.add(certificate)?;
    }
    let verifier = WebPkiClientVerifier::builder(Arc::new(authorities))
        .allow_unauthenticated()
        .build()?;
    let key = PrivateKeyDer::from_pem_file(&identity.key).map_err(|source| TlsError::Pem {
        path: identity.key.clone(),
        source,
    })?;
    let mut config = ServerConfig::builder()
        .with_client_cert_verifier(verifier)
        .with_single_cert(certificates(&identity.certificate)?, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |source| TlsError::Pem {
        path: path.to_owned(),
        source,
    };
    let read = CertificateDer::pem_file_iter(path).map_err(wrong)?;
    let read: Vec<_> = read.collect::<Result<_, _>>().map_err(wrong)?;
    match read.is_empty() {
        true => Err(wrong(rustls::pki_types::pem::Error::NoItemsFound)),
        false => Ok(read),
    }
}

/// Serves connections until `stop` is true; then lets calls in progress end, within a bounded time.
pub async fn serve(
    listener: TcpListener,
    tls: TlsAcceptor,
    app: Router,
    counters: Arc<Counters>,
    mut stop: watch::Receiver<bool>,
) {
    let door = Arc::new(Door {
        tls,
        counters,
        told: Mutex::new(None),
        untold: AtomicU64::new(0),
    });
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let graceful = Arc::new(GracefulShutdown::new());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection was not taken");
                // Out of file descriptors, most likely: taking the next at once would only fail again.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            tracing::warn!("a connection more than {MAX_CONNECTIONS} was turned away");
            continue;
        };
        let (door, app, watcher) = (door.clone(), app.clone(), graceful.watcher());
        let mut stop = stop.clone();
        tokio::spawn(async move {
            let _place = place;
            let opened = tokio::select! {
                opened = door.open(stream, address) => opened,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            let Some(stream) = opened else { return };
            if let Err(error) = connection(stream, address, app, watcher).await {
                tracing::debug!(%error, "a connection ended");
            }
        });
    }
    drop(listener);
    if let Ok(graceful) = Arc::try_unwrap(graceful) {
        // What is not done by then is cut off.
        let _ = tokio::time::timeout(DRAIN, graceful.shutdown()).await;
    }
}

/// Where TLS begins, and what is told of it when it fails.
struct Door {
    tls: TlsAcceptor,
    counters: Arc<Counters>,
    /// When the log was told last of a certificate that was refused.
    told: Mutex<Option<Instant>>,
    /// Those since.
    untold: AtomicU64,
}

impl Door {
    /// TLS over a connection, if it comes about.
    async fn open(&self, stream: TcpStream, address: SocketAddr) -> Option<TlsStream<TcpStream>> {
        // Answers are small and waited for. A connection that is gone already fails below.
        let _ = stream.set_nodelay(true);
        let accepted = tokio::time::timeout(HANDSHAKE, self.tls.accept(stream).into_fallible());
        let (error, stream) = match accepted.await {
            Ok(Ok(stream)) => return Some(stream),
            Ok(Err(failed)) => failed,
            Err(_) => {
                self.counters.connections_failed.add();
                return None;
            }
        };
        let reason = error.get_ref().and_then(|error| error.downcast_ref());
        match reason {
            // Only edges show certificates.
            Some(rustls::Error::InvalidCertificate(why)) => self.refuse(address, why),
            _ => {
                self.counters.connections_failed.add();
                tracing::debug!(%error, "TLS failed");
            }
        }
        linger(stream).await;
        None
    }

    fn refuse(&self, address: SocketAddr, why: &CertificateError) {
        self.counters.edges_refused.add();
        let mut told = self.told.lock().expect("nothing panics while holding it");
        if told.is_some_and(|told| told.elapsed() < TELL_EVERY) {
            self.untold.fetch_add(1, Ordering::Relaxed);
            return;
        }
        *told = Some(Instant::now());
        let before = self.untold.swap(0, Ordering::Relaxed);
        // Who shows a certificate is meant to be an edge, and is found by its address alone.
        tracing::warn!(%address, %why, before, "an edge was refused: its certificate is not signed by [edges] ca, or is out of its time");
    }
}

/// Lets the other side read the alert that says what is wrong. Closed with something unread, the connection would be reset,
/// and the alert lost.
async fn linger(mut stream: TcpStream) {
    let passed_over = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(LINGER_BYTES), &mut tokio::io::sink()).await
    };
    // Whatever comes of it, the connection is over.
    let _ = tokio::time::timeout(LINGER, passed_over).await;
}

async fn connection(
    stream: TlsStream<TcpStream>,
    address: SocketAddr,
    app: Router,
    watcher: hyper_util::server::graceful::Watcher,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let certificates = stream.get_ref().1.peer_certificates();
    let certificate = certificates.and_then(|chain| chain.first());
    let remote = Remote {
        address,
        certificate: certificate.map(|certificate| certificate.clone().into_owned()),
    };
    let app = app.layer(axum::Extension(remote));
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http2()
        // Edges and pages keep streams open for hours: who has vanished is noticed.
        .timer(hyper_util::rt::TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(10));
    let serving =
        http.serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(app));
    watcher.watch(serving.into_owned()).await
}
