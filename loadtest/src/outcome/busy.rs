//! How busy something was: CPU time as a share of a core.

/// The share of a core over the busiest ten seconds, of moments and the CPU time used by then, both in milliseconds and in
/// order, about one a second; none if it was not watched for so long. CPU time that begins anew is of something started again.
pub(crate) fn busiest(used: &[(i64, u64)]) -> Option<f64> {
    let windows = used.iter().enumerate().filter_map(|(n, (from, before))| {
        let (to, by_then) = used[n..].iter().find(|(to, _)| to - from >= WINDOW_MS)?;
        let cpu = by_then.checked_sub(*before)?;
        Some(cpu as f64 / (to - from) as f64)
    });
    windows.max_by(f64::total_cmp)
}

const WINDOW_MS: i64 = 10_000;

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
        assert_eq!(busiest(&used), Some(0.9));
        assert_eq!(busiest(&used[..10]), None, "of nine seconds");
    }

    #[test]
    fn what_is_started_again_begins_anew() {
        let used = [(0, 5_000), (10_000, 6_000), (20_000, 100), (30_000, 2_100)];
        assert_eq!(busiest(&used), Some(0.2));
    }
}
