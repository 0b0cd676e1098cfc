//! Delegates and organisers sign in with an identity provider of their organisation.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use axum::body::Body;
use axum::http::Request;
use common::browser::{Page, get, send};
use common::etcd::Cluster;
use common::provider::{Key, Provider};
use common::soon;
use common::stage::{Stage, refused, with_token};
use meridian_control_plane::config::Config;
use meridian_control_plane::oidc::config::OidcConfig;
use meridian_proto::v1::join_response::Outcome;
use meridian_proto::v1::*;
use openidconnect::url::Url;
use serde_json::json;
use tokio::net::TcpListener;
use tonic::Code;

const DELEGATE: &str = "/oidc/login?meeting=council";
const ORGANISER: &str = "/oidc/login?as=organiser";

/// A replica that has people sign in there, and a meeting with Ann and Bea.
async fn stage(oidc: OidcConfig) -> Stage {
    let stage = Stage::set_with(|config| config.oidc = Some(oidc)).await;
    fill(&stage).await;
    stage
}

async fn fill(stage: &Stage) {
    let mut meetings = stage.meetings().await;
    let create = CreateMeetingRequest {
        meeting: Some(Meeting {
            id: "council".into(),
            title: "Council".into(),
            office: "geneva".into(),
            ..Meeting::default()
        }),
    };
    let created = meetings.create_meeting(stage.by_operator(create)).await;
    created.expect("it can be made");
    let delegate = |id: &str, email: &str| Delegate {
        id: id.into(),
        name: id.into(),
        delegation: "CH".into(),
        role: Role::Delegate.into(),
        country: "CH".into(),
        email: email.into(),
        ..Delegate::default()
    };
    let import = ImportDelegatesRequest {
        meeting: "council".into(),
        delegates: vec![
            delegate("p-ann", "Ann@Example.org"),
            delegate("p-bea", "bea@example.org"),
        ],
        csv: Vec::new().into(),
    };
    let imported = meetings.import_delegates(stage.by_operator(import)).await;
    imported.expect("they can be imported");
}

/// Somebody's browser, from the link to the provider and back to the callback, which it does not follow yet.
async fn sent_back(stage: &Stage, provider: &Provider, link: &str) -> (String, String) {
    let begun = at(stage, link, "").await;
    assert_eq!(begun.status, 303, "{}", begun.text());
    let cookie = begun.header("set-cookie");
    for part in [
        "__Host-",
        "Secure",
        "HttpOnly",
        "SameSite=Lax",
        "Path=/",
        "Max-Age=600",
    ] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let place = Url::parse(begun.header("location")).unwrap();
    assert_eq!(place.origin().ascii_serialization(), provider.issuer);
    let path = format!("{}?{}", place.path(), place.query().unwrap());
    let answer = get(&provider.authority, provider.address, &path, "").await;
    let place = Url::parse(answer.header("location")).unwrap();
    let path = format!("{}?{}", place.path(), place.query().unwrap());
    (path, begun.cookie())
}

async fn at(stage: &Stage, path: &str, cookie: &str) -> Page {
    get(&stage.authority, stage.replica.address(), path, cookie).await
}

async fn sign_in(stage: &Stage, provider: &Provider, link: &str) -> Page {
    let (path, cookie) = sent_back(stage, provider, link).await;
    at(stage, &path, &cookie).await
}

/// A refusal: a page that says so and what to do, and gives nothing away.
fn assert_refused(page: &Page, status: u16, words: &str) {
    let text = page.text();
    assert_eq!(page.status, status, "{text}");
    assert!(text.contains(words), "{text}");
    assert_eq!(page.header("location"), "");
    assert_eq!(page.header("cache-control"), "no-store");
    assert!(page.header("content-type").starts_with("text/html"));
    assert!(
        page.header("content-security-policy")
            .starts_with("default-src 'none'")
    );
}

#[tokio::test]
async fn a_delegate_signs_in_and_joins_by_the_invitation_they_get() {
    let provider = Provider::start().await;
    let stage = stage(provider.config()).await;
    let _edge = stage.open_edge("geneva", 100).await;
    let page = sign_in(&stage, &provider, DELEGATE).await;
    assert_eq!(page.status, 303, "{}", page.text());
    assert!(page.header("set-cookie").contains("Max-Age=0"));
    let (path, invitation) = page.header("location").split_once('#').expect("a link");
    assert_eq!(path, "/join");
    let join = JoinRequest {
        invitation: invitation.into(),
        ..JoinRequest::default()
    };
    let joined = stage.join().await.join(join).await.expect("it is good");
    let Some(Outcome::Admitted(admission)) = joined.into_inner().outcome else {
        panic!("not admitted")
    };
    assert_eq!(admission.participant, "p-ann");
    let counters = &stage.replica.plane().counters;
    assert_eq!(counters.sign_ins_begun.count(), 1);
    assert_eq!(counters.sign_ins_completed.count(), 1);
}

