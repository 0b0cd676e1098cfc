//! Speakers and booths: each joins and publishes as any client does, on a thread that has nothing else to do, so that what
//! is published does not wait for those who listen.

mod voice;

use super::error::RehearsalError;
use super::house::House;
use super::invite::Invitations;
use super::pace::Busy;
use crate::account::Clock;
use crate::outcome::Spread;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, LocalSet};
use voice::Source;

/// All speakers and booths, at work on a thread of their own.
pub(super) struct Sources {
    over: watch::Sender<bool>,
    clock: watch::Sender<Option<Clock>>,
    thread: JoinHandle<Duration>,
    log: Arc<Log>,
}

/// How publishing went.
#[derive(Debug, Default)]
pub(super) struct Log {
    late: Mutex<Spread>,
}

impl Log {
    pub(super) fn published(&self, late: Duration) {
        let mut log = self.late.lock().unwrap_or_else(PoisonError::into_inner);
        log.record(late);
    }

    fn late(&self) -> Spread {
        let log = self.late.lock().unwrap_or_else(PoisonError::into_inner);
        log.clone()
    }
}

impl Sources {
    /// Has all of them come in and announce themselves; they publish when they are told the time.
    pub(super) async fn gather(
        house: &Arc<House>,
        invitations: &Invitations,
    ) -> Result<Sources, RehearsalError> {
        let (over, is_over) = watch::channel(false);
        let (clock, told) = watch::channel(None);
        let (ready, mut is_ready) = mpsc::unbounded_channel();
        let log = Arc::new(Log::default());
        let voices = house.programme.voices();
        let count = voices.len();
        let sources: Vec<_> = voices
            .into_iter()
            .map(|voice| {
                let invitation = invitations.get(&voice.participant()).cloned();
                Source::new(
                    house.clone(),
                    voice,
                    invitation.unwrap_or_default(),
                    log.clone(),
                )
            })
            .collect();
        let thread = std::thread::Builder::new().name("sources".to_owned());
        let thread = thread.spawn(move || work(sources, &ready, &told, &is_over));
        let thread = thread.map_err(RehearsalError::machine("the speakers' thread"))?;
        for _ in 0..count {
            match is_ready.recv().await {
                Some(Ok(())) => {}
                Some(Err(error)) => {
                    return Err(RehearsalError::Unavailable(error.to_string()));
                }
                None => return Err(RehearsalError::Unavailable("no speaker came".to_owned())),
            }
        }
        Ok(Sources {
            over,
            clock,
            thread,
            log,
        })
    }

    /// They publish from now on, by this clock.
    pub(super) fn begin(&self, clock: Clock) {
        self.clock.send_replace(Some(clock));
    }

    /// They go. How late frames were published, and the CPU time of their thread.
    pub(super) async fn end(self) -> (Spread, Duration) {
        self.over.send_replace(true);
        let joined = tokio::task::spawn_blocking(move || self.thread.join());
        let cpu = joined.await.ok().and_then(Result::ok).unwrap_or_default();
        (self.log.late(), cpu)
    }
}

type Ready = mpsc::UnboundedSender<Result<(), String>>;

fn work(
    sources: Vec<Source>,
    ready: &Ready,
    clock: &watch::Receiver<Option<Clock>>,
    over: &watch::Receiver<bool>,
) -> Duration {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = ready.send(Err(error.to_string()));
            return Duration::ZERO;
        }
    };
    let busy = Busy::now();
    LocalSet::new().block_on(&runtime, async {
        let mut all = JoinSet::new();
        for source in sources {
            let (ready, clock, over) = (ready.clone(), clock.clone(), over.clone());
            all.spawn_local(source.live(ready, clock, over));
        }
        while all.join_next().await.is_some() {}
    });
    busy.elapsed()
}
