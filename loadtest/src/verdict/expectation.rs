//! One expectation, and how it is written.

use crate::outcome::{Count, Key, Latency};
use crate::scenario::Span;
use clap::ValueEnum;
use serde::{Deserialize, Deserializer, de::Error};
use std::fmt;
use std::str::FromStr;

/// Something that has to hold: `WHAT[{WHO}] RELATION LIMIT`.
#[derive(Clone, Debug, PartialEq)]
pub struct Expectation {
    /// As it was written.
    pub text: String,
    /// What is compared.
    pub measure: Measure,
    /// Of whom: pairs such as `region` and `AFR`; of everybody if empty.
    pub of: Vec<(String, String)>,
    /// How.
    pub relation: Relation,
    /// With what: milliseconds, a number, or a share.
    pub limit: f64,
}

/// What may be compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Measure {
    /// A time, as in `first_audio.p95`; in milliseconds.
    Time(Latency, Statistic),
    /// A number, as in `failed`.
    Number(Count),
    /// A number as a share, as in `lost < 0.1%`: of what it could at most have been.
    Share(Count),
    /// Sessions that were left over.
    Ghosts,
    /// The busiest edge's CPU as a share of a core, over the busiest ten seconds.
    EdgeCpu,
    /// The largest edge's resident memory, in MiB.
    EdgeMemory,
}

/// What is taken of many times.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Statistic {
    /// What this share of them stayed below, 0 to 1.
    Quantile(f64),
    /// The mean.
    Mean,
}

/// How two numbers compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Relation {
    Below,
    AtMost,
    Above,
    AtLeast,
    Equal,
}

impl Expectation {
    /// Whether it is about these people.
    pub fn is_about(&self, key: &Key) -> bool {
        let mut of = self.of.iter();
        of.all(|(field, value)| key.field(field) == value)
    }
}

impl Relation {
    /// Whether it holds.
    pub fn holds(self, value: f64, limit: f64) -> bool {
        match self {
            Relation::Below => value < limit,
            Relation::AtMost => value <= limit,
            Relation::Above => value > limit,
            Relation::AtLeast => value >= limit,
            Relation::Equal => value == limit,
        }
    }
}

impl FromStr for Expectation {
    type Err = String;

    fn from_str(text: &str) -> Result<Expectation, String> {
        let (at, relation, sign) =
            find_relation(text).ok_or_else(|| format!("`{text}`: no <, <=, >, >= or == in it"))?;
        let (left, right) = (text[..at].trim(), text[at + sign.len()..].trim());
        let (what, of) = split_who(left)?;
        let (limit, is_share) = limit(right)?;
        let measure = measure(what, is_share)?;
        let is_of_all = matches!(
            measure,
            Measure::Ghosts | Measure::EdgeCpu | Measure::EdgeMemory
        );
        if is_of_all && !of.is_empty() {
            return Err(format!(
                "`{text}`: {what} is of nobody in particular: leave the braces out"
            ));
        }
        let is_time = matches!(measure, Measure::Time(..));
        let is_span = right.parse::<Span>().is_ok();
        if is_time != is_span {
            return Err(match is_time {
                true => format!("`{text}`: {what} is a time: compare it with one, such as 3s"),
                false => format!("`{text}`: {what} is no time: compare it with a number"),
            });
        }
        Ok(Expectation {
            text: text.to_owned(),
            measure,
            of,
            relation,
            limit,
        })
    }
}

impl<'de> Deserialize<'de> for Expectation {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Expectation, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(D::Error::custom)
    }
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn find_relation(text: &str) -> Option<(usize, Relation, &'static str)> {
    // The `=` between braces is none.
    let from = text.find('}').unwrap_or(0);
    let signs = [
        ("<=", Relation::AtMost),
        (">=", Relation::AtLeast),
        ("==", Relation::Equal),
        ("<", Relation::Below),
        (">", Relation::Above),
    ];
    signs.into_iter().find_map(|(sign, relation)| {
        let at = text[from..].find(sign)? + from;
        Some((at, relation, sign))
    })
}

type Who = Vec<(String, String)>;

fn split_who(text: &str) -> Result<(&str, Who), String> {
    let Some((what, rest)) = text.split_once('{') else {
        return Ok((text, Vec::new()));
    };
    let inside = rest
        .trim_end()
        .strip_suffix('}')
        .ok_or_else(|| format!("`{text}`: a `}}` is missing at the end"))?;
    let pair = |pair: &str| {
        let (field, value) = pair.split_once('=')?;
        let (field, value) = (field.trim(), value.trim());
        FIELDS
            .contains(&field)
            .then(|| (field.to_owned(), value.to_owned()))
    };
    let pairs: Option<Who> = inside.split(',').map(pair).collect();
    let pairs = pairs.ok_or_else(|| {
        let fields = FIELDS.join(", ");
        format!("`{{{inside}}}`: write pairs such as region=AFR, of {fields}")
    })?;
    Ok((what.trim(), pairs))
}

