//! A ring of signing keys: the one in use, the one that follows it, and those whose tokens have not all expired.
//!
//! The next key is published long before it signs, so that an edge which has not heard of the control plane for a while
//! knows it all the same. What is here decides; whoever calls has the clock and the fresh key.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// The ring, as stored under `keys/<purpose>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ring {
    /// Signs now.
    pub current: SigningKey,
    /// Signs next.
    pub next: SigningKey,
    /// Has signed.
    pub retired: Vec<RetiredKey>,
    /// When the current one began to sign, in seconds since the Unix epoch.
    pub since_s: u64,
}

/// A key pair.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningKey {
    /// The `kid` of its tokens.
    pub id: String,
    /// PKCS #8, base64.
    secret: String,
    /// 32 bytes, base64.
    public: String,
}

/// A key that signs no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetiredKey {
    /// The `kid` of its tokens.
    pub id: String,
    /// 32 bytes, base64.
    public: String,
    /// When its last token expires, in seconds since the Unix epoch.
    pub expires_at_s: u64,
}

/// A key as it is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// The `kid`.
    pub id: String,
    /// Ed25519, 32 bytes.
    pub bytes: Vec<u8>,
    /// Seconds since the Unix epoch; 0 while it signs or will.
    pub expires_at_s: u64,
}

/// No key could be made.
#[derive(Debug, thiserror::Error)]
#[error("no signing key could be made: {0}")]
pub struct NoKey(#[from] rcgen::Error);

impl Ring {
    /// A ring with two fresh keys.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn new(now_s: u64) -> Result<Ring, NoKey> {
        Ok(Ring {
            current: SigningKey::generate()?,
            next: SigningKey::generate()?,
            retired: Vec::new(),
            since_s: now_s,
        })
    }

    /// The ring after its next key has begun to sign. The old one's tokens live `lifetime_s` at most.
    pub fn rotated(&self, now_s: u64, lifetime_s: u64, fresh: SigningKey) -> Ring {
        let mut retired: Vec<_> = self.retired.clone();
        retired.retain(|key| key.expires_at_s > now_s);
        retired.push(RetiredKey {
            id: self.current.id.clone(),
            public: self.current.public.clone(),
            expires_at_s: now_s + lifetime_s,
        });
        Ring {
            current: self.next.clone(),
            next: fresh,
            retired,
            since_s: now_s,
        }
    }

    /// The ring without keys whose tokens have all expired; `None` if there are none such.
    pub fn pruned(&self, now_s: u64) -> Option<Ring> {
        let mut ring = self.clone();
        ring.retired.retain(|key| key.expires_at_s > now_s);
        (ring.retired.len() < self.retired.len()).then_some(ring)
    }

    /// Every key that a token may name.
    pub fn public_keys(&self) -> Vec<PublicKey> {
        let signing = [&self.current, &self.next].map(|key| (&key.id, &key.public, 0));
        let retired = self
            .retired
            .iter()
            .map(|key| (&key.id, &key.public, key.expires_at_s));
        let public = |(id, public, expires_at_s): (&String, &String, u64)| PublicKey {
            id: id.clone(),
            bytes: STANDARD.decode(public).unwrap_or_default(),
            expires_at_s,
        };
        signing.into_iter().chain(retired).map(public).collect()
    }
}

impl SigningKey {
    /// A fresh one; its id is the beginning of its public half.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn generate() -> Result<SigningKey, NoKey> {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519)?;
        let public = pair.public_key_raw();
        let id = meridian_proto::hex::to_text(&public[..6]);
        Ok(SigningKey {
            id,
            secret: STANDARD.encode(pair.serialize_der()),
            public: STANDARD.encode(public),
        })
    }

    /// PKCS #8.
    pub(crate) fn secret(&self) -> Vec<u8> {
        STANDARD.decode(&self.secret).unwrap_or_default()
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({})", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_key_is_published_before_it_signs_and_the_last_one_until_its_tokens_expire() {
        let ring = Ring::new(1_000).expect("there is randomness");
        let (first, second) = (ring.current.id.clone(), ring.next.id.clone());
        assert_eq!(ring.public_keys().len(), 2);
        let fresh = SigningKey::generate().expect("there is randomness");
        let ring = ring.rotated(2_000, 300, fresh);
        assert_eq!(ring.current.id, second);
        let old = ring.public_keys().into_iter().find(|key| key.id == first);
        assert_eq!(old.map(|key| key.expires_at_s), Some(2_300));
        assert!(ring.pruned(2_299).is_none());
        assert_eq!(ring.pruned(2_300).map(|ring| ring.retired.len()), Some(0));
    }

    #[test]
    fn what_is_logged_of_a_key_is_not_its_secret() {
        let key = SigningKey::generate().expect("there is randomness");
        assert_eq!(format!("{key:?}"), format!("SigningKey({})", key.id));
    }
}
