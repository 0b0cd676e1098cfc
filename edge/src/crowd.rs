//! How many are at the doors and inside, over all workers: limits hold for the whole edge.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts over all doors of all workers.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    clients: Arc<AtomicUsize>,
    handshakes: Arc<AtomicUsize>,
}

impl Crowd {
    /// One client more, unless there are `max` already.
    pub(crate) fn client(&self, max: usize) -> Option<Count> {
        let one_more = |count| (count < max).then_some(count + 1);
        let result = self
            .clients
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        result.ok().map(|_| Count(self.clients.clone()))
    }

    /// Clients inside.
    pub(crate) fn clients(&self) -> usize {
        self.clients.load(Ordering::Relaxed)
    }

    /// One handshake more.
    pub(crate) fn handshake(&self) -> Count {
        self.handshakes.fetch_add(1, Ordering::Relaxed);
        Count(self.handshakes.clone())
    }

    /// Handshakes in progress.
    pub(crate) fn handshakes(&self) -> usize {
        self.handshakes.load(Ordering::Relaxed)
    }
}

/// Counts for as long as it lives.
#[derive(Debug)]
pub(crate) struct Count(Arc<AtomicUsize>);

impl Drop for Count {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_a_client_has_left() {
        let crowd = Crowd::default();
        let first = crowd.client(2).expect("there is room");
        let _second = crowd.client(2).expect("there is room");
        assert!(crowd.client(2).is_none());
        drop(first);
        assert!(crowd.client(2).is_some());
    }
}
