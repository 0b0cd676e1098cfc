//! QUIC endpoints: what they may hold, how they send, and the sockets below them.

use crate::congestion::SteadyConfig;
use quinn::congestion::{BbrConfig, ControllerFactory, CubicConfig, NewRenoConfig};
use quinn::{IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt};
use socket2::{Domain, Protocol, Socket, Type};
use std::fmt;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

/// Everything that is tuned about a QUIC endpoint.
#[derive(Clone, Debug)]
pub struct QuicSettings {
    /// Unidirectional streams the peer may have open at once. Each permitted one costs memory even when unused.
    pub max_uni_streams: u32,
    /// Bidirectional streams (requests) the peer may have open at once.
    pub max_bidi_streams: u32,
    /// Bytes the peer may send ahead on one stream.
    pub stream_receive_window: u32,
    /// Bytes the peer may send ahead in all.
    pub receive_window: u32,
    /// Bytes this side holds unacknowledged for the peer, on all streams together: the bound on a slow peer's memory.
    pub send_window: u64,
    /// Silence after which the peer is gone.
    pub idle_timeout: Duration,
    /// Silence after which a packet is sent to keep the path alive; `None`: never.
    pub keep_alive: Option<Duration>,
    /// Bytes of received datagrams that wait to be read.
    pub datagram_receive_buffer: usize,
    /// Bytes of datagrams that wait to be sent; the oldest go first when it is full.
    pub datagram_send_buffer: usize,
    /// How fast to send.
    pub congestion: CongestionControl,
    /// Several packets per system call where the kernel can.
    pub segmentation_offload: bool,
    /// Search for the largest packet that the path carries.
    pub mtu_discovery: bool,
    /// The round-trip time assumed before the first measurement.
    pub initial_rtt: Duration,
    /// Bytes asked of the kernel for each direction of the UDP socket; it may give less.
    pub socket_buffer: usize,
    /// Share the port with other sockets, one per worker (SO_REUSEPORT).
    pub reuse_port: bool,
}

/// Makes the endpoints that connections are dialled from, where the kernel's socket alone will not do: over a path that is
/// emulated, or one socket for many connections.
#[derive(Clone)]
pub struct Harbour(Arc<Open>);

type Open = dyn Fn(&QuicSettings, SocketAddr) -> io::Result<quinn::Endpoint> + Send + Sync;

impl Harbour {
    /// `open` gets what is wanted of the endpoint and the address to bind. It is called inside a tokio runtime.
    pub fn new(
        open: impl Fn(&QuicSettings, SocketAddr) -> io::Result<quinn::Endpoint> + Send + Sync + 'static,
    ) -> Harbour {
        Harbour(Arc::new(open))
    }

    /// An endpoint to dial from.
    ///
    /// # Errors
    /// There is none.
    pub fn open(&self, settings: &QuicSettings, local: SocketAddr) -> io::Result<quinn::Endpoint> {
        (self.0)(settings, local)
    }
}

impl fmt::Debug for Harbour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Harbour")
    }
}

/// How fast to send.
#[derive(Clone)]
pub enum CongestionControl {
    /// RFC 9438.
    Cubic,
    /// quinn's BBR, which it calls experimental.
    Bbr,
    /// RFC 9002 §7.
    NewReno,
    /// A controller of the caller's.
    Custom(Arc<dyn ControllerFactory + Send + Sync>),
}

impl fmt::Debug for CongestionControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CongestionControl::Cubic => "Cubic",
            CongestionControl::Bbr => "Bbr",
            CongestionControl::NewReno => "NewReno",
            CongestionControl::Custom(_) => "Custom",
        })
    }
}

impl QuicSettings {
    /// Towards clients, on either end of such a connection: small, since there are thousands.
    pub fn client_side() -> QuicSettings {
        QuicSettings {
            max_uni_streams: 128,
            max_bidi_streams: 64,
            // A keyframe of high video fits; a stream of a peer that is not read costs no more.
            stream_receive_window: 256 * 1024,
            receive_window: 1024 * 1024,
            // 2 Mbit/s of audio and video over 500 ms are 125 kB; four times that rides out a loss.
            send_window: 512 * 1024,
            idle_timeout: Duration::from_secs(15),
            keep_alive: Some(Duration::from_secs(4)),
            datagram_receive_buffer: 64 * 1024,
            datagram_send_buffer: 64 * 1024,
            congestion: CongestionControl::Custom(Arc::new(SteadyConfig::client())),
            segmentation_offload: true,
            mtu_discovery: true,
            initial_rtt: Duration::from_millis(100),
            socket_buffer: 4 * 1024 * 1024,
            reuse_port: false,
        }
    }

