//! Who may come in, and what they may do: everybody everything, nobody, or what a token says.
//!
//! Tokens are JWTs signed with Ed25519 (RFC 7519, RFC 8037). They are verified here with published keys alone: nobody has
//! to be asked.

use crate::access_control::Holder;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, errors::ErrorKind};
use meridian_relay::Permissions;
use meridian_wire::param::AuthorizationToken;
use meridian_wire::{Namespace, RequestErrorCode, TerminationCode};
use serde::Deserialize;
use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Who may publish and subscribe.
pub enum Access {
    /// Everybody may do everything.
    Open,
    /// No client is let in.
    Closed,
    /// Who has a token signed with one of these keys.
    Tokens(Keys),
    /// As [`Access::Tokens`], with keys that the control plane gives; until then nobody.
    ControlPlane,
}

/// Public keys, by the `kid` that tokens name. Several, so that one can follow another while tokens of both are about.
pub struct Keys(HashMap<String, DecodingKey>);

/// What a good token allows.
#[derive(Debug)]
pub struct Pass {
    /// Whom it was given to.
    pub holder: Holder,
    /// What they may publish and subscribe to.
    pub permissions: Permissions,
    /// When it ends.
    pub expires: SystemTime,
    /// `gen`: tokens are revoked by generation.
    pub generation: u64,
    /// `sid`: what the control plane calls the session.
    pub sid: Option<String>,
    /// `sessions`: how many the holder may have at once; 0: any number.
    pub sessions: u32,
    /// `iat`: when it was issued, in seconds since the Unix epoch; 0 if it does not say.
    pub issued_at: u64,
}

/// Why a token is not good enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.reason())]
pub enum TokenError {
    /// There is none.
    Missing,
    /// It is no JWT with the claims expected.
    Malformed,
    /// No key here has its `kid`, or the signature is not by that key.
    NotSigned,
    /// Its time is over, or has not begun.
    Expired,
    /// It was good, but has been withdrawn.
    Revoked,
    /// The session is someone else's, or another meeting's.
    AnotherHolder,
}

/// A key file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// It cannot be read.
    #[error("{0}")]
    Unreadable(#[from] std::io::Error),
    /// It is no JWK set.
    #[error("not a JSON Web Key Set: {0}")]
    NotAKeySet(#[from] serde_json::Error),
    /// There is nothing in it to verify a token with.
    #[error("no Ed25519 key with a kid in it")]
    Empty,
}

/// What a token says (RFC 7519 §4). Other claims are left alone.
#[derive(Deserialize)]
struct Claims {
    /// The participant.
    sub: String,
    /// Seconds since the Unix epoch.
    exp: u64,
    /// Namespace prefixes, each a list of fields.
    #[serde(default)]
    publish: Vec<Vec<String>>,
    #[serde(default)]
    subscribe: Vec<Vec<String>>,
    meeting: Option<String>,
    #[serde(default, rename = "gen")]
    generation: u64,
    sid: Option<String>,
    #[serde(default)]
    sessions: u32,
    /// Seconds since the Unix epoch.
    #[serde(default)]
    iat: u64,
}

/// How far the clocks of who signs and who verifies may be apart, in seconds.
const CLOCK_SKEW: u64 = 5;

impl Keys {
    /// Reads a JSON Web Key Set (RFC 7517 §5). Keys of other kinds in it are passed over.
    ///
    /// # Errors
    /// [`KeysError`].
    pub fn load(path: &Path) -> Result<Keys, KeysError> {
        Keys::parse(&std::fs::read_to_string(path)?)
    }

    /// The same from its text.
    ///
    /// # Errors
    /// [`KeysError`].
    pub fn parse(text: &str) -> Result<Keys, KeysError> {
        let set: JwkSet = serde_json::from_str(text)?;
        let keys: HashMap<_, _> = set
            .keys
            .iter()
            .filter(|key| {
                let algorithm = &key.algorithm;
                matches!(
                    algorithm,
                    jsonwebtoken::jwk::AlgorithmParameters::OctetKeyPair(_)
                )
            })
            .filter_map(|key| {
                let id = key.common.key_id.clone()?;
                Some((id, DecodingKey::from_jwk(key).ok()?))
            })
            .collect();
        if keys.is_empty() {
            return Err(KeysError::Empty);
        }
        Ok(Keys(keys))
    }

    /// Ed25519 public keys as they are (RFC 8032 §5.1.5), by `kid`. There may be none: then no token is good.
    pub fn from_raw(keys: impl IntoIterator<Item = (String, [u8; 32])>) -> Keys {
        let key = |(id, key): (String, [u8; 32])| (id, DecodingKey::from_ed_der(&key));
        Keys(keys.into_iter().map(key).collect())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn verify(&self, token: &[u8]) -> Result<Pass, TokenError> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Malformed)?;
        let key = header.kid.and_then(|kid| self.0.get(&kid));
        let key = key.ok_or(TokenError::NotSigned)?;
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.leeway = CLOCK_SKEW;
        validation.validate_nbf = true;
        validation.validate_aud = false;
        let claims: Claims = jsonwebtoken::decode(token, key, &validation)
            .map_err(|error| TokenError::of(error.kind()))?
            .claims;
        let expires = UNIX_EPOCH.checked_add(Duration::from_secs(claims.exp));
        Ok(Pass {
            holder: Holder {
                meeting: claims.meeting,
                participant: claims.sub,
            },
            permissions: Permissions {
                publish: Some(namespaces(claims.publish)),
                subscribe: Some(namespaces(claims.subscribe)),
            },
            expires: expires.ok_or(TokenError::Malformed)?,
            generation: claims.generation,
            sid: claims.sid,
            sessions: claims.sessions,
            issued_at: claims.iat,
        })
    }
}

