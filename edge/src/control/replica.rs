//! One replica: register, report, do what it says; again and again.

use crate::control::backoff::{Backoff, varied};
use crate::control::dialling::Replica;
use crate::control::link::Shared;
use crate::control::roster::Cursor;
use meridian_proto::v1::edge_service_client::EdgeServiceClient;
use meridian_proto::v1::{RegisterResponse, ReportRequest};
use rand::RngExt;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(5);
/// How often to report if a replica asks for less than is sensible, or more.
const REPORT_AT_MOST: Duration = Duration::from_millis(100);
const REPORT_AT_LEAST: Duration = Duration::from_secs(60);
/// How rustls begins to tell of an alert (RFC 8446 §6).
const ALERT: &str = "received fatal alert: ";

/// Why a replica is let go for a while.
#[derive(Debug, thiserror::Error)]
enum Lost {
    /// It cannot be reached.
    #[error("{0:#}")]
    Unreachable(anyhow::Error),
    /// Only people can mend it.
    #[error("it refuses this edge: {0}")]
    Refused(String),
    /// It does not know this run of the edge any more.
    #[error("{}", .0.message())]
    Forgotten(Status),
    /// Something else.
    #[error("{0}")]
    Failed(Status),
    /// It says nothing.
    #[error("it does not answer")]
    Silent,
    /// It has ended the stream.
    #[error("it has ended the stream")]
    Ended,
}

impl From<Status> for Lost {
    fn from(status: Status) -> Lost {
        let is_final = matches!(
            status.code(),
            Code::PermissionDenied
                | Code::Unauthenticated
                | Code::InvalidArgument
                | Code::Unimplemented
        );
        match alert(&status) {
            Some(alert) => Lost::Refused(not_accepted(&alert)),
            None if is_final => Lost::Refused(status.message().to_owned()),
            None if status.code() == Code::FailedPrecondition => Lost::Forgotten(status),
            None => Lost::Failed(status),
        }
    }
}

/// Is registered at a replica whenever that can be, for as long as it is polled.
pub(super) async fn keep(shared: Rc<Shared>, replica: Replica) {
    let mut backoff = Backoff::default();
    let mut said = String::new();
    loop {
        let lost = serve(&shared, &replica, &mut backoff).await;
        let (dice, text) = (rand::rng().random(), lost.to_string());
        // The same again is no news.
        if said != text {
            tracing::warn!(address = %replica.address, "control plane: {text}");
            said.clone_from(&text);
        }
        let pause = match lost {
            Lost::Refused(why) => {
                shared
                    .board
                    .send_modify(|status| status.turned_away = Some(why));
                backoff.refused(dice)
            }
            _ => backoff.next(dice),
        };
        tokio::time::sleep(pause).await;
    }
}

async fn serve(shared: &Rc<Shared>, replica: &Replica, backoff: &mut Backoff) -> Lost {
    let mut client = match shared.dialler.dial(replica).await {
        Ok(client) => client,
        Err(error) => {
            return match alert(error.as_ref()) {
                Some(alert) => Lost::Refused(not_accepted(&alert)),
                None => Lost::Unreachable(error),
            };
        }
    };
    loop {
        let lost = match register(shared, &mut client).await {
            Ok(every) => report(shared, replica, &mut client, every, backoff).await,
            // Registering did not help: another has the office, or this one is not to be there.
            Err(Lost::Forgotten(status)) => return Lost::Refused(status.message().to_owned()),
            Err(lost) => return lost,
        };
        match lost {
            Lost::Forgotten(status) => {
                tracing::info!(address = %replica.address, "registering afresh: {}", status.message());
                tokio::time::sleep(backoff.next(rand::rng().random())).await;
            }
            lost => return lost,
        }
    }
}