#[tokio::test]
async fn rsa_keys_do_too_and_keys_that_have_changed_are_read_anew() {
    let provider = Provider::start().await;
    let stage = stage(provider.config()).await;
    assert_eq!(sign_in(&stage, &provider, DELEGATE).await.status, 303);
    let key = Key::rsa("two");
    provider.script().signer = key.clone();
    provider.script().published = key;
    let page = sign_in(&stage, &provider, DELEGATE).await;
    assert_eq!(page.status, 303, "{}", page.text());
}

#[tokio::test]
async fn a_sign_in_is_ended_once_and_by_the_browser_that_began_it() {
    let provider = Provider::start().await;
    let stage = stage(provider.config()).await;
    let (path, cookie) = sent_back(&stage, &provider, DELEGATE).await;
    let (_, others) = sent_back(&stage, &provider, DELEGATE).await;
    for cookie in ["", &others, "__Host-meridian-sign-in=forged"] {
        let page = at(&stage, &path, cookie).await;
        assert_refused(&page, 400, "not begun in this browser");
        assert_eq!(page.header("set-cookie"), "", "the right one goes on");
    }
    let wrong = path.replace("state=", "state=x");
    assert_refused(&at(&stage, &wrong, &cookie).await, 400, "not begun");
    assert_refused(
        &at(&stage, "/oidc/callback", &cookie).await,
        400,
        "not begun",
    );
    assert_eq!(stage.replica.plane().counters.sign_ins_stale.count(), 5);
    assert_eq!(at(&stage, &path, &cookie).await.status, 303);
    // A code is good once.
    assert_refused(&at(&stage, &path, &cookie).await, 400, "is over");
}

#[tokio::test]
async fn another_replica_ends_what_one_has_begun() {
    let provider = Provider::start().await;
    let cluster = Cluster::start(1).await;
    let oidc = || Some(provider.config());
    let one = Stage::set_over(&cluster, 0, |config| config.oidc = oidc()).await;
    fill(&one).await;
    let other = |config: &mut Config| {
        config.oidc = oidc();
        config.replica = Some("cp-2".into());
    };
    let other = Stage::set_over(&cluster, 2, other).await;
    let (path, cookie) = sent_back(&one, &provider, DELEGATE).await;
    let page = at(&other, &path, &cookie).await;
    assert_eq!(page.status, 303, "{}", page.text());
}

#[tokio::test]
async fn an_id_token_for_another_sign_in_or_client_or_time_or_by_another_issuer_or_key_is_refused()
{
    let provider = Provider::start().await;
    let stage = stage(provider.config()).await;
    let bad = [
        json!({"nonce": "of another sign-in"}),
        json!({"nonce": null}),
        json!({"aud": "another client"}),
        json!({"aud": ["meridian", "another client"]}),
        json!({"iss": "https://localhost:1"}),
        json!({"exp": 1_000}),
    ];
    for claims in bad {
        provider.script().claims = claims.clone();
        let page = sign_in(&stage, &provider, DELEGATE).await;
        assert_refused(&page, 403, "could not be trusted");
    }
    provider.script().claims = json!({});
    for id in ["one", "unheard of"] {
        provider.script().signer = Key::ed25519(id);
        let page = sign_in(&stage, &provider, DELEGATE).await;
        assert_refused(&page, 403, "could not be trusted");
    }
    let plane = stage.replica.plane();
    assert_eq!(plane.counters.sign_ins_untrusted.count(), 8);
    assert_eq!(plane.counters.sign_ins_completed.count(), 0);
}

#[tokio::test]
async fn who_is_not_on_the_list_learns_no_more_than_that() {
    let provider = Provider::start().await;
    let stage = stage(provider.config()).await;
    for claims in [
        json!({"email_verified": false}),
        json!({"email_verified": null}),
        json!({"email": null}),
    ] {
        provider.script().claims = claims;
        let page = sign_in(&stage, &provider, DELEGATE).await;
        assert_refused(&page, 403, "does not confirm an e-mail address");
    }
    provider.script().claims = json!({"email": "<b>eve</b>@example.org"});
    let page = sign_in(&stage, &provider, DELEGATE).await;
    assert_refused(
        &page,
        403,
        "&lt;b&gt;eve&lt;/b&gt;@example.org is not on the list",
    );
    let nowhere = sign_in(&stage, &provider, "/oidc/login?meeting=no-such").await;
    assert_eq!((nowhere.status, nowhere.text()), (page.status, page.text()));
    provider.script().claims = json!({});
    let revoke = RevokeDelegateRequest {
        meeting: "council".into(),
        delegate: "p-ann".into(),
    };
    let mut meetings = stage.meetings().await;
    meetings
        .revoke_delegate(stage.by_operator(revoke))
        .await
        .expect("it can be revoked");
    let page = sign_in(&stage, &provider, DELEGATE).await;
    assert_refused(&page, 403, "was taken away");
    assert_eq!(stage.replica.plane().counters.sign_ins_refused.count(), 6);
    for link in [
        "/oidc/login",
        "/oidc/login?meeting=A%20b",
        "/oidc/login?as=operator",
    ] {
        assert_refused(&at(&stage, link, "").await, 400, "names no meeting");
    }
}

