//! TLS for every endpoint: certificates from files or made up for development, whom to trust, and what to speak.

use meridian_wire::Draft;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use time::{Duration, OffsetDateTime};

/// Why TLS could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or is not the PEM that was expected.
    #[error("{}: {source}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: rustls::pki_types::pem::Error,
    },
    /// No certificate in the file.
    #[error("{}: no certificate in it", .0.display())]
    Empty(PathBuf),
    /// Key and certificate do not fit, or are of no use.
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
    /// No client certificate can be checked with the given authority.
    #[error(transparent)]
    Verifier(#[from] rustls::server::VerifierBuilderError),
    /// No certificate could be made.
    #[error("making a certificate: {0}")]
    Generate(#[from] rcgen::Error),
}

/// Installs the process's cryptography. Call it first in every `main`; again it does nothing.
pub fn install_default() {
    let _ = aws_lc_rs::default_provider().install_default();
}

/// Every name a server for clients answers to: our drafts on raw QUIC, and HTTP/3 for WebTransport.
pub fn client_facing_protocols() -> Vec<Vec<u8>> {
    let mut names = moqt_protocols(&Draft::PREFERRED);
    names.push(b"h3".to_vec());
    names
}

/// The ALPN names of `drafts`, in that order.
pub fn moqt_protocols(drafts: &[Draft]) -> Vec<Vec<u8>> {
    let names = drafts
        .iter()
        .map(|draft| draft.protocol().as_bytes().to_vec());
    names.collect()
}

/// A certificate chain, leaf first, and its key.
#[derive(Debug)]
pub struct Identity {
    /// The chain.
    pub chain: Vec<CertificateDer<'static>>,
    /// The leaf's key.
    pub key: PrivateKeyDer<'static>,
}

impl Clone for Identity {
    fn clone(&self) -> Identity {
        Identity {
            chain: self.chain.clone(),
            key: self.key.clone_key(),
        }
    }
}

impl Identity {
    /// Loads PEM files.
    pub fn load(certificate: &Path, key: &Path) -> Result<Identity, TlsError> {
        let chain = load_certificates(certificate)?;
        let key = PrivateKeyDer::from_pem_file(key).map_err(|source| TlsError::Pem {
            path: key.to_owned(),
            source,
        })?;
        Ok(Identity { chain, key })
    }

    /// A fresh certificate for 127.0.0.1, ::1 and localhost that browsers take by its hash: ECDSA on P-256, and valid for
    /// 13 days of the 14 they allow.
    pub fn ephemeral() -> Result<Identity, TlsError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let mut params = CertificateParams::new(names)?;
        let now = OffsetDateTime::now_utc();
        // An hour back for clocks that are behind ours.
        params.not_before = now - Duration::hours(1);
        params.not_after = params.not_before + Duration::days(13);
        let certificate = params.self_signed(&key)?;
        let key = PrivateKeyDer::try_from(key.serialize_der())
            .map_err(|_| TlsError::Rustls(rustls::Error::General("unusable key".to_owned())))?;
        Ok(Identity {
            chain: vec![certificate.der().clone()],
            key,
        })
    }

    /// The hash of the leaf.
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        self.chain.first().map(Fingerprint::of)
    }
}

