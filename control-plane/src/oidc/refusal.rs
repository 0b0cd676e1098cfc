//! Why somebody could not sign in: what they are shown, counted and logged.

use super::page;
use crate::counters::Counter;
use crate::plane::Plane;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;

/// Why somebody could not sign in. The text is what they read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// The address does not say what for.
    #[error(
        "This address is not complete: it names no meeting. Open the link again as the organiser has sent it."
    )]
    Link,
    /// Nothing in this browser belongs to the answer.
    #[error(
        "This sign-in was not begun in this browser, is over, or has taken too long. Open the link you were sent and sign in again; cookies must be allowed."
    )]
    Stale,
    /// They, or the provider, did not want to.
    #[error(
        "Your organisation's sign-in was cancelled or did not let you in. Open the link you were sent and try again, or ask your organisation's support."
    )]
    Cancelled,
    /// The ID token is not good.
    #[error(
        "The answer of your organisation's sign-in could not be trusted. Open the link you were sent and sign in again; if this comes again, tell the meeting's support."
    )]
    Untrusted(String),
    /// There is no address to know them by.
    #[error(
        "Your organisation's sign-in does not confirm an e-mail address for your account. Confirm it there, or ask the meeting's organiser for a personal link."
    )]
    Unverified,
    /// No delegate of the meeting, or no such meeting: which, is not told.
    #[error(
        "{0} is not on the list of this meeting. Sign in with the address you have registered with, or ask the meeting's organiser."
    )]
    NoDelegate(String),
    /// More than one delegate has the address.
    #[error(
        "{0} is on the list of this meeting more than once. Ask the meeting's organiser for a personal link."
    )]
    Ambiguous(String),
    /// They were one, and are no more.
    #[error("Your access to this meeting was taken away. Ask the meeting's organiser.")]
    Revoked,
    /// Neither organiser nor operator.
    #[error(
        "{0} is no organiser here. Sign in with another address, or ask an operator to be made one."
    )]
    NoOrganiser(String),
    /// The provider does not answer, or not as it should.
    #[error(
        "Your organisation's sign-in cannot be reached just now. Try again in a minute, or use the personal link from your invitation: that works without it."
    )]
    Away(String),
    /// More sign in than can at a time.
    #[error("Many people are signing in just now. Try again in a few seconds.")]
    Busy,
    /// Something here is broken.
    #[error(
        "Something here is not as it should be. Try again; if this comes again, tell the meeting's support."
    )]
    Internal(String),
}

/// When to try again, in seconds.
const RETRY_S: &str = "10";

impl Refusal {
    /// What an error of the provider means (RFC 6749 §4.1.2.1, OpenID Connect Core §3.1.2.6).
    pub(super) fn of_provider(error: &str) -> Refusal {
        match error {
            "server_error" | "temporarily_unavailable" => Refusal::Away(error.into()),
            "access_denied"
            | "login_required"
            | "interaction_required"
            | "consent_required"
            | "account_selection_required" => Refusal::Cancelled,
            // The rest says that this application is not registered as it should be.
            error => {
                let plain = error.chars().filter(char::is_ascii_graphic).take(64);
                Refusal::Away(format!(
                    "it refused the request: {}",
                    plain.collect::<String>()
                ))
            }
        }
    }

    /// The page that says so. Counts and logs it.
    pub(super) fn answer(self, plane: &Plane) -> Response {
        self.counter(plane).add();
        match &self {
            Refusal::Away(why) => tracing::warn!(why, "the identity provider cannot be used"),
            Refusal::Internal(why) => tracing::error!(why, "a sign-in failed"),
            Refusal::Untrusted(why) => tracing::warn!(why, "a sign-in was refused"),
            // Who it was, is no business of the log's.
            other => tracing::info!(status = other.status().as_u16(), "a sign-in was refused"),
        }
        let mut page = page::refusal(self.status(), &self.to_string());
        if self.status() == StatusCode::SERVICE_UNAVAILABLE {
            let retry = HeaderValue::from_static(RETRY_S);
            page.headers_mut().insert(header::RETRY_AFTER, retry);
        }
        page
    }

    fn status(&self) -> StatusCode {
        match self {
            Refusal::Link | Refusal::Stale => StatusCode::BAD_REQUEST,
            Refusal::Ambiguous(_) => StatusCode::CONFLICT,
            Refusal::Away(_) | Refusal::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Refusal::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::FORBIDDEN,
        }
    }

    fn counter<'p>(&self, plane: &'p Plane) -> &'p Counter {
        let counters = &plane.counters;
        match self {
            Refusal::Link | Refusal::Stale => &counters.sign_ins_stale,
            Refusal::Cancelled => &counters.sign_ins_cancelled,
            Refusal::Untrusted(_) => &counters.sign_ins_untrusted,
            Refusal::Away(_) | Refusal::Busy | Refusal::Internal(_) => &counters.sign_ins_failed,
            _ => &counters.sign_ins_refused,
        }
    }
}
