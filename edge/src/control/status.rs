//! How the edge stands with the control plane, for people and machines that watch it.

use crate::control::snapshot::Version;
use serde_json::{Value, json};
use std::time::Instant;
use tokio::sync::watch;

/// As it is now.
#[derive(Clone, Debug)]
pub struct Status {
    /// Addresses of replicas that are known.
    pub replicas: usize,
    /// Replicas at which the edge is registered and reports.
    pub connected: usize,
    /// It is told of new snapshots.
    pub watches: bool,
    /// The snapshot in use.
    pub version: Option<Version>,
    /// The snapshot on disk.
    pub kept: Option<Version>,
    /// Snapshots that were applied.
    pub applied: u64,
    /// Snapshots that were refused.
    pub refusals: u64,
    /// Why the last one was, if nothing has been applied since.
    pub refused: Option<String>,
    /// Why a replica would not have this edge, if none has had it since.
    pub turned_away: Option<String>,
    /// Sessions that the control plane had ended.
    pub ended: u64,
    /// Since when there has been no replica.
    pub alone_since: Option<Instant>,
}

/// Where the status is written; readers subscribe.
pub(crate) type Board = watch::Sender<Status>;

impl Status {
    pub(crate) fn begin(now: Instant) -> Board {
        watch::Sender::new(Status {
            replicas: 0,
            connected: 0,
            watches: false,
            version: None,
            kept: None,
            applied: 0,
            refusals: 0,
            refused: None,
            turned_away: None,
            ended: 0,
            alone_since: Some(now),
        })
    }

    pub(crate) fn one_more(&mut self) {
        self.connected += 1;
        self.alone_since = None;
        self.turned_away = None;
    }

    pub(crate) fn one_less(&mut self, now: Instant) {
        self.connected = self.connected.saturating_sub(1);
        if self.connected == 0 {
            self.alone_since = Some(now);
        }
    }

    /// For `--report-every`.
    pub(crate) fn report(&self, now: Instant) -> Value {
        let text = |version: Option<Version>| version.map(|version| version.to_string());
        let alone = self
            .alone_since
            .map(|since| now.saturating_duration_since(since).as_secs_f64());
        json!({
            "replicas": self.replicas,
            "connected": self.connected,
            "watches": self.watches,
            "snapshot": text(self.version),
            "kept": text(self.kept),
            "applied": self.applied,
            "refusals": self.refusals,
            "refused": self.refused,
            "turned_away": self.turned_away,
            "sessions_ended": self.ended,
            "alone_s": alone,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn an_edge_is_alone_from_the_last_replica_on() {
        let start = Instant::now();
        let mut status = Status::begin(start).borrow().clone();
        status.one_more();
        status.one_more();
        status.one_less(start);
        assert_eq!(status.report(start)["alone_s"], Value::Null);
        status.one_less(start + Duration::from_secs(1));
        let later = start + Duration::from_secs(3);
        assert_eq!(status.report(later)["alone_s"], json!(2.0));
    }
}
