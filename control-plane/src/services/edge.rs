//! EdgeService: edges register, report, and are told the snapshot.

use super::Answers;
use crate::caller;
use crate::plane::Plane;
use crate::records::{EdgeRecord, key};
use meridian_control_core::ids::Office;
use meridian_control_core::registry::Instance;
use meridian_proto::hex;
use meridian_proto::v1::edge_service_server::EdgeService;
use meridian_proto::v1::{
    GetSnapshotRequest, GetSnapshotResponse, RegisterRequest, RegisterResponse, ReportRequest,
    ReportResponse, Snapshot, WatchSnapshotRequest, WatchSnapshotResponse,
};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// The service.
pub struct Service(pub Arc<Plane>);

/// Orders that may wait for an edge: each names many sessions.
const ORDERS: usize = 16;
/// How long an edge that registers waits for its record to be written: it is let in all the same, and written later.
const WRITE: Duration = Duration::from_secs(2);

#[tonic::async_trait]
impl EdgeService for Service {
    async fn register(
        &self,
        request: Request<RegisterRequest>,
    ) -> Result<Response<RegisterResponse>, Status> {
        let plane = &self.0;
        let office = request
            .get_ref()
            .edge
            .as_ref()
            .map(|edge| edge.office.as_str());
        caller::is_edge(plane, &request, office.unwrap_or_default())?;
        let request = request.into_inner();
        let office = plane.desk().register(&request, Instant::now())?;
        tracing::info!(%office, instance = request.instance, "an edge has registered");
        let written = tokio::time::timeout(WRITE, write_down(plane, &office, &request));
        if !matches!(written.await, Ok(Ok(()))) {
            tracing::warn!(%office, "the store is away: the edge is known here alone for now");
        }
        let timing = &plane.config.timing;
        Ok(Response::new(RegisterResponse {
            lease_ms: timing.lease_ms,
            report_every_ms: timing.report_ms,
            snapshot: Some(snapshot(plane)),
        }))
    }

    type ReportStream = Answers<ReportResponse>;

    async fn report(
        &self,
        request: Request<Streaming<ReportRequest>>,
    ) -> Result<Response<Self::ReportStream>, Status> {
        let remote = request.extensions().clone();
        let mut reports = request.into_inner();
        let first = reports.message().await?;
        let first = first.ok_or_else(|| Status::invalid_argument("there was no report"))?;
        // Every report on the stream is of the one office that the certificate is for.
        let mut shown = Request::new(());
        *shown.extensions_mut() = remote;
        caller::is_edge(&self.0, &shown, &first.office)?;
        let office = Office::new(&first.office);
        let office = office.map_err(|error| Status::invalid_argument(error.to_string()))?;
        let (outlet, orders) = mpsc::channel(ORDERS);
        let (ended, end) = mpsc::channel(1);
        let stream = Stream {
            plane: self.0.clone(),
            office,
            outlet,
        };
        tokio::spawn(async move {
            if let Err(status) = stream.take(first, reports).await {
                // Nobody may be listening any more.
                let _ = ended.send(Err(status)).await;
            }
        });
        let orders = ReceiverStream::new(orders).map(Ok);
        let answers = orders.merge(ReceiverStream::new(end));
        Ok(Response::new(Box::pin(answers)))
    }

    async fn get_snapshot(
        &self,
        request: Request<GetSnapshotRequest>,
    ) -> Result<Response<GetSnapshotResponse>, Status> {
        caller::is_any_edge(&self.0, &request)?;
        let snapshot = Some(snapshot(&self.0));
        Ok(Response::new(GetSnapshotResponse { snapshot }))
    }

    type WatchSnapshotStream = Answers<WatchSnapshotResponse>;

