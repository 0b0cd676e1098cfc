//! Whether this program keeps up: how late its threads are, and how busy.

use crate::outcome::Spread;
use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant};
use tokio::task::spawn_local;
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

    /// Waits for the next time, takes the way that an object takes, and says how late it is: as late as an object that came
    /// in when it was due has been taken note of. What was missed meanwhile is not counted twice. To be called inside a
    /// [`LocalSet`](tokio::task::LocalSet).
    pub(super) async fn beat(&mut self) -> Duration {
        sleep_until(self.due.into()).await;
        // Each comes behind all of its kind that are ready, and none can fail.
        for _ in 0..TURNS {
            let _ = tokio::spawn(async {}).await;
        }
        let _ = spawn_local(async {}).await;
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
/// QUIC's tasks that an object passes, each of which waits for its turn, before it comes to the delegate's: the socket's, the
/// endpoint's, the connection's.
const TURNS: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Poll;
    use tokio::task::LocalSet;

    #[test]
    fn a_beat_waits_for_its_turn_as_often_as_an_object_does() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime starts");
        LocalSet::new().block_on(&runtime, async {
            let connections: Vec<_> = (0..200).map(|_| Turns::default()).collect();
            let delegates: Vec<_> = (0..200).map(|_| Turns::default()).collect();
            for (connection, delegate) in connections.iter().zip(&delegates) {
                tokio::spawn(connection.clone().count());
                spawn_local(delegate.clone().count());
            }
            let late = Pace::new(Instant::now() - EVERY).beat().await;
            assert!(connections.iter().all(|turns| turns.had() >= TURNS));
            assert!(delegates.iter().all(|turns| turns.had() >= 1));
            assert!(late > Duration::ZERO);
        });
    }

    /// Of a task that always has more to do.
    #[derive(Clone, Default)]
    struct Turns(Arc<AtomicUsize>);

    impl Turns {
        async fn count(self) {
            poll_fn(|cx| {
                self.0.fetch_add(1, Ordering::Relaxed);
                cx.waker().wake_by_ref();
                Poll::<()>::Pending
            })
            .await;
        }

        fn had(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }
}
