//! The way from a call to the queue and back: tickets, signed so that any replica can believe them.

use super::Known;
use crate::plane::Plane;
use crate::tokens::{Ticket, TokenError};
use meridian_control_core::admission::{self, Answer, Asking};
use std::time::Instant;
use tonic::Status;

/// How long a ticket is good, in seconds: the queue forgets it long before.
const TICKET_S: u64 = 3_600;

impl Plane {
    /// Asks for somebody whether they may come in, with the ticket they show; empty: none.
    pub(super) fn ask(&self, known: &Known, ticket: &str) -> Result<Answer, Status> {
        let asking = Asking {
            person: known.person(),
            lane: known.delegate.lane(),
            ticket: self.ticket(ticket, known)?,
            random: rand::random(),
        };
        let (unix_us, now) = (self.now_ms() * 1_000, Instant::now());
        Ok(self.desk().admission.handle_ask(asking, unix_us, now))
    }

    /// The ticket somebody shows, if they do. One of another person, or out of its time, is as none.
    fn ticket(&self, text: &str, known: &Known) -> Result<Option<admission::Ticket>, Status> {
        if text.is_empty() {
            return Ok(None);
        }
        let ticket: Ticket = match self.rings().invitation.verify(text) {
            Ok(ticket) => ticket,
            Err(TokenError::Expired) => return Ok(None),
            Err(TokenError::Forged) => {
                return Err(Status::invalid_argument(
                    "the ticket is not one of this network's: join without it",
                ));
            }
        };
        let is_theirs =
            ticket.sub == known.participant.as_str() && ticket.meeting == known.meeting.as_str();
        Ok(is_theirs.then_some(admission::Ticket {
            arrived_us: ticket.arrived_us,
            number: ticket.number,
            lane: match ticket.reserved {
                true => admission::Lane::Reserved,
                false => admission::Lane::General,
            },
        }))
    }

    /// A ticket as its holder shows it.
    pub(super) fn sign_ticket(
        &self,
        ticket: &admission::Ticket,
        known: &Known,
    ) -> Result<String, Status> {
        let claims = Ticket {
            sub: known.participant.to_string(),
            meeting: known.meeting.to_string(),
            number: ticket.number,
            arrived_us: ticket.arrived_us,
            reserved: ticket.lane == admission::Lane::Reserved,
            exp: self.now_s() + TICKET_S,
        };
        let signed = self.rings().invitation.sign(&claims);
        signed.map_err(|error| Status::internal(error.to_string()))
    }
}
