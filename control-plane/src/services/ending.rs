//! What ends streams when the replica does: at once and with UNAVAILABLE, so that whoever follows one asks another replica.

use axum::body::Body;
use axum::response::Response;
use hyper::body::{Bytes, Frame, SizeHint};
use std::future::{Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::watch;
use tonic::Status;

/// Why streams end.
pub(super) fn stopping() -> Status {
    Status::unavailable("this replica is stopping: ask another one")
}

/// For each answer: the same, which ends as soon as `stop` is true and it has nothing more to say at that moment.
pub(super) fn ends_with(
    stop: watch::Receiver<bool>,
) -> impl Fn(Response) -> Ready<Response> + Clone {
    move |answer| {
        let mut stop = stop.clone();
        ready(answer.map(|inner| {
            Body::new(Ending {
                inner,
                stop: Box::pin(async move {
                    // Whoever could stop it is gone: so it has stopped.
                    let _ = stop.wait_for(|stop| *stop).await;
                }),
                is_over: false,
            })
        }))
    }
}

/// A body that has an end.
struct Ending {
    inner: Body,
    stop: Pin<Box<dyn Future<Output = ()> + Send>>,
    is_over: bool,
}

impl hyper::body::Body for Ending {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        // What is there is still sent: other calls than streams are not cut short.
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(context) {
            return Poll::Ready(frame);
        }
        if self.stop.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        self.is_over = true;
        let mut trailers = axum::http::HeaderMap::new();
        let added = stopping().add_header(&mut trailers);
        Poll::Ready(added.is_ok().then(|| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.is_over || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
