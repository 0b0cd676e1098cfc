//! What a browser and a monitor see on the port: gRPC-web, pages and their headers, health, reflection.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use axum::body::Body;
use axum::http::{Request, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::browser::{Page, get, send};
use common::stage::{PATIENCE, Stage};
use meridian_proto::v1::{JoinRequest, ListOfficesRequest, ListOfficesResponse};
use prost::Message;
use tokio_stream::StreamExt;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

const BINARY: &str = "application/grpc-web+proto";
const TEXT: &str = "application/grpc-web-text";
const VERSIONS: [Version; 2] = [Version::HTTP_11, Version::HTTP_2];

/// A call as a page makes it.
async fn call(
    stage: &Stage,
    version: Version,
    kind: &str,
    method: &str,
    message: impl Message,
) -> Page {
    let message = message.encode_to_vec();
    let mut frame = vec![0];
    frame.extend((message.len() as u32).to_be_bytes());
    frame.extend(message);
    let body = match kind {
        TEXT => STANDARD.encode(frame).into_bytes(),
        _ => frame,
    };
    let request = Request::post(format!("/meridian.v1.JoinService/{method}"))
        .version(version)
        .header("content-type", kind)
        .header("accept", kind)
        .header("origin", "https://localhost")
        .header("x-grpc-web", "1")
        .body(Body::from(body));
    send(&stage.authority, stage.replica.address(), request.unwrap()).await
}

/// The message and trailers in an answer's body; no message if it has none.
fn read(page: &Page, kind: &str) -> (Option<Vec<u8>>, String) {
    assert_eq!(page.status, 200);
    assert!(
        page.header("content-type").starts_with(kind),
        "{:?}",
        page.headers
    );
    let decode = |text: &[u8]| STANDARD.decode(text).expect("four letters at a time");
    let body: Vec<u8> = match kind {
        TEXT => page.body.chunks(4).flat_map(decode).collect(),
        _ => page.body.to_vec(),
    };
    let (mut message, mut trailers, mut rest) = (None, String::new(), &body[..]);
    while !rest.is_empty() {
        let length = u32::from_be_bytes(rest[1..5].try_into().unwrap()) as usize;
        let (frame, next) = rest[5..].split_at(length);
        match rest[0] {
            0 => message = Some(frame.to_vec()),
            0x80 => trailers = String::from_utf8(frame.to_vec()).expect("they are text"),
            other => panic!("a frame of kind {other}"),
        }
        rest = next;
    }
    (message, trailers)
}

#[tokio::test]
async fn grpc_web_answers_in_both_framings_over_both_versions_of_http() {
    let stage = Stage::set().await;
    let _edge = stage.open_edge("geneva", 100).await;
    for version in VERSIONS {
        for kind in [BINARY, TEXT] {
            let page = call(&stage, version, kind, "ListOffices", ListOfficesRequest {}).await;
            let (message, trailers) = read(&page, kind);
            let offices = ListOfficesResponse::decode(&message.expect("a message")[..]).unwrap();
            assert_eq!(offices.offices[0].office, "geneva");
            assert!(trailers.contains("grpc-status:0"), "{trailers}");
            let join = JoinRequest {
                invitation: "forged".into(),
                ..JoinRequest::default()
            };
            let page = call(&stage, version, kind, "Join", join).await;
            // Without a message the status may stand in the headers.
            let status = match page.header("grpc-status") {
                "" => read(&page, kind).1,
                status => format!("grpc-status:{status}"),
            };
            assert!(status.contains("grpc-status:16"), "{status}");
        }
    }
}

#[tokio::test]
async fn pages_of_other_origins_cannot_call() {
    let stage = Stage::set().await;
    for version in VERSIONS {
        let ask = Request::options("/meridian.v1.JoinService/ListOffices")
            .version(version)
            .header("origin", "https://evil.test")
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "content-type,x-grpc-web")
            .body(Body::empty());
        let page = send(&stage.authority, stage.replica.address(), ask.unwrap()).await;
        let called = call(
            &stage,
            version,
            BINARY,
            "ListOffices",
            ListOfficesRequest {},
        )
        .await;
        for page in [page, called] {
            assert!(
                !page.headers.contains_key("access-control-allow-origin"),
                "{:?}",
                page.headers
            );
        }
    }
}

