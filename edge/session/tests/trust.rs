//! Who is let in: certificates by authority, by hash, and of both sides.

// Helpers fail by panicking, as tests do.
#![allow(clippy::unwrap_used)]

mod common;

use common::soon;
use meridian_session::endpoint::QuicSettings;
use meridian_session::tls::{self, Fingerprint, Identity, Trust};
use meridian_session::transport::Connection;
use meridian_wire::Draft;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::net::{Ipv4Addr, SocketAddr};

/// An authority and what it certifies.
struct Authority {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Authority {
            certificate,
            issuer: Issuer::new(params, key),
        }
    }

    fn certify(&self) -> Identity {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity {
            chain: vec![certificate.der().clone()],
            key: PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        }
    }
}

/// Whether the two sides come together; if so, what the server knows of the client.
async fn meet(
    server: rustls::ServerConfig,
    client: rustls::ClientConfig,
) -> Result<Vec<CertificateDer<'static>>, quinn::ConnectionError> {
    let settings = QuicSettings::neighbour();
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let config = settings.server_config(server).unwrap();
    let listener = settings.endpoint(any, Some(config)).unwrap();
    let dialler = settings.endpoint(any, None).unwrap();
    let config = settings.client_config(client).unwrap();
    let address = listener.local_addr().unwrap();
    let connecting = dialler.connect_with(config, address, "localhost").unwrap();
    let accepting = async { listener.accept().await.unwrap().await };
    let (client, server) = soon(futures_util::future::join(connecting, accepting)).await;
    client?;
    let server = Connection::from_quic(server?, Draft::D22);
    Ok(server.peer_certificates())
}

fn protocols() -> Vec<Vec<u8>> {
    tls::moqt_protocols(&Draft::PREFERRED)
}

#[tokio::test]
async fn neighbours_certified_by_one_authority_know_each_other() {
    let authority = Authority::new();
    let ours = authority.certify();
    let trusted = vec![authority.certificate.clone()];
    let server = tls::mutual_server(authority.certify(), trusted.clone(), protocols()).unwrap();
    let trust = Trust::Authorities(trusted);
    let client = tls::client(&trust, Some(ours.clone()), protocols()).unwrap();
    assert_eq!(meet(server, client).await.unwrap(), ours.chain);
}

#[tokio::test]
async fn a_neighbour_without_a_certificate_or_of_another_authority_is_refused() {
    let authority = Authority::new();
    let trust = Trust::Authorities(vec![authority.certificate.clone()]);
    for identity in [None, Some(Authority::new().certify())] {
        let trusted = vec![authority.certificate.clone()];
        let server = tls::mutual_server(authority.certify(), trusted, protocols()).unwrap();
        let client = tls::client(&trust, identity, protocols()).unwrap();
        assert!(meet(server, client).await.is_err());
    }
}

#[tokio::test]
async fn a_server_of_another_authority_or_another_hash_is_refused() {
    let other = Authority::new().certificate;
    let wrong = Fingerprint([7; 32]);
    for trust in [
        Trust::Authorities(vec![other]),
        Trust::Fingerprints(vec![wrong]),
    ] {
        let server = tls::server(Identity::ephemeral().unwrap(), protocols()).unwrap();
        let client = tls::client(&trust, None, protocols()).unwrap();
        assert!(meet(server, client).await.is_err(), "{trust:?}");
    }
}

#[tokio::test]
async fn for_development_anyone_is_trusted() {
    let server = tls::server(Identity::ephemeral().unwrap(), protocols()).unwrap();
    let client = tls::client(&Trust::Anyone, None, protocols()).unwrap();
    assert!(meet(server, client).await.unwrap().is_empty());
}

#[test]
fn a_fingerprint_is_printed_and_parsed_as_hex() {
    let print = Identity::ephemeral().unwrap().fingerprint().unwrap();
    let text = print.to_string();
    assert_eq!(text.len(), 64);
    assert_eq!(text.parse(), Ok(print));
    let colons: Vec<String> = print.0.iter().map(|byte| format!("{byte:02X}")).collect();
    assert_eq!(colons.join(":").parse(), Ok(print));
    assert!("12:34".parse::<Fingerprint>().is_err());
    assert!("ä".repeat(64).parse::<Fingerprint>().is_err());
}

#[test]
fn certificates_and_keys_are_loaded_from_pem_files() {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let folder = std::env::temp_dir().join(format!("meridian-trust-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (chain, private) = (folder.join("cert.pem"), folder.join("key.pem"));
    std::fs::write(&chain, certificate.pem()).unwrap();
    std::fs::write(&private, key.serialize_pem()).unwrap();

    let identity = Identity::load(&chain, &private).unwrap();
    assert_eq!(identity.chain, [certificate.der().clone()]);
    assert!(matches!(Trust::load(&chain), Ok(Trust::Authorities(found)) if found.len() == 1));
    assert!(Identity::load(&private, &chain).is_err());
    assert!(tls::load_certificates(&folder.join("missing.pem")).is_err());
    std::fs::remove_dir_all(&folder).unwrap();
}
