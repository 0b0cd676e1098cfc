//! Sign-in with the organisation's own accounts (OpenID Connect, authorization code with PKCE): a delegate is sent on with
//! an invitation, an organiser or operator gets an access token. Nothing is kept on the server meanwhile (`attempt.rs`).

mod attempt;
pub mod config;
pub mod http;
pub mod open;
mod page;
mod people;
mod provider;
mod refusal;

use crate::plane::Plane;
use attempt::{ATTEMPT_S, Attempt, Role};
use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use config::OidcConfig;
use meridian_control_core::ids::Meeting;
use provider::Provider;
use refusal::Refusal;
use serde::Deserialize;
use std::sync::Arc;

/// Sign-in with one identity provider.
pub struct Oidc {
    plane: Arc<Plane>,
    config: OidcConfig,
    provider: Provider,
}

/// Its pages.
pub fn routes(oidc: Oidc) -> Router {
    Router::new()
        .route("/oidc/login", get(login))
        .route(config::CALLBACK, get(callback))
        .with_state(Arc::new(oidc))
}

/// As who somebody asks to sign in.
#[derive(Deserialize)]
struct Asked {
    meeting: Option<String>,
    #[serde(rename = "as")]
    role: Option<String>,
}

/// What the provider sends somebody back with.
#[derive(Deserialize)]
struct Answer {
    state: Option<String>,
    code: Option<String>,
    error: Option<String>,
    iss: Option<String>,
}

async fn login(
    State(oidc): State<Arc<Oidc>>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Response {
    let begun = match asked {
        Ok(Query(asked)) => oidc.begin(asked).await,
        Err(_) => Err(Refusal::Link),
    };
    begun.unwrap_or_else(|refusal| refusal.answer(&oidc.plane))
}

async fn callback(
    State(oidc): State<Arc<Oidc>>,
    headers: HeaderMap,
    answer: Result<Query<Answer>, QueryRejection>,
) -> Response {
    let attempt = answer
        .map_err(|_| Refusal::Stale)
        .and_then(|Query(answer)| {
            let state = answer.state.as_deref().unwrap_or_default();
            let attempt = Attempt::of(&oidc.plane, &headers, state)?;
            Ok((attempt, answer))
        });
    // What is not this browser's sign-in does not end the one it may be in.
    let (attempt, answer) = match attempt {
        Ok(attempt) => attempt,
        Err(refusal) => return refusal.answer(&oidc.plane),
    };
    let ended = oidc.end(attempt, answer, &headers).await;
    let mut answer = ended.unwrap_or_else(|refusal| refusal.answer(&oidc.plane));
    answer
        .headers_mut()
        .append(header::SET_COOKIE, attempt::forget());
    answer
}

impl Oidc {
    /// Sends somebody to the provider. Whether there is such a meeting is not told to who has not signed in.
    async fn begin(&self, asked: Asked) -> Result<Response, Refusal> {
        let role = match (asked.meeting, asked.role.as_deref()) {
            (Some(meeting), None) if Meeting::new(&meeting).is_ok() => Role::Delegate(meeting),
            (None, Some("organiser")) => Role::Organiser,
            _ => return Err(Refusal::Link),
        };
        let begun = self.provider.begin(&self.config).await?;
        let attempt = Attempt {
            role,
            state: begun.state,
            nonce: begun.nonce,
            verifier: begun.verifier,
            exp: self.plane.now_s() + ATTEMPT_S,
        };
        let mut answer = to(begun.url.as_str())?;
        let cookie = attempt.keep(&self.plane)?;
        answer.headers_mut().append(header::SET_COOKIE, cookie);
        self.plane.counters.sign_ins_begun.add();
        Ok(answer)
    }

    async fn end(
        &self,
        attempt: Attempt,
        answer: Answer,
        headers: &HeaderMap,
    ) -> Result<Response, Refusal> {
        // RFC 9207: an answer is of the provider that was asked.
        if answer
            .iss
            .is_some_and(|issuer| issuer != self.config.issuer)
        {
            return Err(Refusal::Untrusted("another issuer has answered".into()));
        }
        if let Some(error) = answer.error {
            return Err(Refusal::of_provider(&error));
        }
        let code = answer.code.ok_or(Refusal::Stale)?;
        let now_ms = self.plane.now_ms();
        let email = self.provider.email(code, &attempt, now_ms).await?;
        let answer = match &attempt.role {
            Role::Delegate(meeting) => to(&people::invite(&self.plane, meeting, &email)?)?,
            Role::Organiser => {
                let access = people::access(&self.plane, &self.config, email)?;
                page::access(&access, headers)
            }
        };
        self.plane.counters.sign_ins_completed.add();
        Ok(answer)
    }
}

/// Sends a browser on, and has nobody keep where to.
fn to(url: &str) -> Result<Response, Refusal> {
    let place = HeaderValue::from_str(url).map_err(|error| Refusal::Internal(error.to_string()))?;
    let keep = HeaderValue::from_static("no-store");
    let headers = [(header::LOCATION, place), (header::CACHE_CONTROL, keep)];
    Ok((StatusCode::SEE_OTHER, headers).into_response())
}