/// How often to report.
async fn register(
    shared: &Shared,
    client: &mut EdgeServiceClient<Channel>,
) -> Result<Duration, Lost> {
    let answer = timeout(ANSWER, client.register(shared.register.clone()));
    let answer = answer.await.map_err(|_| Lost::Silent)??;
    let RegisterResponse {
        report_every_ms,
        snapshot,
        ..
    } = answer.into_inner();
    if let Some(snapshot) = snapshot.filter(|snapshot| snapshot.version.is_some()) {
        let (in_use, fresh) = (shared.applier.lock().await.version(), snapshot.version);
        // A replica may be a moment behind; whether it stays so is for the watch to see.
        let is_behind =
            in_use.is_some_and(|in_use| fresh.is_some_and(|fresh| in_use > fresh.into()));
        if !is_behind && shared.offer(snapshot).await.is_err() {
            return Err(Lost::Ended);
        }
    }
    let every = Duration::from_millis(report_every_ms.into());
    Ok(every.clamp(REPORT_AT_MOST, REPORT_AT_LEAST))
}

/// Reports until the stream ends.
async fn report(
    shared: &Rc<Shared>,
    replica: &Replica,
    client: &mut EdgeServiceClient<Channel>,
    every: Duration,
    backoff: &mut Backoff,
) -> Lost {
    // One report waits at most: a later one says more.
    let (reports, stream) = mpsc::channel(1);
    let (first, cursor) = shared.report(Cursor::Fresh);
    if reports.try_send(first).is_err() {
        return Lost::Ended;
    }
    let opened = timeout(ANSWER, client.report(ReceiverStream::new(stream))).await;
    let orders = match opened {
        Ok(Ok(orders)) => orders.into_inner(),
        Ok(Err(status)) => return status.into(),
        Err(_) => return Lost::Silent,
    };
    tracing::info!(address = %replica.address, "registered at the control plane");
    backoff.reset();
    let _connected = Connected::new(shared, replica, client);
    tokio::select! {
        lost = tell(shared, reports, cursor, every) => lost,
        lost = obey(shared, orders) => lost,
    }
}

fn not_accepted(alert: &str) -> String {
    format!(
        "the control plane does not accept the certificate in [neighbour_tls] (TLS alert {alert}); it has to be signed by the authority in its [edges] ca"
    )
}

/// What the other end's TLS says against this one, if that is why a call failed. HTTP/2 has made a text of it by then.
fn alert(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let text = error.to_string();
        if let Some((_, alert)) = text.split_once(ALERT) {
            return Some(alert.chars().take(40).collect());
        }
        cause = error.source();
    }
    None
}

async fn tell(
    shared: &Shared,
    reports: mpsc::Sender<ReportRequest>,
    mut cursor: Cursor,
    every: Duration,
) -> Lost {
    loop {
        // The rest of a long list is not held back.
        if matches!(cursor, Cursor::At(_)) {
            tokio::time::sleep(varied(every, rand::rng().random())).await;
        }
        let Ok(place) = reports.reserve().await else {
            // What became of the stream is heard at its other end.
            return std::future::pending().await;
        };
        let (report, next) = shared.report(cursor);
        place.send(report);
        cursor = next;
    }
}

async fn obey(shared: &Shared, mut orders: Streaming<meridian_proto::v1::ReportResponse>) -> Lost {
    loop {
        match orders.message().await {
            Ok(Some(order)) => shared.carry_out(order),
            Ok(None) => return Lost::Ended,
            Err(status) => return status.into(),
        }
    }
}

/// A replica can be asked for as long as this lives.
struct Connected {
    shared: Rc<Shared>,
    replica: Replica,
}

impl Connected {
    fn new(
        shared: &Rc<Shared>,
        replica: &Replica,
        client: &EdgeServiceClient<Channel>,
    ) -> Connected {
        shared.board.send_modify(super::status::Status::one_more);
        shared.connected.send_modify(|connected| {
            connected.insert(replica.clone(), client.clone());
        });
        Connected {
            shared: shared.clone(),
            replica: replica.clone(),
        }
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.shared
            .board
            .send_modify(|status| status.one_less(Instant::now()));
        self.shared.connected.send_modify(|connected| {
            connected.remove(&self.replica);
        });
    }
}
