//! A control plane's replica that says what a test wants said, and tells what it heard. Real gRPC, real mTLS.

#![allow(dead_code, reason = "each test file uses its part")]

use crate::offices::Authority;
use meridian_proto::v1::edge_service_server::{EdgeService, EdgeServiceServer};
use meridian_proto::v1::{
    GetSnapshotRequest, GetSnapshotResponse, RegisterRequest, RegisterResponse, ReportRequest,
    ReportResponse, Snapshot, WatchSnapshotRequest, WatchSnapshotResponse,
};
use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status, Streaming};

/// What a replica heard.
#[derive(Debug)]
pub(crate) enum Heard {
    Registered(RegisterRequest),
    Reported(Box<ReportRequest>),
    Watched,
}

/// A replica on a thread of its own. Dropped, it is gone from one moment to the next.
pub(crate) struct Replica {
    pub(crate) address: SocketAddr,
    heard: mpsc::UnboundedReceiver<Heard>,
    service: Arc<Service>,
    freezes: mpsc::UnboundedSender<std::sync::mpsc::Receiver<()>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// A replica does nothing for as long as this lives.
pub(crate) struct Frozen(#[expect(dead_code)] std::sync::mpsc::Sender<()>);

struct Service {
    snapshot: watch::Sender<Snapshot>,
    registered: Mutex<BTreeSet<String>>,
    orders: Mutex<Vec<mpsc::Sender<Result<ReportResponse, Status>>>>,
    refusal: Mutex<Option<Status>>,
    heard: mpsc::UnboundedSender<Heard>,
}

impl Replica {
    /// At an address the system chooses.
    pub(crate) fn start(authority: &Authority, snapshot: Snapshot) -> Replica {
        Replica::start_at(
            authority,
            "127.0.0.1:0".parse().expect("an address"),
            snapshot,
        )
    }

    pub(crate) fn start_at(
        authority: &Authority,
        address: SocketAddr,
        snapshot: Snapshot,
    ) -> Replica {
        let (certificate, key) = authority.issue("control-plane");
        let ca = fs::read(authority.folder().join("ca.pem")).expect("it was written");
        let tls = ServerTlsConfig::new()
            .identity(Identity::from_pem(certificate, key))
            .client_ca_root(Certificate::from_pem(ca));
        let (told, heard) = mpsc::unbounded_channel();
        let service = Arc::new(Service {
            snapshot: watch::Sender::new(snapshot),
            registered: Mutex::default(),
            orders: Mutex::default(),
            refusal: Mutex::default(),
            heard: told,
        });
        let listener = std::net::TcpListener::bind(address).expect("a free port");
        listener.set_nonblocking(true).expect("it can be");
        let address = listener.local_addr().expect("it is bound");
        let (freezes, mut frozen) = mpsc::unbounded_channel::<std::sync::mpsc::Receiver<()>>();
        let (stop, stopped) = oneshot::channel();
        let serves = service.clone();
        let thread = thread::spawn(move || {
            crate::common::block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                let mut server = Server::builder().tls_config(tls).expect("TLS settings");
                let server = server.add_service(EdgeServiceServer::from_arc(serves));
                let freeze = async {
                    while let Some(until) = frozen.recv().await {
                        // Nothing runs on this thread meanwhile.
                        let _ = until.recv();
                    }
                };
                tokio::select! {
                    served = server.serve_with_incoming(TcpIncoming::from(listener)) => served.expect("it serves"),
                    () = freeze => {}
                    _ = stopped => {}
                }
            });
        });
        Replica {
            address,
            heard,
            service,
            freezes,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Tells everybody from now on.
    pub(crate) fn publish(&self, snapshot: Snapshot) {
        self.service.snapshot.send_replace(snapshot);
    }

    /// Refuses to register edges from now on, or does not.
    pub(crate) fn refuse(&self, refusal: Option<Status>) {
        *self.service.refusal.lock().expect("no panic") = refusal;
    }

    /// Has lost all it knew of edges, and tells those that report.
    pub(crate) fn forget(&self) {
        self.service.registered.lock().expect("no panic").clear();
        for stream in self.service.orders.lock().expect("no panic").drain(..) {
            // It may be gone.
            let _ = stream.try_send(Err(Status::failed_precondition("not registered here")));
        }
    }

    /// Says this on all report streams.
    pub(crate) fn order(&self, order: &ReportResponse) {
        let orders = self.service.orders.lock().expect("no panic");
        for stream in orders.iter() {
            // It may be gone.
            let _ = stream.try_send(Ok(order.clone()));
        }
    }

    pub(crate) fn freeze(&self) -> Frozen {
        let (thaw, until) = std::sync::mpsc::channel();
        self.freezes.send(until).expect("it runs");
        Frozen(thaw)
    }

    /// What it heard next of which `right` makes something.
    pub(crate) async fn hears<R>(&mut self, right: impl Fn(Heard) -> Option<R>) -> R {
        loop {
            let heard = self.heard.recv().await.expect("it runs");
            if let Some(result) = right(heard) {
                return result;
            }
        }
    }

    pub(crate) async fn registers(&mut self) -> RegisterRequest {
        let registered = |heard| match heard {
            Heard::Registered(request) => Some(request),
            _ => None,
        };
        self.hears(registered).await
    }

    /// The next report for which `right` is true.
    pub(crate) async fn is_told(
        &mut self,
        right: impl Fn(&ReportRequest) -> bool,
    ) -> ReportRequest {
        let report = |heard| match heard {
            Heard::Reported(report) if right(&report) => Some(*report),
            _ => None,
        };
        self.hears(report).await
    }

    pub(crate) async fn is_watched(&mut self) {
        let watched = |heard| matches!(heard, Heard::Watched).then_some(());
        self.hears(watched).await;
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        let _ = self.stop.take().map(|stop| stop.send(()));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

type Answers<T> = std::pin::Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl EdgeService for Service {
    async fn register(
        &self,
        request: Request<RegisterRequest>,
    ) -> Result<Response<RegisterResponse>, Status> {
        let request = request.into_inner();
        let mut registered = self.registered.lock().expect("no panic");
        registered.insert(request.instance.clone());
        self.tell(Heard::Registered(request));
        match &*self.refusal.lock().expect("no panic") {
            Some(refusal) => Err(refusal.clone()),
            None => Ok(Response::new(RegisterResponse {
                lease_ms: 3_000,
                report_every_ms: 100,
                snapshot: Some(self.snapshot.borrow().clone()),
            })),
        }
    }

    type ReportStream = Answers<ReportResponse>;

    async fn report(
        &self,
        request: Request<Streaming<ReportRequest>>,
    ) -> Result<Response<Self::ReportStream>, Status> {
        let mut reports = request.into_inner();
        let first = reports.message().await?.expect("a report");
        self.check(&first)?;
        let (orders, stream) = mpsc::channel(16);
        self.orders.lock().expect("no panic").push(orders);
        self.tell(Heard::Reported(Box::new(first)));
        let told = self.heard.clone();
        tokio::spawn(async move {
            while let Ok(Some(report)) = reports.message().await {
                // The test may be over.
                let _ = told.send(Heard::Reported(Box::new(report)));
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    async fn get_snapshot(
        &self,
        _request: Request<GetSnapshotRequest>,
    ) -> Result<Response<GetSnapshotResponse>, Status> {
        let snapshot = Some(self.snapshot.borrow().clone());
        Ok(Response::new(GetSnapshotResponse { snapshot }))
    }

    type WatchSnapshotStream = Answers<WatchSnapshotResponse>;

    async fn watch_snapshot(
        &self,
        request: Request<WatchSnapshotRequest>,
    ) -> Result<Response<Self::WatchSnapshotStream>, Status> {
        let have = request.into_inner().have;
        self.tell(Heard::Watched);
        let mut snapshots = self.snapshot.subscribe();
        let (answers, stream) = mpsc::channel(1);
        tokio::spawn(async move {
            loop {
                let snapshot = snapshots.borrow_and_update().clone();
                if snapshot.version != have {
                    let snapshot = Some(snapshot);
                    let answer = Ok(WatchSnapshotResponse { snapshot });
                    if answers.send(answer).await.is_err() {
                        return;
                    }
                }
                tokio::select! {
                    changed = snapshots.changed() => if changed.is_err() {
                        return;
                    },
                    () = answers.closed() => return,
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }
}

impl Service {
    fn check(&self, report: &ReportRequest) -> Result<(), Status> {
        let registered = self.registered.lock().expect("no panic");
        match registered.contains(&report.instance) {
            true => Ok(()),
            false => Err(Status::failed_precondition("not registered here")),
        }
    }

    fn tell(&self, heard: Heard) {
        // The test may be over.
        let _ = self.heard.send(heard);
    }
}
