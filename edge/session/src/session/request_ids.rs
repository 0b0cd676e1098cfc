//! Request IDs: ours given out, the peer's checked (draft-22 §9.1).

use super::error::Fault;
use super::options::Role;
use meridian_wire::TerminationCode;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

/// Gives out this side's IDs.
#[derive(Debug)]
pub(super) struct OwnIds(AtomicU64);

impl OwnIds {
    pub(super) fn new(role: Role) -> OwnIds {
        OwnIds(AtomicU64::new(parity(role)))
    }

    pub(super) fn next(&self) -> u64 {
        self.0.fetch_add(2, Ordering::Relaxed)
    }
}

/// Checks the peer's IDs: the right parity, none twice. Streams overtake each other, so that order proves nothing.
#[derive(Debug)]
pub(super) struct PeerIds {
    /// Every ID of the peer below this counts as used.
    floor: u64,
    /// Used ones from `floor` on.
    used: BTreeSet<u64>,
}

/// How many requests may have overtaken one that comes late. Older gaps, left by requests that were reset before they
/// arrived, are forgotten.
const WINDOW: usize = 4096;

impl PeerIds {
    pub(super) fn new(own: Role) -> PeerIds {
        PeerIds {
            floor: 1 - parity(own),
            used: BTreeSet::new(),
        }
    }

    pub(super) fn take(&mut self, id: u64) -> Result<(), Fault> {
        let ahead = id.checked_sub(self.floor).ok_or(INVALID)?;
        if ahead % 2 != 0 || !self.used.insert(id) {
            return Err(INVALID);
        }
        if self.used.len() > WINDOW {
            self.floor = self.used.first().copied().unwrap_or(self.floor);
        }
        while self.used.remove(&self.floor) {
            self.floor = self.floor.saturating_add(2);
        }
        Ok(())
    }

    /// The smallest ID that the peer may still use for a request that has not been seen.
    pub(super) fn smallest_unseen(&self) -> u64 {
        let last = self.used.last();
        last.map_or(self.floor, |last| last.saturating_add(2))
    }
}

/// The lowest bit of the IDs of the side in `role`.
pub(super) const fn parity(role: Role) -> u64 {
    match role {
        Role::Client => 0,
        Role::Server => 1,
    }
}

const INVALID: Fault = Fault::new(
    TerminationCode::INVALID_REQUEST_ID,
    "a request ID of the wrong parity, or used before",
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_ids_follow_the_role_and_go_up_by_two() {
        let client = OwnIds::new(Role::Client);
        assert_eq!([client.next(), client.next()], [0, 2]);
        let server = OwnIds::new(Role::Server);
        assert_eq!([server.next(), server.next()], [1, 3]);
    }

    #[test]
    fn requests_may_overtake_each_other_but_never_repeat() {
        let mut ids = PeerIds::new(Role::Server);
        for id in [4, 0, 2, 8, 6] {
            assert_eq!(ids.take(id), Ok(()));
        }
        for id in [0, 4, 8] {
            assert_eq!(ids.take(id), Err(INVALID));
        }
        assert!(ids.used.is_empty());
    }

    #[test]
    fn the_wrong_parity_is_refused() {
        assert_eq!(PeerIds::new(Role::Server).take(1), Err(INVALID));
        assert_eq!(PeerIds::new(Role::Client).take(0), Err(INVALID));
    }

    #[test]
    fn what_is_remembered_is_bounded_whatever_ids_come() {
        let mut ids = PeerIds::new(Role::Server);
        // Every other request is lost, for ever.
        for n in 1..100_000_u64 {
            assert_eq!(ids.take(4 * n), Ok(()));
        }
        assert!(ids.used.len() <= WINDOW);
        assert_eq!(ids.take(2), Err(INVALID));
        assert_eq!(ids.take(u64::MAX - 1), Ok(()));
        assert_eq!(ids.take(u64::MAX - 1), Err(INVALID));
    }
}
