//! Whether this program keeps up: how late its threads are, and how busy.

use crate::outcome::{self, Spread, TEN_SECONDS_MS};
use rustix::time::{ClockId, clock_gettime};
use std::collections::VecDeque;
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
    /// in when it was due has been taken note of. What was due meanwhile [`Lateness::note`] adds. To be called inside a
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
    /// Of the last whole seconds, up to ten, and the worst such time so far, in milliseconds.
    recent: VecDeque<(u64, Spread)>,
    worst_ms: f64,
}

impl Lateness {
    /// A beat was so late, and so were those that were due meanwhile, each by less: otherwise a thread that stands still for
    /// a second would have been late once.
    pub(super) fn note(&mut self, late: Duration, second: u64) {
        let mut late = Some(late);
        while let Some(one) = late {
            self.behind.record(one);
            self.second(second).record(one);
            late = one.checked_sub(EVERY).filter(|late| !late.is_zero());
        }
    }

    /// What one beat in ten exceeded in the worst ten seconds, in milliseconds.
    pub(super) fn worst_ms(&mut self) -> f64 {
        self.settle();
        self.worst_ms
    }

    fn second(&mut self, second: u64) -> &mut Spread {
        if self.recent.back().is_none_or(|(last, _)| *last != second) {
            self.settle();
            self.recent.push_back((second, Spread::default()));
            let oldest = (second + 1).saturating_sub(WINDOW.as_secs());
            while self.recent.pop_front_if(|(at, _)| *at < oldest).is_some() {}
        }
        &mut self.recent.back_mut().expect("it was pushed").1
    }

    fn settle(&mut self) {
        let mut all = Spread::default();
        self.recent.iter().for_each(|(_, spread)| all.add(spread));
        self.worst_ms = self.worst_ms.max(all.quantile_ms(0.9).unwrap_or(0.0));
    }
}

/// How busy a thread is.
#[derive(Debug)]
pub(super) struct Load {
    busy: Busy,
    start: Instant,
    /// Milliseconds from the start with the CPU time used by then, in milliseconds too.
    used: Vec<(i64, u64)>,
}

impl Load {
    /// Of the thread that asks, from now on.
    pub(super) fn new(start: Instant) -> Load {
        Load {
            busy: Busy::now(),
            start,
            used: vec![(0, 0)],
        }
    }

    /// To be called about once a second, on the same thread.
    pub(super) fn note(&mut self, now: Instant) {
        let ms = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let at = i64::try_from(ms(now - self.start)).unwrap_or(i64::MAX);
        self.used.push((at, ms(self.busy.elapsed())));
    }

    /// The share of a core over the busiest ten seconds; over all there was if that was less.
    pub(super) fn busiest(&self) -> f64 {
        let (at, cpu) = self.used.last().copied().unwrap_or_default();
        outcome::busiest(&self.used, TEN_SECONDS_MS).unwrap_or(cpu as f64 / at.max(1) as f64)
    }
}

fn cpu(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Over which a thread is as late at its worst as it is said to be.
const WINDOW: Duration = Duration::from_secs(10);
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

    #[test]
    fn a_thread_that_stands_still_for_a_third_of_the_time_is_late_a_third_of_the_time() {
        let mut lateness = Lateness::default();
        for _ in 0..133 {
            lateness.note(Duration::from_millis(1), 0);
        }
        // For 333 ms: one beat, in place of 66.
        lateness.note(Duration::from_millis(333), 0);
        assert_eq!(lateness.behind.count(), 200);
        let late = |share| lateness.behind.quantile_ms(share).expect("there are beats");
        assert!(late(0.6) < 2.0 && late(0.7) > 5.0, "{}", late(0.7));
        assert!((300.0..340.0).contains(&late(0.97)), "{}", late(0.97));
    }

    #[test]
    fn ten_bad_seconds_of_an_hour_are_remembered() {
        let mut lateness = Lateness::default();
        for second in 0..3_600 {
            let is_bad = (1_000..1_010).contains(&second);
            let late = Duration::from_millis(if is_bad { 200 } else { 1 });
            (0..5).for_each(|_| lateness.note(late, second));
        }
        let worst = lateness.worst_ms();
        assert!((150.0..=205.0).contains(&worst), "{worst}");
        let mut quiet = Lateness::default();
        (0..100).for_each(|second| quiet.note(Duration::from_millis(1), second));
        assert!(quiet.worst_ms() < 2.0);
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
