//! How fast people come in at one replica, and how many may wait.

use std::time::Duration;

/// How fast people come in at one replica, and how many may wait.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The reserved lane's own.
    pub reserved: Rate,
    /// For everybody: the reserved lane uses it too, where it has waited longer, and else for every second turn at most.
    pub general: Rate,
    /// For those who were let in not long ago, all together. Beyond it they wait as everybody does.
    pub returns: Rate,
    /// For each of them. Beyond it they are told to come later.
    pub returns_each: Rate,
    /// How many of those who were let in are remembered; the others count as newcomers.
    pub max_remembered: usize,
    /// How many may wait in each lane.
    pub max_waiting: usize,
    /// How many times a second those who wait may ask, all together.
    pub polls_per_second: u32,
    /// Nobody asks again sooner.
    pub least_retry: Duration,
    /// How long after the time told a ticket is kept.
    pub patience: Duration,
    /// A ticket that is older counts as a new arrival. So long those who were let in are remembered.
    pub longest_wait: Duration,
    /// Nobody is asked to do without video for longer.
    pub most_video_after: Duration,
}

/// A pace.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Joins per second in the long run; above 0.
    pub per_second: f64,
    /// Joins at once after a quiet time; at least 1.
    pub burst: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            reserved: Rate {
                per_second: 50.0,
                burst: 200,
            },
            general: Rate {
                per_second: 500.0,
                burst: 1_000,
            },
            returns: Rate {
                per_second: 100.0,
                burst: 500,
            },
            // Several devices at once, and a page loaded anew now and then; no program that asks on and on.
            returns_each: Rate {
                per_second: 0.5,
                burst: 20,
            },
            max_remembered: 50_000,
            max_waiting: 20_000,
            polls_per_second: 1_000,
            least_retry: Duration::from_millis(500),
            patience: Duration::from_secs(10),
            longest_wait: Duration::from_secs(600),
            most_video_after: Duration::from_secs(30),
        }
    }
}
