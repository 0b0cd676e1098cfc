//! How a rehearsal stands at a moment: of one thread, of one machine, of all of them together.

use super::programme::Programme;
use super::troupe::Glance;
use crate::outcome::Spread;
use crate::report::live::Progress;
use std::time::Instant;

/// How it stands. What is said of a second is said of the last one.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Standing {
    /// People who have come to the door.
    pub(crate) came: u64,
    /// People who have heard something.
    pub(crate) joined: u64,
    /// People who gave up or were turned away.
    pub(crate) failed: u64,
    /// People who are in now.
    pub(crate) present: u64,
    /// Frames that arrived in a second.
    pub(crate) objects: u64,
    /// How late a second's audio was.
    pub(crate) lag: Spread,
    /// The longest time without audio so far, in milliseconds.
    pub(crate) worst_gap_ms: Option<f64>,
    /// How late threads were in a second, at most, in milliseconds.
    pub(crate) behind_ms: f64,
}

impl Standing {
    /// With that of others, however odd.
    pub(crate) fn add(&mut self, other: &Standing) {
        let more = |own: &mut u64, other: u64| *own = own.saturating_add(other);
        more(&mut self.came, other.came);
        more(&mut self.joined, other.joined);
        more(&mut self.failed, other.failed);
        more(&mut self.present, other.present);
        more(&mut self.objects, other.objects);
        self.lag.add(&other.lag);
        let gaps = [self.worst_gap_ms, other.worst_gap_ms];
        self.worst_gap_ms = gaps.into_iter().flatten().reduce(f64::max);
        self.behind_ms = self.behind_ms.max(other.behind_ms);
    }

    /// Nobody is in any more, and nothing comes.
    pub(crate) fn end(&mut self) {
        (self.present, self.objects, self.behind_ms) = (0, 0, 0.0);
        self.lag = Spread::default();
    }

    /// For people to see.
    pub(super) fn progress(&self, programme: &Programme, note: Option<String>) -> Progress {
        Progress {
            elapsed: programme.since_start(Instant::now()),
            length: programme.length,
            came: self.came,
            joined: self.joined,
            failed: self.failed,
            present: self.present,
            objects_per_s: self.objects,
            lag_p95_ms: self.lag.quantile_ms(0.95),
            worst_gap_ms: self.worst_gap_ms,
            behind_ms: self.behind_ms,
            note,
        }
    }
}

impl From<Glance> for Standing {
    fn from(glance: Glance) -> Standing {
        let mut lag = Spread::default();
        glance.last.lag.values().for_each(|one| lag.add(one));
        Standing {
            came: glance.came,
            joined: glance.joined,
            failed: glance.failed,
            present: glance.joined.saturating_sub(glance.left),
            objects: glance.last.objects,
            lag,
            worst_gap_ms: glance.worst_gap_ms,
            behind_ms: glance.behind.as_secs_f64() * 1e3,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn of_those_who_have_gone_only_what_has_been_is_kept() {
        let mut lag = Spread::default();
        lag.record(Duration::from_millis(60));
        let mut standing = Standing {
            came: 9,
            joined: 8,
            failed: 1,
            present: 7,
            objects: 350,
            lag,
            worst_gap_ms: Some(80.0),
            behind_ms: 3.0,
        };
        standing.end();
        let been = Standing {
            came: 9,
            joined: 8,
            failed: 1,
            worst_gap_ms: Some(80.0),
            ..Standing::default()
        };
        assert_eq!(standing, been);
    }

    #[test]
    fn numbers_that_cannot_be_do_not_panic() {
        let odd = Standing {
            came: u64::MAX,
            objects: u64::MAX,
            ..Standing::default()
        };
        let mut all = odd.clone();
        all.add(&odd);
        assert_eq!((all.came, all.objects), (u64::MAX, u64::MAX));
    }
}
