//! Rings at work: signs with the current key, verifies with all of them.

use super::TokenError;
use super::ring::Ring;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::HashMap;

/// What a ring signs and verifies with.
pub struct Keys {
    header: Header,
    signs: EncodingKey,
    verify: HashMap<String, DecodingKey>,
}

/// How far clocks of replicas may be apart, in seconds.
const CLOCK_SKEW: u64 = 5;

impl Keys {
    /// From a ring.
    pub fn of(ring: &Ring) -> Keys {
        let verify = ring
            .public_keys()
            .into_iter()
            .map(|key| (key.id, DecodingKey::from_ed_der(&key.bytes)));
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(ring.current.id.clone());
        Keys {
            header,
            signs: EncodingKey::from_ed_der(&ring.current.secret()),
            verify: verify.collect(),
        }
    }

    /// A token with these claims.
    ///
    /// # Errors
    /// The key cannot be used: the stored ring is damaged.
    pub fn sign(&self, claims: &impl Serialize) -> Result<String, jsonwebtoken::errors::Error> {
        jsonwebtoken::encode(&self.header, claims, &self.signs)
    }

    /// A token's claims, if one of the ring's keys has signed it and its time is not over.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn verify<C: DeserializeOwned>(&self, token: &str) -> Result<C, TokenError> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Forged)?;
        let key = header.kid.and_then(|kid| self.verify.get(&kid));
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.leeway = CLOCK_SKEW;
        validation.validate_aud = false;
        let decoded = jsonwebtoken::decode(token, key.ok_or(TokenError::Forged)?, &validation);
        match decoded {
            Ok(token) => Ok(token.claims),
            Err(error) if matches!(error.kind(), ErrorKind::ExpiredSignature) => {
                Err(TokenError::Expired)
            }
            Err(_) => Err(TokenError::Forged),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::Invitation;
    use crate::tokens::ring::SigningKey;

    fn invitation(exp: u64) -> Invitation {
        Invitation {
            sub: "p-1".into(),
            meeting: "council".into(),
            generation: 0,
            exp,
        }
    }

    const LATER: u64 = 4_000_000_000;

    #[test]
    fn a_token_is_good_until_its_key_is_gone_from_the_ring() {
        let ring = Ring::new(0).expect("there is randomness");
        let token = Keys::of(&ring).sign(&invitation(LATER)).expect("it signs");
        let fresh = || SigningKey::generate().expect("there is randomness");
        let once = ring.rotated(10, 100, fresh());
        assert_eq!(Keys::of(&once).verify(&token), Ok(invitation(LATER)));
        let gone = once.pruned(110).expect("one has expired");
        let verified = Keys::of(&gone).verify::<Invitation>(&token);
        assert_eq!(verified, Err(TokenError::Forged));
    }

    #[test]
    fn what_has_expired_or_was_altered_or_signed_by_others_is_refused() {
        let keys = Keys::of(&Ring::new(0).expect("there is randomness"));
        let others = Keys::of(&Ring::new(0).expect("there is randomness"));
        let verify = |token: &str| keys.verify::<Invitation>(token);
        let old = keys.sign(&invitation(1_000)).expect("it signs");
        assert_eq!(verify(&old), Err(TokenError::Expired));
        let foreign = others.sign(&invitation(LATER)).expect("it signs");
        assert_eq!(verify(&foreign), Err(TokenError::Forged));
        let good = keys.sign(&invitation(LATER)).expect("it signs");
        let cut = &good[..good.len() - 4];
        assert_eq!(verify(cut), Err(TokenError::Forged));
        assert_eq!(verify("nonsense"), Err(TokenError::Forged));
    }
}
