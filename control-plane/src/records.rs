//! What is in the state store: keys, and values as JSON, so that an operator can read them with the store's own tools.

use meridian_control_core::ids::{Meeting, Office, Participant};
use meridian_control_core::people;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A value of the store.
pub trait Record: Serialize + DeserializeOwned {
    /// As stored.
    fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("records have string keys and no failing parts")
    }

    /// From a stored value; `None`, and a word in the log, if it is something else: one bad value must not stop the rest.
    fn from_bytes(key: &str, bytes: &[u8]) -> Option<Self> {
        match serde_json::from_slice(bytes) {
            Ok(record) => Some(record),
            Err(error) => {
                tracing::error!(key, %error, "a value in the state store cannot be read");
                None
            }
        }
    }
}

/// Under `edges/<office>`: an edge that belongs to the network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeRecord {
    /// Host and port for other edges.
    pub neighbour_address: String,
    /// Host and port for delegates.
    pub client_address: String,
    /// SHA-256 in hex; empty if a public authority has signed it.
    #[serde(default)]
    pub certificate_sha256: String,
    /// What fails together has the same.
    pub failure_domain: String,
    /// Edges below it at a time; 0 if not said.
    #[serde(default)]
    pub children: u32,
    /// In bit/s; 0 if not said.
    #[serde(default)]
    pub bits_per_second: u64,
}

/// Under `drains/<office>`: an edge that is being emptied, or is kept empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainRecord {
    /// Clients that are still there then are closed: milliseconds since the Unix epoch.
    pub deadline_ms: u64,
    /// The edge takes clients again by itself then: milliseconds since the Unix epoch.
    pub until_ms: u64,
    /// Who wants it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Where its clients go, best first, with the places there.
    pub targets: Vec<(String, u32)>,
    /// The same for meetings that edges in some countries alone may carry.
    #[serde(default)]
    pub meetings: Vec<(String, Vec<(String, u32)>)>,
}

/// Under `tree`: how edges are joined, as the leader decided.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeRecord {
    /// The root.
    pub origin: String,
    /// The root when the origin is gone; empty if there is none.
    pub standby: String,
    /// A row for each edge with a parent.
    pub rows: Vec<RowRecord>,
    /// By failed office, the rows that differ then.
    pub failures: Vec<(String, Vec<RowRecord>)>,
    /// Direct links: who dials whom.
    pub shortcuts: Vec<(String, String)>,
}

/// An edge's place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowRecord {
    /// The edge.
    pub office: String,
    /// Above it; empty if it is a root.
    pub parent: String,
    /// The second one above it; empty if there is none.
    pub backup: String,
}

/// Under `meetings/<id>`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeetingRecord {
    /// For people.
    pub title: String,
    /// Whose organisers run it.
    pub office: String,
    /// Seconds since the Unix epoch; 0: at once.
    pub opens_at_s: u64,
    /// Seconds since the Unix epoch; 0: never.
    pub closes_at_s: u64,
    /// By hand.
    pub is_closed: bool,
    /// Language tags.
    pub languages: Vec<String>,
    /// Countries whose edges may carry it; empty: all.
    pub countries: Vec<String>,
    /// The newest displaces the oldest.
    pub sessions_per_participant: u32,
}

impl MeetingRecord {
    /// As the core knows it; `None` if what is stored cannot be.
    pub fn to_core(&self, id: &str) -> Option<people::MeetingRecord> {
        let countries = self.countries.iter().map(|code| code.parse().ok());
        Some(people::MeetingRecord {
            id: Meeting::new(id).ok()?,
            title: self.title.clone(),
            office: Office::new(&self.office).ok()?,
            opens_at_s: self.opens_at_s,
            closes_at_s: self.closes_at_s,
            is_closed: self.is_closed,
            languages: self.languages.clone(),
            countries: countries.collect::<Option<_>>()?,
            sessions_per_participant: self.sessions_per_participant,
        })
    }

    /// As stored.
    pub fn from_core(meeting: &people::MeetingRecord) -> MeetingRecord {
        MeetingRecord {
            title: meeting.title.clone(),
            office: meeting.office.to_string(),
            opens_at_s: meeting.opens_at_s,
            closes_at_s: meeting.closes_at_s,
            is_closed: meeting.is_closed,
            languages: meeting.languages.clone(),
            countries: meeting.countries.iter().map(ToString::to_string).collect(),
            sessions_per_participant: meeting.sessions_per_participant,
        }
    }
}

/// Under `delegates/<meeting>/<id>`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DelegateRecord {
    /// The person's name.
    pub name: String,
    /// As it is shown.
    pub delegation: String,
    /// The registration system's.
    pub category: String,
    /// As `Role` of the contract, in lower case.
    pub role: String,
    /// `ITU-R`, `ITU-T`, `ITU-D` or empty.
    pub sector: String,
    /// Where links are sent.
    pub email: String,
    /// ISO 3166-1 alpha-2, or empty.
    pub country: String,
    /// Comes in by the reserved lane.
    #[serde(default)]
    pub is_listed_speaker: bool,
    /// Languages worked into.
    #[serde(default)]
    pub languages: Vec<String>,
    /// Links and tokens of earlier ones are void.
    #[serde(default)]
    pub generation: u64,
    /// Neither is good.
    #[serde(default)]
    pub is_revoked: bool,
}

