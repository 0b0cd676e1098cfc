//! Whom a fetch or status request is passed on to, and how much of it.

use crate::id::{SessionId, TrackId};
use crate::past::look::{Look, look};
use crate::past::stretch::Stretch;
use crate::relay::Relay;
use crate::session::Role;
use meridian_wire::{Location, Namespace};
use smallvec::SmallVec;
use std::time::Instant;

/// Looks that are spent on finding out how far something unknown goes.
const MAX_LOOKS: usize = 4096;

impl Relay {
    /// Whom to ask for objects of a track.
    pub(crate) fn fetch_sources(
        &self,
        track: TrackId,
        asker: SessionId,
    ) -> SmallVec<[SessionId; 4]> {
        let entry = &self.tracks[track];
        let established: SmallVec<[SessionId; 2]> = entry
            .upstreams
            .iter()
            .filter(|id| self.upstreams[**id].is_established())
            .map(|id| self.upstreams[*id].session)
            .collect();
        self.publishers_in_reach(&established, &entry.name.namespace, asker)
    }

    /// Whom to ask for something of a namespace: who is known to have it, who announced it, else parents (valley-free).
    pub(crate) fn publishers_in_reach(
        &self,
        known: &[SessionId],
        namespace: &Namespace,
        asker: SessionId,
    ) -> SmallVec<[SessionId; 4]> {
        let from_below = self.role(asker).is_some_and(Role::is_below);
        let announcers = self.namespaces.announcers_of(namespace);
        let mut sources: SmallVec<[SessionId; 4]> = SmallVec::new();
        for session in known.iter().copied().chain(announcers) {
            let role = self.role(session);
            // A neighbour is not sent back to itself; a client may fetch what it publishes.
            let is_other = session != asker || role == Some(Role::Client);
            let is_in_reach = is_other && role.is_some_and(|role| from_below || role.is_below());
            if is_in_reach && self.may_be_asked(session) && !sources.contains(&session) {
                sources.push(session);
            }
        }
        sources.retain(|session| Some(*session) != self.own);
        if from_below && sources.is_empty() {
            sources = self.parents_in_use();
            sources.retain(|parent| *parent != asker);
        }
        sources
    }

    /// What is to be asked for of what is not held from `at` on: as little as one request can say.
    pub(crate) fn unknown_part(
        &self,
        track: TrackId,
        stretch: &Stretch,
        at: Location,
        now: Instant,
    ) -> Stretch {
        let track = &self.tracks[track];
        let mut next = Some(at);
        let mut last = at;
        for _ in 0..MAX_LOOKS {
            let Some(here) = next else {
                return stretch.part(at, last);
            };
            next = match look(track, stretch, here, now) {
                Look::Object(_) => stretch.after(here),
                Look::Hole { end, absent } => {
                    if !absent {
                        last = end;
                    }
                    stretch.after(end)
                }
            };
        }
        stretch.part(at, stretch.last())
    }
}
