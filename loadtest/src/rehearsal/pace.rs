//! Whether this program keeps up: how late its threads are, and how busy.

use crate::outcome::Spread;
use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant};
use tokio::time::sleep_until;

/// How late one thread is to do what is due.
#[derive(Debug)]
pub(super) struct Pace {
    due: Instant,
}

impl Pace {
    /// From now on.
    pub(super) fn new(now: Instant) -> Pace {
        Pace { due: now + EVERY }
    }

    /// Waits for the next time, and says how late it is. What was missed meanwhile is not counted twice.
    pub(super) async fn beat(&mut self) -> Duration {
        sleep_until(self.due.into()).await;
        let now = Instant::now();
        let late = now.saturating_duration_since(self.due);
        self.due = (self.due + EVERY).max(now);
        late
    }
}

/// CPU time of the thread that asks, since some moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Busy(Duration);

impl Busy {
    /// From now on. To be asked on the same thread.
    pub(super) fn now() -> Busy {
        Busy(cpu(ClockId::ThreadCPUTime))
    }

    /// Since then.
    pub(super) fn elapsed(self) -> Duration {
        cpu(ClockId::ThreadCPUTime).saturating_sub(self.0)
    }
}

/// CPU time of the whole process.
pub(super) fn of_process() -> Duration {
    cpu(ClockId::ProcessCPUTime)
}

/// What a thread has noticed of itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Lateness {
    pub(super) behind: Spread,
    pub(super) arrivals: Spread,
}

fn cpu(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Often enough to see every pause that could be heard.
const EVERY: Duration = Duration::from_millis(5);
