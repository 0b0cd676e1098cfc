//! Links that other edges dial: who is expected is let in, by the name in its certificate.

use crate::neighbours::credentials::is_of;
use crate::neighbours::dialling::DIAL;
use crate::neighbours::link::{self, Kind};
use crate::neighbours::{COME_IN, Inner};
use anyhow::bail;
use meridian_session::session::{Options, Session};
use meridian_session::transport::Incoming;
use meridian_wire::TerminationCode;
use std::rc::Rc;

/// Handshakes in progress beyond which nobody is let in: there are not so many offices.
const MAX_HANDSHAKES: usize = 128;
const STRANGER: &str = "not a neighbour of this edge";

/// Lets neighbours in for as long as the edge runs.
pub(super) async fn take_connections(inner: Rc<Inner>, endpoint: quinn::Endpoint) {
    while let Some(incoming) = endpoint.accept().await {
        if inner.handshakes.get() >= MAX_HANDSHAKES {
            incoming.refuse();
            continue;
        }
        let inner = inner.clone();
        tokio::task::spawn_local(async move {
            inner.handshakes.update(|handshakes| handshakes + 1);
            let welcomed = tokio::time::timeout(DIAL, welcome(&inner, incoming)).await;
            inner.handshakes.update(|handshakes| handshakes - 1);
            match welcomed {
                Ok(Ok((session, office, kind))) => attend(&inner, session, &office, kind).await,
                Ok(Err(error)) => tracing::warn!("a neighbour was not let in: {error:#}"),
                Err(_) => tracing::debug!("a neighbour's handshake took too long"),
            }
        });
    }
}

async fn welcome(
    inner: &Rc<Inner>,
    incoming: quinn::Incoming,
) -> anyhow::Result<(Session, String, Kind)> {
    let connection = incoming.await?;
    let connection = Incoming::read(connection).await?.accept().await?;
    let Some(office) = inner.recognise(|office| is_of(&connection, office)) else {
        connection.close(TerminationCode::UNAUTHORIZED, STRANGER);
        bail!("its certificate names none of the neighbours");
    };
    let session = Session::accept(connection, Options::default()).await?;
    let claimed = Kind::claimed(session.peer_setup().path.as_deref());
    let Some(kind) = inner.expects(&office, claimed) else {
        session.close(TerminationCode::UNAUTHORIZED, STRANGER);
        bail!("{office} comes as something else than it is here: {claimed:?}");
    };
    Ok((session, office, kind))
}

/// Serves a link until it ends, or is not wanted any more.
async fn attend(inner: &Rc<Inner>, session: Session, office: &str, kind: Kind) {
    let Some(wish) = inner.expected_wish(office, kind) else {
        // It was taken off the list during the handshake.
        return session.close(TerminationCode::UNAUTHORIZED, STRANGER);
    };
    link::serve(inner, session, (office, COME_IN), wish).await;
}
