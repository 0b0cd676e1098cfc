//! Connections and streams over raw QUIC, WebTransport and qmux, in forms that wait and forms that never do.
//!
//! What the streams carry is not known here.

mod connection;
mod error;
mod header;
mod http3;
mod in_process;
mod incoming;
mod last_words;
mod qmux;
mod quic;
mod stats;
mod stream;
mod web_socket;
mod web_transport;

pub use connection::{Connection, Transport};
pub use error::{ConnectionLost, DatagramError, StreamError};
pub use in_process::{InProcess, in_process};
pub use incoming::{Incoming, alpn};
pub use stats::ConnectionStats;
pub(crate) use stream::StopWatch;
pub use stream::{RecvStream, SendStream, TryRead};
pub use web_socket::{WebSocketSettings, accept_web_socket, connect_web_socket};
pub use web_transport::{UpgradeError, WebTransportRequest, connect_web_transport};