/// The SHA-256 of a certificate's DER form. Printed and parsed as hex, with or without colons.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// Of one certificate.
    pub fn of(certificate: &CertificateDer<'_>) -> Fingerprint {
        Fingerprint(sha256(certificate))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Not 64 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a SHA-256 is 64 hex digits")]
pub struct NotAFingerprint;

impl FromStr for Fingerprint {
    type Err = NotAFingerprint;

    fn from_str(text: &str) -> Result<Fingerprint, NotAFingerprint> {
        let digits: Vec<u8> = text
            .chars()
            .filter(|c| *c != ':')
            .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
            .collect::<Option<_>>()
            .ok_or(NotAFingerprint)?;
        let bytes: Vec<u8> = digits
            .chunks_exact(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect();
        if digits.len() != 64 {
            return Err(NotAFingerprint);
        }
        bytes
            .try_into()
            .map(Fingerprint)
            .map_err(|_| NotAFingerprint)
    }
}

/// Whom a client takes for the server it asked for.
#[derive(Clone, Debug)]
pub enum Trust {
    /// Servers certified by one of these authorities, under the name asked for.
    Authorities(Vec<CertificateDer<'static>>),
    /// Servers with exactly one of these certificates, whatever name is in it.
    Fingerprints(Vec<Fingerprint>),
    /// Anyone. For development only.
    Anyone,
}

impl Trust {
    /// Trusts the authorities in a PEM file.
    pub fn load(path: &Path) -> Result<Trust, TlsError> {
        load_certificates(path).map(Trust::Authorities)
    }
}

/// SHA-256 (FIPS 180-4).
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let suite = aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
    let suite = suite.tls13().expect("a TLS 1.3 suite");
    let hash = suite.common.hash_provider.hash(bytes);
    hash.as_ref().try_into().expect("SHA-256 is 32 bytes")
}

/// A server's side of TLS 1.3 without client certificates, speaking `protocols`.
pub fn server(
    identity: Identity,
    protocols: Vec<Vec<u8>>,
) -> Result<rustls::ServerConfig, TlsError> {
    let builder = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth();
    let mut config = builder.with_single_cert(identity.chain, identity.key)?;
    config.alpn_protocols = protocols;
    Ok(config)
}

/// A neighbour's accepting side: the caller must hold a certificate of `authorities`.
pub fn mutual_server(
    identity: Identity,
    authorities: Vec<CertificateDer<'static>>,
    protocols: Vec<Vec<u8>>,
) -> Result<rustls::ServerConfig, TlsError> {
    let roots = Arc::new(roots(authorities)?);
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).build()?;
    let builder = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier);
    let mut config = builder.with_single_cert(identity.chain, identity.key)?;
    config.alpn_protocols = protocols;
    Ok(config)
}

/// A client's side of TLS 1.3; with `identity` it shows a certificate when asked (mTLS).
pub fn client(
    trust: &Trust,
    identity: Option<Identity>,
    protocols: Vec<Vec<u8>>,
) -> Result<rustls::ClientConfig, TlsError> {
    let builder = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?;
    let builder = match trust {
        Trust::Authorities(authorities) => {
            builder.with_root_certificates(roots(authorities.clone())?)
        }
        Trust::Fingerprints(pinned) => {
            let verifier = Arc::new(Pinned(Some(pinned.clone())));
            builder
                .dangerous()
                .with_custom_certificate_verifier(verifier)
        }
        Trust::Anyone => {
            let verifier = Arc::new(Pinned(None));
            builder
                .dangerous()
                .with_custom_certificate_verifier(verifier)
        }
    };
    let mut config = match identity {
        Some(identity) => builder.with_client_auth_cert(identity.chain, identity.key)?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = protocols;
    Ok(config)
}

/// Every certificate in a PEM file.
///
/// # Errors
/// The file cannot be read, is not PEM, or has none.
pub fn load_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|source| TlsError::Pem {
            path: path.to_owned(),
            source,
        })?;
    if certificates.is_empty() {
        return Err(TlsError::Empty(path.to_owned()));
    }
    Ok(certificates)
}

fn roots(authorities: Vec<CertificateDer<'static>>) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for authority in authorities {
        store.add(authority)?;
    }
    Ok(store)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Takes certificates by their hash; `None` takes any. Signatures are checked all the same: the peer has the key.
#[derive(Debug)]
struct Pinned(Option<Vec<Fingerprint>>);

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match &self.0 {
            Some(pinned) if !pinned.contains(&Fingerprint::of(end_entity)) => {
                let refusal = rustls::CertificateError::ApplicationVerificationFailure;
                Err(rustls::Error::InvalidCertificate(refusal))
            }
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}
