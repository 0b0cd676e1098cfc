//! Invitations: what a personal link carries, made and read.

use crate::plane::Plane;
use crate::tokens::{Invitation, TokenError};
use tonic::Status;

/// Reads an invitation, given bare or as the link it came in.
///
/// # Errors
/// UNAUTHENTICATED: forged, damaged or expired; counted.
pub(super) fn read(plane: &Plane, text: &str) -> Result<Invitation, Status> {
    let bare = text.rsplit(['#', '/', '=']).next().unwrap_or(text).trim();
    plane.rings().invitation.verify(bare).map_err(|error| {
        let (counter, why) = match error {
            TokenError::Forged => (
                &plane.counters.invitations_forged,
                "this invitation is damaged or not one of ours: open the link as it was sent",
            ),
            TokenError::Expired => (
                &plane.counters.invitations_expired,
                "this invitation has expired: ask the organiser for a new one",
            ),
        };
        counter.add();
        tracing::info!(%error, "an invitation was refused");
        Status::unauthenticated(why)
    })
}

/// Signs an invitation; gives it bare and as a link to the page that opens it. In the link it stands after `#`, which
/// browsers do not send to servers, so that no log has it.
///
/// # Errors
/// INTERNAL: the keys cannot be used.
pub(crate) fn sign(plane: &Plane, invitation: &Invitation) -> Result<(String, String), Status> {
    let signed = plane.rings().invitation.sign(invitation);
    let signed = signed.map_err(|error| Status::internal(error.to_string()))?;
    let base = plane.config.pages.base_url.as_deref().unwrap_or("");
    let url = format!("{}/join#{signed}", base.trim_end_matches('/'));
    Ok((signed, url))
}
