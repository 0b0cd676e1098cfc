//! Edges in the order in which a delegate should try them.

use super::predict::Prediction;
use super::reason::{Reason, Refusal, Why};
use super::share::Room;
use super::{Candidate, NoPlace, Placement, Request, Site};
use crate::registry::State;

/// All edges, as one delegate sees them.
pub(super) struct Ranking<'a> {
    request: &'a Request,
    /// In the order of the sites.
    options: Vec<Choice<'a>>,
}

struct Choice<'a> {
    site: &'a Site,
    room: Room,
    prediction: Prediction,
    /// Predicted round trip and the penalty for being full, in µs.
    cost: u64,
    /// Why it cannot be used at all.
    out: Option<Why>,
}

impl<'a> Ranking<'a> {
    pub(super) fn new(request: &'a Request, sites: &'a [Site], rooms: &[Room]) -> Self {
        let options = sites
            .iter()
            .zip(rooms)
            .map(|(site, room)| Choice::new(request, site, *room));
        Self {
            request,
            options: options.collect(),
        }
    }

    /// The first, with a place this replica may give away, and up to `count` in all.
    pub(super) fn place(&self, count: usize) -> Result<Placement, NoPlace> {
        let mut usable: Vec<&Choice<'_>> = self
            .options
            .iter()
            .filter(|choice| choice.out.is_none())
            .collect();
        usable.sort_by_key(|choice| choice.key());
        let Some((first, why)) = self.first(&usable) else {
            return Err(NoPlace {
                refusal: self.refusal(),
                reasons: self.reasons(&[], None),
            });
        };
        let mut chosen = vec![Candidate::new(first, why)];
        for (choice, why) in fallbacks(first, &usable, count) {
            chosen.push(Candidate::new(choice, why));
        }
        let reasons = self.reasons(&chosen, Some(first));
        Ok(Placement {
            candidates: chosen,
            reasons,
        })
    }

    fn first<'b>(&self, usable: &[&'b Choice<'a>]) -> Option<(&'b Choice<'a>, Why)> {
        let mut open = usable.iter().filter(|choice| choice.room.left > 0);
        let best = *open.next()?;
        let previous = usable
            .iter()
            .find(|choice| self.request.previous.as_ref() == Some(&choice.site.office));
        if let Some(previous) = previous
            && previous.room.left > 0
            && previous.is_alive() == best.is_alive()
            && !is_clearly_nearer(best, previous)
        {
            return Some((previous, Why::Kept));
        }
        let why = open.next().map_or(Why::Only, |next| why_before(best, next));
        Some((best, why))
    }

    fn reasons(&self, chosen: &[Candidate], first: Option<&Choice<'_>>) -> Vec<Reason> {
        let is_kept = chosen
            .first()
            .is_some_and(|candidate| candidate.why == Why::Kept);
        let reason = |choice: &Choice<'_>| {
            let candidate = chosen
                .iter()
                .find(|candidate| candidate.office == choice.site.office);
            let why = match (candidate, &choice.out, first) {
                (Some(candidate), ..) => candidate.why.clone(),
                (None, Some(out), _) => out.clone(),
                (None, None, Some(first)) => choice.why_not(first, is_kept),
                (None, None, None) => choice.why_not_given(),
            };
            Reason {
                office: choice.site.office.clone(),
                prediction: choice.prediction,
                why,
            }
        };
        let mut reasons: Vec<Reason> = self.options.iter().map(reason).collect();
        reasons.sort_by(|a, b| a.office.cmp(&b.office));
        reasons
    }

    fn refusal(&self) -> Refusal {
        let usable = || self.options.iter().filter(|choice| choice.out.is_none());
        if usable().any(|choice| choice.room.has_share) {
            Refusal::ShareUsed
        } else if usable().next().is_some() {
            Refusal::NoShare
        } else if self
            .options
            .iter()
            .any(|choice| matches!(choice.out, Some(Why::Full { .. })))
        {
            Refusal::Full
        } else {
            Refusal::NoEdge
        }
    }
}

