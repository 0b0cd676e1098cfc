//! What a browser does: HTTPS, one request on a connection, nothing followed by itself.

use super::soon;
use super::stage::Authority;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode, Version, header};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// An answer, read whole.
#[derive(Debug)]
pub struct Page {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Page {
    pub fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).expect("it is text")
    }

    /// A header, empty if it is not there.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().expect("it is ASCII"))
    }

    /// A cookie as it is sent back.
    pub fn cookie(&self) -> String {
        let cookie = self.header("set-cookie");
        cookie.split(';').next().unwrap_or_default().to_owned()
    }
}

/// Sends one request to `localhost` at an address.
pub async fn send(authority: &Authority, address: SocketAddr, request: Request<Body>) -> Page {
    soon(exchange(authority, address, request)).await
}

/// Gets a page, with a cookie if it is not empty.
pub async fn get(authority: &Authority, address: SocketAddr, path: &str, cookie: &str) -> Page {
    let request = Request::get(path).header(header::COOKIE, cookie);
    send(authority, address, request.body(Body::empty()).unwrap()).await
}

async fn exchange(authority: &Authority, address: SocketAddr, request: Request<Body>) -> Page {
    let is_h2 = request.version() == Version::HTTP_2;
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap();
    roots.add(root).unwrap();
    let mut tls = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![if is_h2 {
        b"h2".to_vec()
    } else {
        b"http/1.1".to_vec()
    }];
    let stream = TcpStream::connect(address).await.expect("it listens");
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(tls)).connect(name, stream);
    let stream = TokioIo::new(stream.await.expect("its certificate is good"));
    let answer = if is_h2 {
        let executor = TokioExecutor::new();
        let shaken = hyper::client::conn::http2::handshake(executor, stream).await;
        let (mut sender, connection) = shaken.unwrap();
        tokio::spawn(connection);
        let mut request = request;
        let uri = format!("https://localhost{}", request.uri());
        *request.uri_mut() = uri.parse().unwrap();
        sender.send_request(request).await
    } else {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let mut request = request;
        request
            .headers_mut()
            .insert(header::HOST, "localhost".parse().unwrap());
        sender.send_request(request).await
    };
    let (parts, body) = answer.expect("it answers").into_parts();
    Page {
        status: parts.status,
        headers: parts.headers,
        body: to_bytes(Body::new(body), 1 << 20).await.expect("it ends"),
    }
}
