//! Names of offices, meetings and participants: short, cheap to clone, and valid by construction.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A name that is no slug.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no valid id: write 1 to 63 of a-z, 0-9 and `-`, such as `new-delhi`")]
pub struct IdError(String);

/// Whether `text` is 1 to 63 of `a-z`, `0-9` and `-`, the only characters of ids in namespaces, keys and addresses.
pub fn is_slug(text: &str) -> bool {
    (1..=MAX_BYTES).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

macro_rules! id {
    ($name:ident, $what:literal) => {
        #[doc = $what]
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes 1 to 63 of `a-z`, `0-9` and `-`.
            ///
            /// # Errors
            /// Anything else, with what to write instead.
            pub fn new(text: &str) -> Result<Self, IdError> {
                if is_slug(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(IdError(text.chars().take(MAX_BYTES).collect()))
                }
            }

            /// Its text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(&self.0)
            }
        }
    };
}

id!(Office, "An office, and its edge: `new-delhi`.");
id!(Meeting, "A meeting: `council-26`.");
id!(Participant, "A participant of a meeting.");
id!(
    Replica,
    "A process of the control plane, as long as it runs."
);

/// Somebody: a participant of one meeting, however many devices they use.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Person {
    /// Of this meeting.
    pub meeting: Meeting,
    /// Who there.
    pub participant: Participant,
}

/// A token's session id: the replica that issued it, a full stop, and what the replica made up.
///
/// It tells every replica whose share of an edge's places a session takes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(Arc<str>);

impl SessionId {
    /// A new one; `random` must not come twice.
    pub fn new(replica: &Replica, random: u64) -> Self {
        Self(format!("{replica}.{random:016x}").into())
    }

    /// One that was issued, or came from elsewhere: any text. It is cut off after 96 bytes.
    pub fn from_text(text: &str) -> Self {
        let end = text.floor_char_boundary(MAX_SESSION_BYTES);
        Self(text[..end].into())
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The replica that issued it, if it has the form.
    pub fn replica(&self) -> Option<Replica> {
        let (replica, _) = self.0.split_once('.')?;
        Replica::new(replica).ok()
    }
}

/// A replica's name, a full stop and 16 digits fit in.
const MAX_SESSION_BYTES: usize = 96;
/// Long enough for names, short enough for a tuple element, a DNS label and a table.
const MAX_BYTES: usize = 63;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_id_names_the_replica_that_issued_it() {
        let id = SessionId::new(&Replica::new("r1").unwrap(), 255);
        assert_eq!(id.as_str(), "r1.00000000000000ff");
        assert_eq!(
            SessionId::from_text(id.as_str()).replica(),
            Some(Replica::new("r1").unwrap())
        );
        assert_eq!(SessionId::from_text("something").replica(), None);
        assert_eq!(SessionId::from_text(&"é".repeat(96)).as_str().len(), 96);
    }

    #[test]
    fn ids_are_short_and_plain() {
        assert_eq!(Office::new("new-delhi").unwrap().as_str(), "new-delhi");
        for wrong in ["", "New-Delhi", "a b", "a/b", "é", &"a".repeat(64)] {
            assert!(Meeting::new(wrong).is_err(), "{wrong}");
        }
    }
}
