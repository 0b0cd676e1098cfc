//! What things were measured to cost, and up to which size.

use serde::{Deserialize, Serialize};

/// What an edge needs, as measured by `cargo xtask bench` (docs/performance.md says on which machine and how). Another machine's
/// own figures may be given instead.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Costs {
    /// CPU for each audio frame to one listener, µs, with 200 of them and a stream each; with more it falls (12.2 with 1,000).
    pub audio_object_us: f64,
    /// CPU for each GB of video, s.
    pub video_gb_s: f64,
    /// CPU for somebody who joins, ms, with the first of their media.
    pub join_ms: f64,
    /// Memory of an edge in a network with a control plane, with hardly anybody there, MiB; in `plenary-full`, beyond that of its
    /// listeners.
    pub edge_mib: f64,
    /// Memory for each listener, KiB.
    pub listener_kib: f64,
    /// Memory for each who takes video as well, KiB more: as much as one who takes nothing else.
    pub viewer_kib: f64,
    /// Bytes on the wire for an audio frame of 160, with MoQT, QUIC, UDP and IP, and with what the listener acknowledges.
    pub audio_wire_bytes: f64,
    /// The same for each byte of video.
    pub video_wire_factor: f64,
    /// CPU with several workers beside one, for the same.
    pub workers_factor: f64,
    /// Most listeners that were measured at one edge.
    pub measured_listeners: u32,
    /// Most viewers that were.
    pub measured_viewers: u32,
    /// Most workers that were.
    pub measured_workers: u32,
}

impl Default for Costs {
    fn default() -> Costs {
        Costs {
            audio_object_us: 14.7,
            video_gb_s: 3.83,
            join_ms: 0.75,
            edge_mib: 22.0,
            listener_kib: 62.0,
            viewer_kib: 85.0,
            audio_wire_bytes: 278.0,
            video_wire_factor: 1.06,
            workers_factor: 1.05,
            measured_listeners: 1_000,
            measured_viewers: 500,
            measured_workers: 2,
        }
    }
}

/// Audio frames a second.
pub(super) const FRAMES: f64 = 50.0;
