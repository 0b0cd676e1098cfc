//! The native client: publishes and subscribes over one session. Used by the command line, the load tester and tests.
//!
//! A [`Client`] answers the peer's requests for the tracks it was given and hands arriving objects to its subscriptions.
//! Nothing here waits for a slow peer but the calls that ask it something: what cannot be sent or kept is dropped and counted.

mod announce;
mod answer;
mod ask;
mod dial;
mod fetch;
mod group;
mod kept;
mod object;
mod range;
mod reader;
mod router;
mod shared;
mod subscription;
mod track;
mod watch_tracks;

pub use announce::{Announcement, NamespaceChange, NamespaceWatch};
pub use ask::RequestFailed;
pub use dial::{ClientOptions, ConnectError, Dialler, TransportChoice, connect};
pub use fetch::{FetchItem, Fetched};
pub use group::GroupWriter;
pub use object::{Object, ObjectData};
pub use subscription::{End, Subscription, SubscriptionCounters};
pub use track::{TrackCounters, TrackOptions, TrackPublisher};
pub use watch_tracks::{OfferedTrack, TrackWatch};

use crate::session::{Session, SessionError};
use meridian_wire::control::{RequestOk, Subscribe};
use meridian_wire::{FullTrackName, Message, Namespace, Parameters, TerminationCode};
use shared::{Handle, Shared};
use std::sync::Arc;
use std::time::Duration;

/// A session in use. Clones are the same client; when the last of them and of what they gave out is dropped, it closes.
#[derive(Clone, Debug)]
pub struct Client {
    handle: Arc<Handle>,
}

impl Client {
    /// Takes over `session`: its requests and data streams are the client's from now on.
    pub fn new(session: Session) -> Client {
        let handle = Arc::new(Handle::new(session));
        answer::start(&handle.shared);
        router::start(&handle.shared);
        Client { handle }
    }

    /// The session below.
    pub fn session(&self) -> &Session {
        &self.shared().session
    }

    /// Announces a namespace, so that the peer asks here for tracks in it, until the answer is dropped.
    pub async fn publish_namespace(
        &self,
        namespace: Namespace,
    ) -> Result<Announcement, RequestFailed> {
        announce::publish(&self.handle, namespace).await
    }

    /// Owns a track from now on: SUBSCRIBE, TRACK_STATUS and FETCH for it are answered.
    pub fn publish_track(&self, name: FullTrackName, options: TrackOptions) -> TrackPublisher {
        TrackPublisher::new(&self.handle, name, options)
    }

    /// Subscribes to a track.
    pub async fn subscribe(
        &self,
        track: FullTrackName,
        params: Parameters,
    ) -> Result<Subscription, RequestFailed> {
        subscription::subscribe(&self.handle, track, params).await
    }

    /// Fetches past objects, those that `params.location_filter` selects.
    pub async fn fetch(
        &self,
        track: FullTrackName,
        params: Parameters,
    ) -> Result<Fetched, RequestFailed> {
        fetch::fetch(&self.handle, track, params).await
    }

    /// Asks how far a track is. The answer carries `largest_object` and the track's properties.
    pub async fn track_status(&self, track: FullTrackName) -> Result<RequestOk, RequestFailed> {
        let params = Parameters::default();
        let build = |request_id| {
            Message::TrackStatus(Subscribe {
                request_id,
                track,
                params,
            })
        };
        let (answer, _stream) = ask::ask(self.session(), build).await?;
        ask::expect_ok(answer)
    }

    /// Watches for namespaces under `prefix`.
    pub async fn subscribe_namespace(
        &self,
        prefix: Namespace,
    ) -> Result<NamespaceWatch, RequestFailed> {
        announce::watch(&self.handle, prefix).await
    }

    /// Watches for tracks under `prefix`; each comes as an offer that may be taken.
    pub async fn subscribe_tracks(
        &self,
        prefix: Namespace,
        params: Parameters,
    ) -> Result<TrackWatch, RequestFailed> {
        watch_tracks::watch(&self.handle, prefix, params).await
    }

    /// Waits, at most `patience`, until the peer has all that was written and finished; then closes the session.
    pub async fn close(&self, patience: Duration) {
        // What is not acknowledged by then will not be.
        let _ = tokio::time::timeout(patience, self.shared().sent.acknowledged()).await;
        self.session().close(TerminationCode::NO_ERROR, "done");
    }

    /// Waits for the session's end and tells why.
    pub async fn closed(&self) -> SessionError {
        self.session().closed().await
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }
}
