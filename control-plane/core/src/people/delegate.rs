//! A person in a meeting, and whether a link or token of theirs is still good.

use super::role::{Grants, Role};
use crate::admission::Lane;
use crate::ids::{Meeting, Participant};
use crate::places::CountryCode;

/// A person in a meeting, as registration knows them and as they are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delegate {
    /// The participant's id.
    pub id: Participant,
    /// The person's name.
    pub name: String,
    /// The Member State or organisation, as it is shown (R18).
    pub delegation: String,
    /// The registration system's category.
    pub category: String,
    /// What they are in the meeting.
    pub role: Role,
    /// `ITU-R`, `ITU-T`, `ITU-D` or empty.
    pub sector: String,
    /// Where links are sent; may be empty.
    pub email: String,
    /// Where they are, if known.
    pub country: Option<CountryCode>,
    /// On the list of speakers.
    pub is_listed_speaker: bool,
    /// Languages an interpreter or captioner works into.
    pub languages: Vec<String>,
    /// Links and tokens of earlier generations are void.
    pub generation: u64,
    /// Neither links nor tokens are good.
    pub is_revoked: bool,
}

/// Why a link or token is not good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Void {
    /// The person's access was taken away.
    #[error("this person's access was taken away: ask the organiser")]
    Revoked,
    /// A newer link was made.
    #[error("a newer link was made: use that, or ask the organiser for one")]
    Superseded,
}

impl Delegate {
    /// Whether a link or token of a generation is good.
    ///
    /// # Errors
    /// Revoked, or of an earlier generation.
    pub fn check(&self, generation: u64) -> Result<(), Void> {
        if self.is_revoked {
            Err(Void::Revoked)
        } else if generation != self.generation {
            Err(Void::Superseded)
        } else {
            Ok(())
        }
    }

    /// Takes access away: every link and token made so far is void. Edges refuse tokens below the generation returned.
    pub fn revoke(&mut self) -> u64 {
        self.is_revoked = true;
        self.begin_generation()
    }

    /// Makes links and tokens made so far void, and gives access anew by those made from now on.
    pub fn renew(&mut self) -> u64 {
        self.is_revoked = false;
        self.begin_generation()
    }

    /// By which lane they come in.
    pub fn lane(&self) -> Lane {
        self.role.lane(self.is_listed_speaker)
    }

    /// What they may publish and subscribe.
    pub fn grants(&self, meeting: &Meeting) -> Grants {
        self.role.grants(meeting, &self.id, &self.languages)
    }

    fn begin_generation(&mut self) -> u64 {
        self.generation += 1;
        self.generation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_tokens_of_before_a_revocation_or_a_new_link_are_void() {
        let mut ann = Delegate {
            id: Participant::new("ann").unwrap(),
            name: "Ann".to_owned(),
            delegation: "Kenya".to_owned(),
            category: String::new(),
            role: Role::Delegate,
            sector: String::new(),
            email: String::new(),
            country: None,
            is_listed_speaker: false,
            languages: Vec::new(),
            generation: 1,
            is_revoked: false,
        };
        assert_eq!(ann.check(1), Ok(()));
        assert_eq!(ann.renew(), 2);
        assert_eq!(ann.check(1), Err(Void::Superseded));
        assert_eq!(ann.check(2), Ok(()));
        assert_eq!(ann.revoke(), 3);
        assert_eq!(ann.check(2), Err(Void::Revoked));
        assert_eq!(ann.renew(), 4);
        assert_eq!(ann.check(3), Err(Void::Superseded));
        assert_eq!(ann.check(4), Ok(()));
    }
}
