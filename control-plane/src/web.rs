//! What the port serves besides gRPC: whether this replica lives and is ready, its counters, and the web pages.

use crate::oidc::{self, Oidc};
use crate::plane::Plane;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::sync::Arc;
use tower_http::services::ServeDir;

/// What pages may do, unless an answer says it more strictly. Everything comes from this origin, but for connections: edges
/// are other hosts, come and go while a page is open, and are reached by WebTransport (`https:`) and WebSocket (`wss:`).
/// `blob:` is where media is played from. No other site may frame a page: it holds a camera and a microphone.
const POLICY: &str = "default-src 'self'; connect-src 'self' https: wss:; media-src 'self' blob:; \
    img-src 'self' data: blob:; worker-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'self'; \
    frame-ancestors 'none'";

/// Of every answer that is no gRPC, where it has none of its own. Pages are asked for anew, so that an upgrade is seen at
/// once. There is no `access-control-allow-origin`, here or at gRPC-web: pages of other origins cannot call.
const HEADERS: [(HeaderName, &str); 4] = [
    (header::CACHE_CONTROL, "no-cache"),
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
];

/// The routes.
pub fn routes(plane: Arc<Plane>, oidc: Option<Oidc>) -> Router {
    let pages = plane.config.pages.folder.clone();
    let own = Router::new()
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(plane);
    let own = match oidc {
        Some(oidc) => own.merge(oidc::routes(oidc)),
        None => own,
    };
    let own = match pages {
        Some(folder) => own.fallback_service(ServeDir::new(folder)),
        None => own,
    };
    own.layer(map_response(guarded))
}

async fn guarded(mut answer: Response) -> Response {
    for (name, value) in HEADERS {
        let headers = answer.headers_mut();
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    answer
}

/// Ready: the state was read once. A store that is away later does not make it less so, as delegates can still join.
async fn ready(State(plane): State<Arc<Plane>>) -> impl IntoResponse {
    match is_ready(&plane) {
        true => (StatusCode::OK, "ready\n"),
        false => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the state has not been read yet\n",
        ),
    }
}

/// As `/readyz` says.
pub(crate) fn is_ready(plane: &Plane) -> bool {
    plane.snapshot.borrow().version.is_some()
}

async fn metrics(State(plane): State<Arc<Plane>>) -> impl IntoResponse {
    let mut text = String::new();
    for (name, help, value) in plane.counters.all() {
        let name = format!("control_plane_{name}_total");
        let help = help.trim();
        text += &format!("# HELP {name} {help}\n# TYPE {name} counter\n{name} {value}\n");
    }
    let stale_s = plane
        .mirror
        .stale_since()
        .map_or(0.0, |since| since.elapsed().as_secs_f64());
    text += &format!(
        "# HELP control_plane_store_away_seconds For how long the state store has been away.\n\
         # TYPE control_plane_store_away_seconds gauge\ncontrol_plane_store_away_seconds {stale_s}\n"
    );
    let kind = HeaderValue::from_static("text/plain; version=0.0.4");
    ([(header::CONTENT_TYPE, kind)], text)
}
