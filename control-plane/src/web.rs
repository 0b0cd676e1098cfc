//! What the port serves besides gRPC: whether this replica lives and is ready, its counters, and the web pages.

use crate::plane::Plane;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use std::sync::Arc;
use tower_http::services::ServeDir;

/// The routes. Pages get headers that keep other sites from framing or sniffing them.
pub fn routes(plane: Arc<Plane>) -> Router {
    let pages = plane.config.pages.folder.clone();
    let own = Router::new()
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(plane);
    match pages {
        Some(folder) => own.fallback_service(ServeDir::new(folder)),
        None => own,
    }
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
