//! How the parts of a desk are set, from the configuration.

use crate::config::Config;
use meridian_control_core::admission::{self, Rate};
use meridian_control_core::ids::Replica;
use meridian_control_core::placement::{self, Placer, Shares};
use meridian_control_core::registry;
use std::time::{Duration, Instant};

/// A drained edge stays empty for as long as an operator wants, up to a day.
const LONGEST_DRAIN: Duration = Duration::from_secs(24 * 3_600);

/// How patient the registry is.
pub(super) fn registry(config: &Config) -> registry::Config {
    let lease = Duration::from_millis(config.timing.lease_ms.into());
    registry::Config {
        suspect_after: lease / 2,
        lease,
        grace: Duration::from_millis(config.timing.grace_ms.into()),
        longest_drain: LONGEST_DRAIN,
        ..registry::Config::default()
    }
}

/// Placement with nothing reserved.
pub(super) fn placer(config: &Config, replica: &Replica, now: Instant) -> Placer {
    let patience = placement::Config {
        reservation: Duration::from_millis(config.timing.reservation_ms.into()),
        ..placement::Config::default()
    };
    // With the embedded store there is no other replica whose reservations would have to run out first.
    let settle = match config.store.embedded {
        Some(_) => Duration::ZERO,
        None => patience.reservation + Duration::from_millis(config.timing.lease_ms.into()),
    };
    Placer::new(patience, Shares::new(replica.clone(), settle, now))
}

/// How fast people come in.
pub(super) fn admission(config: &Config) -> admission::Config {
    let asked = &config.admission;
    admission::Config {
        general: Rate {
            per_second: asked.joins_per_second.into(),
            burst: asked.burst,
        },
        max_waiting: asked.queue,
        ..admission::Config::default()
    }
}
