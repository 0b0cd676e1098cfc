//! What all tasks of the control plane's thread share, and the tasks that serve the others.

use crate::control::applying::{Applier, Ending};
use crate::control::attendant::Ask;
use crate::control::dialling::{Dialler, Replica};
use crate::control::figures::{Measured, Meter, Usage};
use crate::control::roster::{Cursor, Roster};
use crate::control::snapshot::SnapshotError;
use crate::control::status::Board;
use crate::draining::Draining;
use crate::sessions::{Change, OpenSession, Sessions, Why};
use meridian_proto::v1::edge_service_client::EdgeServiceClient;
use meridian_proto::v1::{
    EndReason, RegisterRequest, ReportRequest, ReportResponse, Session, Snapshot,
};
use meridian_session::transport::Transport;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tonic::transport::Channel;

/// How often the workers are asked for figures, and each how many times for talks: these take a look at every subscription.
const MEASURE_EVERY: Duration = Duration::from_secs(1);
const TALKS_EVERY: u32 = 5;
/// Ends in one answer that are carried out: more than an edge has sessions.
const MAX_ENDS: usize = 65_536;
/// Characters of a refusal that are told.
const MAX_REFUSED: usize = 300;

/// Shared by the tasks of one thread.
pub(super) struct Shared {
    pub(super) dialler: Dialler,
    pub(super) register: RegisterRequest,
    pub(super) sessions: Arc<Sessions>,
    pub(super) draining: Arc<Draining>,
    pub(super) worker: mpsc::Sender<Ask>,
    pub(super) board: Board,
    pub(super) applier: Mutex<Applier>,
    pub(super) roster: RefCell<Roster>,
    pub(super) measured: RefCell<Measured>,
    /// Replicas at which the edge is registered.
    pub(super) connected: watch::Sender<BTreeMap<Replica, EdgeServiceClient<Channel>>>,
}

impl Shared {
    pub(super) fn office(&self) -> &str {
        let edge = self.register.edge.as_ref();
        edge.map_or("", |edge| edge.office.as_str())
    }

    /// Follows a snapshot if it is good and new.
    pub(super) async fn offer(
        &self,
        snapshot: Snapshot,
    ) -> Result<Result<(), SnapshotError>, Ending> {
        self.applier.lock().await.offer(snapshot).await
    }

    /// The next report on a stream, and where it gets to.
    pub(super) fn report(&self, cursor: Cursor) -> (ReportRequest, Cursor) {
        let (delta, next) = self.roster.borrow().next(cursor);
        let Measured {
            load,
            neighbours,
            rtts,
            talks,
        } = self.measured.borrow().clone();
        let status = self.board.borrow();
        let refused = status.refused.iter().flat_map(|why| why.chars());
        let report = ReportRequest {
            office: self.office().to_owned(),
            instance: self.register.instance.clone(),
            load: Some(load),
            neighbours,
            rtts,
            opened: delta.opened.iter().map(session).collect(),
            closed: delta.closed,
            is_complete: delta.is_complete,
            talks,
            applied: status.version.map(Into::into),
            refused: refused.take(MAX_REFUSED).collect(),
            is_draining: self.draining.now().is_some(),
        };
        (report, next)
    }

    /// Does at once what a replica says.
    pub(super) fn carry_out(&self, orders: ReportResponse) {
        let mut by_reason: BTreeMap<i32, Vec<u64>> = BTreeMap::new();
        for end in orders.ends.into_iter().take(MAX_ENDS) {
            by_reason.entry(end.reason).or_default().push(end.number);
        }
        for (reason, numbers) in by_reason {
            let why = match EndReason::try_from(reason) {
                Ok(EndReason::Displaced) => Why::OpenedElsewhere,
                _ => Why::Operator,
            };
            tracing::info!(sessions = numbers.len(), ?why, "ended by the control plane");
            self.sessions.end(&numbers, why);
            self.board
                .send_modify(|status| status.ended += numbers.len() as u64);
        }
    }
}

/// Keeps the roster true, for ever.
pub(super) async fn follow_sessions(shared: Rc<Shared>) {
    let mut changes = shared.sessions.changes();
    loop {
        match changes.next().await {
            Change::Resync => shared.roster.borrow_mut().reset(shared.sessions.list()),
            change => shared.roster.borrow_mut().take(change),
        }
    }
}

/// Asks the workers for figures, as long as they run.
pub(super) async fn measure(shared: Rc<Shared>) {
    let mut meter = Meter::default();
    let mut ticks = tokio::time::interval(MEASURE_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for round in 0_u32.. {
        ticks.tick().await;
        let (answer, answered) = oneshot::channel();
        let ask = Ask::Figures(round.is_multiple_of(TALKS_EVERY), answer);
        if shared.worker.send(ask).await.is_err() {
            return;
        }
        let Ok(figures) = answered.await else {
            return;
        };
        let measured = meter.measure(figures, Usage::now(), Instant::now());
        shared.measured.replace(measured.clone());
    }
}

fn session(open: &OpenSession) -> Session {
    Session {
        number: open.number,
        meeting: open.holder.meeting.clone().unwrap_or_default(),
        participant: open.holder.participant.clone(),
        session: open.sid.clone().unwrap_or_default(),
        issued_at_s: open.issued_at,
        opened_at_us: open.opened_at,
        limit: open.limit,
        transport: match open.transport {
            Transport::Quic => "quic",
            Transport::WebTransport => "webtransport",
            Transport::Qmux => "websocket",
        }
        .to_owned(),
    }
}
