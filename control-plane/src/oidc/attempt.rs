//! A sign-in that was begun: kept in the browser, in a signed cookie, so that any replica can end what another began and
//! none keeps anything.

use super::Refusal;
use crate::plane::Plane;
use axum::http::{HeaderMap, HeaderValue, header};
use serde::{Deserialize, Serialize};

/// What the cookie says. It is signed, not secret: its holder may know all of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Attempt {
    /// As who.
    pub(super) role: Role,
    /// Comes back in the answer's address: shows that this browser has begun it.
    pub(super) state: String,
    /// Comes back in the ID token: shows that it was made for this attempt.
    pub(super) nonce: String,
    /// The PKCE verifier (RFC 7636): only who has it can use the code.
    pub(super) verifier: String,
    /// Seconds since the Unix epoch.
    pub(super) exp: u64,
}

/// As who somebody signs in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Role {
    /// Of this meeting.
    Delegate(String),
    /// Or operator.
    Organiser,
}

/// How long somebody may take at the provider, in seconds.
pub(super) const ATTEMPT_S: u64 = 600;
/// `__Host-`: browsers take it from this host alone, over TLS, for no other.
const COOKIE: &str = "__Host-meridian-sign-in";

impl Attempt {
    /// The header that has the browser keep it.
    pub(super) fn keep(&self, plane: &Plane) -> Result<HeaderValue, Refusal> {
        let signed = plane.rings().invitation.sign(self);
        let signed = signed.map_err(|error| Refusal::Internal(error.to_string()))?;
        let header = HeaderValue::from_str(&cookie(&signed, ATTEMPT_S));
        header.map_err(|error| Refusal::Internal(error.to_string()))
    }

    /// The one that this browser has begun, if it is `state`'s.
    pub(super) fn of(plane: &Plane, headers: &HeaderMap, state: &str) -> Result<Attempt, Refusal> {
        let attempt = kept(headers).and_then(|signed| {
            let verified = plane.rings().invitation.verify::<Attempt>(signed);
            verified.ok()
        });
        attempt
            .filter(|attempt| attempt.state == state)
            .ok_or(Refusal::Stale)
    }
}

/// The header that has the browser forget it.
pub(super) fn forget() -> HeaderValue {
    HeaderValue::from_str(&cookie("", 0)).expect("it is ASCII")
}

/// `Lax`: it comes along when the provider sends the browser back, and with nothing that other sites post or embed.
fn cookie(value: &str, life_s: u64) -> String {
    format!("{COOKIE}={value}; Path=/; Max-Age={life_s}; Secure; HttpOnly; SameSite=Lax")
}

fn kept(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter();
    let cookies = cookies.filter_map(|header| header.to_str().ok());
    cookies
        .flat_map(|header| header.split(';'))
        .find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}