fn namespaces(prefixes: Vec<Vec<String>>) -> Vec<Namespace> {
    let namespace = |fields: Vec<String>| Namespace(fields.into_iter().map(Into::into).collect());
    prefixes.into_iter().map(namespace).collect()
}

impl Access {
    /// Checks the first token in a SETUP or request that verifies. `None`: none is needed here.
    ///
    /// # Errors
    /// Why the last of them does not, or that there is none.
    pub fn check(&self, tokens: &[AuthorizationToken]) -> Result<Option<Pass>, TokenError> {
        let keys = match self {
            Access::Open | Access::Closed => return Ok(None),
            Access::ControlPlane => return Err(TokenError::Missing),
            Access::Tokens(keys) => keys,
        };
        let mut result = Err(TokenError::Missing);
        for token in tokens {
            result = match token {
                AuthorizationToken::UseValue { value, .. } => keys.verify(value),
                // The session has put values in place of aliases.
                _ => Err(TokenError::Malformed),
            };
            if result.is_ok() {
                break;
            }
        }
        result.map(Some)
    }
}

impl TokenError {
    fn of(error: &ErrorKind) -> TokenError {
        match error {
            ErrorKind::ExpiredSignature | ErrorKind::ImmatureSignature => TokenError::Expired,
            ErrorKind::InvalidSignature => TokenError::NotSigned,
            _ => TokenError::Malformed,
        }
    }

    /// For the person who brought it.
    pub fn reason(self) -> &'static str {
        match self {
            TokenError::Missing => "a token is needed",
            TokenError::Malformed => "the token is not one of this network's",
            TokenError::NotSigned => "the token is not signed with a key known here",
            TokenError::Expired => "the token is not valid now: ask for a new one",
            TokenError::Revoked => "the token has been withdrawn: ask for a new one",
            TokenError::AnotherHolder => "the token is not for whom this session is",
        }
    }

    /// What a session is closed with for it (draft-22 §3.4).
    pub fn termination(self) -> TerminationCode {
        match self {
            TokenError::Missing
            | TokenError::NotSigned
            | TokenError::Revoked
            | TokenError::AnotherHolder => TerminationCode::UNAUTHORIZED,
            TokenError::Malformed => TerminationCode::MALFORMED_AUTH_TOKEN,
            TokenError::Expired => TerminationCode::EXPIRED_AUTH_TOKEN,
        }
    }

    /// What a request is refused with for it (draft-22 §9.8).
    pub fn request_error(self) -> RequestErrorCode {
        match self {
            TokenError::Missing
            | TokenError::NotSigned
            | TokenError::Revoked
            | TokenError::AnotherHolder => RequestErrorCode::UNAUTHORIZED,
            TokenError::Malformed => RequestErrorCode::MALFORMED_AUTH_TOKEN,
            TokenError::Expired => RequestErrorCode::EXPIRED_AUTH_TOKEN,
        }
    }
}

/// The token in a URL's query, `?jwt=…`, if there is one.
pub fn token_in_query(path_and_query: &str) -> Option<AuthorizationToken> {
    let (_, query) = path_and_query.split_once('?')?;
    let (_, value) = url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "jwt")?;
    let value = value.into_owned().into();
    Some(AuthorizationToken::UseValue { kind: 0, value })
}
