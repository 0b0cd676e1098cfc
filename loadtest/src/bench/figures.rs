//! What a run measured, by name.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Figures of one run, or medians of several.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Figures(pub(super) BTreeMap<String, f64>);

impl Figures {
    pub(super) fn set(&mut self, name: &str, value: f64) {
        self.0.insert(name.to_owned(), value);
    }

    pub(super) fn value(&self, name: &str) -> Option<f64> {
        self.0.get(name).copied()
    }

    /// Each figure's median over the runs that have it.
    pub(super) fn medians(runs: &[Figures]) -> Figures {
        let mut medians = Figures::default();
        for name in runs.iter().flat_map(|run| run.0.keys()) {
            let mut values: Vec<_> = runs.iter().filter_map(|run| run.value(name)).collect();
            values.sort_by(f64::total_cmp);
            medians.set(name, middle(&values));
        }
        medians
    }
}

/// Of sorted values; not a number if there are none.
fn middle(sorted: &[f64]) -> f64 {
    let half = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[half],
        _ => (sorted[half - 1] + sorted[half]) / 2.0,
    }
}

/// Of sorted values, nearest rank; not a number if there are none.
pub(super) fn quantile(sorted: &[f64], quantile: f64) -> f64 {
    let rank = (sorted.len() as f64 * quantile).ceil() as usize;
    sorted
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_of_the_runs_that_have_the_figure() {
        let run = |pairs: &[(&str, f64)]| {
            Figures(pairs.iter().map(|(k, v)| ((*k).to_owned(), *v)).collect())
        };
        let runs = [
            run(&[("a", 3.0), ("b", 1.0)]),
            run(&[("a", 1.0)]),
            run(&[("a", 2.0), ("b", 2.0)]),
        ];
        let medians = Figures::medians(&runs);
        assert_eq!(medians.value("a"), Some(2.0));
        assert_eq!(medians.value("b"), Some(1.5));
    }

    #[test]
    fn a_quantile_is_a_value_that_occurred() {
        let values: Vec<f64> = (1..=200).map(f64::from).collect();
        assert_eq!(quantile(&values, 0.5), 100.0);
        assert_eq!(quantile(&values, 0.99), 198.0);
        assert!(quantile(&[], 0.5).is_nan());
    }
}
