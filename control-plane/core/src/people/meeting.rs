//! Meetings, and who may make, change and close them.

use super::moment::rfc3339;
use super::role::language;
use crate::ids::{Meeting, Office};
use crate::places::{Countries, CountryCode};
use std::collections::BTreeSet;

/// A meeting as it is stored. Times in seconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeetingRecord {
    /// Its id, part of its namespace.
    pub id: Meeting,
    /// For people.
    pub title: String,
    /// The office whose organisers run it.
    pub office: Office,
    /// When it opens; 0: at once.
    pub opens_at_s: u64,
    /// When it closes by itself; 0: never.
    pub closes_at_s: u64,
    /// It was closed by hand.
    pub is_closed: bool,
    /// Language tags in small letters.
    pub languages: Vec<String>,
    /// Countries whose edges may carry its media; empty: all.
    pub countries: BTreeSet<CountryCode>,
    /// Sessions a participant may have at a time, 1 to 16.
    pub sessions_per_participant: u32,
}

/// Whether one can join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not yet.
    Scheduled,
    /// Now.
    Open,
    /// No more.
    Closed,
}

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Runs the network: may do everything.
    Operator,
    /// Acts for the meetings of some offices.
    Organiser(BTreeSet<Office>),
}

/// Why a meeting is not made, changed, closed or joined.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MeetingError {
    /// Another office's.
    #[error("meetings of {0} are run by its own organisers: ask one of them, or an operator")]
    OtherOffice(Office),
    /// No title, or a long one.
    #[error("write a title of 1 to {MAX_TITLE_CHARS} characters on one line")]
    Title,
    /// Closes before it opens.
    #[error(
        "the meeting closes at {}, before it opens at {}: swap them",
        rfc3339(.closes_at_s),
        rfc3339(.opens_at_s)
    )]
    Schedule {
        /// When it would open.
        opens_at_s: u64,
        /// When it would close.
        closes_at_s: u64,
    },
    /// Closes in the past.
    #[error("the meeting would have closed at {} already: choose a later time", rfc3339(.0))]
    Past(u64),
    /// Not a language.
    #[error(
        "`{0}` is no language tag: write such as en, fr or zh-hant, each once, {MAX_LANGUAGES} at most"
    )]
    Language(String),
    /// Not a country.
    #[error("there is no country {0}: write ISO 3166-1 codes of two letters")]
    Country(CountryCode),
    /// None, or too many.
    #[error("{0} sessions for each participant: write 1 to {MAX_SESSIONS}")]
    Sessions(u32),
    /// Moved to another office.
    #[error("a meeting stays with its office, {0}: make a new one instead")]
    Moved(Office),
    /// Not open yet.
    #[error("the meeting opens at {}: come back then", rfc3339(.opens_at_s))]
    NotOpen {
        /// When it opens.
        opens_at_s: u64,
    },
    /// Over.
    #[error("the meeting is closed")]
    Closed,
}

impl Caller {
    /// Whether the caller may run an office's meetings.
    ///
    /// # Errors
    /// [`MeetingError::OtherOffice`].
    pub fn check(&self, office: &Office) -> Result<(), MeetingError> {
        match self {
            Self::Operator => Ok(()),
            Self::Organiser(offices) if offices.contains(office) => Ok(()),
            Self::Organiser(_) => Err(MeetingError::OtherOffice(office.clone())),
        }
    }
}

impl MeetingRecord {
    /// Whether one can join at a time.
    pub fn phase(&self, now_s: u64) -> Phase {
        if self.is_closed || self.closes_at_s != 0 && self.closes_at_s <= now_s {
            Phase::Closed
        } else if self.opens_at_s > now_s {
            Phase::Scheduled
        } else {
            Phase::Open
        }
    }

    /// Whether one can join now.
    ///
    /// # Errors
    /// Not open yet, or closed.
    pub fn check_join(&self, now_s: u64) -> Result<(), MeetingError> {
        match self.phase(now_s) {
            Phase::Open => Ok(()),
            Phase::Scheduled => Err(MeetingError::NotOpen {
                opens_at_s: self.opens_at_s,
            }),
            Phase::Closed => Err(MeetingError::Closed),
        }
    }

    /// Whether `caller` may make this meeting, and it makes sense.
    ///
    /// # Errors
    /// The first thing that is wrong, with what to write.
    pub fn check_create(&self, caller: &Caller, now_s: u64) -> Result<(), MeetingError> {
        caller.check(&self.office)?;
        self.check_words()?;
        self.check_times(now_s)?;
        if !(1..=MAX_SESSIONS).contains(&self.sessions_per_participant) {
            return Err(MeetingError::Sessions(self.sessions_per_participant));
        }
        Ok(())
    }

    /// Whether `caller` may change `before` to this: everything but its office, as long as it is not closed.
    ///
    /// # Errors
    /// The first thing that is wrong, with what to write.
    pub fn check_update(
        &self,
        before: &Self,
        caller: &Caller,
        now_s: u64,
    ) -> Result<(), MeetingError> {
        caller.check(&before.office)?;
        if before.phase(now_s) == Phase::Closed {
            return Err(MeetingError::Closed);
        }
        if self.office != before.office {
            return Err(MeetingError::Moved(before.office.clone()));
        }
        self.check_create(caller, now_s)
    }

    /// Closes the meeting; again is no error.
    ///
    /// # Errors
    /// [`MeetingError::OtherOffice`].
    pub fn close(&mut self, caller: &Caller) -> Result<(), MeetingError> {
        caller.check(&self.office)?;
        self.is_closed = true;
        Ok(())
    }

