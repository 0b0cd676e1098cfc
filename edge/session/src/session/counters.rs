//! What a session turned away.

use std::sync::atomic::{AtomicU64, Ordering};

/// Streams of the peer's that came to nothing, since the session's start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionCounters {
    /// Data streams stopped because their type did not come in time.
    pub silent_streams: u64,
    /// Data streams refused because too many came before SETUP.
    pub early_streams: u64,
    /// Streams that the peer reset before they said what they are.
    pub cancelled_streams: u64,
    /// Padding streams, stopped.
    pub padding_streams: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) silent: Counter,
    pub(super) early: Counter,
    pub(super) cancelled: Counter,
    pub(super) padding: Counter,
}

/// A number that goes up.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Counters {
    pub(super) fn values(&self) -> SessionCounters {
        SessionCounters {
            silent_streams: self.silent.value(),
            early_streams: self.early.value(),
            cancelled_streams: self.cancelled.value(),
            padding_streams: self.padding.value(),
        }
    }
}
