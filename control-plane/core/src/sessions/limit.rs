//! Which sessions of a participant are too many. The newest stay, by an order that is the same at every replica.

use super::{At, Held};
use crate::ids::SessionId;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// What is to be done about a participant's sessions.
pub(super) struct Verdict {
    pub(super) end: Vec<At>,
    /// When to look again.
    pub(super) again_at: Option<Instant>,
}

/// Sessions beyond the limit of the newest one's token, oldest last.
///
/// Several with one session id count as one, the newest: a client that goes to another edge, its own having failed, has
/// not two sessions, even while the dead one is still listed. If the older is still there `grace` after the first that is
/// newer has appeared, somebody else uses the token, and it is ended. Counted from the newest one's, it would stay for as
/// long as somebody dials anew within each grace.
pub(super) fn over_limit<'a>(
    held: impl Iterator<Item = (&'a At, &'a Held)>,
    grace: Duration,
    now: Instant,
) -> Verdict {
    let mut newest_first: Vec<(&At, &Held)> = held.collect();
    newest_first.sort_by_key(|(at, held)| {
        std::cmp::Reverse((held.session.issued_at_s, held.session.opened_at_us, *at))
    });
    let limit = newest_first
        .first()
        .map_or(0, |(_, held)| held.session.limit);
    let limit = if limit == 0 {
        usize::MAX
    } else {
        limit as usize
    };
    // When the first of those with this id was seen that have been looked at: all of them are newer than the next.
    let mut seen_by_id: HashMap<&SessionId, Instant> = HashMap::new();
    let mut verdict = Verdict {
        end: Vec::new(),
        again_at: None,
    };
    for (at, held) in newest_first {
        if let Some(newer_seen) = seen_by_id.get_mut(&held.session.id) {
            let until = held.seen.max(*newer_seen) + grace;
            *newer_seen = held.seen.min(*newer_seen);
            if until <= now {
                verdict.end.push(at.clone());
            } else if !held.is_ending {
                verdict.again_at = verdict.again_at.into_iter().chain([until]).min();
            }
        } else if seen_by_id.len() >= limit {
            verdict.end.push(at.clone());
        } else {
            seen_by_id.insert(&held.session.id, held.seen);
        }
    }
    verdict
}
