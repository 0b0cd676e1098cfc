//! What a path has done so far.

use std::time::Duration;

/// Counters of one connection since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionStats {
    /// Smoothed round-trip time.
    pub rtt: Duration,
    /// Bytes that may be in flight.
    pub congestion_window: u64,
    /// Times the controller saw congestion.
    pub congestion_events: u64,
    /// Packets sent.
    pub sent_packets: u64,
    /// Packets declared lost.
    pub lost_packets: u64,
    /// Bytes declared lost.
    pub lost_bytes: u64,
    /// UDP payload bytes sent.
    pub udp_sent_bytes: u64,
    /// UDP datagrams sent.
    pub udp_sent_datagrams: u64,
    /// UDP payload bytes received.
    pub udp_received_bytes: u64,
    /// UDP datagrams received.
    pub udp_received_datagrams: u64,
    /// The packet size in bytes that the path carries.
    pub current_mtu: u16,
}

impl From<&quinn::ConnectionStats> for ConnectionStats {
    fn from(stats: &quinn::ConnectionStats) -> ConnectionStats {
        ConnectionStats {
            rtt: stats.path.rtt,
            congestion_window: stats.path.cwnd,
            congestion_events: stats.path.congestion_events,
            sent_packets: stats.path.sent_packets,
            lost_packets: stats.path.lost_packets,
            lost_bytes: stats.path.lost_bytes,
            udp_sent_bytes: stats.udp_tx.bytes,
            udp_sent_datagrams: stats.udp_tx.datagrams,
            udp_received_bytes: stats.udp_rx.bytes,
            udp_received_datagrams: stats.udp_rx.datagrams,
            current_mtu: stats.path.current_mtu,
        }
    }
}