impl<'a> Choice<'a> {
    fn new(request: &Request, site: &'a Site, room: Room) -> Self {
        let prediction = request.whereabouts.predict(&site.office, &site.place);
        let cost = u64::from(prediction.rtt_us) + u64::from(penalty_us(room.permille()));
        let country = site.place.country;
        let out = match site.state {
            State::Gone => Some(Why::Gone),
            _ if request.unreachable.contains(&site.office) => Some(Why::Unreachable),
            _ if !request.allowed.is_empty() && !request.allowed.contains(&country) => {
                Some(Why::OtherCountry(country))
            }
            State::Draining { .. } => Some(Why::Draining),
            _ if room.taken >= room.places => Some(Why::Full {
                taken: room.taken,
                places: room.places,
            }),
            State::Alive | State::Suspect => None,
        };
        Self {
            site,
            room,
            prediction,
            cost,
            out,
        }
    }

    fn is_alive(&self) -> bool {
        self.site.state == State::Alive
    }

    /// Those that report first, then by cost.
    fn key(&self) -> (bool, u64, u32, &str) {
        (
            !self.is_alive(),
            self.cost,
            self.room.permille(),
            self.site.office.as_str(),
        )
    }

    fn why_not(&self, first: &Choice<'_>, is_kept: bool) -> Why {
        let (mine, theirs) = (self.prediction.rtt_us, first.prediction.rtt_us);
        if !self.is_alive() {
            Why::Suspect
        } else if mine >= theirs {
            Why::Farther {
                by_us: mine - theirs,
                than: first.site.office.clone(),
            }
        } else if self.room.left == 0 {
            self.why_not_given()
        } else if is_kept {
            Why::TooLittle {
                by_us: theirs - mine,
            }
        } else {
            Why::Fuller {
                permille: self.room.permille(),
            }
        }
    }

    fn why_not_given(&self) -> Why {
        if self.room.has_share {
            Why::ShareUsed
        } else {
            Why::NoShare
        }
    }
}

impl Candidate {
    fn new(choice: &Choice<'_>, why: Why) -> Self {
        Self {
            office: choice.site.office.clone(),
            prediction: choice.prediction,
            why,
        }
    }
}

/// Up to `count` − 1 more: such as fail alone if there are any, else the next best; in the order of their cost.
fn fallbacks<'a, 'b>(
    first: &'b Choice<'a>,
    usable: &[&'b Choice<'a>],
    count: usize,
) -> Vec<(&'b Choice<'a>, Why)> {
    let mut domains = vec![first.site.domain.as_str()];
    let mut left: Vec<&Choice<'a>> = usable
        .iter()
        .copied()
        .filter(|choice| choice.site.office != first.site.office)
        .collect();
    let mut found = Vec::new();
    while found.len() + 1 < count && !left.is_empty() {
        let apart = left
            .iter()
            .position(|choice| !domains.contains(&choice.site.domain.as_str()));
        let choice = left.remove(apart.unwrap_or(0));
        let why = if !choice.is_alive() {
            Why::Suspect
        } else if apart.is_some() {
            Why::OtherDomain
        } else {
            Why::Next
        };
        domains.push(&choice.site.domain);
        found.push((choice, why));
    }
    found.sort_by_key(|(choice, _)| choice.key());
    found
}

fn why_before(best: &Choice<'_>, next: &Choice<'_>) -> Why {
    let (mine, theirs) = (best.prediction.rtt_us, next.prediction.rtt_us);
    let than = next.site.office.clone();
    if mine <= theirs {
        Why::Nearest {
            by_us: theirs - mine,
            than,
        }
    } else if next.is_alive() {
        Why::LessFull {
            by_us: mine - theirs,
            than,
        }
    } else {
        Why::Only
    }
}

/// Whether a delegate should leave `previous` for `best`.
///
/// Round-trip times that are 10 % too high here and 10 % too low there differ by a factor of 1.22: that moves nobody.
fn is_clearly_nearer(best: &Choice<'_>, previous: &Choice<'_>) -> bool {
    let bound = u64::from(best.prediction.rtt_us) * 5 / 4 + MOVE_US;
    u64::from(previous.prediction.rtt_us) > bound
}

/// What an edge's being full weighs, in µs. Edges as near as each other share; one that is nearly full leaves its last
/// places to those who have none near by.
fn penalty_us(permille: u32) -> u32 {
    permille * EVEN_US / 1_000 + permille.saturating_sub(900) * CROWDED_US / 100
}

/// Less gain than this is no reason to move.
const MOVE_US: u64 = 2_000;
/// From an empty edge to a full one: no one hears 2 ms, and it spreads those who are between two edges.
const EVEN_US: u32 = 2_000;
/// Over the last tenth of the places: as far as a neighbouring country.
const CROWDED_US: u32 = 20_000;
