//! The wall clock.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Microseconds since the Unix epoch.
pub fn now_us() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// The same at a moment that has passed.
pub fn at(moment: Instant) -> u64 {
    let ago = u64::try_from(moment.elapsed().as_micros()).unwrap_or(u64::MAX);
    now_us().saturating_sub(ago)
}
