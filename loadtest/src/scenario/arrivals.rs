//! When people come. Open-loop: nobody waits for somebody else, however slow the doors are.

use super::share::apportion;
use super::span::Span;
use rand::RngExt as _;
use rand::rngs::StdRng;
use serde::Deserialize;
use std::time::Duration;

/// How a crowd arrives.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Arrivals {
    /// At even intervals.
    Ramp {
        /// The first.
        #[serde(default)]
        at: Span,
        /// From the first to the last.
        over: Span,
    },
    /// All at once.
    Spike {
        /// When.
        #[serde(default)]
        at: Span,
    },
    /// Independently of each other, as on an ordinary morning: in `over` each at any time alike.
    Poisson {
        /// From when on.
        #[serde(default)]
        at: Span,
        /// Until when.
        over: Span,
    },
    /// One time zone after another.
    Waves {
        /// Each.
        waves: Vec<Wave>,
    },
}

/// One time zone's people.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wave {
    /// The first of them.
    pub at: Span,
    /// Within this time, each at any time alike.
    pub over: Span,
    /// Their share of the crowd.
    pub share: f64,
}

impl Arrivals {
    /// When each of `count` comes, in order.
    pub fn times(&self, count: usize, rng: &mut StdRng) -> Vec<Duration> {
        let mut scattered = |at: &Span, over: &Span, count: usize| {
            (0..count)
                .map(|_| at.0 + over.0.mul_f64(rng.random::<f64>()))
                .collect::<Vec<_>>()
        };
        let mut times = match self {
            Arrivals::Ramp { at, over } => {
                let step = over.0.div_f64(count.max(1) as f64);
                (0..count).map(|n| at.0 + step.mul_f64(n as f64)).collect()
            }
            Arrivals::Spike { at } => vec![at.0; count],
            // A Poisson process whose total is given is so many independent uniform times.
            Arrivals::Poisson { at, over } => scattered(at, over, count),
            Arrivals::Waves { waves } => {
                let shares: Vec<_> = waves.iter().map(|wave| wave.share).collect();
                let parts = apportion(count, &shares);
                let each = waves.iter().zip(parts);
                each.flat_map(|(wave, part)| scattered(&wave.at, &wave.over, part))
                    .collect()
            }
        };
        times.sort();
        times
    }

    /// That somebody comes at all.
    pub(super) fn check(&self) -> Result<(), String> {
        let Arrivals::Waves { waves } = self else {
            return Ok(());
        };
        if waves.is_empty() {
            return Err("arrive: waves: at least one; nobody comes otherwise".to_owned());
        }
        let fits = |wave: &Wave| wave.share.is_finite() && wave.share > 0.0;
        match waves.iter().all(fits) {
            true => Ok(()),
            false => Err("arrive: waves: shares are numbers above 0".to_owned()),
        }
    }

    /// When the last may come.
    pub fn end(&self) -> Duration {
        match self {
            Arrivals::Ramp { at, over } | Arrivals::Poisson { at, over } => at.0 + over.0,
            Arrivals::Spike { at } => at.0,
            Arrivals::Waves { waves } => {
                let ends = waves.iter().map(|wave| wave.at.0 + wave.over.0);
                ends.max().unwrap_or_default()
            }
        }
    }
}
