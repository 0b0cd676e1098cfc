//! How long to wait before another try. No clock, no dice: they are arguments.

use std::time::Duration;

/// The first pause: a replica that restarts is back in moments.
const FIRST: Duration = Duration::from_millis(100);
/// The longest: who is away for an hour is found again within seconds.
const LONGEST: Duration = Duration::from_secs(5);
/// After a refusal that only people can mend.
const REFUSED: Duration = Duration::from_secs(20);

/// Pauses that grow.
#[derive(Debug)]
pub(super) struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff(FIRST)
    }
}

impl Backoff {
    /// The next pause, between half and all of what it has grown to. `dice` is from 0 to 1.
    pub(super) fn next(&mut self, dice: f64) -> Duration {
        let pause = jittered(self.0, dice);
        self.0 = (self.0 * 2).min(LONGEST);
        pause
    }

    /// The pause after a refusal.
    pub(super) fn refused(&mut self, dice: f64) -> Duration {
        self.0 = LONGEST;
        jittered(REFUSED, dice)
    }

    /// It went well.
    pub(super) fn reset(&mut self) {
        self.0 = FIRST;
    }
}

/// What is to be done every `period`, a tenth sooner or later. `dice` is from 0 to 1.
pub(super) fn varied(period: Duration, dice: f64) -> Duration {
    period.mul_f64(0.9 + 0.2 * dice.clamp(0.0, 1.0))
}

fn jittered(most: Duration, dice: f64) -> Duration {
    most.mul_f64(0.5 + 0.5 * dice.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_five_seconds_and_begin_anew_after_success() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.next(0.0), FIRST / 2);
        assert_eq!(backoff.next(1.0), FIRST * 2);
        let last = (0..20).map(|_| backoff.next(1.0)).last();
        assert_eq!(last, Some(LONGEST));
        assert!(backoff.refused(0.0) > LONGEST);
        backoff.reset();
        assert_eq!(backoff.next(1.0), FIRST);
    }

    #[test]
    fn a_period_is_varied_by_a_tenth() {
        let second = Duration::from_secs(1);
        assert_eq!(varied(second, 0.0), Duration::from_millis(900));
        assert_eq!(varied(second, 1.0), Duration::from_millis(1100));
    }
}
