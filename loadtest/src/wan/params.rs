//! What an emulated link does to datagrams, and the text form it is configured in.
//!
//! One small language serves the command line and the control protocol:
//! `delay=79ms,jitter=10ms,loss=1%,rate=20mbit,queue=256k`.

use std::{num::NonZeroU64, str::FromStr, time::Duration};

use thiserror::Error;

/// How one direction of a link treats datagrams.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkParams {
    /// One-way propagation delay, at most a minute.
    pub delay: Duration,
    /// The delay wanders within `delay ± jitter`, never below zero. It never reorders.
    pub jitter: Duration,
    /// Share of datagrams lost on the line, 0 to 1.
    pub loss: f64,
    /// Mean length of a run of losses, in datagrams; losses are independent at `None`.
    pub burst: Option<f64>,
    /// Line rate in bits per second; unlimited at `None`. IP and UDP headers count.
    pub rate: Option<NonZeroU64>,
    /// Bytes that may wait for the line, the datagram on it included; more are dropped (drop tail).
    pub queue: usize,
    /// Share of datagrams delivered twice, 0 to 1.
    pub duplicate: f64,
    /// Share of datagrams held back by `reorder_by`, so that later ones overtake them, 0 to 1.
    pub reorder: f64,
    /// How long a held-back datagram is late.
    pub reorder_by: Duration,
}

impl Default for LinkParams {
    /// A perfect link: no delay, no loss, no rate limit.
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            loss: 0.0,
            burst: None,
            rate: None,
            queue: DEFAULT_QUEUE,
            duplicate: 0.0,
            reorder: 0.0,
            reorder_by: DEFAULT_REORDER_BY,
        }
    }
}

impl LinkParams {
    /// Applies each change in turn; parameters that are not named keep their values.
    pub fn apply(&mut self, changes: &Changes) {
        for change in &changes.0 {
            self.apply_one(change);
        }
    }

    /// The time a datagram of `bytes` (headers included) holds the line.
    pub(super) fn serialisation(&self, bytes: usize) -> Duration {
        let Some(rate) = self.rate else {
            return Duration::ZERO;
        };
        let nanos = bytes as u128 * 8 * 1_000_000_000 / u128::from(rate.get());
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn apply_one(&mut self, change: &Change) {
        match *change {
            Change::Delay(value) => self.delay = value,
            Change::Jitter(value) => self.jitter = value,
            Change::Loss(value) => self.loss = value,
            Change::Burst(value) => self.burst = value,
            Change::Rate(value) => self.rate = value,
            Change::Queue(value) => self.queue = value,
            Change::Duplicate(value) => self.duplicate = value,
            Change::Reorder(value) => self.reorder = value,
            Change::ReorderBy(value) => self.reorder_by = value,
        }
    }
}

impl FromStr for LinkParams {
    type Err = ParamError;

    /// A perfect link with the named parameters changed.
    fn from_str(text: &str) -> Result<Self, ParamError> {
        let mut params = Self::default();
        params.apply(&text.parse()?);
        Ok(params)
    }
}

/// One parameter's new value; the fields of [`LinkParams`] say what each means.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Change {
    Delay(Duration),
    Jitter(Duration),
    Loss(f64),
    Burst(Option<f64>),
    Rate(Option<NonZeroU64>),
    Queue(usize),
    Duplicate(f64),
    Reorder(f64),
    ReorderBy(Duration),
}

/// Changes in the order they were written: `delay=79ms,loss=1%`, split by commas or spaces.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes(pub Vec<Change>);

impl FromStr for Changes {
    type Err = ParamError;

    fn from_str(text: &str) -> Result<Self, ParamError> {
        text.split([',', ' '])
            .filter(|word| !word.is_empty())
            .map(parse_change)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

/// Why a parameter was refused.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum ParamError {
    /// Not of the form `key=value`.
    #[error("`{0}` is not key=value")]
    NotAPair(String),
    /// A key this link does not have.
    #[error(
        "unknown parameter `{0}`: one of delay, jitter, loss, burst, rate, queue, duplicate, \
         reorder, reorder-by"
    )]
    UnknownKey(String),
    /// A value that does not parse or is out of range; the text says what is expected.
    #[error("`{key}={value}`: expected {expected}")]
    BadValue {
        /// The parameter.
        key: String,
        /// What was written.
        value: String,
        /// What may be written.
        expected: &'static str,
    },
}

fn parse_change(word: &str) -> Result<Change, ParamError> {
    let (key, value) = word
        .split_once('=')
        .ok_or_else(|| ParamError::NotAPair(word.into()))?;
    let refused = |expected| ParamError::BadValue {
        key: key.into(),
        value: value.into(),
        expected,
    };
    let duration = || parse_duration(value).ok_or_else(|| refused("up to 60s, such as 79ms"));
    let share = || parse_share(value).ok_or_else(|| refused("a share, such as 1% or 0.01"));
    match key {
        "delay" => duration().map(Change::Delay),
        "jitter" => duration().map(Change::Jitter),
        "loss" => share().map(Change::Loss),
        "burst" => parse_burst(value)
            .map(Change::Burst)
            .ok_or_else(|| refused("none, or a mean run length of at least 1")),
        "rate" => parse_rate(value)
            .map(Change::Rate)
            .ok_or_else(|| refused("unlimited, or a rate such as 20mbit")),
        "queue" => parse_bytes(value)
            .map(Change::Queue)
            .ok_or_else(|| refused("up to 1g bytes, such as 256k")),
        "duplicate" => share().map(Change::Duplicate),
        "reorder" => share().map(Change::Reorder),
        "reorder-by" => duration().map(Change::ReorderBy),
        _ => Err(ParamError::UnknownKey(key.into())),
    }
}

fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text)?;
    let scale = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number * scale)
        .ok()
        .filter(|delay| *delay <= MAX_DELAY)
}

fn parse_share(text: &str) -> Option<f64> {
    let share = match text.strip_suffix('%') {
        Some(percent) => percent.parse::<f64>().ok()? / 100.0,
        None => text.parse().ok()?,
    };
    (0.0..=1.0).contains(&share).then_some(share)
}

fn parse_burst(text: &str) -> Option<Option<f64>> {
    if text == "none" {
        return Some(None);
    }
    let length: f64 = text.parse().ok()?;
    (1.0..=MAX_BURST).contains(&length).then_some(Some(length))
}

fn parse_rate(text: &str) -> Option<Option<NonZeroU64>> {
    if text == "unlimited" {
        return Some(None);
    }
    let (number, unit) = split_unit(text)?;
    let scale = match unit {
        "bit" => 1.0,
        "kbit" => 1e3,
        "mbit" => 1e6,
        "gbit" => 1e9,
        _ => return None,
    };
    let rate = (number * scale).round();
    let allowed = (MIN_RATE..=MAX_RATE).contains(&rate);
    allowed.then(|| NonZeroU64::new(rate as u64))
}

fn parse_bytes(text: &str) -> Option<usize> {
    let (number, unit) = split_unit(text)?;
    let scale = match unit {
        "" => 1.0,
        "k" => 1024.0,
        "m" => 1024.0 * 1024.0,
        "g" => 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    let bytes = number * scale;
    (0.0..=MAX_QUEUE).contains(&bytes).then_some(bytes as usize)
}

fn split_unit(text: &str) -> Option<(f64, &str)> {
    let end = text
        .find(|c: char| c.is_ascii_alphabetic())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit))
}

/// The longest delay: longer than any path on Earth by two orders of magnitude, so a typing error
/// is refused instead of looking like a dead link.
const MAX_DELAY: Duration = Duration::from_secs(60);

/// The queue of a common office router: about 100 ms at 20 Mbit/s.
const DEFAULT_QUEUE: usize = 256 * 1024;

/// Enough for a 50/s audio stream to be overtaken by its next frame at 20 ms spacing.
const DEFAULT_REORDER_BY: Duration = Duration::from_millis(25);

const MAX_BURST: f64 = 1e6;
const MIN_RATE: f64 = 1e3;
const MAX_RATE: f64 = 1e12;
const MAX_QUEUE: f64 = 1024.0 * 1024.0 * 1024.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_link_is_read_from_one_line() {
        let params: LinkParams =
            "delay=79ms,jitter=1.5ms loss=1%,burst=4,rate=20mbit,queue=64k,duplicate=0.002,\
             reorder=3%,reorder-by=250us"
                .parse()
                .unwrap();
        assert_eq!(params.delay, Duration::from_millis(79));
        assert_eq!(params.jitter, Duration::from_micros(1500));
        assert_eq!(params.loss, 0.01);
        assert_eq!(params.burst, Some(4.0));
        assert_eq!(params.rate, NonZeroU64::new(20_000_000));
        assert_eq!(params.queue, 65_536);
        assert_eq!(params.duplicate, 0.002);
        assert_eq!(params.reorder, 0.03);
        assert_eq!(params.reorder_by, Duration::from_micros(250));
    }

    #[test]
    fn unnamed_parameters_keep_their_values() {
        let mut params: LinkParams = "delay=79ms,rate=1mbit".parse().unwrap();
        params.apply(&"loss=2% rate=unlimited".parse().unwrap());
        assert_eq!(params.delay, Duration::from_millis(79));
        assert_eq!(params.rate, None);
        assert_eq!(params.loss, 0.02);
    }

    #[test]
    fn nonsense_is_refused_with_what_was_expected() {
        for text in [
            "delay=79",
            "delay=-1ms",
            "delay=61s",
            "delay=nanms",
            "loss=101%",
            "loss=-1",
            "loss=x",
            "rate=0mbit",
            "rate=5mb",
            "queue=-1",
            "queue=2g",
            "burst=0.5",
            "speed=3",
            "delay",
        ] {
            let error = text.parse::<Changes>().unwrap_err();
            assert!(!error.to_string().is_empty(), "{text}");
        }
    }

    #[test]
    fn a_datagram_holds_the_line_for_its_bits() {
        let params: LinkParams = "rate=8mbit".parse().unwrap();
        assert_eq!(params.serialisation(1000), Duration::from_millis(1));
        assert_eq!(LinkParams::default().serialisation(1000), Duration::ZERO);
    }
}
