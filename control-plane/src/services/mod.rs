//! The gRPC services, one file each, and the port's routes.

pub mod edge;
mod ending;
pub(crate) mod invitation;
pub mod join;
pub mod meeting;
pub mod ops;

use crate::oidc::Oidc;
use crate::plane::Plane;
use crate::web;
use axum::Router;
use axum::middleware::map_response;
use meridian_proto::DESCRIPTORS;
use meridian_proto::v1::edge_service_server::EdgeServiceServer;
use meridian_proto::v1::join_service_server::JoinServiceServer;
use meridian_proto::v1::meeting_service_server::MeetingServiceServer;
use meridian_proto::v1::ops_service_server::OpsServiceServer;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::Routes;
use tonic::{Response, Status};
use tonic_web::GrpcWebLayer;

/// What a streaming call answers.
pub(crate) type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The largest message taken, in bytes: an import of 4 MiB and what wraps it.
const MAX_MESSAGE: usize = (4 << 20) + (64 << 10);
/// The same from anybody who has not shown yet who they are.
const MAX_SMALL_MESSAGE: usize = 64 << 10;
/// Answers that may wait for a slow caller of a stream. Each replaces the one before: more would only be older.
const STREAM_QUEUE: usize = 2;
/// How often `grpc.health.v1` hears whether this replica is ready.
const HEALTH_EVERY: Duration = Duration::from_millis(500);

/// Everything the port answers.
pub async fn routes(plane: Arc<Plane>, oidc: Option<Oidc>, stop: watch::Receiver<bool>) -> Router {
    let (reporter, health) = tonic_health::server::health_reporter();
    let stopped = stop.clone();
    tokio::spawn(tell_health(plane.clone(), reporter, stop));
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .expect("descriptors were made with the contracts");
    let edge = EdgeServiceServer::new(edge::Service(plane.clone()));
    let join = JoinServiceServer::new(join::Service(plane.clone()));
    let meeting = MeetingServiceServer::new(meeting::Service(plane.clone()));
    let ops = OpsServiceServer::new(ops::Service(plane.clone()));
    let grpc = Routes::new(health)
        .add_service(reflection)
        .add_service(edge.max_decoding_message_size(MAX_MESSAGE))
        .add_service(join.max_decoding_message_size(MAX_SMALL_MESSAGE))
        .add_service(meeting.max_decoding_message_size(MAX_MESSAGE))
        .add_service(ops.max_decoding_message_size(MAX_MESSAGE));
    let grpc = grpc.into_axum_router();
    let grpc = grpc.layer(map_response(ending::ends_with(stopped)));
    let grpc = grpc.layer(GrpcWebLayer::new());
    // What is no call is a page, so the gRPC router must not answer for it.
    web::routes(plane, oidc).merge(grpc.reset_fallback())
}

async fn tell_health(
    plane: Arc<Plane>,
    reporter: tonic_health::server::HealthReporter,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        let is_ready = web::is_ready(&plane) && !*stop.borrow();
        let status = match is_ready {
            true => tonic_health::ServingStatus::Serving,
            false => tonic_health::ServingStatus::NotServing,
        };
        reporter.set_service_status("", status).await;
        if tokio::time::timeout(HEALTH_EVERY, stop.changed())
            .await
            .is_ok_and(|more| more.is_err())
        {
            return;
        }
    }
}

/// A stream of what `render` gives, at first and whenever `changed` says so and something is new; gathered over `gather`.
pub(crate) fn follow<T, C>(
    mut changed: watch::Receiver<C>,
    gather: Duration,
    render: impl Fn() -> Result<T, Status> + Send + 'static,
) -> Response<Answers<T>>
where
    T: PartialEq + Clone + Send + 'static,
    C: Send + Sync + 'static,
{
    let (answers, stream) = mpsc::channel(STREAM_QUEUE);
    tokio::spawn(async move {
        let mut last: Option<T> = None;
        loop {
            changed.mark_unchanged();
            let answer = render();
            let ends = answer.is_err();
            if answer.as_ref().ok() != last.as_ref() || ends {
                last = answer.as_ref().ok().cloned();
                if answers.send(answer).await.is_err() || ends {
                    return;
                }
            }
            let more = tokio::select! {
                more = changed.changed() => more.is_ok(),
                () = answers.closed() => false,
            };
            if !more {
                return;
            }
            tokio::time::sleep(gather).await;
        }
    });
    Response::new(Box::pin(ReceiverStream::new(stream)))
}