impl DelegateRecord {
    /// As the core knows it; `None` if what is stored cannot be.
    pub fn to_core(&self, id: &str) -> Option<people::Delegate> {
        Some(people::Delegate {
            id: Participant::new(id).ok()?,
            name: self.name.clone(),
            delegation: self.delegation.clone(),
            category: self.category.clone(),
            role: self.role.parse().ok()?,
            sector: self.sector.clone(),
            email: self.email.clone(),
            country: self.country.parse().ok(),
            is_listed_speaker: self.is_listed_speaker,
            languages: self.languages.clone(),
            generation: self.generation,
            is_revoked: self.is_revoked,
        })
    }

    /// As stored.
    pub fn from_core(delegate: &people::Delegate) -> DelegateRecord {
        DelegateRecord {
            name: delegate.name.clone(),
            delegation: delegate.delegation.clone(),
            category: delegate.category.clone(),
            role: delegate.role.to_string(),
            sector: delegate.sector.clone(),
            email: delegate.email.clone(),
            country: delegate
                .country
                .map_or(String::new(), |code| code.to_string()),
            is_listed_speaker: delegate.is_listed_speaker,
            languages: delegate.languages.clone(),
            generation: delegate.generation,
            is_revoked: delegate.is_revoked,
        }
    }
}

/// Under `revoked/<meeting>/<participant>`: tokens that edges refuse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevocationRecord {
    /// Tokens of a lower generation are void.
    pub below_generation: u64,
    /// When the last of them would have expired, in seconds since the Unix epoch.
    pub until_s: u64,
}

/// Under `access/<subject in hex>`: an organiser's or operator's tokens that were revoked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessRecord {
    /// For people.
    pub subject: String,
    /// Tokens of a lower generation are void.
    pub generation: u64,
}

/// Under `audit/<time>-<number>`, newest last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// Milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The token's subject.
    pub who: String,
    /// The call's name.
    pub what: String,
    /// The meeting, office or person.
    pub target: String,
    /// More.
    pub detail: String,
}

/// Under `replicas/<id>`, for as long as it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaRecord {
    /// The table of shares it goes by.
    pub acknowledged: u64,
}

/// Under `touched`: something that edges are told was removed. Its revision says when.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TouchedRecord {
    /// The key that was removed; one of them, if there were several.
    pub removed: String,
}

/// Under `shares`: among whom edges' free places are divided.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharesRecord {
    /// Rises with each change.
    pub epoch: u64,
    /// Their ids.
    pub replicas: Vec<String>,
}

impl Record for EdgeRecord {}
impl Record for DrainRecord {}
impl Record for TreeRecord {}
impl Record for MeetingRecord {}
impl Record for DelegateRecord {}
impl Record for RevocationRecord {}
impl Record for AccessRecord {}
impl Record for AuditRecord {}
impl Record for ReplicaRecord {}
impl Record for SharesRecord {}
impl Record for TouchedRecord {}
impl Record for crate::tokens::ring::Ring {}

/// Prefixes and single keys.
pub mod key {
    /// Edges of the network.
    pub const EDGES: &str = "edges/";
    /// Edges being emptied.
    pub const DRAINS: &str = "drains/";
    /// The tree.
    pub const TREE: &str = "tree";
    /// Meetings.
    pub const MEETINGS: &str = "meetings/";
    /// Delegates of all meetings.
    pub const DELEGATES: &str = "delegates/";
    /// Revoked participants of all meetings.
    pub const REVOKED: &str = "revoked/";
    /// Revoked organisers and operators.
    pub const ACCESS: &str = "access/";
    /// Who did what.
    pub const AUDIT: &str = "audit/";
    /// Replicas that run.
    pub const REPLICAS: &str = "replicas/";
    /// Shares of capacity.
    pub const SHARES: &str = "shares";
    /// Written with each removal of something that edges are told.
    pub const TOUCHED: &str = "touched";
    /// Rings of signing keys.
    pub const KEYS: &str = "keys/";

    /// One edge.
    pub fn edge(office: &str) -> String {
        format!("{EDGES}{office}")
    }

    /// One drain.
    pub fn drain(office: &str) -> String {
        format!("{DRAINS}{office}")
    }

    /// One meeting.
    pub fn meeting(id: &str) -> String {
        format!("{MEETINGS}{id}")
    }

    /// One meeting's delegates.
    pub fn delegates(meeting: &str) -> String {
        format!("{DELEGATES}{meeting}/")
    }

    /// One delegate.
    pub fn delegate(meeting: &str, id: &str) -> String {
        format!("{DELEGATES}{meeting}/{id}")
    }

    /// One revoked participant.
    pub fn revoked(meeting: &str, participant: &str) -> String {
        format!("{REVOKED}{meeting}/{participant}")
    }

    /// One revoked organiser or operator: subjects may have any letters, keys may not.
    pub fn access(subject: &str) -> String {
        let hex = meridian_proto::hex::to_text(subject.as_bytes());
        format!("{ACCESS}{hex}")
    }

    /// One replica.
    pub fn replica(id: &str) -> String {
        format!("{REPLICAS}{id}")
    }
}
