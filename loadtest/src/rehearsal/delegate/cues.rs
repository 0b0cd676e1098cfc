//! What a delegate does at a time that is known from the start.

use crate::rehearsal::house::House;
use crate::rehearsal::programme::Voice;
use crate::scenario::{Channel, Part};
use std::collections::VecDeque;
use std::time::Instant;

/// What is to be done.
#[derive(Clone, Debug)]
pub(super) enum Cue {
    /// Somebody else has the floor since then.
    Turn(Voice, Instant),
    /// They choose another language.
    Switch(Channel),
    /// They read nothing any more.
    Stall,
}

/// In the order of their times.
#[derive(Debug)]
pub(super) struct Cues(VecDeque<(Instant, Cue)>);

impl Cues {
    /// All from when somebody comes.
    pub(super) fn of(part: &Part, house: &House) -> Cues {
        let programme = &house.programme;
        let start = programme.clock.start;
        let turns = programme.turns_after(part.due).map(|turn| {
            let at = start + turn.at;
            (at, Cue::Turn(Voice::Speaker(turn.speaker), at))
        });
        let switches = part.switches.iter();
        let switches = switches.map(|(at, channel)| (start + *at, Cue::Switch(channel.clone())));
        let stall = house.miles[&part.profile].profile.stalls_after;
        let stall = stall.map(|after| (start + part.due + after.0, Cue::Stall));
        let mut cues: Vec<_> = turns.chain(switches).chain(stall).collect();
        cues.sort_by_key(|(at, _)| *at);
        Cues(cues.into())
    }

    /// The next that is due.
    pub(super) fn next(&mut self, now: Instant) -> Option<Cue> {
        let (_, cue) = self.0.pop_front_if(|(at, _)| *at <= now)?;
        Some(cue)
    }

    /// When the next is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.0.front().map(|(at, _)| *at)
    }
}
