//! What programs are told of where somebody is: one JSON line when in, and one at each change of edge.

use super::race::Outcome;
use bytes::Bytes;
use serde::Serialize;

/// Why an edge is dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// There was none before.
    First,
    /// The session ended, or nothing is heard of the edge.
    Lost,
    /// The edge asks to go elsewhere, and perhaps says where.
    Goaway(Bytes),
    /// The token's time is over.
    Expired,
}

impl Cause {
    /// In a word.
    pub fn name(&self) -> &'static str {
        match self {
            Cause::First => "first",
            Cause::Lost => "lost",
            Cause::Goaway(_) => "goaway",
            Cause::Expired => "expired",
        }
    }
}

/// An edge was reached.
#[derive(Clone, Debug, Serialize)]
pub struct Told {
    /// `joined` the first time, `moved` afterwards.
    pub kind: &'static str,
    /// The meeting.
    pub meeting: String,
    /// The participant.
    pub participant: String,
    /// The office taken.
    pub office: String,
    /// The office before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Why: `first`, `lost`, `goaway` or `expired`.
    pub why: &'static str,
    /// In milliseconds, to the session: from asking to come in at first, from noticing the loss or the GOAWAY afterwards.
    pub after_ms: f64,
    /// How each that was dialled did.
    pub race: Vec<Outcome>,
}