#[tokio::test]
async fn pages_are_served_with_headers_that_keep_others_out() {
    let folder = tempfile::tempdir().unwrap();
    let files = [
        ("index.html", "text/html"),
        ("page.js", "text/javascript"),
        ("page.css", "text/css"),
    ];
    for (name, _) in files {
        std::fs::write(folder.path().join(name), "text").unwrap();
    }
    let path = folder.path().to_owned();
    let stage = Stage::set_with(|config| config.pages.folder = Some(path)).await;
    let at = async |path: &str| get(&stage.authority, stage.replica.address(), path, "").await;
    for (name, kind) in files {
        let page = at(&format!("/{name}")).await;
        assert_eq!((page.status.as_u16(), page.text().as_str()), (200, "text"));
        assert!(
            page.header("content-type").starts_with(kind),
            "{:?}",
            page.headers
        );
        assert_guarded(&page);
    }
    assert_eq!(at("/").await.text(), "text");
    for path in [
        "/none",
        "/../state.redb",
        "/%2e%2e/state.redb",
        "/oidc/login?as=organiser",
    ] {
        let page = at(path).await;
        assert_eq!(page.status, 404, "{path}");
        assert_guarded(&page);
    }
}

fn assert_guarded(page: &Page) {
    assert_eq!(page.header("x-content-type-options"), "nosniff");
    assert_eq!(page.header("referrer-policy"), "no-referrer");
    assert_eq!(page.header("cache-control"), "no-cache");
    let policy = page.header("content-security-policy");
    for part in [
        "default-src 'self'",
        "connect-src 'self' https: wss:",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.contains(part), "{policy}");
    }
}

#[tokio::test]
async fn monitors_find_health_counters_and_the_services() {
    let stage = Stage::set().await;
    let at = async |path: &str| get(&stage.authority, stage.replica.address(), path, "").await;
    assert_eq!(at("/livez").await.text(), "alive\n");
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while at("/readyz").await.status != 200 {
        assert!(tokio::time::Instant::now() < deadline, "never ready");
    }
    let metrics = at("/metrics").await;
    assert!(metrics.header("content-type").starts_with("text/plain"));
    for line in [
        "control_plane_joins_admitted_total 0",
        "control_plane_sign_ins_begun_total 0",
    ] {
        assert!(metrics.text().contains(line), "{}", metrics.text());
    }
    let mut health = HealthClient::new(stage.channel(None).await);
    let asked = HealthCheckRequest::default();
    let mut told = health.watch(asked).await.expect("it tells").into_inner();
    let serves = async {
        while let Some(answer) = told.message().await.expect("it goes on") {
            if answer.status() == ServingStatus::Serving {
                return;
            }
        }
        panic!("it never serves");
    };
    tokio::time::timeout(PATIENCE, serves)
        .await
        .expect("it serves");
    let mut reflection = ServerReflectionClient::new(stage.channel(None).await);
    let ask = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let answers = reflection
        .server_reflection_info(tokio_stream::once(ask))
        .await;
    let answer = answers.expect("it reflects").into_inner().next().await;
    let answer = answer.expect("an answer").expect("a good one");
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("no list")
    };
    let names: Vec<_> = list
        .service
        .into_iter()
        .map(|service| service.name)
        .collect();
    for name in ["EdgeService", "JoinService", "MeetingService", "OpsService"] {
        assert!(names.contains(&format!("meridian.v1.{name}")), "{names:?}");
    }
    assert!(
        names.contains(&"grpc.health.v1.Health".to_owned()),
        "{names:?}"
    );
}
