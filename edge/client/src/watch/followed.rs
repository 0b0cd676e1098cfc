//! One track that is watched: what to ask for, and when to ask again.

use crate::ledger::Ledger;
use crate::link::Backoff;
use crate::loc::priority;
use crate::media::Kind;
use crate::meter::Meter;
use meridian_wire::{Draft, Location, LocationFilter, Parameters};
use std::time::{Duration, Instant};

/// One track that is followed across sessions.
pub(super) struct Followed {
    pub(super) name: String,
    /// `None` is the catalog.
    pub(super) media: Option<Media>,
    pub(super) state: State,
    pub(super) backoff: Backoff,
    pub(super) last: Option<Location>,
    pub(super) said: String,
}

pub(super) struct Media {
    pub(super) kind: Kind,
    pub(super) meter: Meter,
    pub(super) ledger: Ledger,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// To be asked for at this time.
    Due(Instant),
    Asked,
    Ended,
}

impl Followed {
    /// To be asked for at once, pictures not before `video_at`.
    pub(super) fn new(
        name: String,
        media: Option<Media>,
        video_at: Option<Instant>,
        now: Instant,
    ) -> Followed {
        let kind = media.as_ref().map(|media| media.kind);
        Followed {
            name,
            media,
            state: due(kind, video_at, now),
            backoff: Backoff::default(),
            last: None,
            said: String::new(),
        }
    }

    /// There is another session to ask on, at once or for pictures at `video_at`.
    pub(super) fn ask_anew(&mut self, video_at: Option<Instant>, now: Instant) {
        let kind = self.media.as_ref().map(|media| media.kind);
        self.state = due(kind, video_at, now);
        self.backoff = Backoff::default();
    }

    /// Asks again after a pause.
    pub(super) fn retry(&mut self) {
        self.state = State::Due(Instant::now() + self.backoff.pause(rand::random()));
    }

    /// What to ask for: the held wait is bounded by what the edge may be asked.
    pub(super) fn params(&self, wait: Duration, draft: Draft) -> Parameters {
        let kind = self.media.as_ref().map(|media| media.kind);
        let own_priority = match kind {
            None => priority::CATALOG,
            Some(Kind::Audio) => priority::AUDIO,
            Some(Kind::Video) => priority::VIDEO_HIGH,
        };
        let rendezvous = wait.min(LONGEST_RENDEZVOUS).as_millis();
        Parameters {
            subscriber_priority: Some(own_priority),
            rendezvous_timeout: u64::try_from(rendezvous).ok(),
            location_filter: start_at(kind, self.last, draft),
            ..Parameters::default()
        }
    }
}

fn due(kind: Option<Kind>, video_at: Option<Instant>, now: Instant) -> State {
    let later = video_at.filter(|_| kind == Some(Kind::Video));
    State::Due(later.map_or(now, |at| at.max(now)))
}

/// Sound from now on, everything else from its newest group's start; after an interruption from where it broke off.
fn start_at(kind: Option<Kind>, last: Option<Location>, draft: Draft) -> Option<LocationFilter> {
    match (kind, last) {
        (Some(kind), Some(last)) => {
            let next = match kind {
                Kind::Audio => Location {
                    group: last.group + 1,
                    object: 0,
                },
                Kind::Video => Location {
                    object: last.object + 1,
                    ..last
                },
            };
            Some(LocationFilter::Absolute {
                start: next,
                end_group: None,
                end_object: None,
            })
        }
        (Some(Kind::Audio), None) => Some(LocationFilter::NextObject),
        // Draft 18 cannot say it; without a filter a relay starts at the newest group it has.
        _ if draft == Draft::D18 => None,
        _ => Some(LocationFilter::Relative { groups_back: 1 }),
    }
}

/// How long an edge is asked to hold a subscription for a publisher that is not there yet.
const LONGEST_RENDEZVOUS: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sound_starts_now_and_pictures_at_their_newest_group() {
        assert_eq!(
            start_at(Some(Kind::Audio), None, Draft::D22),
            Some(LocationFilter::NextObject)
        );
        let newest = Some(LocationFilter::Relative { groups_back: 1 });
        assert_eq!(start_at(Some(Kind::Video), None, Draft::D22), newest);
        assert_eq!(start_at(None, None, Draft::D20), newest);
        assert_eq!(start_at(Some(Kind::Video), None, Draft::D18), None);
    }

    #[test]
    fn sound_is_asked_for_at_once_and_pictures_when_the_control_plane_allows() {
        let now = Instant::now();
        let later = now + Duration::from_secs(20);
        for kind in [None, Some(Kind::Audio)] {
            assert_eq!(due(kind, Some(later), now), State::Due(now));
        }
        let video = Some(Kind::Video);
        assert_eq!(due(video, Some(later), now), State::Due(later));
        assert_eq!(due(video, Some(now), later), State::Due(later));
        assert_eq!(due(video, None, now), State::Due(now));
    }

    #[test]
    fn after_an_interruption_tracks_go_on_where_they_broke_off() {
        let last = Some(Location {
            group: 7,
            object: 3,
        });
        let start = |kind| match start_at(Some(kind), last, Draft::D22) {
            Some(LocationFilter::Absolute {
                start,
                end_group: None,
                end_object: None,
            }) => start,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            start(Kind::Audio),
            Location {
                group: 8,
                object: 0
            }
        );
        assert_eq!(
            start(Kind::Video),
            Location {
                group: 7,
                object: 4
            }
        );
    }
}
