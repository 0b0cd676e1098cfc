//! Which datagrams the line loses: independently, or in runs (a two-state Gilbert channel).

use rand::{Rng, RngExt};

/// The channel's state between datagrams.
#[derive(Clone, Debug, Default)]
pub(super) struct LossState {
    losing: bool,
}

impl LossState {
    /// Whether the next datagram is lost, for a mean share `loss` and a mean run of `burst`.
    pub(super) fn loses(&mut self, loss: f64, burst: Option<f64>, rng: &mut impl Rng) -> bool {
        let chance = match burst {
            None => loss,
            Some(length) => self.chance_in_runs(loss, length),
        };
        self.losing = chance > 0.0 && rng.random_bool(chance);
        self.losing
    }

    /// Leaving the losing state at 1/length makes runs that long on average; the chance to enter
    /// it is the one whose long-run share is `loss`.
    fn chance_in_runs(&self, loss: f64, length: f64) -> f64 {
        if loss >= 1.0 {
            return 1.0;
        }
        let leave = 1.0 / length;
        if self.losing {
            1.0 - leave
        } else {
            (leave * loss / (1.0 - loss)).min(1.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    fn losses(seed: u64, loss: f64, burst: Option<f64>) -> Vec<bool> {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut state = LossState::default();
        (0..200_000)
            .map(|_| state.loses(loss, burst, &mut rng))
            .collect()
    }

    fn share(lost: &[bool]) -> f64 {
        lost.iter().filter(|lost| **lost).count() as f64 / lost.len() as f64
    }

    fn mean_run(lost: &[bool]) -> f64 {
        let runs = lost
            .split(|lost| !lost)
            .filter(|run| !run.is_empty())
            .count();
        lost.iter().filter(|lost| **lost).count() as f64 / runs as f64
    }

    #[test]
    fn independent_loss_has_its_rate_and_no_runs() {
        for seed in 0..5 {
            let lost = losses(seed, 0.01, None);
            assert!(
                (share(&lost) - 0.01).abs() < 0.001,
                "seed {seed}: {}",
                share(&lost)
            );
            assert!(mean_run(&lost) < 1.05, "seed {seed}: {}", mean_run(&lost));
        }
    }

    #[test]
    fn burst_loss_has_the_same_rate_in_runs_of_the_asked_length() {
        for seed in 0..5 {
            let lost = losses(seed, 0.01, Some(5.0));
            assert!(
                (share(&lost) - 0.01).abs() < 0.002,
                "seed {seed}: {}",
                share(&lost)
            );
            assert!(
                (mean_run(&lost) - 5.0).abs() < 0.7,
                "seed {seed}: {}",
                mean_run(&lost)
            );
        }
    }

    #[test]
    fn the_ends_of_the_scale_are_exact() {
        assert_eq!(share(&losses(1, 0.0, None)), 0.0);
        assert_eq!(share(&losses(1, 1.0, None)), 1.0);
        assert_eq!(share(&losses(1, 0.0, Some(3.0))), 0.0);
        assert_eq!(share(&losses(1, 1.0, Some(3.0))), 1.0);
    }
}
