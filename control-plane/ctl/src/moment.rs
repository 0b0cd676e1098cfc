//! Times as people write and read them: always UTC, always with the clock as an argument.

use crate::text::NONE;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use time::format_description::BorrowedFormatItem;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description as describe;
use time::{Date, OffsetDateTime, PrimitiveDateTime};

/// A time as given on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// In seconds since the Unix epoch.
    At(u64),
    /// From now.
    In(Duration),
    /// Not set.
    Never,
}

impl Moment {
    /// In seconds since the Unix epoch; 0 for [`Moment::Never`].
    pub fn at_s(self, now_s: u64) -> u64 {
        match self {
            Moment::At(s) => s,
            Moment::In(span) => now_s.saturating_add(span.as_secs()),
            Moment::Never => 0,
        }
    }
}

/// `2026-12-01T12:00Z`, `2026-12-01 12:00`, `2026-12-01`, RFC 3339 with any offset, `+2h`, `now`, `never`.
///
/// # Errors
/// What to write instead.
pub fn moment(text: &str) -> Result<Moment, String> {
    let text = text.trim();
    match text {
        "now" => return Ok(Moment::In(Duration::ZERO)),
        "never" | "none" => return Ok(Moment::Never),
        _ => {}
    }
    if let Some(from_now) = text.strip_prefix('+') {
        return span(from_now).map(Moment::In);
    }
    let at = absolute(text).ok_or("write a time as 2026-12-01T12:00Z (UTC), +2h, now or never")?;
    u64::try_from(at.unix_timestamp())
        .map(Moment::At)
        .map_err(|_| "this was before 1970".into())
}

/// `30s`, `5m`, `2h`, `7d`, `2w`, or several of them, as in `1h30m`.
///
/// # Errors
/// What to write instead.
pub fn span(text: &str) -> Result<Duration, String> {
    let wrong = || "write a length of time as 30s, 5m, 2h, 7d or 1h30m".to_owned();
    let mut rest = text.trim();
    let mut seconds: u64 = 0;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        let word = &rest[digits..];
        let end = word
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(word.len());
        let unit = match &word[..end] {
            "s" => 1,
            "m" | "min" => 60,
            "h" => 3_600,
            "d" => 86_400,
            "w" => 7 * 86_400,
            _ => return Err(wrong()),
        };
        let more = number.checked_mul(unit).ok_or_else(wrong)?;
        seconds = seconds.checked_add(more).ok_or_else(wrong)?;
        rest = &word[end..];
    }
    Ok(Duration::from_secs(seconds))
}

/// What to say if something is good for clearly less than was asked for; times as seconds since the Unix epoch.
pub fn cut_short(asked: Duration, expires_at_s: u64, now_s: u64) -> Option<String> {
    let asked_at_s = now_s.saturating_add(asked.as_secs());
    // The clocks of the two sides may differ a little.
    (expires_at_s.saturating_add(SLACK_S) < asked_at_s).then(|| {
        let left = expires_at_s.saturating_sub(now_s);
        let days = (left as f64 / 86_400.0).round();
        format!("--valid is cut: the server gives {days} days at most")
    })
}

/// Clocks of people's machines are that good.
const SLACK_S: u64 = 3_600;

/// RFC 3339, from nanoseconds since the Unix epoch; nothing beyond the year 9999.
pub fn rfc3339(unix_ns: i128) -> Option<String> {
    let at = OffsetDateTime::from_unix_timestamp_nanos(unix_ns).ok()?;
    at.format(&Rfc3339).ok()
}

/// As in `2026-12-01 12:00`, from seconds since the Unix epoch; a dash for 0.
pub fn minutes(unix_s: u64) -> String {
    written(unix_s, MINUTES)
}

/// As in `2026-12-01 12:00:07`, from milliseconds since the Unix epoch; a dash for 0.
pub fn seconds(unix_ms: u64) -> String {
    written(unix_ms / 1_000, SECONDS)
}

/// As in `12:00:07`, from milliseconds since the Unix epoch; a dash for 0.
pub fn clock(unix_ms: u64) -> String {
    written(unix_ms / 1_000, CLOCK)
}

/// A length of time in its largest unit, from milliseconds, as in `0.4 s` or `3 h`.
pub fn length(ms: u64) -> String {
    let s = ms / 1_000;
    match s {
        0..10 => format!("{:.1} s", ms as f64 / 1_000.0),
        10..120 => format!("{s} s"),
        120..7_200 => format!("{} min", s / 60),
        7_200..172_800 => format!("{} h", s / 3_600),
        _ => format!("{} d", s / 86_400),
    }
}

