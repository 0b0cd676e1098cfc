//! What is heard over one session.

use super::programme::{Medium, Programme, Voice};
use crate::account::Payloads;
use meridian_client::loc::priority;
use meridian_session::client::{Event, Inlet, Line};
use meridian_wire::{FullTrackName, Location, LocationFilter, Parameters};
use std::pin::Pin;
use std::time::Instant;

/// A session with an edge, and what comes over it.
pub(super) struct Listening {
    inlet: Inlet,
    line: Line,
    silence: Pin<Box<dyn Future<Output = ()>>>,
    /// Counted from 1.
    pub(super) session: u32,
}

/// A track that is wanted.
#[derive(Debug)]
pub(super) struct Want {
    /// By which sessions know it.
    pub(super) key: usize,
    /// By which the account knows it.
    pub(super) source: u32,
    pub(super) voice: Voice,
    pub(super) medium: Medium,
    pub(super) payloads: Payloads,
    name: FullTrackName,
    /// When an edge was asked for it first.
    pub(super) asked_at: Option<Instant>,
    /// The newest object that has come.
    pub(super) last: Option<Location>,
    /// When it is wanted no longer.
    pub(super) drop_at: Option<Instant>,
    /// Nothing is published at this time or later, in microseconds since the Unix epoch.
    pub(super) until_us: Option<u64>,
    /// When to ask once more, after it was refused or has ended.
    pub(super) ask_at: Option<Instant>,
}

impl Want {
    pub(super) fn new(programme: &Programme, key: usize, voice: Voice, medium: Medium) -> Want {
        Want {
            key,
            source: programme.source(&voice, medium),
            payloads: programme.payloads(&voice, medium),
            name: programme.track(&voice, medium),
            voice,
            medium,
            asked_at: None,
            last: None,
            drop_at: None,
            until_us: None,
            ask_at: None,
        }
    }

    /// Sound from now on, pictures from the newest keyframe; after an interruption from where it broke off.
    fn filter(&self, newest_picture: u64) -> LocationFilter {
        let from = |group, object| LocationFilter::Absolute {
            start: Location { group, object },
            end_group: None,
            end_object: None,
        };
        match (self.medium, self.last) {
            (Medium::Audio, None) => LocationFilter::NextObject,
            (Medium::Audio, Some(last)) => from(last.group + 1, 0),
            (Medium::Video, None) => from(newest_picture, 0),
            (Medium::Video, Some(last)) => from(last.group, last.object + 1),
        }
    }

    fn params(&self, newest_picture: u64) -> Parameters {
        Parameters {
            subscriber_priority: Some(match self.medium {
                Medium::Audio => priority::AUDIO,
                Medium::Video => priority::VIDEO_HIGH,
            }),
            rendezvous_timeout: Some(RENDEZVOUS_MS),
            location_filter: Some(self.filter(newest_picture)),
            ..Parameters::default()
        }
    }
}

impl Listening {
    pub(super) fn new(line: Line, session: u32) -> Listening {
        Listening {
            inlet: Inlet::new(line.session.clone()),
            silence: Box::pin(line.clone().silence()),
            line,
            session,
        }
    }

    /// Asks for a track. The answer comes as an event; a session that is over says so by itself.
    pub(super) async fn ask(&mut self, want: &Want, newest_picture: u64) {
        let params = want.params(newest_picture);
        let _ = self
            .inlet
            .subscribe(want.key, want.name.clone(), params)
            .await;
    }

    /// Takes it back.
    pub(super) fn cancel(&mut self, key: usize) {
        self.inlet.cancel(key);
    }

    /// What happens next; none if nothing is heard of the edge any more. Safe to drop.
    pub(super) async fn next(&mut self) -> Option<Event> {
        tokio::select! {
            biased;
            event = self.inlet.next() => Some(event),
            () = self.silence.as_mut() => None,
        }
    }

    /// Says goodbye.
    pub(super) async fn hang_up(self) {
        self.line.hang_up().await;
    }

    /// Lets go of an edge that does not answer.
    pub(super) fn cut(self) {
        self.line.cut();
    }
}

/// How long an edge is asked to hold a subscription for a publisher that is not there yet, in milliseconds.
const RENDEZVOUS_MS: u64 = 10_000;
