//! Where delegates' QUIC connections start from.

use super::mile::{Home, Mile};
use meridian_session::endpoint::{Harbour, QuicSettings};
use quinn::{Endpoint, EndpointConfig, Runtime as _, TokioRuntime};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

/// Each connection from a socket of its own behind a last mile.
pub(super) fn behind(home: Home) -> Harbour {
    Harbour::new(move |settings, local| open(settings, local, &home))
}

fn open(settings: &QuicSettings, local: SocketAddr, home: &Home) -> io::Result<Endpoint> {
    let runtime = Arc::new(TokioRuntime);
    let socket = runtime.wrap_udp_socket(settings.bind(local)?)?;
    let mile = Arc::new(Mile::new(socket, home));
    Endpoint::new_with_abstract_socket(EndpointConfig::default(), None, mile, runtime)
}
