//! A watch reads the history in the file, from where it is to where the store is, whenever something was committed.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::{sync::watch, time};

use super::{file::File, table};
use crate::store::{Event, StoreError, Watch};

pub(super) struct EmbeddedWatch {
    file: Arc<File>,
    revision: watch::Receiver<u64>,
    prefix: String,
    /// Everything up to this revision has been told or waits in `ready`.
    told: u64,
    ready: VecDeque<Event>,
    /// The revision after which there was nothing more, if that is known.
    seen: Option<u64>,
    interrupted: bool,
}

impl EmbeddedWatch {
    pub(super) fn new(
        file: Arc<File>,
        revision: watch::Receiver<u64>,
        prefix: &str,
        after: u64,
    ) -> Self {
        Self {
            file,
            revision,
            prefix: prefix.to_owned(),
            told: after,
            ready: VecDeque::new(),
            seen: None,
            interrupted: false,
        }
    }

    /// Reads on. Keeps nothing of a read that is given up half way, so that it is simply done again.
    async fn read(&mut self) -> Result<(), StoreError> {
        let (prefix, after) = (self.prefix.clone(), self.told);
        let read = self
            .file
            .read(move |file| table::changes(file, &prefix, after))
            .await;
        match read {
            Ok((events, told)) => {
                if std::mem::take(&mut self.interrupted) {
                    self.ready.push_back(Event::Resumed);
                }
                self.ready.extend(events);
                self.seen = (told == after).then_some(told);
                self.told = told;
            }
            Err(StoreError::Unavailable(why)) if self.revision.has_changed().is_ok() => {
                if std::mem::replace(&mut self.interrupted, true) {
                    time::sleep(RETRY).await;
                } else {
                    self.ready.push_back(Event::Interrupted(why));
                }
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

#[async_trait]
impl Watch for EmbeddedWatch {
    async fn next(&mut self) -> Result<Event, StoreError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(event);
            }
            if let Some(seen) = self.seen {
                let changed = self.revision.wait_for(|revision| *revision > seen).await;
                changed.map_err(|_| super::closed())?;
                self.seen = None;
            }
            self.read().await?;
        }
    }
}

/// How often a failed file is looked at again.
const RETRY: Duration = Duration::from_millis(200);
