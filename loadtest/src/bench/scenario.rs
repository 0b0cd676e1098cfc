//! The scenarios, by name.

use super::shape::Shape;
use clap::ValueEnum;

/// What happens in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Act {
    /// Everybody listens.
    Steady,
    /// First without, then with a stalled and a 200 kbit/s subscriber among them.
    Slow,
    /// All join within a second while media flows.
    Joins,
    /// Ten subscribers behind 300 kbit/s, for a minute.
    Throttled,
}

/// One scenario.
#[derive(Clone, Debug)]
pub(super) struct Scenario {
    pub(super) name: String,
    pub(super) act: Act,
    pub(super) shapes: Vec<Shape>,
    pub(super) subscribers: usize,
}

impl Scenario {
    /// Whether the yardstick can play: it knows no slow subscriber and only one track.
    pub(super) fn suits_bare(&self) -> bool {
        matches!(self.act, Act::Steady | Act::Joins)
    }
}

/// All of them; `sizes` are audiences.
pub(super) fn all(sizes: &[usize]) -> Vec<Scenario> {
    let shapes = [
        Shape::AudioStreams,
        Shape::AudioGroups,
        Shape::AudioDatagrams,
        Shape::Video,
    ];
    let steady = shapes.into_iter().flat_map(|shape| {
        sizes.iter().map(move |size| Scenario {
            name: format!("{}-{size}", shape.name()),
            act: Act::Steady,
            shapes: vec![shape],
            subscribers: *size,
        })
    });
    let joins = sizes
        .iter()
        .filter(|size| **size >= 200)
        .map(|size| Scenario {
            name: format!("joins-{size}"),
            act: Act::Joins,
            shapes: vec![Shape::AudioStreams],
            subscribers: *size,
        });
    let slow = Scenario {
        name: "slow-among-200".into(),
        act: Act::Slow,
        shapes: vec![Shape::Video, Shape::AudioStreams],
        subscribers: 200,
    };
    let throttled = Scenario {
        name: "throttled-10".into(),
        act: Act::Throttled,
        shapes: vec![Shape::Video],
        subscribers: 10,
    };
    steady.chain(joins).chain([slow, throttled]).collect()
}
