//! Keeps trying to reach an edge, with jittered pauses, as long as that can help, and keeps count of the times without one.

use meridian_session::client::{DialError, Dialed, Dialer};
use meridian_session::session::SessionError;
use meridian_session::transport::ConnectionLost;
use meridian_wire::TerminationCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};

/// Pauses between attempts: doubling, jittered, bounded.
#[derive(Clone, Debug)]
pub struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff { next: FIRST_PAUSE }
    }
}

impl Backoff {
    /// The next pause: between half and all of a time that doubles from 100 ms to 4 s. `dice` is in 0..1.
    pub fn pause(&mut self, dice: f64) -> Duration {
        let pause = self.next.mul_f64(0.5 + dice.clamp(0.0, 1.0) / 2.0);
        self.next = (self.next * 2).min(LONGEST_PAUSE);
        pause
    }
}

/// A dead edge is usually replaced within a second: the first tries come fast.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(4);

/// Pauses before a session is looked for anew: growing ones while none is found or they end at once, none after one that
/// lived. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Redials(Arc<Mutex<Tries>>);

#[derive(Debug, Default)]
struct Tries {
    up_since: Option<Instant>,
    /// From the first failure, or the second session in a row, on.
    backoff: Option<Backoff>,
}

impl Redials {
    /// A session is there.
    pub fn up(&self, now: Instant) {
        self.tries().up_since = Some(now);
    }

    /// None was found: how long to wait. `dice` is in 0..1.
    pub fn failed(&self, dice: f64) -> Duration {
        let mut tries = self.tries();
        tries.backoff.get_or_insert_default().pause(dice)
    }

    /// Another session is wanted: how long to wait before. `dice` is in 0..1.
    pub fn pause(&self, now: Instant, dice: f64) -> Duration {
        let mut tries = self.tries();
        let since = tries.up_since.take();
        if since.is_some_and(|since| now.saturating_duration_since(since) >= LIVED) {
            tries.backoff = None;
        }
        match &mut tries.backoff {
            Some(backoff) => backoff.pause(dice),
            first => {
                *first = Some(Backoff::default());
                Duration::ZERO
            }
        }
    }

    fn tries(&self) -> MutexGuard<'_, Tries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session that was there this long did not end at once.
const LIVED: Duration = Duration::from_secs(5);

/// How often and how long there was no session.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outages {
    /// Sessions after the first.
    pub reconnects: u64,
    /// The longest time without one.
    pub longest: Duration,
    connected: bool,
    down_since: Option<Instant>,
}

impl Outages {
    /// The session is gone.
    pub fn down(&mut self, now: Instant) {
        self.down_since.get_or_insert(now);
    }

    /// A session is there, the first or another.
    pub fn up(&mut self, now: Instant) {
        self.reconnects += u64::from(std::mem::replace(&mut self.connected, true));
        if let Some(since) = self.down_since.take() {
            self.longest = self.longest.max(now - since);
        }
    }
}

/// Dials until a session is there or `deadline` is over. `say` hears of every failure that is not the one before.
///
/// # Errors
/// The last failure; at once if trying again cannot help.
pub async fn dial_until(
    dialer: &Dialer,
    deadline: Instant,
    redials: &Redials,
    mut say: impl FnMut(&DialError),
) -> Result<Dialed, DialError> {
    let mut said = String::new();
    loop {
        let error = match dialer.dial().await {
            Ok(dialed) => return Ok(dialed),
            Err(error) => error,
        };
        let pause = redials.failed(rand::random());
        let is_final = error.is_lasting() || is_over(&error);
        if is_final || Instant::now() + pause >= deadline {
            return Err(error);
        }
        let words = error.to_string();
        if words != said {
            say(&error);
            said = words;
        }
        tokio::time::sleep(pause).await;
    }
}

/// Dials where a GOAWAY points, and if there is nobody, or it points nowhere, the edge that was asked for.
///
/// # Errors
/// As [`dial_until`].
pub async fn dial_from(
    dialer: &Dialer,
    uri: &[u8],
    deadline: Instant,
    redials: &Redials,
    mut say: impl FnMut(&DialError),
) -> Result<Dialed, DialError> {
    if let Some(other) = dialer.toward(uri) {
        match other.dial().await {
            Ok(dialed) => return Ok(dialed),
            Err(error) => say(&error),
        }
    }
    dial_until(dialer, deadline, redials, say).await
}

/// Whether there was a session, and the edge has ended it for good.
pub fn is_over(error: &DialError) -> bool {
    matches!(error, DialError::Session(error) if final_words(error).is_some())
}

/// What an edge says that has ended a session for good: coming back would only throw somebody else out, or be refused.
/// `None`: it may be looked for again.
pub fn final_words(error: &SessionError) -> Option<String> {
    let SessionError::Lost(ConnectionLost::ClosedByPeer { code, reason }) = error else {
        return None;
    };
    // MoQT has no code for what is not to be opened again without being an error (draft-22 §6.7): the edge's words say it.
    let is_final = *code == TerminationCode::NO_ERROR && FINAL.contains(&reason.as_str());
    (is_final || error.is_refusal()).then(|| reason.clone())
}

/// What edges say to a session that its holder has opened at another place, or that is over.
const FINAL: [&str; 3] = [
    "opened elsewhere",
    "the meeting is over",
    "ended by the network's operators",
];

/// Ends when the user, or whoever started the program, asks it to stop: SIGINT or SIGTERM.
pub async fn stopped() {
    let mut terminate = match signal(SignalKind::terminate()) {
        Ok(terminate) => terminate,
        Err(_) => return std::future::pending().await,
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outages_are_counted_and_the_longest_kept() {
        let start = Instant::now();
        let mut outages = Outages::default();
        outages.up(start);
        for length in [3, 7, 5] {
            outages.down(start);
            outages.down(start + Duration::from_secs(1));
            outages.up(start + Duration::from_secs(length));
        }
        assert_eq!(
            (outages.reconnects, outages.longest),
            (3, Duration::from_secs(7))
        );
    }

    #[test]
    fn sessions_that_end_at_once_are_sought_anew_with_growing_pauses_until_one_lives() {
        let mut now = Instant::now();
        let redials = Redials::default();
        let mut ends_after = |seconds: u64| {
            redials.up(now);
            now += Duration::from_secs(seconds);
            redials.pause(now, 1.0).as_millis()
        };
        assert_eq!([0; 5].map(&mut ends_after), [0, 100, 200, 400, 800]);
        assert_eq!([60, 0, 0].map(&mut ends_after), [0, 100, 200]);
    }

    #[test]
    fn sessions_that_end_at_once_and_dials_that_fail_in_turn_wait_longer_and_longer() {
        let (now, redials) = (Instant::now(), Redials::default());
        let pauses = [0; 3].map(|_| {
            let failed = redials.failed(1.0);
            redials.up(now);
            [failed, redials.pause(now, 1.0)].map(|pause| pause.as_millis())
        });
        assert_eq!(pauses, [[100, 200], [400, 800], [1_600, 3_200]]);
    }

    #[test]
    fn pauses_double_up_to_four_seconds_and_jitter_within_half() {
        let mut backoff = Backoff::default();
        let longest: Vec<u128> = (0..8).map(|_| backoff.pause(1.0).as_millis()).collect();
        assert_eq!(longest, [100, 200, 400, 800, 1_600, 3_200, 4_000, 4_000]);
        assert_eq!(backoff.pause(0.0), Duration::from_secs(2));
    }
}
