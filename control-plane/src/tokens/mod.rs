//! Tokens: JWTs signed with Ed25519 (RFC 7519, RFC 8037). Four kinds, three rings of keys: one kind is never taken for
//! another, since its key is in another ring.
//!
//! *Media* tokens open edges, which verify them alone. *Invitations* are personal links. *Tickets* are places in the queue,
//! signed with the invitations' ring. *Access* tokens are for organisers and operators.

pub mod keys;
pub mod ring;

use serde::{Deserialize, Serialize};

/// What a media token says: edges read the same claims (`edge/src/access.rs`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Media {
    /// The participant.
    pub sub: String,
    /// The meeting.
    pub meeting: String,
    /// This admission's id: two sessions with the same one are one person moving.
    pub sid: String,
    /// The participant's generation.
    #[serde(rename = "gen")]
    pub generation: u64,
    /// Sessions allowed at a time; 0: any number.
    pub sessions: u32,
    /// Seconds since the Unix epoch.
    pub iat: u64,
    /// Seconds since the Unix epoch.
    pub exp: u64,
    /// Namespace prefixes.
    pub publish: Vec<Vec<String>>,
    /// Namespace prefixes.
    pub subscribe: Vec<Vec<String>>,
}

/// What an invitation says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// The participant.
    pub sub: String,
    /// The meeting.
    pub meeting: String,
    /// The participant's generation.
    #[serde(rename = "gen")]
    pub generation: u64,
    /// Seconds since the Unix epoch.
    pub exp: u64,
}

/// What a ticket says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// The participant.
    pub sub: String,
    /// The meeting.
    pub meeting: String,
    /// Tells it from other tickets of the same person.
    pub number: u64,
    /// When they first asked, in microseconds since the Unix epoch.
    pub arrived_us: u64,
    /// They come in by the reserved lane.
    pub reserved: bool,
    /// Seconds since the Unix epoch.
    pub exp: u64,
}

/// What an access token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// Whose.
    pub sub: String,
    /// An operator may do everything.
    pub operator: bool,
    /// Offices an organiser acts for.
    pub offices: Vec<String>,
    /// The subject's generation.
    #[serde(rename = "gen")]
    pub generation: u64,
    /// Seconds since the Unix epoch.
    pub exp: u64,
}

/// Why a token is no good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is no token of ours of this kind, or its signature is not by a key of the ring.
    #[error("forged, damaged, or of another kind")]
    Forged,
    /// Its time is over.
    #[error("expired")]
    Expired,
}
