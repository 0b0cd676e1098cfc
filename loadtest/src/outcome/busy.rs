//! How busy something was: CPU time as a share of a core.

/// The share of a core over the busiest time of this length, of moments and the CPU time used by then, all in milliseconds and
/// in order, about one a second; none if it was not watched for so long. CPU time that begins anew is of something started again.
pub(crate) fn busiest(used: &[(i64, u64)], window_ms: i64) -> Option<f64> {
    let windows = used.iter().enumerate().filter_map(|(n, (from, before))| {
        let (to, by_then) = used[n..].iter().find(|(to, _)| to - from >= window_ms)?;
        let cpu = by_then.checked_sub(*before)?;
        Some(cpu as f64 / (to - from) as f64)
    });
    windows.max_by(f64::total_cmp)
}

/// For which something is as busy as it is said to be.
pub(crate) const TEN_SECONDS_MS: i64 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_busy_seconds_of_a_minute_count_alone() {
        let mut cpu = 0;
        let used = (0..60).map(|second| {
            let is_busy = (20..30).contains(&second);
            let before = (second * 1_000, cpu);
            cpu += if is_busy { 900 } else { 100 };
            before
        });
        let used: Vec<_> = used.collect();
        assert_eq!(busiest(&used, TEN_SECONDS_MS), Some(0.9));
        assert_eq!(
            busiest(&used[..10], TEN_SECONDS_MS),
            None,
            "of nine seconds"
        );
    }

    #[test]
    fn what_is_started_again_begins_anew() {
        let used = [(0, 5_000), (10_000, 6_000), (20_000, 100), (30_000, 2_100)];
        assert_eq!(busiest(&used, TEN_SECONDS_MS), Some(0.2));
    }
}
