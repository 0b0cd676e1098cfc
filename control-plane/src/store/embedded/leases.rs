//! When leases lapse. In memory: keeping one alive costs no disk write.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard},
    time::{Duration, Instant},
};

use crate::store::{Lease, StoreError};

/// Every lease's time to live, and when that is over.
#[derive(Debug, Default)]
pub(super) struct Leases {
    by_id: Mutex<HashMap<Lease, Term>>,
}

#[derive(Clone, Copy, Debug)]
struct Term {
    ttl: Duration,
    lapses: Instant,
}

impl Leases {
    /// Forgets all and gives these their whole time.
    pub(super) fn restart(&self, leases: Vec<(Lease, Duration)>, now: Instant) {
        let terms = leases.into_iter().map(|(lease, ttl)| {
            let lapses = now + ttl;
            (lease, Term { ttl, lapses })
        });
        *self.by_id() = terms.collect();
    }

    pub(super) fn grant(&self, lease: Lease, ttl: Duration, now: Instant) {
        let lapses = now + ttl;
        self.by_id().insert(lease, Term { ttl, lapses });
    }

    pub(super) fn revoke(&self, lease: Lease) {
        self.by_id().remove(&lease);
    }

    /// A lease lapses when the writer has seen that its time is over, not before.
    pub(super) fn keep_alive(&self, lease: Lease, now: Instant) -> Result<(), StoreError> {
        let mut by_id = self.by_id();
        let term = by_id.get_mut(&lease).ok_or(StoreError::LeaseLapsed)?;
        term.lapses = now + term.ttl;
        Ok(())
    }

    /// When to look again.
    pub(super) fn next(&self) -> Option<Instant> {
        self.by_id().values().map(|term| term.lapses).min()
    }

    /// The leases whose time is over, which are no more from now on.
    ///
    /// Looking much later than the first of them was due means that this process or its disk did not run, and that
    /// nobody could keep a lease alive: then all get that time back.
    pub(super) fn lapsed(&self, now: Instant) -> Vec<Lease> {
        let mut by_id = self.by_id();
        let due = by_id.values().map(|term| term.lapses).min();
        let late = due.map_or(Duration::ZERO, |due| now.saturating_duration_since(due));
        if late > STALL {
            by_id.values_mut().for_each(|term| term.lapses += late);
            return Vec::new();
        }
        let over = by_id.extract_if(|_, term| term.lapses <= now);
        over.map(|(lease, _)| lease).collect()
    }

    fn by_id(&self) -> MutexGuard<'_, HashMap<Lease, Term>> {
        self.by_id.lock().expect("nothing panics while holding it")
    }
}

/// A healthy process looks within milliseconds; one that is this late was stopped, or waited for its disk.
const STALL: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_lapses_when_its_time_is_over_and_can_be_kept_alive_until_then() {
        let (leases, start) = (Leases::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        let (kept, left) = (Lease(1), Lease(2));
        leases.grant(kept, Duration::from_secs(2), at(0));
        leases.grant(left, Duration::from_secs(3), at(0));
        assert_eq!(leases.lapsed(at(1999)), []);
        leases.keep_alive(kept, at(1999)).unwrap();
        assert_eq!(leases.next(), Some(at(3000)));
        assert_eq!(leases.lapsed(at(3000)), [left]);
        let late = leases.keep_alive(left, at(3000));
        assert!(matches!(late, Err(StoreError::LeaseLapsed)));
        assert_eq!(leases.next(), Some(at(3999)));
    }

    #[test]
    fn time_in_which_the_process_stood_still_is_on_nobodys_account() {
        let (leases, start) = (Leases::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        leases.grant(Lease(1), Duration::from_secs(2), at(0));
        leases.grant(Lease(2), Duration::from_secs(5), at(0));
        // 58 s late: those who kept their leases alive could not be heard.
        assert_eq!(leases.lapsed(at(60)), []);
        leases.keep_alive(Lease(1), at(60)).unwrap();
        assert_eq!(leases.lapsed(at(62)), [Lease(1)]);
        assert_eq!(leases.lapsed(at(63)), [Lease(2)]);
    }
}
