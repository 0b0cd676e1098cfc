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
    /// Whether `text` is its name, or the first words of it.
    pub(super) fn is_called(&self, text: &str) -> bool {
        let rest = self.name.strip_prefix(text);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    }

    /// Whether the yardstick can play: it knows no slow subscriber and only one track.
    pub(super) fn suits_bare(&self) -> bool {
        matches!(self.act, Act::Steady | Act::Joins)
    }

    /// Whether it is one to compare an edge of several workers by: what they cost shows best where objects are many.
    pub(super) fn shows_workers(&self) -> bool {
        self.act == Act::Steady && self.shapes == [Shape::AudioStreams]
    }
}

/// A subscriber alone, for the latency of a hop, and as many as one core is to bear.
const EXTREMES: [usize; 2] = [1, 1000];

/// All of them; `sizes` are audiences. The short list leaves out what is slow to set up.
pub(super) fn all(sizes: &[usize], short: bool) -> Vec<Scenario> {
    let shapes = [
        Shape::AudioStreams,
        Shape::AudioGroups,
        Shape::AudioDatagrams,
        Shape::Video,
    ];
    let usual = shapes
        .into_iter()
        .flat_map(|shape| sizes.iter().map(move |size| steady(shape, *size)));
    let extremes = EXTREMES.into_iter().filter(|_| !short);
    let extremes = extremes.map(|size| steady(Shape::AudioStreams, size));
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
    usual
        .chain(extremes)
        .chain(joins)
        .chain([slow, throttled])
        .collect()
}

fn steady(shape: Shape, subscribers: usize) -> Scenario {
    Scenario {
        name: format!("{}-{subscribers}", shape.name()),
        act: Act::Steady,
        shapes: vec![shape],
        subscribers,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_answers_to_its_name_and_its_first_words() {
        let one = steady(Shape::AudioStreams, 1);
        assert!(one.is_called("audio-streams-1") && one.is_called("audio"));
        assert!(!steady(Shape::AudioStreams, 1000).is_called("audio-streams-1"));
    }
}