fn measure(what: &str, is_share: bool) -> Result<Measure, String> {
    match what {
        "ghosts" => return Ok(Measure::Ghosts),
        "edge_cpu" => return Ok(Measure::EdgeCpu),
        "edge_memory" => return Ok(Measure::EdgeMemory),
        _ => {}
    }
    if let Some((name, statistic)) = what.split_once('.') {
        let latency = Latency::from_str(name, false).map_err(|_| {
            let all: Vec<_> = Latency::all().iter().map(|one| one.name()).collect();
            format!("`{name}` is not timed; these are: {}", all.join(", "))
        })?;
        return Ok(Measure::Time(latency, parse_statistic(statistic)?));
    }
    let count = Count::from_str(what, false).map_err(|_| {
        let all: Vec<_> = Count::all().iter().map(|one| one.name()).collect();
        let all = all.join(", ");
        format!("`{what}` is not counted; these are: {all}, ghosts, edge_cpu, edge_memory; times end as in .p95")
    })?;
    Ok(match is_share {
        true => Measure::Share(count),
        false => Measure::Number(count),
    })
}

fn parse_statistic(text: &str) -> Result<Statistic, String> {
    let wrong = || format!("`.{text}`: write .p50, .p95, .p99, .p99.9, .max or .mean");
    match text {
        "max" => return Ok(Statistic::Quantile(1.0)),
        "mean" => return Ok(Statistic::Mean),
        _ => {}
    }
    let percent = text.strip_prefix('p').ok_or_else(wrong)?;
    let percent: f64 = percent.parse().map_err(|_| wrong())?;
    match (0.0..=100.0).contains(&percent) {
        true => Ok(Statistic::Quantile(percent / 100.0)),
        false => Err(wrong()),
    }
}

/// The number, and whether it is a share.
fn limit(text: &str) -> Result<(f64, bool), String> {
    if let Ok(Span(span)) = text.parse() {
        return Ok((span.as_secs_f64() * 1e3, false));
    }
    let (number, is_share) = match text.strip_suffix('%') {
        Some(percent) => (percent.trim(), true),
        None => (text, false),
    };
    let value: f64 = number.parse().map_err(|_| {
        format!("`{text}`: write a time such as 3s, a number, or a share such as 0.1%")
    })?;
    Ok((if is_share { value / 100.0 } else { value }, is_share))
}

const FIELDS: [&str; 4] = ["region", "language", "transport", "profile"];

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Expectation {
        text.parse().expect(text)
    }

    #[test]
    fn times_numbers_and_shares_are_understood() {
        let time = parse("first_audio.p95 < 3s");
        let of = Measure::Time(Latency::FirstAudio, Statistic::Quantile(0.95));
        assert_eq!(
            (time.measure, time.relation, time.limit),
            (of, Relation::Below, 3000.0)
        );
        let number = parse("failed == 0");
        assert_eq!(
            (number.measure, number.limit),
            (Measure::Number(Count::Failed), 0.0)
        );
        let share = parse("lost <= 0.1%");
        assert_eq!(
            (share.measure, share.limit),
            (Measure::Share(Count::Lost), 0.001)
        );
        assert_eq!(
            parse("gaps_1000ms == 0").measure,
            Measure::Number(Count::Gaps1000ms)
        );
        assert_eq!(parse("ghosts == 0").measure, Measure::Ghosts);
    }

    #[test]
    fn who_is_meant_stands_in_braces() {
        let some = parse("gap.max{region=AFR, transport=quic} <= 200ms");
        let key = |region: &str, transport: &str| Key {
            region: region.to_owned(),
            transport: transport.to_owned(),
            ..Key::default()
        };
        assert!(some.is_about(&key("AFR", "quic")));
        assert!(!some.is_about(&key("AFR", "websocket")));
        assert!(!some.is_about(&key("EUR", "quic")));
    }

    #[test]
    fn what_knows_no_people_is_refused_of_some() {
        for what in ["ghosts", "edge_cpu", "edge_memory"] {
            let text = format!("{what}{{region=AFR}} < 1");
            let error = text.parse::<Expectation>().expect_err(&text);
            let says = format!("{what} is of nobody in particular");
            assert!(error.contains(&says), "{error}");
            assert!(format!("{what} < 1").parse::<Expectation>().is_ok());
        }
    }

    #[test]
    fn what_is_not_understood_is_refused_with_what_to_write() {
        for (text, says) in [
            ("first_audio.p95 3s", "no <"),
            ("first_audoi.p95 < 3s", "first_audio"),
            ("first_audio.p101 < 3s", ".p95"),
            ("first_audio < 3s", "is not counted"),
            ("first_audio.p95 < 3", "such as 3s"),
            ("failed < 3s", "a number"),
            ("failed < many", "0.1%"),
            ("gap.max{planet=mars} < 1s", "region"),
            ("gap.max{region=AFR < 1s", "missing"),
        ] {
            let error = text.parse::<Expectation>().expect_err(text);
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