    fn check_words(&self) -> Result<(), MeetingError> {
        let chars = self.title.trim().chars().count();
        if !(1..=MAX_TITLE_CHARS).contains(&chars) || self.title.chars().any(char::is_control) {
            return Err(MeetingError::Title);
        }
        let mut seen = BTreeSet::new();
        for tag in &self.languages {
            let is_tag = language(tag).as_ref() == Some(tag);
            if !is_tag || !seen.insert(tag) || seen.len() > MAX_LANGUAGES {
                return Err(MeetingError::Language(tag.clone()));
            }
        }
        let unknown = self
            .countries
            .iter()
            .find(|code| Countries::table().country(**code).is_err());
        unknown.map_or(Ok(()), |code| Err(MeetingError::Country(*code)))
    }

    fn check_times(&self, now_s: u64) -> Result<(), MeetingError> {
        let (opens_at_s, closes_at_s) = (self.opens_at_s, self.closes_at_s);
        if closes_at_s != 0 && closes_at_s <= opens_at_s {
            return Err(MeetingError::Schedule {
                opens_at_s,
                closes_at_s,
            });
        }
        if closes_at_s != 0 && closes_at_s <= now_s {
            return Err(MeetingError::Past(closes_at_s));
        }
        Ok(())
    }
}

const MAX_TITLE_CHARS: usize = 200;
const MAX_LANGUAGES: usize = 32;
const MAX_SESSIONS: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_organiser_runs_the_meetings_of_the_own_office_alone() {
        let own = Caller::Organiser([office("bangkok")].into());
        let other = Caller::Organiser([office("cairo"), office("dakar")].into());
        let mut meeting = meeting();
        assert_eq!(meeting.check_create(&own, NOW), Ok(()));
        assert_eq!(meeting.check_create(&Caller::Operator, NOW), Ok(()));
        let refused = Err(MeetingError::OtherOffice(office("bangkok")));
        assert_eq!(meeting.check_create(&other, NOW), refused);
        assert_eq!(meeting.check_update(&meeting, &other, NOW), refused);
        assert_eq!(meeting.close(&other), refused);
        let moved = MeetingRecord {
            office: office("cairo"),
            ..meeting.clone()
        };
        assert_eq!(
            moved.check_update(&meeting, &own, NOW),
            Err(MeetingError::Moved(office("bangkok")))
        );
        assert_eq!(
            moved.check_update(&meeting, &other, NOW),
            refused,
            "nor taken over"
        );
        assert_eq!(meeting.close(&own), Ok(()));
        assert_eq!(
            meeting.check_update(&meeting, &own, NOW),
            Err(MeetingError::Closed)
        );
    }

    #[test]
    fn a_meeting_is_scheduled_open_and_closed_by_the_clock_or_by_hand() {
        let mut meeting = meeting();
        assert_eq!(
            meeting.check_join(NOW),
            Err(MeetingError::NotOpen {
                opens_at_s: NOW + 10
            })
        );
        assert_eq!(meeting.check_join(NOW + 10), Ok(()));
        assert_eq!(meeting.check_join(NOW + 20), Err(MeetingError::Closed));
        meeting.opens_at_s = 0;
        meeting.closes_at_s = 0;
        assert_eq!(meeting.phase(0), Phase::Open);
        meeting.close(&Caller::Operator).unwrap();
        assert_eq!(meeting.phase(0), Phase::Closed);
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_to_write() {
        let wrong: Vec<(Change, &str)> = vec![
            (
                |m: &mut MeetingRecord| m.title = " ".into(),
                "write a title",
            ),
            (
                |m: &mut MeetingRecord| m.title = "x".repeat(201),
                "write a title",
            ),
            (
                |m: &mut MeetingRecord| m.title = "a\nb".into(),
                "write a title",
            ),
            (
                |m| m.closes_at_s = NOW + 5,
                "closes at 2027-01-15T08:00:05Z, before it opens at 2027-01-15T08:00:10Z: swap them",
            ),
            (
                |m: &mut MeetingRecord| (m.opens_at_s, m.closes_at_s) = (0, NOW),
                "later time",
            ),
            (
                |m| m.languages = vec!["EN".into()],
                "`EN` is no language tag",
            ),
            (
                |m| m.languages = vec!["en".into(), "en".into()],
                "each once",
            ),
            (
                |m| m.countries = ["XX".parse().unwrap()].into(),
                "no country XX",
            ),
            (
                |m: &mut MeetingRecord| m.sessions_per_participant = 17,
                "write 1 to 16",
            ),
        ];
        for (change, said) in wrong {
            let mut meeting = meeting();
            change(&mut meeting);
            let error = meeting
                .check_create(&Caller::Operator, NOW)
                .unwrap_err()
                .to_string();
            assert!(error.contains(said), "{error}");
        }
    }

    type Change = fn(&mut MeetingRecord);

    const NOW: u64 = 1_800_000_000;

    fn office(name: &str) -> Office {
        Office::new(name).unwrap()
    }

    fn meeting() -> MeetingRecord {
        MeetingRecord {
            id: Meeting::new("forum").unwrap(),
            title: "Regional development forum".to_owned(),
            office: office("bangkok"),
            opens_at_s: NOW + 10,
            closes_at_s: NOW + 20,
            is_closed: false,
            languages: vec!["en".to_owned(), "zh-hant".to_owned()],
            countries: BTreeSet::new(),
            sessions_per_participant: 2,
        }
    }
}