    /// Towards neighbours: few, trusted, far away and busy.
    pub fn neighbour() -> QuicSettings {
        QuicSettings {
            // 100 audio tracks × 50 streams a second × 3 round trips of 300 ms, with room to spare.
            max_uni_streams: 8192,
            max_bidi_streams: 2048,
            // 50 Mbit/s × 300 ms are 1.9 MB.
            stream_receive_window: 4 * 1024 * 1024,
            receive_window: 16 * 1024 * 1024,
            send_window: 16 * 1024 * 1024,
            // A lost link is declared after 500 ms by its watcher; QUIC itself only cleans up.
            idle_timeout: Duration::from_secs(3),
            // Four packets at least within the 500 ms, so that single losses are no failure.
            keep_alive: Some(Duration::from_millis(100)),
            datagram_receive_buffer: 1024 * 1024,
            datagram_send_buffer: 1024 * 1024,
            initial_rtt: Duration::from_millis(200),
            congestion: CongestionControl::Custom(Arc::new(SteadyConfig::neighbour())),
            ..QuicSettings::client_side()
        }
    }

    /// The quinn form of all but the socket.
    pub fn transport_config(&self) -> TransportConfig {
        let mut config = TransportConfig::default();
        config
            .max_concurrent_uni_streams(VarInt::from_u32(self.max_uni_streams))
            .max_concurrent_bidi_streams(VarInt::from_u32(self.max_bidi_streams))
            .stream_receive_window(VarInt::from_u32(self.stream_receive_window))
            .receive_window(VarInt::from_u32(self.receive_window))
            .send_window(self.send_window)
            .max_idle_timeout(IdleTimeout::try_from(self.idle_timeout).ok())
            .keep_alive_interval(self.keep_alive)
            .datagram_receive_buffer_size(Some(self.datagram_receive_buffer))
            .datagram_send_buffer_size(self.datagram_send_buffer)
            .enable_segmentation_offload(self.segmentation_offload)
            .mtu_discovery_config(self.mtu_discovery.then(MtuDiscoveryConfig::default))
            .initial_rtt(self.initial_rtt)
            .congestion_controller_factory(self.congestion.factory());
        config
    }

    /// A quinn server configuration around `tls` (see [`crate::tls`]).
    ///
    /// # Errors
    /// `tls` lacks TLS 1.3 with the cipher suite of QUIC's first packets.
    pub fn server_config(
        &self,
        tls: rustls::ServerConfig,
    ) -> Result<quinn::ServerConfig, quinn::crypto::rustls::NoInitialCipherSuite> {
        let crypto = quinn::crypto::rustls::QuicServerConfig::try_from(tls)?;
        let mut config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
        config.transport_config(Arc::new(self.transport_config()));
        Ok(config)
    }

    /// A quinn client configuration around `tls` (see [`crate::tls`]).
    ///
    /// # Errors
    /// As [`server_config`](Self::server_config).
    pub fn client_config(
        &self,
        tls: rustls::ClientConfig,
    ) -> Result<quinn::ClientConfig, quinn::crypto::rustls::NoInitialCipherSuite> {
        let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(tls)?;
        let mut config = quinn::ClientConfig::new(Arc::new(crypto));
        config.transport_config(Arc::new(self.transport_config()));
        Ok(config)
    }

    /// A UDP socket with the buffers asked for. Both IP versions where `address` is `[::]`.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub fn bind(&self, address: SocketAddr) -> io::Result<UdpSocket> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::DGRAM,
            Some(Protocol::UDP),
        )?;
        if address.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        if self.reuse_port {
            socket.set_reuse_port(true)?;
        }
        // Without the privilege to exceed the system's limit the kernel gives what it may: no reason to fail.
        let _ = socket.set_recv_buffer_size(self.socket_buffer);
        let _ = socket.set_send_buffer_size(self.socket_buffer);
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        Ok(socket.into())
    }

    /// An endpoint on `address`; with `server` it accepts connections. Must run inside a tokio runtime.
    pub fn endpoint(
        &self,
        address: SocketAddr,
        server: Option<quinn::ServerConfig>,
    ) -> io::Result<quinn::Endpoint> {
        self.endpoint_with(quinn::EndpointConfig::default(), address, server)
    }

    /// An endpoint with connection IDs or keys of the caller's.
    pub fn endpoint_with(
        &self,
        config: quinn::EndpointConfig,
        address: SocketAddr,
        server: Option<quinn::ServerConfig>,
    ) -> io::Result<quinn::Endpoint> {
        let socket = self.bind(address)?;
        quinn::Endpoint::new(config, server, socket, Arc::new(quinn::TokioRuntime))
    }
}

impl CongestionControl {
    fn factory(&self) -> Arc<dyn ControllerFactory + Send + Sync> {
        match self {
            CongestionControl::Cubic => Arc::new(CubicConfig::default()),
            CongestionControl::Bbr => Arc::new(BbrConfig::default()),
            CongestionControl::NewReno => Arc::new(NewRenoConfig::default()),
            CongestionControl::Custom(factory) => factory.clone(),
        }
    }
}
