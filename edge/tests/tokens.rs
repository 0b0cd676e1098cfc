//! Tokens: which are good, and what they allow.

#[path = "common/issuer.rs"]
mod issuer;

use issuer::{Issuer, access, claims, issuer, token_of};
use meridian_edge::access::{Keys, KeysError, TokenError, token_in_query};
use meridian_wire::Namespace;
use rcgen::{KeyPair, PKCS_ED25519};
use serde_json::json;

fn namespace(fields: &[&str]) -> Namespace {
    Namespace(
        fields
            .iter()
            .map(|field| field.to_string().into())
            .collect(),
    )
}

#[test]
fn a_good_token_allows_what_it_says() {
    let issuer = issuer("a");
    let checked = access(&[&issuer]).check(&[issuer.sign(&claims(60))]);
    let pass = checked.expect("it is good").expect("it is needed");
    assert_eq!(pass.holder.participant, "p-17");
    let may = &pass.permissions;
    assert!(may.may_publish(&namespace(&["meridian", "council", "p", "p-17"])));
    assert!(!may.may_publish(&namespace(&["meridian", "council", "p", "p-18"])));
    assert!(may.may_subscribe(&namespace(&["meridian", "council", "ch", "fr"])));
    assert!(!may.may_subscribe(&namespace(&["meridian", "plenary"])));
}

#[test]
fn two_keys_overlap_while_one_follows_the_other() {
    let (old, new) = (issuer("2026-10"), issuer("2026-11"));
    let access = access(&[&old, &new]);
    for issuer in [&old, &new] {
        assert!(access.check(&[issuer.sign(&claims(60))]).is_ok());
    }
}

#[test]
fn a_token_that_is_over_is_refused_as_expired() {
    let issuer = issuer("a");
    let checked = access(&[&issuer]).check(&[issuer.sign(&claims(-60))]);
    assert_eq!(checked.unwrap_err(), TokenError::Expired);
}

#[test]
fn a_key_unknown_here_or_another_signature_is_refused() {
    let (ours, strange) = (issuer("a"), issuer("b"));
    let forged = Issuer {
        pair: KeyPair::generate_for(&PKCS_ED25519).expect("a key"),
        kid: "a",
    };
    let access = access(&[&ours]);
    for issuer in [&strange, &forged] {
        let checked = access.check(&[issuer.sign(&claims(60))]);
        assert_eq!(checked.unwrap_err(), TokenError::NotSigned);
    }
}

#[test]
fn an_unsigned_token_or_noise_is_refused_as_malformed() {
    let issuer = issuer("a");
    let access = access(&[&issuer]);
    let unsigned = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4IiwiZXhwIjo5OTk5OTk5OTk5fQ.";
    for noise in [unsigned, "", "a.b.c", "\u{fffd}"] {
        let checked = access.check(&[token_of(noise)]);
        assert_eq!(checked.unwrap_err(), TokenError::Malformed, "{noise:?}");
    }
    assert_eq!(access.check(&[]).unwrap_err(), TokenError::Missing);
}

#[test]
fn a_token_without_its_claims_is_refused() {
    let issuer = issuer("a");
    let checked = access(&[&issuer]).check(&[issuer.sign(&json!({ "exp": 9_999_999_999u64 }))]);
    assert_eq!(checked.unwrap_err(), TokenError::Malformed);
}

#[test]
fn a_key_set_without_ed25519_keys_is_refused() {
    assert!(matches!(Keys::parse("{"), Err(KeysError::NotAKeySet(_))));
    assert!(matches!(
        Keys::parse(r#"{"keys":[]}"#),
        Err(KeysError::Empty)
    ));
}

#[test]
fn the_token_of_a_url_is_found_and_decoded() {
    assert_eq!(
        token_in_query("/moq?a=b&jwt=x.y.z%2D"),
        Some(token_of("x.y.z-"))
    );
    assert_eq!(token_in_query("/moq"), None);
}
