//! EXPIRES: subscriptions of ours that a publisher limits in time are extended at half of it (draft-22 §9.20.16).

use crate::id::UpstreamId;
use crate::relay::Relay;
use crate::timer::Timer;
use meridian_wire::Parameters;
use std::time::{Duration, Instant};

/// A publisher that gives less time is asked no more often than this.
const SHORTEST: Duration = Duration::from_secs(1);

impl Relay {
    /// A publisher has said for how long a subscription of ours is good; 0 or nothing is for good.
    pub(crate) fn note_expiry(&mut self, id: UpstreamId, expires: Option<u64>, now: Instant) {
        let Some(ms) = expires.filter(|ms| *ms > 0) else {
            return;
        };
        let half = Duration::from_millis(ms / 2).max(SHORTEST);
        // A time beyond the clock's end never comes.
        if let Some(at) = now.checked_add(half) {
            self.timers.set(at, Timer::Expires(id));
        }
    }

    pub(crate) fn expiry_due(&mut self, id: UpstreamId) {
        let upstream = self.upstreams.get(id);
        if upstream.is_some_and(|upstream| upstream.is_established() && !upstream.is_retired) {
            self.update_upstream(id, Parameters::default());
        }
    }
}
