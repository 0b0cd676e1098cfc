//! The search for the largest audience that can be played. Pure.

/// Finds it in a few tries.
#[derive(Clone, Debug)]
pub(super) struct Search {
    /// The largest that held, and the smallest that did not.
    held: u32,
    broke: Option<u32>,
    /// What the last one that held says there is room for.
    guess: u32,
}

impl Search {
    /// Begins with this many.
    pub(super) fn from(first: u32) -> Search {
        Search {
            held: 0,
            broke: None,
            guess: first,
        }
    }

    /// How many to try next; none if it is known closely enough.
    pub(super) fn next(&self) -> Option<u32> {
        let Some(broke) = self.broke else {
            let more = self.guess.max(self.held + self.held / 8).min(MOST);
            return (self.held < MOST).then(|| more.next_multiple_of(STEP));
        };
        if broke - self.held <= STEP.max(self.held / CLOSENESS) {
            return None;
        }
        let guess = self.guess.min(MOST).next_multiple_of(STEP);
        let is_between = |next: u32| next > self.held && next < broke;
        let middle = self.held.midpoint(broke).next_multiple_of(STEP);
        [guess, middle].into_iter().find(|next| is_between(*next))
    }

    /// So many held, or not. `load` is how busy the tester was with them, as a share of its core.
    pub(super) fn note(&mut self, tried: u32, holds: bool, load: f64) {
        if holds {
            self.held = self.held.max(tried);
            // It gets cheaper with more; a guess that is too high costs as much as one that is too low.
            let room = f64::from(tried) * FULL / load.max(0.05);
            self.guess = room as u32;
        } else {
            self.broke = Some(self.broke.map_or(tried, |broke| broke.min(tried)));
        }
    }
}

/// Delegates; a multiple of [`STEP`]. No core plays more.
pub(super) const MOST: u32 = 10_000;
/// Delegates.
const STEP: u32 = 20;
/// Closer than this part of it nothing is known.
const CLOSENESS: u32 = 20;
/// How busy a core can be before queues grow.
const FULL: f64 = 0.9;

#[cfg(test)]
mod tests {
    use super::*;

    /// The largest that holds where `limit` do, at this load for each; and in how many tries.
    fn found(limit: u32, load: f64) -> (u32, usize) {
        let mut search = Search::from(200);
        let mut tries = 0;
        while let Some(next) = search.next() {
            search.note(next, next <= limit, f64::from(next) * load);
            tries += 1;
            assert!(tries < 20, "it ends");
        }
        (search.held, tries)
    }

    #[test]
    fn it_finds_the_largest_that_holds_closely_and_soon() {
        let limits = [
            (790, 1.0 / 800.0),
            (1_300, 1.0 / 1_000.0),
            (150, 0.01),
            (700, 0.23 / 200.0),
        ];
        for (limit, load) in limits {
            let (held, tries) = found(limit, load);
            assert!(held <= limit && held >= limit * 9 / 10, "{held} of {limit}");
            assert!(tries <= 8, "{tries} for {limit}");
        }
    }

    #[test]
    fn it_ends_with_the_most_there_may_be_where_everything_holds() {
        assert_eq!(found(u32::MAX, 0.0).0, MOST);
    }

    #[test]
    fn where_nothing_holds_it_ends_with_nothing() {
        assert_eq!(found(0, 0.01).0, 0);
    }
}
