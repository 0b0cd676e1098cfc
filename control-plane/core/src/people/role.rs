//! Roles, and what each may publish and subscribe: the claims of media tokens (DESIGN §5).

use crate::admission::Lane;
use crate::ids::{Meeting, Participant};
use std::fmt;
use std::str::FromStr;

/// What a participant is in a meeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Speaks for a delegation.
    Delegate,
    /// Leads the meeting.
    Chair,
    /// Interprets into one or more languages.
    Interpreter,
    /// Writes captions.
    Captioner,
    /// Helps the chair and participants.
    Moderator,
    /// Listens only.
    Listener,
}

/// A word that is no role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no role: write delegate, chair, interpreter, captioner, moderator or listener")]
pub struct RoleError(String);

/// Namespace prefixes a participant may use: each a tuple's elements.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// May publish under these.
    pub publish: Vec<Vec<String>>,
    /// May subscribe under these.
    pub subscribe: Vec<Vec<String>>,
}

impl Role {
    /// The lane by which the role comes in: without chair, interpreters and those who are about to speak there is no
    /// meeting to come to.
    pub fn lane(self, is_listed_speaker: bool) -> Lane {
        match self {
            Self::Chair | Self::Interpreter => Lane::Reserved,
            _ if is_listed_speaker => Lane::Reserved,
            Self::Delegate | Self::Captioner | Self::Moderator | Self::Listener => Lane::General,
        }
    }

    /// What a participant of this role may publish and subscribe. Languages count for interpreters and captioners.
    pub fn grants(
        self,
        meeting: &Meeting,
        participant: &Participant,
        languages: &[String],
    ) -> Grants {
        let under = |rest: &[&str]| {
            let root = [ROOT, meeting.as_str()];
            root.iter()
                .chain(rest)
                .map(|element| (*element).to_owned())
                .collect::<Vec<_>>()
        };
        let mut publish = Vec::new();
        if self != Self::Listener {
            publish.push(under(&["p", participant.as_str()]));
        }
        let booth = match self {
            Self::Interpreter => Some("i"),
            Self::Captioner => Some("c"),
            _ => None,
        };
        if let Some(booth) = booth {
            publish.extend(languages.iter().map(|language| under(&[booth, language])));
        }
        Grants {
            publish,
            subscribe: vec![under(&[])],
        }
    }

    /// Whether the role works into languages.
    pub fn has_languages(self) -> bool {
        matches!(self, Self::Interpreter | Self::Captioner)
    }

    /// Its word.
    pub fn as_str(self) -> &'static str {
        ROLES
            .into_iter()
            .find_map(|(word, role)| (role == self).then_some(word))
            .expect("every role has a word")
    }
}

impl Grants {
    /// Whether `namespace` may be published.
    pub fn may_publish<T: AsRef<str>>(&self, namespace: &[T]) -> bool {
        self.publish
            .iter()
            .any(|prefix| begins_with(namespace, prefix))
    }

    /// Whether `namespace` may be subscribed.
    pub fn may_subscribe<T: AsRef<str>>(&self, namespace: &[T]) -> bool {
        self.subscribe
            .iter()
            .any(|prefix| begins_with(namespace, prefix))
    }
}

/// A language tag (BCP 47) as it stands in a namespace, in small letters: `en`, `zh-hant`. `None` if it is none.
pub fn language(tag: &str) -> Option<String> {
    let tag = tag.to_ascii_lowercase();
    let mut parts = tag.split('-');
    let first = parts.next().is_some_and(|part| {
        (2..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_lowercase())
    });
    let rest = parts.all(|part| {
        (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
    });
    (first && rest && tag.len() <= MAX_TAG_BYTES && tag != FLOOR).then_some(tag)
}

fn begins_with<T: AsRef<str>>(namespace: &[T], prefix: &[String]) -> bool {
    namespace.len() >= prefix.len()
        && namespace
            .iter()
            .zip(prefix)
            .all(|(has, wants)| has.as_ref() == wants)
}

impl FromStr for Role {
    type Err = RoleError;

    fn from_str(text: &str) -> Result<Self, RoleError> {
        let known = ROLES
            .into_iter()
            .find(|(word, _)| word.eq_ignore_ascii_case(text));
        known
            .map(|(_, role)| role)
            .ok_or_else(|| RoleError(text.chars().take(63).collect()))
    }
}

impl fmt::Display for Role {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

const ROLES: [(&str, Role); 6] = [
    ("delegate", Role::Delegate),
    ("chair", Role::Chair),
    ("interpreter", Role::Interpreter),
    ("captioner", Role::Captioner),
    ("moderator", Role::Moderator),
    ("listener", Role::Listener),
];
/// The first element of every namespace.
const ROOT: &str = "meridian";
/// A channel's name that is no language.
const FLOOR: &str = "floor";
/// Longer ones exist on paper.
const MAX_TAG_BYTES: usize = 35;

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(role: Role) -> Grants {
        let languages = ["fr".to_owned(), "es".to_owned()];
        role.grants(
            &Meeting::new("council").unwrap(),
            &Participant::new("ann").unwrap(),
            &languages,
        )
    }

    #[test]
    fn each_role_publishes_what_it_has_to_and_all_hear_the_meeting() {
        for (role, allowed) in [
            (Role::Delegate, vec!["p/ann"]),
            (Role::Chair, vec!["p/ann"]),
            (Role::Moderator, vec!["p/ann"]),
            (Role::Interpreter, vec!["p/ann", "i/fr", "i/es"]),
            (Role::Captioner, vec!["p/ann", "c/fr", "c/es"]),
            (Role::Listener, vec![]),
        ] {
            let grants = grants(role);
            for name in [
                "p/ann", "p/ann2", "p/bob", "i/fr", "i/es", "i/en", "c/fr", "c/es", "ch/floor", "s",
            ] {
                let namespace: Vec<&str> = ["meridian", "council"]
                    .into_iter()
                    .chain(name.split('/'))
                    .collect();
                assert_eq!(
                    grants.may_publish(&namespace),
                    allowed.contains(&name),
                    "{role} {name}"
                );
                assert!(grants.may_subscribe(&namespace));
            }
            assert!(!grants.may_subscribe(&["meridian", "other", "p", "ann"]));
            assert!(!grants.may_subscribe(&["meridian"]));
            assert!(!grants.may_publish(&["meridian", "council"]));
        }
    }

    #[test]
    fn chair_interpreters_and_listed_speakers_come_by_the_reserved_lane() {
        assert_eq!(Role::Chair.lane(false), Lane::Reserved);
        assert_eq!(Role::Interpreter.lane(false), Lane::Reserved);
        assert_eq!(Role::Delegate.lane(true), Lane::Reserved);
        assert_eq!(Role::Delegate.lane(false), Lane::General);
        assert_eq!(Role::Listener.lane(false), Lane::General);
    }

    #[test]
    fn roles_and_languages_are_read_with_care() {
        assert_eq!("Chair".parse(), Ok(Role::Chair));
        assert!(
            "boss"
                .parse::<Role>()
                .unwrap_err()
                .to_string()
                .contains("interpreter")
        );
        assert_eq!(language("zh-Hant").as_deref(), Some("zh-hant"));
        for wrong in ["", "e", "12", "en_GB", "en-", "floor", "français"] {
            assert_eq!(language(wrong), None, "{wrong}");
        }
    }
}
