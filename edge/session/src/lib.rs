//! A MoQT session, either role, over raw QUIC, WebTransport or qmux; and the native client.

pub mod client;
pub mod congestion;
pub mod endpoint;
pub mod session;
pub mod tls;
pub mod transport;