#[tokio::test]
async fn organisers_and_operators_get_access_tokens_and_nobody_else_does() {
    let provider = Provider::start().await;
    let stage = stage(provider.config()).await;
    assert_refused(
        &sign_in(&stage, &provider, ORGANISER).await,
        403,
        "ann@example.org is no organiser",
    );
    provider.script().claims = json!({"email": "olga@example.org"});
    let page = sign_in(&stage, &provider, ORGANISER).await;
    assert_eq!(page.status, 200, "{}", page.text());
    assert_eq!(page.header("cache-control"), "no-store");
    assert!(
        page.text().contains("an organiser for geneva, bangkok"),
        "{}",
        page.text()
    );
    let token = |page: &Page| {
        let text = page.text();
        let (_, token) = text.split_once("<pre>").expect("a token");
        token.split_once("</pre>").expect("its end").0.to_owned()
    };
    let mut meetings = stage.meetings().await;
    let own = with_token(ListMeetingsRequest::default(), &token(&page));
    meetings.list_meetings(own).await.expect("an organiser may");
    let create = |office: &str| CreateMeetingRequest {
        meeting: Some(Meeting {
            id: "other".into(),
            title: "Other".into(),
            office: office.into(),
            ..Meeting::default()
        }),
    };
    let (code, _) = refused(
        meetings
            .create_meeting(with_token(create("new-york"), &token(&page)))
            .await,
    );
    assert_eq!(code, Code::PermissionDenied);
    provider.script().claims = json!({"email": "OSCAR@example.org"});
    let page = sign_in(&stage, &provider, ORGANISER).await;
    assert!(page.text().contains("an operator"), "{}", page.text());
    let created = meetings
        .create_meeting(with_token(create("new-york"), &token(&page)))
        .await;
    created.expect("an operator may");
    let (path, cookie) = sent_back(&stage, &provider, ORGANISER).await;
    let request = Request::get(path)
        .header("cookie", cookie)
        .header("accept", "application/json")
        .body(Body::empty());
    let page = send(&stage.authority, stage.replica.address(), request.unwrap()).await;
    let told: serde_json::Value = serde_json::from_slice(&page.body).expect("it is JSON");
    assert_eq!(
        (&told["operator"], &told["subject"]),
        (&json!(true), &json!("oscar@example.org"))
    );
}

#[tokio::test]
async fn a_sign_in_that_was_cancelled_or_answered_by_another_issuer_says_so() {
    let provider = Provider::start().await;
    let stage = stage(provider.config()).await;
    let ends = [
        ("error=access_denied", 403, "was cancelled"),
        ("error=temporarily_unavailable", 503, "cannot be reached"),
        ("error=<script>", 503, "cannot be reached"),
        ("code=c&iss=https://other.test", 403, "could not be trusted"),
        ("code=guessed", 400, "is over"),
    ];
    for (end, status, words) in ends {
        let (path, cookie) = sent_back(&stage, &provider, DELEGATE).await;
        let (_, state) = path.split_once("&state=").unwrap();
        let end = end.replace('<', "%3C").replace('>', "%3E");
        let page = at(
            &stage,
            &format!("/oidc/callback?state={state}&{end}"),
            &cookie,
        )
        .await;
        assert_refused(&page, status, words);
        assert!(
            page.header("set-cookie").contains("Max-Age=0"),
            "it is over"
        );
    }
    assert_eq!(stage.replica.plane().counters.sign_ins_cancelled.count(), 1);
}

#[tokio::test]
async fn a_provider_that_is_away_or_talks_nonsense_harms_nothing_else() {
    let provider = Provider::start().await;
    provider.script().discovery = Some("x".repeat(1 << 20));
    let stage = stage(provider.config()).await;
    let _edge = stage.open_edge("geneva", 100).await;
    let page = at(&stage, DELEGATE, "").await;
    assert_refused(&page, 503, "cannot be reached");
    assert_eq!(page.header("retry-after"), "10");
    let _folder = provider.stop().await;
    assert_refused(&at(&stage, DELEGATE, "").await, 503, "cannot be reached");
    assert_eq!(stage.replica.plane().counters.sign_ins_failed.count(), 2);
    assert_eq!(at(&stage, "/readyz", "").await.status, 200);
    let offices = stage.join().await.list_offices(ListOfficesRequest {}).await;
    assert_eq!(offices.expect("it answers").get_ref().offices.len(), 1);
}

#[tokio::test]
async fn a_provider_that_went_away_during_a_sign_in_is_told_and_one_that_never_answers_is_given_up()
{
    let provider = Provider::start().await;
    let stage = stage(provider.config()).await;
    let (path, cookie) = sent_back(&stage, &provider, DELEGATE).await;
    let mut config = provider.config();
    let folder = provider.stop().await;
    assert_refused(&at(&stage, &path, &cookie).await, 503, "cannot be reached");
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    config.issuer = format!("https://localhost:{}", silent.local_addr().unwrap().port());
    let other = Stage::set_with(|all| all.oidc = Some(config)).await;
    let page = soon(at(&other, DELEGATE, "")).await;
    assert_refused(&page, 503, "cannot be reached");
    drop((silent, folder));
}
