//! Shares of a crowd, and how many of it each is.

use serde::Deserialize;
use std::collections::BTreeMap;

/// Shares by name; they count in proportion to each other, whatever they add up to.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct Shares(pub BTreeMap<String, f64>);

impl Shares {
    /// Everybody the same.
    pub fn all(name: &str) -> Shares {
        Shares(BTreeMap::from([(name.to_owned(), 1.0)]))
    }

    /// That each share is a number above or at 0, and one is above.
    ///
    /// # Errors
    /// What to mend; `what` names the table.
    pub fn check(&self, what: &str) -> Result<(), String> {
        let fits = |share: &f64| share.is_finite() && *share >= 0.0;
        if !self.0.values().all(fits) || !self.0.values().any(|share| *share > 0.0) {
            return Err(format!(
                "{what}: shares are numbers from 0 up, one at least above 0"
            ));
        }
        Ok(())
    }

    /// The name for each of `count`, in proportion.
    pub fn deal(&self, count: usize) -> Vec<&str> {
        let names: Vec<_> = self.0.keys().map(String::as_str).collect();
        let shares: Vec<_> = self.0.values().copied().collect();
        let parts = apportion(count, &shares);
        let named = names.iter().zip(parts);
        named
            .flat_map(|(name, part)| std::iter::repeat_n(*name, part))
            .collect()
    }
}

/// Divides `count` in proportion to `shares`, by the largest remainders: no part is off by one or more.
pub fn apportion(count: usize, shares: &[f64]) -> Vec<usize> {
    let total: f64 = shares.iter().sum();
    if total <= 0.0 {
        return vec![0; shares.len()];
    }
    let exact: Vec<f64> = shares.iter().map(|s| count as f64 * s / total).collect();
    let mut parts: Vec<usize> = exact.iter().map(|e| e.floor() as usize).collect();
    let mut by_remainder: Vec<usize> = (0..shares.len()).collect();
    by_remainder.sort_by(|a, b| exact[*b].fract().total_cmp(&exact[*a].fract()));
    let left = count.saturating_sub(parts.iter().sum());
    for n in by_remainder.into_iter().cycle().take(left) {
        parts[n] += 1;
    }
    parts
}
