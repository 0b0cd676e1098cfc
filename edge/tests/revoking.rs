//! Clients whose right to be in changes while they are: keys come, tokens are withdrawn, sessions are displaced or ended.

mod common;
#[path = "common/issuer.rs"]
mod issuer;

use common::*;
use issuer::{Issuer, claims, issuer, token_of};
use meridian_edge::Edge;
use meridian_edge::access::{Access, Keys};
use meridian_edge::access_control::Revocation;
use meridian_edge::entries::Entry;
use meridian_edge::sessions::{Change, Why};
use meridian_session::client::{DialError, Dialer, Line};
use meridian_session::session::{Options, RequestEvent, Session, SessionError};
use meridian_session::tls::Trust;
use meridian_session::transport::Transport;
use meridian_wire::param::AuthorizationToken;
use meridian_wire::{Draft, Message, Parameters, RequestErrorCode, TerminationCode};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;

/// A token for a participant of a meeting.
fn token(issuer: &Issuer, participant: &str, more: Value) -> AuthorizationToken {
    let mut claims = claims(60);
    claims["sub"] = json!(participant);
    claims["meeting"] = json!("council");
    claims["subscribe"] = json!([["meridian", "test"]]);
    for (name, value) in more.as_object().expect("claims") {
        claims[name] = value.clone();
    }
    issuer.sign(&claims)
}

async fn enter(address: SocketAddr, token: AuthorizationToken) -> Result<Session, SessionError> {
    let mut options = Options::default();
    options.setup.authorization_tokens.push(token);
    connect_with(address, Draft::D22, options).await
}

const EVERY: [Transport; 3] = [Transport::Quic, Transport::WebTransport, Transport::Qmux];

/// The same over any transport, as the native client does it.
async fn dial(
    address: SocketAddr,
    transport: Transport,
    token: AuthorizationToken,
) -> Result<Line, DialError> {
    let AuthorizationToken::UseValue { value, .. } = token else {
        panic!("it is signed");
    };
    let scheme = match transport {
        Transport::Quic => "moqt",
        Transport::WebTransport => "https",
        Transport::Qmux => "wss",
    };
    let dialer = Dialer {
        url: format!("{scheme}://{address}/").parse().expect("a URL"),
        transport,
        drafts: vec![Draft::D22],
        trust: Trust::Anyone,
        token: Some(String::from_utf8(value.to_vec()).expect("tokens are ASCII")),
        patience: Duration::from_secs(10),
        harbour: None,
    };
    Ok(dialer.dial().await?.line)
}

/// What somebody is told who is not let in.
async fn is_told(address: SocketAddr, transport: Transport, token: AuthorizationToken) -> String {
    match dial(address, transport, token).await {
        Ok(line) => line.session.closed().await.to_string(),
        Err(error) => error.to_string(),
    }
}

async fn is_in(address: SocketAddr, token: AuthorizationToken) -> Session {
    enter(address, token).await.expect("it is let in")
}

/// Waits until an edge has so many sessions with tokens.
async fn has(edge: &Edge, count: usize) {
    let mut changes = edge.sessions().changes();
    while edge.sessions().count() != count {
        changes.next().await;
    }
}

fn revoke(participant: &str, below_generation: u64) -> Vec<Revocation> {
    vec![Revocation {
        meeting: Some("council".to_owned()),
        participant: participant.to_owned(),
        below_generation,
    }]
}

#[test]
fn a_withdrawn_token_ends_its_sessions_at_once_and_opens_no_more() {
    run(async {
        for transport in EVERY {
            let issuer = issuer("a");
            let (edge, address) = edge(issuer::access(&[&issuer]), 100).await;
            let enter = async |who: &str, more: Value| {
                let line = dial(address, transport, token(&issuer, who, more)).await;
                line.expect("it is let in")
            };
            let ana = enter("ana", json!({})).await;
            let renewed = enter("ana", json!({ "gen": 1 })).await;
            let bo = enter("bo", json!({})).await;
            has(&edge, 3).await;
            edge.access().replace_revocations(revoke("ana", 1));
            let why = ana.session.closed().await;
            assert_eq!(why.code(), Some(TerminationCode::UNAUTHORIZED), "{why}");
            assert!(
                why.to_string().contains("withdrawn"),
                "{transport:?}: {why}"
            );
            has(&edge, 2).await;
            let again = is_told(address, transport, token(&issuer, "ana", json!({}))).await;
            assert!(again.contains("withdrawn"), "{transport:?}: {again}");
            assert_eq!(edge.entries().of(Entry::TokenRevoked), 2);
            for stays in [renewed, bo] {
                let mut asked = subscribe(&stays.session, "audio", Parameters::default()).await;
                let answer = asked.recv().await.expect("the session lives");
                assert!(
                    matches!(&answer, RequestEvent::Message(Message::RequestError(error))
                        if error.code == RequestErrorCode::DOES_NOT_EXIST),
                    "{answer:?}"
                );
            }
        }
    });
}

