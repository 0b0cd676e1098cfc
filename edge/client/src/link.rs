//! Keeps trying to reach an edge, with jittered pauses, and keeps count of the times without one.

use meridian_session::client::{DialError, Dialed, Dialer};
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
    mut say: impl FnMut(&DialError),
) -> Result<Dialed, DialError> {
    let mut backoff = Backoff::default();
    let mut said = String::new();
    loop {
        let error = match dialer.dial().await {
            Ok(dialed) => return Ok(dialed),
            Err(error) => error,
        };
        let pause = backoff.pause(rand::random());
        if error.is_lasting() || Instant::now() + pause >= deadline {
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
    mut say: impl FnMut(&DialError),
) -> Result<Dialed, DialError> {
    if let Some(other) = dialer.toward(uri) {
        match other.dial().await {
            Ok(dialed) => return Ok(dialed),
            Err(error) => say(&error),
        }
    }
    dial_until(dialer, deadline, say).await
}

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
    fn pauses_double_up_to_four_seconds_and_jitter_within_half() {
        let mut backoff = Backoff::default();
        let longest: Vec<u128> = (0..8).map(|_| backoff.pause(1.0).as_millis()).collect();
        assert_eq!(longest, [100, 200, 400, 800, 1_600, 3_200, 4_000, 4_000]);
        assert_eq!(backoff.pause(0.0), Duration::from_secs(2));
    }
}
