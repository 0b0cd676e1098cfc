//! What is printed of the tester's capacity.

use crate::rehearsal::{BEHIND_P99_MS, Spent, Tried};
use std::fmt;
use std::time::Duration;

/// One audience.
#[derive(Clone, Debug)]
pub(super) struct Row {
    profile: String,
    seconds: u64,
    tried: Tried,
}

/// What the columns are. CPU is in microseconds per object received.
pub(super) const HEAD: &str = "profile     delegates  objects/s   lost  tester µs  (with joins)  source µs  (with joins)  busy  \
                               behind p99, max ms  lag p99 ms";

impl Row {
    pub(super) fn new(profile: &str, seconds: u64, tried: Tried) -> Row {
        Row {
            profile: profile.to_owned(),
            seconds,
            tried,
        }
    }

    /// Whether everybody got everything from a tester that kept up.
    pub(super) fn holds(&self) -> bool {
        let tried = &self.tried;
        let faults = tried.lost + tried.wrong + (tried.delegates - tried.joined);
        let is_sound = faults == 0 && tried.invalid_because.is_empty() && self.rate() > 0.0;
        is_sound && !self.is_queueing()
    }

    /// Whether objects waited for a tester that was busy with others. Its own lateness shows the turns it took, not what waits
    /// before the first of them.
    fn is_queueing(&self) -> bool {
        let lag = |share| self.tried.lag.quantile_ms(share).unwrap_or_default();
        lag(0.99) - lag(0.01) > WAITED_MS
    }

    /// The tester's share of its core.
    pub(super) fn load(&self) -> f64 {
        self.tried.spent[0].tester.as_secs_f64() / self.seconds as f64
    }

    pub(super) fn is_larger(&self, than: &Row) -> bool {
        self.tried.delegates > than.tried.delegates
    }

    /// In one sentence.
    pub(super) fn summary(&self) -> String {
        format!(
            "{}: {} delegates, {:.0} objects/s received whole on one core that was {:.0} % busy: {:.0} objects/s per core",
            self.profile,
            self.tried.delegates,
            self.rate(),
            self.load() * 100.0,
            self.rate() / self.load()
        )
    }

    fn rate(&self) -> f64 {
        self.tried.objects[0] as f64 / self.seconds as f64
    }

    fn micros(&self, which: usize, of: impl Fn(&Spent) -> Option<Duration>) -> String {
        let objects = self.tried.objects[which].max(1) as f64;
        let spent = of(&self.tried.spent[which]);
        spent.map_or("?".to_owned(), |spent| {
            format!("{:.1}", spent.as_secs_f64() * 1e6 / objects)
        })
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tried = &self.tried;
        let ms = |ms: Option<f64>| ms.unwrap_or_default();
        let tester = |spent: &Spent| Some(spent.tester);
        let source = |spent: &Spent| spent.source;
        write!(
            f,
            "{:<11} {:>9} {:>10.0} {:>6} {:>10} {:>13} {:>10} {:>13} {:>4.0}% {:>13.1}, {:<5.1} {:>9.1}",
            self.profile,
            tried.delegates,
            self.rate(),
            tried.lost,
            self.micros(0, tester),
            self.micros(1, tester),
            self.micros(0, source),
            self.micros(1, source),
            self.load() * 100.0,
            ms(tried.behind.quantile_ms(0.99)),
            ms(tried.behind.max_ms()),
            ms(tried.lag.quantile_ms(0.99)),
        )?;
        for reason in &tried.invalid_because {
            write!(f, "\n    invalid: {reason}")?;
        }
        if self.is_queueing() {
            write!(f, "\n    objects waited more than {WAITED_MS:.0} ms")?;
        }
        if tried.joined < tried.delegates {
            write!(f, "\n    {} heard nothing", tried.delegates - tried.joined)?;
        }
        if tried.wrong > 0 {
            write!(f, "\n    {} came altered or again", tried.wrong)?;
        }
        Ok(())
    }
}

/// Between the lag of the first and of the last hundredth: as much as a rehearsal may be behind.
const WAITED_MS: f64 = BEHIND_P99_MS;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Spread;

    fn tried(lag_ms: &[u64]) -> Tried {
        let mut lag = Spread::default();
        let spans = lag_ms.iter().map(|ms| Duration::from_millis(*ms));
        spans.for_each(|span| lag.record(span));
        Tried {
            delegates: 2,
            joined: 2,
            objects: [100, 150],
            lag,
            ..Tried::default()
        }
    }

    #[test]
    fn an_audience_holds_that_gets_everything_in_time_however_far_it_is() {
        assert!(Row::new("perfect", 1, tried(&[1, 20, 50])).holds());
        assert!(Row::new("mobile", 1, tried(&[180, 190, 200])).holds());
    }

    #[test]
    fn one_does_not_that_lost_something_or_waited_or_heard_nothing() {
        let lost = Tried {
            lost: 1,
            ..tried(&[1])
        };
        let silent = Tried {
            joined: 1,
            ..tried(&[1])
        };
        let wrong = Tried {
            wrong: 1,
            ..tried(&[1])
        };
        for tried in [lost, silent, wrong, tried(&[1, 60]), Tried::default()] {
            assert!(!Row::new("perfect", 1, tried).holds());
        }
    }
}
