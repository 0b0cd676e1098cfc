//! What has come of one track, over one session or over two at a time: somebody who moves hears both edges for a while.

use super::ledger::Heard;

/// A record of what has come, and the same for each of the two newest sessions.
#[derive(Clone, Debug, Default)]
pub(super) struct Copies<R> {
    /// Over whichever session.
    pub(super) all: R,
    sessions: Vec<(u32, R)>,
}

/// What a frame is beside those that came before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// New, if in this way.
    New(Heard),
    /// Another session has brought the same: that is meant so while two edges are heard.
    Twin,
    /// The same session has brought it already.
    Again,
}

impl<R: Default> Copies<R> {
    /// A frame has come over a session; `hear` enters it in a record.
    pub(super) fn hear(&mut self, session: u32, hear: impl Fn(&mut R) -> Heard) -> Told {
        if hear(self.of(session)) == Heard::Again {
            return Told::Again;
        }
        match hear(&mut self.all) {
            Heard::Again => Told::Twin,
            new => Told::New(new),
        }
    }

    fn of(&mut self, session: u32) -> &mut R {
        let at = self.sessions.iter().position(|(of, _)| *of == session);
        let at = at.unwrap_or_else(|| {
            if self.sessions.len() == AT_A_TIME {
                self.sessions.remove(0);
            }
            self.sessions.push((session, R::default()));
            self.sessions.len() - 1
        });
        &mut self.sessions[at].1
    }
}

/// Sessions that somebody has.
const AT_A_TIME: usize = 2;

#[cfg(test)]
mod tests {
    use super::super::ledger::Ledger;
    use super::*;

    fn told(frames: &[(u32, u64)]) -> Vec<Told> {
        let mut copies = Copies::<Ledger>::default();
        let frames = frames.iter();
        let told = frames.map(|(session, group)| copies.hear(*session, |one| one.hear(*group)));
        told.collect()
    }

    #[test]
    fn the_same_frame_over_two_sessions_is_a_twin_and_twice_over_one_is_none() {
        use Heard::{InOrder, OutOfOrder};
        use Told::{New, Twin};
        let frames = [
            (1, 5),
            (1, 5),
            (2, 5),
            (2, 6),
            (1, 6),
            (1, 6),
            (2, 6),
            (2, 4),
        ];
        assert_eq!(
            told(&frames),
            [
                New(InOrder),
                Told::Again,
                Twin,
                New(InOrder),
                Twin,
                Told::Again,
                Told::Again,
                New(OutOfOrder)
            ]
        );
    }

    #[test]
    fn each_of_many_moves_has_twins_of_its_own() {
        let moves = 1..100u32;
        let frames = moves.flat_map(|session| {
            let group = u64::from(session) * 4_000;
            [(session, group), (session + 1, group)]
        });
        let told = told(&frames.collect::<Vec<_>>());
        let twins = told.iter().filter(|one| **one == Told::Twin);
        assert_eq!(twins.count(), told.len() / 2);
        assert!(!told.contains(&Told::Again));
    }
}
