//! Who somebody is by their verified e-mail address: a delegate of a meeting, an organiser, an operator.

use super::Refusal;
use super::config::OidcConfig;
use crate::plane::Plane;
use crate::records::{DelegateRecord, MeetingRecord, key};
use crate::services::invitation;
use crate::tokens::{Access, Invitation};

/// How long what somebody gets by signing in is good, in seconds: a long day, after which they can sign in again.
pub(super) const LIFE_S: u64 = 12 * 3_600;

/// The link by which the one delegate with this address comes in.
pub(super) fn invite(plane: &Plane, meeting: &str, email: &str) -> Result<String, Refusal> {
    let known: Option<MeetingRecord> = plane.record(&key::meeting(meeting));
    let mut found = match known {
        Some(_) => delegates(plane, meeting, email),
        None => Vec::new(),
    };
    let (id, record) = match (found.pop(), found.pop()) {
        (Some(one), None) => one,
        (None, _) => return Err(Refusal::NoDelegate(email.to_owned())),
        (Some(_), Some(_)) => return Err(Refusal::Ambiguous(email.to_owned())),
    };
    let delegate = record.to_core(&id);
    let delegate =
        delegate.ok_or_else(|| Refusal::Internal(format!("delegate `{id}` is damaged")))?;
    let generation = delegate.generation;
    if delegate.check(generation).is_err() {
        return Err(Refusal::Revoked);
    }
    let invitation = Invitation {
        sub: id,
        meeting: meeting.to_owned(),
        generation,
        exp: plane.now_s() + LIFE_S,
    };
    let signed = invitation::sign(plane, &invitation);
    let (_, url) = signed.map_err(|status| Refusal::Internal(status.message().to_owned()))?;
    tracing::info!(meeting, participant = invitation.sub, "signed in");
    Ok(url)
}

/// What an organiser or operator with this address may do.
pub(super) fn access(plane: &Plane, config: &OidcConfig, email: String) -> Result<Signed, Refusal> {
    let is = |other: &String| other.trim().to_lowercase() == email;
    let operator = config.operators.iter().any(is);
    let organisers = config.organisers.iter().filter(|one| is(&one.email));
    let offices: Vec<String> = organisers.flat_map(|one| one.offices.clone()).collect();
    if !operator && offices.is_empty() {
        return Err(Refusal::NoOrganiser(email));
    }
    let access = Access {
        generation: plane.generation(&email),
        sub: email,
        operator,
        offices,
        exp: plane.now_s() + LIFE_S,
    };
    let token = plane.rings().access.sign(&access);
    let token = token.map_err(|error| Refusal::Internal(error.to_string()))?;
    Ok(Signed { token, access })
}

/// An access token, and what it says.
pub(super) struct Signed {
    pub(super) token: String,
    pub(super) access: Access,
}

/// Delegates of a meeting with an address; letters' case does not matter, as when they are imported.
fn delegates(plane: &Plane, meeting: &str, email: &str) -> Vec<(String, DelegateRecord)> {
    let all = plane.records::<DelegateRecord>(&key::delegates(meeting));
    let theirs = all
        .into_iter()
        .filter(|(_, one, _)| one.email.trim().to_lowercase() == email);
    theirs.map(|(id, record, _)| (id, record)).collect()
}
