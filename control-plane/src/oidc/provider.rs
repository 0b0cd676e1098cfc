//! The identity provider: its discovery document and keys, kept for a while, and what it says of somebody.

use super::Refusal;
use super::attempt::Attempt;
use super::config::OidcConfig;
use super::http::Http;
use super::open::Settings;
use openidconnect::core::{
    CoreAuthenticationFlow, CoreClient, CoreClientAuthMethod, CoreErrorResponseType, CoreIdToken,
    CoreIdTokenClaims, CoreJwsSigningAlgorithm as Algorithm, CoreProviderMetadata,
};
use openidconnect::url::Url;
use openidconnect::{
    AuthType, AuthorizationCode, ClaimsVerificationError, ClientId, CsrfToken, EndpointMaybeSet,
    EndpointNotSet, EndpointSet, Nonce, PkceCodeChallenge, PkceCodeVerifier, RequestTokenError,
    Scope, SignatureVerificationError, TokenResponse,
};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{Mutex, Semaphore, SemaphorePermit};
use tokio::time::Instant;

/// The provider.
pub(super) struct Provider {
    settings: Settings,
    http: Http,
    cache: Mutex<Cache>,
    places: Semaphore,
}

/// Where to send somebody, and what to know them by when they are back.
pub(super) struct Begun {
    pub(super) url: Url,
    pub(super) state: String,
    pub(super) nonce: String,
    pub(super) verifier: String,
}

/// What is known of the provider: its document and keys.
#[derive(Default)]
struct Cache {
    known: Option<(Arc<CoreProviderMetadata>, Instant)>,
    failed: Option<Instant>,
    renewed: Option<Instant>,
}

type Client = CoreClient<
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// How long the document and keys are used.
const FRESH: Duration = Duration::from_secs(3_600);
/// After a failure the provider is left alone this long: who comes meanwhile is told at once.
const PAUSE: Duration = Duration::from_secs(3);
/// Tokens by unknown keys have the keys read anew, but not more often: anybody can send such tokens.
const RENEW_EVERY: Duration = Duration::from_secs(10);
/// Sign-ins in progress with the provider at a time.
const PLACES: usize = 64;
/// How long somebody waits for such a place.
const QUEUE: Duration = Duration::from_secs(5);
/// Signatures by keys that the provider alone has. Not the client's secret, and not none.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RsaSsaPkcs1V15Sha256,
    Algorithm::RsaSsaPkcs1V15Sha384,
    Algorithm::RsaSsaPkcs1V15Sha512,
    Algorithm::RsaSsaPssSha256,
    Algorithm::RsaSsaPssSha384,
    Algorithm::RsaSsaPssSha512,
    Algorithm::EcdsaP256Sha256,
    Algorithm::EcdsaP384Sha384,
    Algorithm::EdDsa,
];

impl Provider {
    pub(super) fn new(settings: Settings, http: Http) -> Provider {
        Provider {
            settings,
            http,
            cache: Mutex::default(),
            places: Semaphore::new(PLACES),
        }
    }

    /// Begins a sign-in.
    pub(super) async fn begin(&self, config: &OidcConfig) -> Result<Begun, Refusal> {
        let _place = self.place().await?;
        let known = self.known().await?;
        let client = self.client(&known);
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let flow = CoreAuthenticationFlow::AuthorizationCode;
        let request = client.authorize_url(flow, CsrfToken::new_random, Nonce::new_random);
        let scopes = config.scopes.iter().filter(|scope| *scope != "openid");
        let request = request.add_scopes(scopes.cloned().map(Scope::new));
        let (url, state, nonce) = request.set_pkce_challenge(challenge).url();
        Ok(Begun {
            url,
            state: state.into_secret(),
            nonce: nonce.secret().clone(),
            verifier: verifier.into_secret(),
        })
    }

    /// Ends a sign-in: the verified e-mail address of whoever the code is for, in lower case.
    pub(super) async fn email(
        &self,
        code: String,
        attempt: &Attempt,
        now_ms: u64,
    ) -> Result<String, Refusal> {
        let _place = self.place().await?;
        let known = self.known().await?;
        let token = self.redeem(&self.client(&known), code, attempt).await?;
        let nonce = Nonce::new(attempt.nonce.clone());
        let now = UNIX_EPOCH + Duration::from_millis(now_ms);
        let claims = match claims(&self.client(&known), &token, &nonce, now) {
            Err(ClaimsVerificationError::SignatureVerification(error)) if may_be_new(&error) => {
                let renewed = self.renewed(&known).await?;
                claims(&self.client(&renewed), &token, &nonce, now)
            }
            claims => claims,
        };
        let claims = claims.map_err(|error| Refusal::Untrusted(explain(&error)))?;
        match (claims.email(), claims.email_verified()) {
            (Some(email), Some(true)) => Ok(email.trim().to_lowercase()),
            _ => Err(Refusal::Unverified),
        }
    }

