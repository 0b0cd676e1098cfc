//! The authorization tokens that a peer has registered under aliases (draft-22 §9.20.1).

use super::error::Fault;
use bytes::Bytes;
use meridian_wire::TerminationCode;
use meridian_wire::param::AuthorizationToken;
use std::collections::HashMap;

/// Turns aliases into tokens. Holds at most `limit` bytes, as the protocol counts them.
#[derive(Debug)]
pub(super) struct TokenCache {
    tokens_by_alias: HashMap<u64, (u64, Bytes)>,
    size: u64,
    limit: u64,
}

impl TokenCache {
    pub(super) fn new(limit: u64) -> TokenCache {
        TokenCache {
            tokens_by_alias: HashMap::new(),
            size: 0,
            limit,
        }
    }

    /// Replaces each token of a message by its plain form, `UseValue`; deletions vanish.
    pub(super) fn resolve(&mut self, tokens: &mut Vec<AuthorizationToken>) -> Result<(), Fault> {
        self.resolve_each(tokens, |cache, alias, kind, value| {
            cache.register(alias, kind, value).map(|_| ())
        })
    }

    /// As `resolve`, for the tokens of a SETUP: one that does not fit is only used, and a server takes no aliases there.
    pub(super) fn resolve_setup(
        &mut self,
        tokens: &mut Vec<AuthorizationToken>,
        at_server: bool,
    ) -> Result<(), Fault> {
        let aliased = |token: &AuthorizationToken| {
            use AuthorizationToken::{Delete, UseAlias};
            matches!(token, Delete { .. } | UseAlias { .. })
        };
        if at_server && tokens.iter().any(aliased) {
            return Err(Fault::violation("SETUP deletes or uses a token alias"));
        }
        self.resolve_each(tokens, |cache, alias, kind, value| {
            match cache.register(alias, kind, value) {
                Err(fault) if fault.code == TerminationCode::AUTH_TOKEN_CACHE_OVERFLOW => Ok(()),
                result => result,
            }
        })
    }

    fn resolve_each(
        &mut self,
        tokens: &mut Vec<AuthorizationToken>,
        register: impl Fn(&mut TokenCache, u64, u64, &Bytes) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let mut plain = Vec::with_capacity(tokens.len());
        for token in tokens.drain(..) {
            match token {
                AuthorizationToken::Delete { alias } => self.delete(alias)?,
                AuthorizationToken::Register { alias, kind, value } => {
                    register(self, alias, kind, &value)?;
                    plain.push(AuthorizationToken::UseValue { kind, value });
                }
                AuthorizationToken::UseAlias { alias } => {
                    let (kind, value) = self.tokens_by_alias.get(&alias).ok_or(UNKNOWN)?.clone();
                    plain.push(AuthorizationToken::UseValue { kind, value });
                }
                value @ AuthorizationToken::UseValue { .. } => plain.push(value),
            }
        }
        *tokens = plain;
        Ok(())
    }

    fn register(&mut self, alias: u64, kind: u64, value: &Bytes) -> Result<(), Fault> {
        if self.tokens_by_alias.contains_key(&alias) {
            return Err(DUPLICATE);
        }
        let size = self.size + entry_size(value);
        if size > self.limit {
            return Err(OVERFLOW);
        }
        self.size = size;
        // A copy, so that 16 bytes of token never hold on to the packet that brought them.
        let value = Bytes::copy_from_slice(value);
        self.tokens_by_alias.insert(alias, (kind, value));
        Ok(())
    }

    fn delete(&mut self, alias: u64) -> Result<(), Fault> {
        let (_, value) = self.tokens_by_alias.remove(&alias).ok_or(UNKNOWN)?;
        self.size -= entry_size(&value);
        Ok(())
    }
}

/// Draft-22 §9.1.3.
fn entry_size(value: &Bytes) -> u64 {
    16 + value.len() as u64
}

const DUPLICATE: Fault = Fault::new(
    TerminationCode::DUPLICATE_AUTH_TOKEN_ALIAS,
    "a token alias is registered twice",
);
const OVERFLOW: Fault = Fault::new(
    TerminationCode::AUTH_TOKEN_CACHE_OVERFLOW,
    "more tokens registered than allowed",
);
const UNKNOWN: Fault = Fault::new(
    TerminationCode::UNKNOWN_AUTH_TOKEN_ALIAS,
    "a token alias is not registered",
);

#[cfg(test)]
mod tests {
    use super::*;

    fn register(alias: u64, value: &'static [u8]) -> AuthorizationToken {
        let value = Bytes::from_static(value);
        AuthorizationToken::Register {
            alias,
            kind: 1,
            value,
        }
    }

    fn plain(value: &'static [u8]) -> AuthorizationToken {
        let value = Bytes::from_static(value);
        AuthorizationToken::UseValue { kind: 1, value }
    }

    #[test]
    fn a_registered_token_is_used_by_its_alias_until_deleted() {
        let mut cache = TokenCache::new(100);
        let mut first = vec![register(7, b"secret")];
        cache.resolve(&mut first).unwrap();
        assert_eq!(first, [plain(b"secret")]);

        let mut second = vec![
            AuthorizationToken::UseAlias { alias: 7 },
            AuthorizationToken::Delete { alias: 7 },
        ];
        cache.resolve(&mut second).unwrap();
        assert_eq!(second, [plain(b"secret")]);
        assert_eq!(cache.size, 0);

        let mut third = vec![AuthorizationToken::UseAlias { alias: 7 }];
        assert_eq!(cache.resolve(&mut third), Err(UNKNOWN));
    }

    #[test]
    fn each_entry_counts_its_value_and_sixteen_bytes() {
        let mut cache = TokenCache::new(2 * 16 + 5);
        cache.resolve(&mut vec![register(1, b"abc")]).unwrap();
        cache.resolve(&mut vec![register(2, b"de")]).unwrap();
        assert_eq!(cache.resolve(&mut vec![register(3, b"")]), Err(OVERFLOW));
    }

    #[test]
    fn an_alias_in_use_is_not_registered_again() {
        let mut cache = TokenCache::new(100);
        let mut tokens = vec![register(1, b"a"), register(1, b"a")];
        assert_eq!(cache.resolve(&mut tokens), Err(DUPLICATE));
    }

    #[test]
    fn in_setup_a_token_too_large_to_keep_is_only_used() {
        let mut cache = TokenCache::new(0);
        let mut tokens = vec![register(1, b"a")];
        cache.resolve_setup(&mut tokens, true).unwrap();
        assert_eq!(tokens, [plain(b"a")]);
        let mut alias = vec![AuthorizationToken::UseAlias { alias: 1 }];
        assert_eq!(cache.resolve(&mut alias), Err(UNKNOWN));
    }

    #[test]
    fn a_server_takes_no_aliases_in_setup() {
        let mut cache = TokenCache::new(100);
        let mut tokens = vec![AuthorizationToken::Delete { alias: 1 }];
        let fault = cache.resolve_setup(&mut tokens, true).unwrap_err();
        assert_eq!(fault.code, TerminationCode::PROTOCOL_VIOLATION);
    }
}
