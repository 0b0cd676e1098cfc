//! Invitations: signed links, and making earlier ones void.

use super::{Service, delegates, own_meeting};
use crate::caller::Caller;
use crate::services::invitation;
use crate::tokens::Invitation;
use meridian_control_core::people;
use meridian_proto::v1::{InviteDelegatesRequest, InviteDelegatesResponse};
use tonic::Status;

/// How long invitations are good at most, in seconds.
const MAX_INVITATION_S: u64 = 30 * 24 * 3_600;

impl Service {
    /// Signs links; first makes earlier ones void, if asked to.
    pub(super) async fn invite(
        &self,
        caller: &Caller,
        request: &InviteDelegatesRequest,
    ) -> Result<InviteDelegatesResponse, Status> {
        let (meeting, _) = own_meeting(&self.0, caller, &request.meeting)?;
        let all = delegates::all(&self.0, &request.meeting);
        let asked: Vec<people::Delegate> = match request.delegates.is_empty() {
            true => all
                .into_values()
                .filter(|delegate| !delegate.is_revoked || request.renew)
                .collect(),
            false => delegates::named(&all, &request.delegates, &request.meeting)?,
        };
        if let Some(revoked) = asked
            .iter()
            .find(|delegate| delegate.is_revoked && !request.renew)
        {
            return Err(Status::failed_precondition(format!(
                "access of {} was taken away: invite them with `renew` to give it back",
                revoked.id
            )));
        }
        let exp = self.expiry(&meeting, request.valid_s)?;
        let mut invitations = Vec::new();
        for bunch in asked.chunks(delegates::AT_ONCE) {
            let bunch = self.invited(caller, request, bunch).await?;
            for delegate in bunch {
                let claims = Invitation {
                    sub: delegate.id.to_string(),
                    meeting: request.meeting.clone(),
                    generation: delegate.generation,
                    exp,
                };
                let (invitation, url) = invitation::sign(&self.0, &claims)?;
                invitations.push(meridian_proto::v1::Invitation {
                    delegate: Some(delegates::out(&delegate)),
                    invitation,
                    url,
                    expires_at_s: exp,
                });
            }
        }
        Ok(InviteDelegatesResponse { invitations })
    }

    /// The delegates of a bunch as they are once they are invited, written in the audit log.
    async fn invited(
        &self,
        caller: &Caller,
        request: &InviteDelegatesRequest,
        bunch: &[people::Delegate],
    ) -> Result<Vec<people::Delegate>, Status> {
        let change = self.0.change(|decision| {
            self.read(decision, caller, &request.meeting)?;
            let mut fresh = Vec::new();
            for delegate in bunch {
                let mut delegate =
                    self.read_delegate(decision, &request.meeting, delegate.id.as_str())?;
                if request.renew {
                    let below = delegate.renew();
                    self.put_delegate(decision, &request.meeting, &delegate, Some(below));
                }
                fresh.push(delegate);
            }
            let who: Vec<&str> = bunch.iter().map(|delegate| delegate.id.as_str()).collect();
            decision.audit(caller, "InviteDelegates", &request.meeting, who.join(" "));
            Ok(fresh)
        });
        Ok(change.await?.0)
    }

    fn expiry(&self, meeting: &people::MeetingRecord, valid_s: u64) -> Result<u64, Status> {
        let now_s = self.0.now_s();
        if meeting.phase(now_s) == people::Phase::Closed {
            return Err(Status::failed_precondition("the meeting is closed"));
        }
        let latest = now_s + MAX_INVITATION_S;
        Ok(match (valid_s, meeting.closes_at_s) {
            (0, 0) => latest,
            (0, closes_at_s) => latest.min(closes_at_s),
            (valid_s, _) => latest.min(now_s.saturating_add(valid_s)),
        })
    }
}
