//! Times as people read them.

/// RFC 3339 in UTC, from seconds since the Unix epoch.
#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "errors give their fields so"
)]
pub(super) fn rfc3339(unix_s: &u64) -> String {
    let (days, s) = (unix_s / DAY_S, unix_s % DAY_S);
    // Years are taken to begin in March, so that a leap day ends one; eras of 400 of them are all as long.
    let days = days + DAYS_BEFORE_1970;
    let (era, day) = (days / ERA_DAYS, days % ERA_DAYS);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = match month {
        0..10 => (month + 3, 0),
        _ => (month - 9, 1),
    };
    let year = era * 400 + year + next;
    let (hour, minute, second) = (s / 3_600, s / 60 % 60, s % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

const DAY_S: u64 = 86_400;
/// From 1 March of the year 0.
const DAYS_BEFORE_1970: u64 = 719_468;
/// 400 years.
const ERA_DAYS: u64 = 146_097;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_across_leap_years() {
        for (unix_s, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_709_164_800, "2024-02-29T00:00:00Z"),
            (1_798_761_599, "2026-12-31T23:59:59Z"),
            (1_800_000_000, "2027-01-15T08:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(&unix_s), text);
        }
        // Of a time that no calendar has, it says something.
        assert!(rfc3339(&(u64::MAX / 2)).ends_with('Z'));
    }
}