    async fn redeem(
        &self,
        client: &Client,
        code: String,
        attempt: &Attempt,
    ) -> Result<CoreIdToken, Refusal> {
        let request = client.exchange_code(AuthorizationCode::new(code));
        let request = request.map_err(|error| Refusal::Away(error.to_string()))?;
        let verifier = PkceCodeVerifier::new(attempt.verifier.clone());
        let answer = request
            .set_pkce_verifier(verifier)
            .request_async(&self.http);
        let answer = answer.await.map_err(|error| match error {
            RequestTokenError::ServerResponse(answer) => match answer.error() {
                CoreErrorResponseType::InvalidGrant => Refusal::Stale,
                error => Refusal::Away(format!("the code was not taken: {}", error.as_ref())),
            },
            RequestTokenError::Request(error) => Refusal::Away(error.to_string()),
            // What was answered instead may be secret.
            error => Refusal::Away(error.to_string()),
        })?;
        let token = answer.id_token().cloned();
        token.ok_or_else(|| Refusal::Untrusted("there is no ID token".into()))
    }

    fn client(&self, known: &CoreProviderMetadata) -> Client {
        let Settings {
            client_id,
            secret,
            redirect,
            ..
        } = &self.settings;
        let id = ClientId::new(client_id.clone());
        let client = CoreClient::from_provider_metadata(known.clone(), id, secret.clone());
        let methods = known.token_endpoint_auth_methods_supported();
        let takes = |method| methods.is_none_or(|methods| methods.contains(&method));
        let auth = match takes(CoreClientAuthMethod::ClientSecretBasic) {
            true => AuthType::BasicAuth,
            false => AuthType::RequestBody,
        };
        client
            .set_redirect_uri(redirect.clone())
            .set_auth_type(auth)
    }

    /// The document and keys. Old ones do when there are no newer ones to be had.
    async fn known(&self) -> Result<Arc<CoreProviderMetadata>, Refusal> {
        let mut cache = self.cache.lock().await;
        let old = match &cache.known {
            Some((known, since)) if since.elapsed() < FRESH => return Ok(known.clone()),
            Some((known, _)) => Some(known.clone()),
            None => None,
        };
        match (self.discover(&mut cache).await, old) {
            (Err(_), Some(old)) => Ok(old),
            (discovered, _) => discovered,
        }
    }

    /// Others than `used`, if the provider has others.
    async fn renewed(
        &self,
        used: &Arc<CoreProviderMetadata>,
    ) -> Result<Arc<CoreProviderMetadata>, Refusal> {
        let mut cache = self.cache.lock().await;
        if let Some((known, _)) = &cache.known
            && (!Arc::ptr_eq(known, used)
                || cache
                    .renewed
                    .is_some_and(|then| then.elapsed() < RENEW_EVERY))
        {
            return Ok(known.clone());
        }
        cache.renewed = Some(Instant::now());
        self.discover(&mut cache).await
    }

    async fn discover(&self, cache: &mut Cache) -> Result<Arc<CoreProviderMetadata>, Refusal> {
        if cache.failed.is_some_and(|then| then.elapsed() < PAUSE) {
            return Err(Refusal::Away("it was away a moment ago".into()));
        }
        let issuer = self.settings.issuer.clone();
        match CoreProviderMetadata::discover_async(issuer, &self.http).await {
            Ok(known) => {
                let known = Arc::new(known);
                cache.known = Some((known.clone(), Instant::now()));
                cache.failed = None;
                Ok(known)
            }
            Err(error) => {
                cache.failed = Some(Instant::now());
                Err(Refusal::Away(with_cause(&error)))
            }
        }
    }

    async fn place(&self) -> Result<SemaphorePermit<'_>, Refusal> {
        let place = tokio::time::timeout(QUEUE, self.places.acquire()).await;
        place.ok().and_then(Result::ok).ok_or(Refusal::Busy)
    }
}

fn claims<'t>(
    client: &Client,
    token: &'t CoreIdToken,
    nonce: &Nonce,
    now: SystemTime,
) -> Result<&'t CoreIdTokenClaims, ClaimsVerificationError> {
    let verifier = client.id_token_verifier();
    let verifier = verifier.set_allowed_algs(ALGORITHMS);
    token.claims(&verifier.set_time_fn(move || now.into()), nonce)
}

/// Whether the provider's keys may have changed.
fn may_be_new(error: &SignatureVerificationError) -> bool {
    use SignatureVerificationError::{AmbiguousKeyId, CryptoError, NoMatchingKey};
    matches!(error, NoMatchingKey | AmbiguousKeyId(_) | CryptoError(_))
}

fn explain(error: &ClaimsVerificationError) -> String {
    match error {
        // It would quote both nonces.
        ClaimsVerificationError::InvalidNonce(_) => "it was made for another sign-in".into(),
        error => with_cause(error),
    }
}

fn with_cause(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