#[test]
fn whoever_opens_one_session_too_many_loses_the_oldest() {
    run(async {
        for transport in EVERY {
            let issuer = issuer("a");
            let (edge, address) = edge(issuer::access(&[&issuer]), 100).await;
            let enter = async |who: &str, more: Value| {
                let line = dial(address, transport, token(&issuer, who, more)).await;
                line.expect("it is let in")
            };
            let one = || json!({ "sessions": 1, "iat": 1_000 });
            let first = enter("ana", one()).await;
            has(&edge, 1).await;
            let _other = enter("bo", json!({ "sessions": 1 })).await;
            let _second = enter("ana", one()).await;
            let why = first.session.closed().await;
            assert_eq!(why.code(), Some(TerminationCode::NO_ERROR), "{why}");
            assert!(
                why.to_string().contains("opened elsewhere"),
                "{transport:?}: {why}"
            );
            has(&edge, 2).await;
            assert_eq!(edge.entries().of(Entry::Displaced), 1);
            // An older token does not displace a newer one.
            let old = token(&issuer, "ana", json!({ "sessions": 1, "iat": 900 }));
            let late = is_told(address, transport, old).await;
            assert!(late.contains("opened elsewhere"), "{transport:?}: {late}");
            has(&edge, 2).await;
        }
    });
}

#[test]
fn whose_token_is_not_good_learns_why_over_every_transport() {
    run(async {
        for transport in EVERY {
            let (ours, strange) = (issuer("a"), issuer("b"));
            let (edge, address) = edge(issuer::access(&[&ours]), 100).await;
            let over = token(&ours, "ana", json!({ "exp": 1_000 }));
            let strange = token(&strange, "ana", json!({}));
            for (token, words) in [
                (over, "EXPIRED_AUTH_TOKEN: the token is not valid now"),
                (strange, "UNAUTHORIZED: the token is not signed with a key"),
                (
                    token_of("a.b.c"),
                    "MALFORMED_AUTH_TOKEN: the token is not one",
                ),
            ] {
                let told = is_told(address, transport, token).await;
                assert!(told.contains(words), "{transport:?}: {told}");
            }
            assert_eq!(edge.sessions().count(), 0);
        }
    });
}

#[test]
fn sessions_are_listed_told_of_and_ended_by_number() {
    run(async {
        let issuer = issuer("a");
        let (edge, address) = edge(issuer::access(&[&issuer]), 100).await;
        let mut changes = edge.sessions().changes();
        assert_eq!(changes.next().await, Change::Resync);
        let more = json!({ "gen": 4, "sid": "s-1", "iat": 1_000 });
        let ana = is_in(address, token(&issuer, "ana", more)).await;
        let Change::Opened(opened) = changes.next().await else {
            panic!("a session is opened");
        };
        assert_eq!(opened.holder.participant, "ana");
        assert_eq!(opened.holder.meeting.as_deref(), Some("council"));
        assert_eq!((opened.generation, opened.issued_at), (4, 1_000));
        assert_eq!(opened.sid.as_deref(), Some("s-1"));
        assert_eq!(edge.sessions().list(), std::slice::from_ref(&opened));
        edge.sessions().end(&[opened.number], Why::MeetingOver);
        let why = ana.closed().await;
        assert!(why.to_string().contains("the meeting is over"), "{why}");
        assert_eq!(changes.next().await, Change::Closed(opened.number));
        assert_eq!(edge.entries().of(Entry::Ended), 1);
    });
}

#[test]
fn an_edge_that_waits_for_its_keys_lets_nobody_in_until_they_come() {
    run(async {
        let issuer = issuer("a");
        let (edge, address) = edge(Access::ControlPlane, 100).await;
        let early = match enter(address, token(&issuer, "ana", json!({}))).await {
            Ok(session) => session.closed().await,
            Err(error) => error,
        };
        assert_eq!(early.code(), Some(TerminationCode::UNAUTHORIZED));
        let Access::Tokens(keys) = issuer::access(&[&issuer]) else {
            panic!("keys");
        };
        assert!(edge.access().replace_keys(keys));
        let _ana = is_in(address, token(&issuer, "ana", json!({}))).await;
        has(&edge, 1).await;
        let next: Keys = match issuer::access(&[&issuer::issuer("b")]) {
            Access::Tokens(keys) => keys,
            _ => panic!("keys"),
        };
        assert!(edge.access().replace_keys(next));
        let late = match enter(address, token(&issuer, "bo", json!({}))).await {
            Ok(session) => session.closed().await,
            Err(error) => error,
        };
        assert_eq!(late.code(), Some(TerminationCode::UNAUTHORIZED));
        assert_eq!(edge.sessions().count(), 1, "who is in stays in");
    });
}

#[test]
fn a_session_is_one_persons() {
    run(async {
        let issuer = issuer("a");
        let (edge, address) = edge(issuer::access(&[&issuer]), 100).await;
        let ana = is_in(address, token(&issuer, "ana", json!({}))).await;
        let with = |token| Parameters {
            authorization_tokens: vec![token],
            ..Parameters::default()
        };
        let other_meeting = token(&issuer, "ana", json!({ "meeting": "plenary" }));
        for foreign in [token(&issuer, "bo", json!({})), other_meeting] {
            let mut asked = subscribe(&ana, "audio", with(foreign)).await;
            let answer = asked.recv().await.expect("the session lives");
            assert!(
                matches!(&answer, RequestEvent::Message(Message::RequestError(error))
                    if error.code == RequestErrorCode::UNAUTHORIZED),
                "{answer:?}"
            );
        }
        assert_eq!(edge.entries().of(Entry::TokenOfAnother), 2);
    });
}
