//! What the parts of one client share, and its end.

use super::router::Router;
use super::track::Tracks;
use super::watch_tracks::Watchers;
use crate::session::{Outbox, Session, Tasks};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

/// What users hold: as long as one does, the client's tasks run.
#[derive(Debug)]
pub(super) struct Handle {
    pub(super) shared: Arc<Shared>,
}

/// What the tasks hold.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) session: Session,
    pub(super) router: Router,
    pub(super) tracks: Tracks,
    pub(super) watchers: Watchers,
    pub(super) sent: Sent,
    pub(super) tasks: Tasks,
}

impl Handle {
    pub(super) fn new(session: Session) -> Handle {
        Handle {
            shared: Arc::new(Shared {
                session,
                router: Router::default(),
                tracks: Tracks::default(),
                watchers: Watchers::default(),
                sent: Sent::default(),
                tasks: Tasks::default(),
            }),
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // The tasks hold the rest of the client, and with it the session.
        self.shared.tasks.abort();
    }
}

/// The streams that were finished last, to wait for before closing.
#[derive(Debug, Default)]
pub(super) struct Sent(Mutex<VecDeque<Outbox>>);

/// More than are in flight on any path: beyond them the oldest have arrived or never will.
const MAX_SENT: usize = 512;

impl Sent {
    pub(super) fn push(&self, stream: Outbox) {
        let mut sent = lock(&self.0);
        if sent.len() == MAX_SENT {
            sent.pop_front();
        }
        sent.push_back(stream);
    }

    pub(super) async fn acknowledged(&self) {
        loop {
            let Some(stream) = lock(&self.0).pop_front() else {
                return;
            };
            stream.stopped().await;
        }
    }
}

pub(super) use crate::session::lock;
