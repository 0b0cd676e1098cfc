//! How an edge's workers share tracks: the first is the parent of all others. Each is joined to it as an edge would be,
//! by a MoQT session, only that it runs within the process.
//!
//! So everything that holds between edges holds between workers: a track comes to each once, requests never go in a
//! circle, and what is published at one can be asked for at every other.

use crate::edge::Order;
use crate::link;
use crate::worker::Worker;
use meridian_relay::{Peer, Permissions, Role};
use meridian_session::session::{Options, Session, SessionError};
use meridian_session::transport::{InProcess, in_process};
use std::time::Duration;
use tokio::sync::mpsc;

/// The pause before a worker is joined again. Its link only ends if one end has broken the protocol.
const PAUSE: Duration = Duration::from_millis(100);

/// What a worker is called on root paths. No office's id has a slash.
pub(crate) fn name(office: &str, worker: usize) -> String {
    match worker {
        0 => office.to_owned(),
        _ => format!("{office}/{worker}"),
    }
}

/// Whether a session is one with another worker.
pub(crate) fn is_inner(session: &Session) -> bool {
    session.connection().is_in_process()
}

/// Keeps another worker joined below the first for as long as it takes orders.
pub(crate) async fn keep_joined(
    first: Worker,
    orders: mpsc::WeakSender<Order>,
    number: usize,
    office: Option<String>,
) {
    let name = office.map(|office| name(&office, number));
    while let Some(orders) = orders.upgrade() {
        let (near, far) = in_process();
        if orders.send(Order::Join(far)).await.is_err() {
            return;
        }
        let is_over = orders.clone().downgrade();
        drop(orders);
        let why = match below(near).await {
            Ok(session) => serve(first.clone(), session, Role::Child, name.clone()).await,
            Err(why) => why,
        };
        if is_over.upgrade().is_none_or(|orders| orders.is_closed()) {
            return;
        }
        tracing::error!(worker = number, %why, "a worker was cut off and is joined again");
        tokio::time::sleep(PAUSE).await;
    }
}

/// The first worker's end of a link.
async fn below(end: InProcess) -> Result<Session, SessionError> {
    Session::accept(end.connect().await?, Options::default()).await
}

/// The other worker's end.
pub(crate) async fn above(end: InProcess) -> Result<Session, SessionError> {
    Session::connect(end.connect().await?, Options::default()).await
}

/// Serves either end of a link until it ends.
pub(crate) async fn serve(
    worker: Worker,
    session: Session,
    role: Role,
    office: Option<String>,
) -> SessionError {
    let peer = Peer {
        draft: session.draft(),
        office,
        ..Peer::new(role, Permissions::default())
    };
    link::serve(worker, session, peer, None).await
}
