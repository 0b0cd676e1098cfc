//! Calls to the identity provider: HTTPS alone, one connection each, bounded in time and size, and never redirected.

use super::config::OidcConfig;
use axum::body::{Body, to_bytes};
use hyper_util::rt::TokioIo;
use openidconnect::http::{HeaderValue, Uri, header};
use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

/// A client of the provider.
pub(super) struct Http {
    tls: TlsConnector,
}

/// The provider could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// It does not answer.
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Slow,
    /// Its discovery document names what must not be called.
    #[error("`{0}` is not https")]
    NotHttps(String),
    /// Its host has no name a certificate can be for.
    #[error(transparent)]
    Name(#[from] InvalidDnsNameError),
    /// No connection, or its certificate is not good.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It does not speak HTTP.
    #[error(transparent)]
    Http(#[from] hyper::Error),
    /// More than is taken, or it broke off.
    #[error("the answer broke off, or has more than {MAX_ANSWER} bytes: {0}")]
    Answer(#[from] axum::Error),
}

/// Authorities that the provider's certificate is checked with could not be read.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// Not PEM.
    #[error("{}: {source}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: rustls::pki_types::pem::Error,
    },
    /// Not an authority.
    #[error("the provider's authority: {0}")]
    Rustls(#[from] rustls::Error),
    /// There is none.
    #[error("no authority is known: install the system's (ca-certificates) or give `ca`")]
    None,
}

/// How long one call may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The largest answer taken, in bytes: keys of a large provider have some 10 KB.
const MAX_ANSWER: usize = 256 << 10;

impl Http {
    pub(super) fn new(config: &OidcConfig) -> Result<Http, AuthorityError> {
        let mut authorities = RootCertStore::empty();
        match &config.ca {
            Some(path) => {
                let wrong = |source| AuthorityError::Pem {
                    path: path.clone(),
                    source,
                };
                for certificate in CertificateDer::pem_file_iter(path).map_err(wrong)? {
                    authorities.add(certificate.map_err(wrong)?)?;
                }
            }
            None => {
                let system = rustls_native_certs::load_native_certs();
                authorities.add_parsable_certificates(system.certs);
            }
        }
        if authorities.is_empty() {
            return Err(AuthorityError::None);
        }
        let tls = ClientConfig::builder().with_root_certificates(authorities);
        let tls = TlsConnector::from(Arc::new(tls.with_no_client_auth()));
        Ok(Http { tls })
    }

    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let uri = request.uri().clone();
        let not_https = || HttpError::NotHttps(uri.to_string());
        if uri.scheme_str() != Some("https") {
            return Err(not_https());
        }
        let authority = uri.authority().ok_or_else(not_https)?;
        let host = authority.host().trim_matches(['[', ']']);
        let stream = TcpStream::connect((host, authority.port_u16().unwrap_or(443))).await?;
        let name = ServerName::try_from(host.to_owned())?;
        let stream = TokioIo::new(self.tls.connect(name, stream).await?);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
        // Ends with this call, whichever way that ends.
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| not_https())?;
        let answer = sender.send_request(relative(request, &uri, host)).await?;
        let (parts, body) = answer.into_parts();
        let body = to_bytes(Body::new(body), MAX_ANSWER).await?;
        Ok(HttpResponse::from_parts(parts, body.into()))
    }
}

impl<'c> AsyncHttpClient<'c> for Http {
    type Error = HttpError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async {
            let answer = tokio::time::timeout(PATIENCE, self.send(request)).await;
            answer.map_err(|_| HttpError::Slow)?
        })
    }
}

/// The request as it stands on a connection to its host.
fn relative(request: HttpRequest, uri: &Uri, host: HeaderValue) -> hyper::Request<Body> {
    let mut request = request.map(Body::from);
    let path = uri.path_and_query().cloned();
    *request.uri_mut() = path.map_or_else(|| Uri::from_static("/"), Uri::from);
    request.headers_mut().insert(header::HOST, host);
    request
}