/// The machine's clock, in milliseconds since the Unix epoch.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

fn absolute(text: &str) -> Option<OffsetDateTime> {
    if let Ok(at) = OffsetDateTime::parse(text, &Rfc3339) {
        return Some(at);
    }
    let bare = text.strip_suffix(['Z', 'z']).unwrap_or(text);
    let bare = bare.replacen(['T', 't'], " ", 1);
    let parsed = PrimitiveDateTime::parse(&bare, MINUTES)
        .or_else(|_| PrimitiveDateTime::parse(&bare, SECONDS));
    let parsed = parsed.or_else(|_| Date::parse(&bare, DAY).map(Date::midnight));
    parsed.ok().map(PrimitiveDateTime::assume_utc)
}

fn written(unix_s: u64, form: &[BorrowedFormatItem<'_>]) -> String {
    if unix_s == 0 {
        return NONE.into();
    }
    let at = i64::try_from(unix_s).ok();
    let at = at.and_then(|s| OffsetDateTime::from_unix_timestamp(s).ok());
    at.and_then(|at| at.format(form).ok())
        .unwrap_or_else(|| format!("@{unix_s}"))
}

const DAY: &[BorrowedFormatItem<'_>] = describe!("[year]-[month]-[day]");
const MINUTES: &[BorrowedFormatItem<'_>] = describe!("[year]-[month]-[day] [hour]:[minute]");
const SECONDS: &[BorrowedFormatItem<'_>] =
    describe!("[year]-[month]-[day] [hour]:[minute]:[second]");
const CLOCK: &[BorrowedFormatItem<'_>] = describe!("[hour]:[minute]:[second]");

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: u64 = 1_796_126_400;

    #[test]
    fn a_time_is_taken_in_every_usual_form() {
        for text in [
            "2026-12-01T12:00Z",
            "2026-12-01 12:00",
            "2026-12-01T12:00:00Z",
            "2026-12-01T13:00:00+01:00",
            "2026-12-01 12:00:00",
        ] {
            assert_eq!(moment(text), Ok(Moment::At(NOON)), "{text}");
        }
        assert_eq!(moment("2026-12-01"), Ok(Moment::At(NOON - 12 * 3_600)));
        assert_eq!(moment("+2h").map(|m| m.at_s(100)), Ok(7_300));
        assert_eq!(moment("now").map(|m| m.at_s(100)), Ok(100));
        assert_eq!(moment("never").map(|m| m.at_s(100)), Ok(0));
    }

    #[test]
    fn what_is_no_time_is_refused_with_advice() {
        for text in [
            "",
            "tomorrow",
            "12:00",
            "2026-13-01",
            "1969-01-01",
            "+2",
            "+h",
        ] {
            assert!(moment(text).is_err(), "{text}");
        }
        assert!(moment("tomorrow").is_err_and(|what| what.contains("2026-12-01T12:00Z")));
    }

    #[test]
    fn lengths_add_up() {
        assert_eq!(span("1h30m"), Ok(Duration::from_secs(5_400)));
        assert_eq!(span("7d"), Ok(Duration::from_secs(604_800)));
        for text in [
            "",
            "7",
            "7y",
            "-1h",
            "99999999999999999999s",
            "9999999999999999w",
        ] {
            assert!(span(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_written_in_utc() {
        assert_eq!(minutes(NOON), "2026-12-01 12:00");
        assert_eq!(seconds(NOON * 1_000 + 7_999), "2026-12-01 12:00:07");
        assert_eq!(clock(NOON * 1_000), "12:00:00");
        assert_eq!(minutes(0), NONE);
        assert_eq!(minutes(u64::MAX), format!("@{}", u64::MAX));
        let ns = i128::from(NOON) * 1_000_000_000 + 5_000_000;
        assert_eq!(rfc3339(ns).as_deref(), Some("2026-12-01T12:00:00.005Z"));
        assert_eq!(rfc3339(i128::MAX), None);
    }

    #[test]
    fn lengths_are_told_in_their_largest_unit() {
        assert_eq!(length(412), "0.4 s");
        assert_eq!(length(61_000), "61 s");
        assert_eq!(length(3_600_000), "60 min");
        assert_eq!(length(90_000_000), "25 h");
    }

    #[test]
    fn what_is_cut_short_is_said() {
        let day = 86_400;
        let asked = Duration::from_secs(9_000 * day);
        let said = cut_short(asked, 1_000 + 30 * day, 1_000).expect("it is less");
        assert!(said.contains("30 days"), "{said}");
        assert_eq!(
            cut_short(Duration::from_secs(7 * day), 7 * day + 998, 1_000),
            None
        );
    }
}
