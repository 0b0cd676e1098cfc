//! Namespaces: announcing ours, watching the peer's.

use super::ask::{RequestFailed, ask, expect_ok};
use super::shared::Handle;
use crate::session::{RequestEvent, RequestStream, SessionError};
use meridian_wire::control::NamespaceRequest;
use meridian_wire::{Message, Namespace, Parameters};
use std::sync::Arc;

/// An announced namespace. Dropping it takes it back.
#[derive(Debug)]
pub struct Announcement {
    stream: RequestStream,
    _client: Arc<Handle>,
}

impl Announcement {
    /// Waits until the peer no longer wants it, or the session ends.
    pub async fn ended(&mut self) -> Result<(), SessionError> {
        loop {
            match self.stream.recv().await? {
                RequestEvent::Message(_) | RequestEvent::Fin => {}
                RequestEvent::Reset(_) | RequestEvent::Stopped(_) | RequestEvent::Done => {
                    return Ok(());
                }
            }
        }
    }
}

/// Namespaces under a prefix, as they come and go. Dropping it ends the watch.
#[derive(Debug)]
pub struct NamespaceWatch {
    prefix: Namespace,
    stream: RequestStream,
    _client: Arc<Handle>,
}

/// What happened to a namespace, given in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamespaceChange {
    /// It is published now.
    Appeared(Namespace),
    /// It no longer is.
    Vanished(Namespace),
}

impl NamespaceWatch {
    /// The next change; `None` when the peer ends the watch. Safe to drop.
    pub async fn next(&mut self) -> Result<Option<NamespaceChange>, SessionError> {
        loop {
            let change = match self.stream.recv().await? {
                RequestEvent::Message(Message::Namespace(suffix)) => {
                    self.prefix.join(&suffix).map(NamespaceChange::Appeared)
                }
                RequestEvent::Message(Message::NamespaceDone(suffix)) => {
                    self.prefix.join(&suffix).map(NamespaceChange::Vanished)
                }
                RequestEvent::Message(_) => continue,
                _ => return Ok(None),
            };
            // A suffix that makes the name too long names nothing that could be asked for.
            if let Ok(change) = change {
                return Ok(Some(change));
            }
        }
    }
}

pub(super) async fn publish(
    client: &Arc<Handle>,
    namespace: Namespace,
) -> Result<Announcement, RequestFailed> {
    let build = |request_id| Message::PublishNamespace(request(request_id, namespace));
    let (answer, stream) = ask(&client.shared.session, build).await?;
    expect_ok(answer)?;
    Ok(Announcement {
        stream,
        _client: client.clone(),
    })
}

pub(super) async fn watch(
    client: &Arc<Handle>,
    prefix: Namespace,
) -> Result<NamespaceWatch, RequestFailed> {
    let build = |request_id| Message::SubscribeNamespace(request(request_id, prefix.clone()));
    let (answer, stream) = ask(&client.shared.session, build).await?;
    expect_ok(answer)?;
    Ok(NamespaceWatch {
        prefix,
        stream,
        _client: client.clone(),
    })
}

fn request(request_id: u64, namespace: Namespace) -> NamespaceRequest {
    NamespaceRequest {
        request_id,
        namespace,
        params: Parameters::default(),
    }
}
