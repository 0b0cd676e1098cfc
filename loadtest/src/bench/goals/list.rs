//! What is to be reached.

use super::{Bound, CPU, Figure, Goal, SUSTAINED};

/// In the order in which they are shown.
pub(super) const GOALS: [Goal; 14] = [
    Goal {
        what: "audio, a stream per object, 500 subscribers: CPU per object",
        figure: Figure::Of("audio-streams-500", CPU),
        unit: "µs",
        bounds: &[Bound::TimesBare(1.1), Bound::BelowPeers(1.4)],
    },
    Goal {
        what: "audio, groups of a second, 500: CPU per object",
        figure: Figure::Of("audio-groups-500", CPU),
        unit: "µs",
        bounds: &[Bound::TimesBare(1.1), Bound::BelowPeers(1.4)],
    },
    Goal {
        what: "audio, datagrams, 500: CPU per object",
        figure: Figure::Of("audio-datagrams-500", CPU),
        unit: "µs",
        bounds: &[Bound::TimesBare(1.1)],
    },
    Goal {
        what: "audio sustained on one core, all delivered, p99 below 50 ms",
        figure: Figure::Sustained,
        unit: "objects/s",
        bounds: &[Bound::AtLeast(SUSTAINED)],
    },
    Goal {
        what: "video, 200: CPU per GB",
        figure: Figure::Of("video-200", "cpu_s_per_gb"),
        unit: "s",
        bounds: &[Bound::AtMost(4.5)],
    },
    Goal {
        what: "video, 500: CPU per GB",
        figure: Figure::Of("video-500", "cpu_s_per_gb"),
        unit: "s",
        bounds: &[Bound::AtMost(4.5)],
    },
    Goal {
        what: "audio, a stream per object, 200: memory per subscriber",
        figure: Figure::Of("audio-streams-200", "memory_kib_per_subscriber"),
        unit: "KiB",
        bounds: &[Bound::AtMost(96.0)],
    },
    Goal {
        what: "the same, 500",
        figure: Figure::Of("audio-streams-500", "memory_kib_per_subscriber"),
        unit: "KiB",
        bounds: &[Bound::AtMost(96.0)],
    },
    Goal {
        what: "video, 200: memory per subscriber",
        figure: Figure::Of("video-200", "memory_kib_per_subscriber"),
        unit: "KiB",
        bounds: &[Bound::AtMost(160.0)],
    },
    Goal {
        what: "500 joins in 1 s on one core: p99 to first audio",
        figure: Figure::Of("joins-500", "join_p99_ms"),
        unit: "ms",
        bounds: &[Bound::AtMost(150.0)],
    },
    Goal {
        // Media that flows meanwhile is in it: nothing is taken off that would have to be estimated.
        what: "500 joins in 1 s: CPU per join, with the media sent meanwhile",
        figure: Figure::Of("joins-500", "cpu_ms_per_join_with_media"),
        unit: "ms",
        bounds: &[Bound::AtMost(1.2)],
    },
    Goal {
        what: "audio, a stream per object, 500: CPU per object of two workers, times that of one",
        figure: Figure::TwoWorkers("audio-streams-500", CPU),
        unit: "×",
        bounds: &[Bound::AtMost(1.1)],
    },
    Goal {
        what: "latency of one hop beyond the burst's own length, 500 audio subscribers: p50",
        figure: Figure::Of("audio-streams-500", "lag_beyond_burst_p50_ms"),
        unit: "ms",
        bounds: &[Bound::AtMost(0.5)],
    },
    Goal {
        what: "the same: p99",
        figure: Figure::Of("audio-streams-500", "lag_beyond_burst_p99_ms"),
        unit: "ms",
        bounds: &[Bound::AtMost(5.0)],
    },
];
