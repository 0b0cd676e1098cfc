//! Fetching past objects.

use super::ask::{RequestFailed, ask};
use super::object::Object;
use super::router::Fetching;
use super::shared::Handle;
use crate::session::RequestStream;
use crate::transport::StreamError;
use meridian_wire::control::{Fetch, FetchOk};
use meridian_wire::data::RangeGap;
use meridian_wire::{FetchFilter, FullTrackName, GroupOrder, Location, Message, Parameters};
use std::sync::Arc;
use tokio::sync::mpsc;

/// What a fetch yields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchItem {
    /// The next object in the order asked for.
    Object(Object),
    /// Nothing is known of what lies between the last object and `end`.
    Gap {
        /// Why.
        kind: RangeGap,
        /// The last location of the gap.
        end: Location,
    },
    /// That was all.
    Complete,
    /// The stream broke off.
    Failed(StreamError),
}

/// An answered fetch. Dropping it cancels what is still to come.
#[derive(Debug)]
pub struct Fetched {
    /// What the publisher said of it.
    pub ok: FetchOk,
    request: u64,
    items: mpsc::Receiver<FetchItem>,
    _stream: RequestStream,
    client: Arc<Handle>,
}

/// Items that wait to be read; the stream's flow control holds back the rest.
const QUEUE: usize = 64;

impl Fetched {
    /// The next item; `None` after the last, or when the session ends. Safe to drop.
    pub async fn next(&mut self) -> Option<FetchItem> {
        self.items.recv().await
    }
}

impl Drop for Fetched {
    fn drop(&mut self) {
        self.client.shared.router.remove_fetch(self.request);
    }
}

pub(super) async fn fetch(
    client: &Arc<Handle>,
    track: FullTrackName,
    params: Parameters,
) -> Result<Fetched, RequestFailed> {
    let (sink, items) = mpsc::channel(QUEUE);
    let router = &client.shared.router;
    let mut request = None;
    let order = params.group_order.unwrap_or(GroupOrder::Ascending);
    let build = |request_id| {
        // Before it is sent: the stream may come before the answer.
        router.add_fetch(request_id, Fetching { order, sink });
        request = Some(request_id);
        Message::Fetch(Fetch {
            request_id,
            track: Some(track),
            filter: FetchFilter::Range,
            params,
        })
    };
    let answer = ask(&client.shared.session, build).await;
    let request = request.unwrap_or_default();
    match answer {
        Ok((Message::FetchOk(ok), stream)) => Ok(Fetched {
            ok,
            request,
            items,
            _stream: stream,
            client: client.clone(),
        }),
        other => {
            router.remove_fetch(request);
            Err(other.err().unwrap_or(RequestFailed::Cancelled(None)))
        }
    }
}
