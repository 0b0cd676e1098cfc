//! What is measured: over which path, by how many links, with which congestion controller.

use std::time::Duration;

use crate::up::link::LinkSpec;

/// One measurement.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) stretch: Stretch,
    pub(super) controller: &'static str,
    /// Bits per second; unlimited at `None`.
    pub(super) rate: Option<u64>,
    pub(super) audio: u8,
    pub(super) video: u8,
}

/// Where the emulated path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stretch {
    /// From Bangkok to the far office through one parent.
    OneLink,
    /// Through two parents at the same place, each by a link of its own.
    TwoLinks,
    /// Between an edge and a client: little loss, a deep buffer.
    LastMile,
}

/// Bangkok–Geneva and back, as planned with.
pub(super) const ROUND_TRIP: Duration = Duration::from_millis(158);
/// What a frame that is not lost takes at most beyond the path: the path's jitter, and the machine's own time.
pub(super) const ON_TIME: Duration = Duration::from_millis(79 + 10 + 20);

const MBIT: u64 = 1_000_000;

impl Case {
    /// All of them.
    pub(super) fn all() -> Vec<Case> {
        let mut cases = vec![
            far("one-link", Stretch::OneLink, "steady", None),
            far("two-links", Stretch::TwoLinks, "steady", None),
        ];
        for mbit in [50, 10] {
            for controller in CONTROLLERS {
                let name = format!("{mbit}-mbit-{controller}");
                cases.push(far(&name, Stretch::OneLink, controller, Some(mbit * MBIT)));
            }
        }
        for (videos, load) in [(1, "fits"), (2, "too-much")] {
            for controller in CONTROLLERS {
                cases.push(Case {
                    name: format!("client-{load}-{controller}"),
                    stretch: Stretch::LastMile,
                    controller,
                    rate: Some(2 * MBIT),
                    audio: 1,
                    video: videos,
                });
            }
        }
        cases
    }

    /// What the path does.
    pub(super) fn path(&self) -> LinkSpec {
        match self.stretch {
            Stretch::OneLink | Stretch::TwoLinks => LinkSpec {
                delay: ROUND_TRIP / 2,
                jitter: Duration::from_millis(10),
                loss: 0.01,
                rate: self.rate,
                // A quarter of a second: what routers are usually given.
                queue: self.rate.map(|rate| rate / 8 / 4),
            },
            Stretch::LastMile => LinkSpec {
                delay: Duration::from_millis(20),
                rate: self.rate,
                // Four seconds at 2 Mbit/s: as home routers are.
                queue: Some(1 << 20),
                ..LinkSpec::default()
            },
        }
    }

    /// What it must keep to: our own controller, everywhere. Others are only measured.
    pub(super) fn demands(&self) -> Option<Demands> {
        let trips = match (self.controller, self.stretch) {
            ("steady", Stretch::OneLink) => Some(2),
            ("steady", Stretch::TwoLinks) => Some(1),
            ("steady", Stretch::LastMile) => None,
            _ => return None,
        };
        Some(Demands {
            trips,
            has_room: self.stretch != Stretch::LastMile || self.video == 1,
        })
    }
}

/// What a case must keep to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Demands {
    /// Round trips within which [`MOST`] of all audio frames must come; `None`: no such demand.
    pub(super) trips: Option<usize>,
    /// Everything fits the path, so that nothing may be left out.
    pub(super) has_room: bool,
}

/// The share of audio frames that must be in time.
pub(super) const MOST: f64 = 0.999;
/// The longest that a last mile's buffer may take: what a keyframe alone needs at 2 Mbit/s, and as much again.
pub(super) const LONGEST_QUEUE_MS: f64 = 320.0;

fn far(name: &str, stretch: Stretch, controller: &'static str, rate: Option<u64>) -> Case {
    Case {
        name: name.to_owned(),
        stretch,
        controller,
        rate,
        audio: 10,
        video: 2,
    }
}

const CONTROLLERS: [&str; 3] = ["steady", "cubic", "bbr"];
