//! Somebody who signs tokens.

#![allow(dead_code, reason = "each test file uses its part")]

use base64::Engine;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use meridian_edge::access::{Access, Keys};
use meridian_wire::param::AuthorizationToken;
use rcgen::{KeyPair, PKCS_ED25519};
use serde_json::{Value, json};
use std::time::UNIX_EPOCH;

/// A key, and the name it goes by.
pub(crate) struct Issuer {
    pub(crate) pair: KeyPair,
    pub(crate) kid: &'static str,
}

pub(crate) fn issuer(kid: &'static str) -> Issuer {
    let pair = KeyPair::generate_for(&PKCS_ED25519).expect("a key");
    Issuer { pair, kid }
}

impl Issuer {
    fn jwk(&self) -> Value {
        let x = base64::engine::general_purpose::URL_SAFE_NO_PAD;
        let x = x.encode(self.pair.public_key_raw());
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": self.kid, "x": x })
    }

    pub(crate) fn sign(&self, claims: &Value) -> AuthorizationToken {
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(self.kid.to_owned());
        let key = EncodingKey::from_ed_der(&self.pair.serialize_der());
        let token = jsonwebtoken::encode(&header, claims, &key).expect("it signs");
        token_of(token)
    }
}

pub(crate) fn token_of(value: impl Into<bytes::Bytes>) -> AuthorizationToken {
    let value = value.into();
    AuthorizationToken::UseValue { kind: 0, value }
}

pub(crate) fn access(issuers: &[&Issuer]) -> Access {
    let keys: Vec<_> = issuers.iter().map(|issuer| issuer.jwk()).collect();
    let text = json!({ "keys": keys }).to_string();
    Access::Tokens(Keys::parse(&text).expect("a key set"))
}

pub(crate) fn claims(expires_in: i64) -> Value {
    let now = UNIX_EPOCH.elapsed().expect("after 1970").as_secs() as i64;
    json!({
        "sub": "p-17",
        "exp": now + expires_in,
        "publish": [["meridian", "council", "p", "p-17"]],
        "subscribe": [["meridian", "council"]],
    })
}