    async fn watch_snapshot(
        &self,
        request: Request<WatchSnapshotRequest>,
    ) -> Result<Response<Self::WatchSnapshotStream>, Status> {
        caller::is_any_edge(&self.0, &request)?;
        let have = request.into_inner().have;
        let snapshots = tokio_stream::wrappers::WatchStream::new(self.0.snapshot.subscribe());
        let is_new =
            move |snapshot: &Arc<Snapshot>| snapshot.version.is_some() && snapshot.version != have;
        let answers = snapshots.filter(is_new).map(|snapshot| {
            let snapshot = Some(Arc::unwrap_or_clone(snapshot));
            Ok(WatchSnapshotResponse { snapshot })
        });
        Ok(Response::new(Box::pin(answers)))
    }
}

/// One edge's reports.
struct Stream {
    plane: Arc<Plane>,
    office: Office,
    outlet: mpsc::Sender<ReportResponse>,
}

impl Stream {
    /// Takes reports until the stream ends.
    async fn take(
        &self,
        first: ReportRequest,
        mut reports: Streaming<ReportRequest>,
    ) -> Result<(), Status> {
        let instance = self.plane.desk().instance(&self.office, &first.instance)?;
        self.plane
            .desk()
            .open_outlet(&self.office, self.outlet.clone());
        let taken = self.take_all(first, &mut reports, &instance).await;
        let mut desk = self.plane.desk();
        desk.stream_lost(&self.office, &instance, &self.outlet, Instant::now());
        taken
    }

    async fn take_all(
        &self,
        first: ReportRequest,
        reports: &mut Streaming<ReportRequest>,
        instance: &Instance,
    ) -> Result<(), Status> {
        let mut stop = self.plane.stopping.subscribe();
        let mut next = Some(first);
        while let Some(report) = next {
            if report.office != self.office.as_str() || report.instance != instance.name {
                return Err(Status::invalid_argument(
                    "a stream is of one run of one edge",
                ));
            }
            if !report.refused.is_empty() {
                self.plane.counters.snapshots_refused.add();
                tracing::error!(office = %self.office, why = report.refused, "an edge refuses the snapshot");
            }
            let ends = self.plane.desk().report(report, instance, Instant::now())?;
            self.plane.send_ends(ends);
            next = tokio::select! {
                next = reports.message() => next?,
                _ = stop.wait_for(|stop| *stop) => return Err(super::ending::stopping()),
            };
        }
        Ok(())
    }
}

/// Registers edges again at the store that came while it was away.
pub async fn keep_watch(plane: Arc<Plane>) {
    let mut rounds = tokio::time::interval(WRITE);
    loop {
        rounds.tick().await;
        if plane.mirror.stale_since().is_some() {
            continue;
        }
        let unwritten = plane.desk().unwritten();
        for (office, record) in unwritten {
            if plane
                .record::<EdgeRecord>(&key::edge(office.as_str()))
                .as_ref()
                == Some(&record)
            {
                plane.desk().written(&office, &record);
            } else if let Err(status) = put(&plane, &office, record).await {
                tracing::warn!(%office, "not written yet: {}", status.message());
            }
        }
    }
}

async fn write_down(
    plane: &Plane,
    office: &Office,
    request: &RegisterRequest,
) -> Result<(), Status> {
    let edge = request.edge.clone().unwrap_or_default();
    let capacity = request.capacity.unwrap_or_default();
    let record = EdgeRecord {
        certificate_sha256: hex::to_text(&edge.certificate_sha256),
        failure_domain: match edge.failure_domain.is_empty() {
            true => edge.office,
            false => edge.failure_domain,
        },
        neighbour_address: edge.neighbour_address,
        client_address: edge.client_address,
        children: capacity.children,
        bits_per_second: capacity.bits_per_second,
    };
    plane.desk().to_write(office, record.clone());
    put(plane, office, record).await
}

async fn put(plane: &Plane, office: &Office, record: EdgeRecord) -> Result<(), Status> {
    let key = key::edge(office.as_str());
    let decide = |decision: &mut crate::decision::Decision<'_>| {
        if decision.read::<EdgeRecord>(&key).as_ref() != Some(&record) {
            decision.put(key.clone(), &record);
        }
        Ok(())
    };
    plane.change(decide).await?;
    plane.desk().written(office, &record);
    Ok(())
}

fn snapshot(plane: &Plane) -> Snapshot {
    Snapshot::clone(&plane.snapshot.borrow())
}
