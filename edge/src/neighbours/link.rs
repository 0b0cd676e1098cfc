//! One link to a neighbour, from the moment its session is there: its role, its silence, and how it is let go.

use crate::link;
use crate::neighbours::{Inner, Number};
use meridian_relay::{Peer, Permissions, Role};
use meridian_session::session::Session;
use meridian_session::transport::Connection;
use meridian_wire::TerminationCode;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Silence after which a neighbour is gone. A vanished host sends no word of it.
const SILENCE: Duration = Duration::from_millis(500);
/// How often silence is looked for, and whether a link that is let go still carries something.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long a link that is let go may carry on: others have been asked by then for what came over it, a few round trips
/// of the longest path, and who took tracks over it has found another way.
pub(super) const CARRY_ON: Duration = Duration::from_secs(3);

/// What a link is, as both ends see it from their side. It is said by who dials, in SETUP's path, and does not change while
/// the link lasts: a parent's other end does not see whether it is the first or the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// To a parent or backup parent.
    Above,
    /// To a child.
    Below,
    /// Between two regions.
    Beside,
}

impl Kind {
    pub(super) fn of(role: Role) -> Kind {
        match role {
            Role::Parent | Role::BackupParent => Kind::Above,
            Role::Child | Role::Client => Kind::Below,
            Role::Shortcut => Kind::Beside,
        }
    }

    /// What who dials says of itself. Nobody dials a child.
    pub(super) fn path(self) -> Option<&'static str> {
        match self {
            Kind::Above => Some("/child"),
            Kind::Beside => Some("/shortcut"),
            Kind::Below => None,
        }
    }

    /// What a neighbour that has dialled in is here. `None`: it has not said.
    pub(super) fn claimed(path: Option<&[u8]>) -> Option<Kind> {
        match path {
            Some(b"/child") => Some(Kind::Below),
            Some(b"/shortcut") => Some(Kind::Beside),
            _ => None,
        }
    }
}

/// What is wanted of a link now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) role: Role,
    /// It is to be let go.
    pub(super) leaves: bool,
}

/// Waits until a link is to be let go.
pub(super) async fn let_go(wish: &mut watch::Receiver<Wish>) {
    // Who wished is gone: so is the link's reason.
    let _ = wish.wait_for(|wish| wish.leaves).await;
}

/// Serves a link until it ends, falls silent or is let go.
pub(super) async fn serve(
    inner: &Rc<Inner>,
    session: Session,
    (office, number): (&str, Number),
    mut wish: watch::Receiver<Wish>,
) {
    let role = wish.borrow_and_update().role;
    tracing::info!(office, ?role, draft = ?session.draft(), "neighbour");
    let connection = session.connection().clone();
    let peer = Peer {
        draft: session.draft(),
        office: Some(office.to_owned()),
        ..Peer::new(role, Permissions::default())
    };
    let worker = &inner.worker;
    let joined = link::join(worker, &session, peer);
    let id = joined.id();
    worker.look(|state| {
        state
            .stats
            .neighbour_came(id, office, role, connection.clone())
    });
    let _up = inner.up(office, Kind::of(role), number);
    tokio::select! {
        error = joined.serve(None) => tracing::warn!(office, %error, "neighbour lost"),
        () = silence(&connection) => {
            session.close(TerminationCode::NO_ERROR, "silent for too long");
            tracing::warn!(office, "neighbour silent");
        }
        () = follow(inner, id, wish) => {
            session.close(TerminationCode::NO_ERROR, "no neighbour any more");
            tracing::info!(office, "neighbour let go");
        }
    }
    worker.look(|state| state.stats.neighbour_left(id));
}

/// Does with a link what is wished, until it may be closed.
async fn follow(inner: &Rc<Inner>, id: meridian_relay::SessionId, mut wish: watch::Receiver<Wish>) {
    loop {
        let Wish { role, leaves } = *wish.borrow_and_update();
        let now = Instant::now();
        if leaves {
            inner.worker.relay(|relay| relay.dismiss(id, CARRY_ON, now));
            return carried_on(inner, id).await;
        }
        inner.worker.state(|state| {
            state.relay.set_role(id, role, now);
            state.stats.neighbour_is(id, role);
        });
        if wish.changed().await.is_err() {
            return;
        }
    }
}

/// Waits until a link that is let go carries nothing any more, or has for long enough.
async fn carried_on(inner: &Rc<Inner>, id: meridian_relay::SessionId) {
    let since = Instant::now();
    // What is being asked of others is still carried here: the first look is not before their answer can have come.
    while since.elapsed() < CARRY_ON {
        tokio::time::sleep(LOOK_EVERY).await;
        if !inner.worker.look(|state| state.relay.carries(id)) {
            return;
        }
    }
}

/// Waits until nothing has come for too long. Both ends keep the link alive, so silence means that it is gone.
async fn silence(connection: &Connection) {
    let mut packets = connection.stats().udp_received_datagrams;
    let mut heard = Instant::now();
    while heard.elapsed() < SILENCE {
        tokio::time::sleep(LOOK_EVERY).await;
        let now = connection.stats().udp_received_datagrams;
        if now != packets {
            (packets, heard) = (now, Instant::now());
        }
    }
}
