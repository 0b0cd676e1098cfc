//! Tracks that the peer offers by PUBLISH, after SUBSCRIBE_TRACKS.

use super::ask::{RequestFailed, ask, expect_ok};
use super::shared::{Handle, Shared, lock};
use super::subscription::{self, Subscription};
use crate::session::{IncomingRequest, RequestEvent, RequestStream, SendError};
use meridian_wire::control::{NamespaceRequest, Publish, RequestError, RequestOk, SubscribeOk};
use meridian_wire::{Message, Namespace, Parameters, RequestErrorCode};
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;

/// Offers under a prefix. Dropping it ends the watch; tracks that were taken go on.
#[derive(Debug)]
pub struct TrackWatch {
    offers: mpsc::Receiver<(Publish, RequestStream)>,
    skipped: u64,
    stream: RequestStream,
    client: Arc<Handle>,
}

/// A track that the peer wants to publish here. Dropping it refuses it.
#[derive(Debug)]
pub struct OfferedTrack {
    publish: Publish,
    stream: Option<RequestStream>,
    client: Arc<Handle>,
}

/// Those who watch, with their prefixes.
#[derive(Debug, Default)]
pub(super) struct Watchers(Mutex<Vec<Watcher>>);

#[derive(Debug)]
struct Watcher {
    prefix: Namespace,
    offers: mpsc::Sender<(Publish, RequestStream)>,
}

/// Offers that wait to be looked at; more are refused.
const QUEUE: usize = 64;

impl TrackWatch {
    /// The next offer; `None` when the peer ends the watch. Safe to drop.
    pub async fn next(&mut self) -> Option<OfferedTrack> {
        loop {
            tokio::select! {
                offer = self.offers.recv() => {
                    let (publish, stream) = offer?;
                    return Some(OfferedTrack {
                        publish,
                        stream: Some(stream),
                        client: self.client.clone(),
                    });
                }
                event = self.stream.recv() => match event {
                    Ok(RequestEvent::Message(Message::PublishSkipped(_))) => self.skipped += 1,
                    Ok(RequestEvent::Message(_) | RequestEvent::Fin) => {}
                    _ => return None,
                },
            }
        }
    }

    /// Tracks that the peer said it will not offer.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }
}

impl OfferedTrack {
    /// What is offered.
    pub fn publish(&self) -> &Publish {
        &self.publish
    }

    /// Takes it.
    pub fn accept(mut self) -> Result<Subscription, RequestFailed> {
        let stream = self.stream.take().ok_or(SendError::Closed)?;
        let ok = SubscribeOk {
            track_alias: self.publish.track_alias,
            params: self.publish.params.clone(),
            properties: self.publish.properties.clone(),
        };
        stream.send(&Message::RequestOk(RequestOk::default()))?;
        subscription::start(&self.client, self.publish.track.clone(), ok, stream)
    }
}

impl Drop for OfferedTrack {
    fn drop(&mut self) {
        if let Some(stream) = self.stream.take() {
            refuse(&stream, RequestErrorCode::UNINTERESTED, "not wanted");
        }
    }
}

pub(super) async fn watch(
    client: &Arc<Handle>,
    prefix: Namespace,
    params: Parameters,
) -> Result<TrackWatch, RequestFailed> {
    let (offers, offered) = mpsc::channel(QUEUE);
    // Before it is sent: offers may come before the answer. A watcher whose receiver is gone is forgotten.
    client.shared.watchers.add(prefix.clone(), offers);
    let build = |request_id| {
        Message::SubscribeTracks(NamespaceRequest {
            request_id,
            namespace: prefix,
            params,
        })
    };
    let (answer, stream) = ask(&client.shared.session, build).await?;
    expect_ok(answer)?;
    Ok(TrackWatch {
        offers: offered,
        skipped: 0,
        stream,
        client: client.clone(),
    })
}

impl Watchers {
    fn add(&self, prefix: Namespace, offers: mpsc::Sender<(Publish, RequestStream)>) {
        let mut watchers = lock(&self.0);
        watchers.retain(|watcher| !watcher.offers.is_closed());
        watchers.push(Watcher { prefix, offers });
    }

    fn find(&self, publish: &Publish) -> Option<mpsc::Sender<(Publish, RequestStream)>> {
        let watchers = lock(&self.0);
        let wants = |watcher: &&Watcher| {
            watcher.prefix.is_prefix_of(&publish.track.namespace) && !watcher.offers.is_closed()
        };
        watchers
            .iter()
            .find(wants)
            .map(|watcher| watcher.offers.clone())
    }
}

/// Takes in a PUBLISH of the peer's.
pub(super) fn offer(shared: &Shared, request: IncomingRequest) {
    let Message::Publish(publish) = request.message else {
        return;
    };
    let refused = match shared.watchers.find(&publish) {
        None => Some((request.stream, RequestErrorCode::UNINTERESTED)),
        Some(offers) => offers
            .try_send((publish, request.stream))
            .err()
            .map(|error| (error.into_inner().1, RequestErrorCode::EXCESSIVE_LOAD)),
    };
    if let Some((stream, code)) = refused {
        refuse(&stream, code, "not wanted");
    }
}

/// Answers a request with an error. The stream may have ended by then: so be it.
pub(super) fn refuse(stream: &RequestStream, code: RequestErrorCode, reason: &str) {
    let error = RequestError {
        code,
        retry_interval: 0,
        reason: reason.to_owned(),
        redirect: None,
    };
    let _ = stream.send(&Message::RequestError(error));
    let _ = stream.finish();
}
