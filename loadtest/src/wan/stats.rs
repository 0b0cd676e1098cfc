//! Plain counters of an emulated link, as they are printed in JSON.

use std::net::SocketAddr;

use serde::Serialize;

/// Everything one emulator counts.
#[derive(Clone, Debug, Serialize)]
pub struct Stats {
    /// Where datagrams are accepted.
    pub listen: SocketAddr,
    /// Where they are forwarded to.
    pub target: SocketAddr,
    /// The seed that makes losses and jitter repeatable.
    pub seed: u64,
    /// Seconds since the emulator started.
    pub uptime_s: f64,
    /// Client addresses that have a socket towards the target now.
    pub clients: usize,
    /// Datagrams of clients beyond the limit, never put on the link.
    pub refused_clients: u64,
    /// Datagrams the kernel threw away before the emulator read them, for want of buffer, on the
    /// sockets open now.
    pub overflow: u64,
    /// From clients to the target.
    pub up: LinkStats,
    /// From the target to clients.
    pub down: LinkStats,
}

/// One direction. Sizes are UDP payload bytes, except in the queue, where headers count.
///
/// `in_packets + duplicated` is always `out_packets` plus all drops but `send_failed`, plus
/// `queue_packets` and `flight_packets`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LinkStats {
    /// Datagrams that arrived.
    pub in_packets: u64,
    /// Their bytes.
    pub in_bytes: u64,
    /// Datagrams that left, the later copies of duplicates included.
    pub out_packets: u64,
    /// Their bytes.
    pub out_bytes: u64,
    /// Those that left more than half a millisecond after their time, because the emulator did not
    /// get the processor: with many of them, what was measured over the link is not the link's.
    pub late_packets: u64,
    /// The latest of them, in microseconds.
    pub late_us_max: u64,
    /// Lost at random on the line.
    pub dropped_loss: u64,
    /// Dropped at the tail of the full queue.
    pub dropped_queue: u64,
    /// Swallowed while the direction was a black hole.
    pub dropped_blackhole: u64,
    /// Dropped because the emulator itself holds too many bytes in flight.
    pub dropped_flight: u64,
    /// Had left the link, but the operating system refused to send them or their client was gone.
    pub send_failed: u64,
    /// Copies made.
    pub duplicated: u64,
    /// Datagrams held back for others to overtake.
    pub reordered: u64,
    /// Datagrams waiting for the line now.
    pub queue_packets: u64,
    /// Their bytes, headers included.
    pub queue_bytes: u64,
    /// The most bytes that ever waited.
    pub queue_bytes_max: u64,
    /// Datagrams on their way now.
    pub flight_packets: u64,
    /// Whether everything is being swallowed now.
    pub blackhole: bool,
}

impl LinkStats {
    /// Sums; each `_max` becomes the larger, and `blackhole` whether one is.
    pub(super) fn add(&mut self, other: &Self) {
        let Self {
            in_packets,
            in_bytes,
            out_packets,
            out_bytes,
            late_packets,
            late_us_max,
            dropped_loss,
            dropped_queue,
            dropped_blackhole,
            dropped_flight,
            send_failed,
            duplicated,
            reordered,
            queue_packets,
            queue_bytes,
            queue_bytes_max,
            flight_packets,
            blackhole,
        } = other;
        self.in_packets += in_packets;
        self.in_bytes += in_bytes;
        self.out_packets += out_packets;
        self.out_bytes += out_bytes;
        self.late_packets += late_packets;
        self.late_us_max = self.late_us_max.max(*late_us_max);
        self.dropped_loss += dropped_loss;
        self.dropped_queue += dropped_queue;
        self.dropped_blackhole += dropped_blackhole;
        self.dropped_flight += dropped_flight;
        self.send_failed += send_failed;
        self.duplicated += duplicated;
        self.reordered += reordered;
        self.queue_packets += queue_packets;
        self.queue_bytes += queue_bytes;
        self.queue_bytes_max = self.queue_bytes_max.max(*queue_bytes_max);
        self.flight_packets += flight_packets;
        self.blackhole |= blackhole;
    }
}
