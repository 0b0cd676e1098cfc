//! A relay that lies: it registers as an edge and passes the floor on, but for the frames it was told to spoil.

use crate::plane::Plane;
use bytes::{BufMut as _, Bytes, BytesMut};
use meridian_proto::v1::edge_service_client::EdgeServiceClient;
use meridian_proto::v1::{Capacity, Edge, Load, RegisterRequest, ReportRequest};
use meridian_session::client::{Arrival, Event, Inlet, Object};
use meridian_session::endpoint::QuicSettings;
use meridian_session::session::{IncomingRequest, Options, Session};
use meridian_session::tls::{self, Identity};
use meridian_session::transport::{Connection, Incoming};
use meridian_wire::control::{RequestOk, SubscribeOk};
use meridian_wire::data::{ObjectHeader, ObjectStatus, SubgroupHeader, SubgroupId};
use meridian_wire::property::Properties;
use meridian_wire::{FullTrackName, LocationFilter, Message, Namespace, Parameters};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Certificate, Channel, ClientTlsConfig};

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    Lost,
    Doubled,
    Altered,
    /// By so much.
    Delayed(Duration),
}

/// For each listener the frame with this number, from 0, of those it is sent.
pub(crate) type Lies = &'static [(u64, Lie)];

/// What it does wrong.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    pub(crate) lies: Lies,
    /// Nothing of what this participant says is passed on.
    pub(crate) unheard: Option<&'static str>,
}

/// A frame of this publisher's.
type Said = (Namespace, Object);

/// A relay at work until it is dropped.
pub(crate) struct Liar {
    accepting: JoinHandle<()>,
    reporting: JoinHandle<()>,
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.accepting.abort();
        self.reporting.abort();
    }
}

impl Liar {
    /// Listens, and registers as this office's edge.
    pub(crate) async fn start(plane: &Plane, office: &str, faults: Faults) -> Liar {
        plane.sign(office);
        let file = |suffix: &str| plane.folder().join(format!("{office}{suffix}"));
        let identity = Identity::load(&file(".pem"), &file(".key")).expect("just made");
        let fingerprint = identity.fingerprint().expect("a certificate");
        let tls = tls::server(identity, tls::client_facing_protocols()).expect("good files");
        let settings = QuicSettings::client_side();
        let config = settings.server_config(tls).expect("TLS 1.3");
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let endpoint = settings.endpoint(any, Some(config)).expect("a free port");
        let address = endpoint.local_addr().expect("bound");
        let edge = Edge {
            office: office.to_owned(),
            client_address: address.to_string(),
            neighbour_address: "127.0.0.1:4444".to_owned(),
            certificate_sha256: fingerprint.0.to_vec().into(),
            ..Edge::default()
        };
        let reporting = register(plane, edge).await;
        let (floor, _) = broadcast::channel(1_024);
        let accepting = tokio::spawn(async move {
            while let Some(incoming) = endpoint.accept().await {
                tokio::spawn(serve(incoming, floor.clone(), faults));
            }
        });
        Liar {
            accepting,
            reporting,
        }
    }
}

/// As edges do: once, and then a report after the other.
async fn register(plane: &Plane, edge: Edge) -> JoinHandle<()> {
    let office = edge.office.clone();
    let read = |suffix: &str| fs::read(plane.folder().join(format!("{office}{suffix}")));
    let (certificate, key) = (read(".pem").expect("there"), read(".key").expect("there"));
    let ca = fs::read(plane.ca()).expect("it was written");
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(ca))
        .identity(tonic::transport::Identity::from_pem(certificate, key));
    let channel = Channel::from_shared(plane.url()).expect("a URL");
    let channel = channel.tls_config(tls).expect("good certificates");
    let mut client = EdgeServiceClient::new(channel.connect().await.expect("it listens"));
    let register = RegisterRequest {
        edge: Some(edge),
        instance: "liar-1".to_owned(),
        started_at_ms: 1_000,
        capacity: Some(Capacity {
            clients: 100,
            ..Capacity::default()
        }),
        software: "test".to_owned(),
    };
    client.register(register).await.expect("it may register");
    let report = move |is_complete| ReportRequest {
        office: office.clone(),
        instance: "liar-1".to_owned(),
        load: Some(Load::default()),
        is_complete,
        ..ReportRequest::default()
    };
    let (outlet, reports) = mpsc::channel(8);
    outlet.send(report(true)).await.expect("there is room");
    let orders = client.report(ReceiverStream::new(reports)).await;
    let orders = orders.expect("reports are taken");
    tokio::spawn(async move {
        let _orders = orders;
        let mut beat = tokio::time::interval(Duration::from_millis(200));
        while outlet.send(report(false)).await.is_ok() {
            beat.tick().await;
        }
    })
}

/// Somebody who publishes or listens.
async fn serve(incoming: quinn::Incoming, floor: broadcast::Sender<Said>, faults: Faults) {
    let session = async {
        let connection = incoming.await.ok()?;
        let connection = Incoming::read(connection).await.ok()?.accept().await.ok()?;
        Session::accept(connection, Options::default()).await.ok()
    };
    let Some(session) = session.await else { return };
    // Dropped, a request would be cancelled.
    let mut kept = Vec::new();
    while let Ok(request) = session.accept_request().await {
        match &request.message {
            Message::PublishNamespace(ask) => {
                let ok = Message::RequestOk(RequestOk::default());
                request.stream.send(&ok).expect("it waits for this");
                let namespace = ask.namespace.clone();
                let (session, floor) = (session.clone(), floor.clone());
                // An inlet stays on its thread.
                tokio::task::spawn_blocking(|| {
                    Handle::current().block_on(hear(session, namespace, floor));
                });
            }
            Message::Subscribe(ask) => {
                let asked = Asked {
                    namespace: ask.track.namespace.clone(),
                    alias: kept.len() as u64,
                };
                pass_on(&session, &request, asked, floor.subscribe(), faults);
            }
            _ => {}
        }
        kept.push(request);
    }
}

/// Takes what a speaker says.
async fn hear(session: Session, namespace: Namespace, floor: broadcast::Sender<Said>) {
    let mut inlet = Inlet::new(session);
    let track = FullTrackName::new(namespace.clone(), "audio").expect("short");
    let params = Parameters {
        location_filter: Some(LocationFilter::NextObject),
        ..Parameters::default()
    };
    inlet
        .subscribe(0, track, params)
        .await
        .expect("it is asked");
    loop {
        match inlet.next().await {
            Event::Arrival {
                arrival: Arrival::Object { object, .. },
                ..
            } => {
                // Nobody may be listening.
                let _ = floor.send((namespace.clone(), object));
            }
            Event::Ended(_) => return,
            _ => {}
        }
    }
}

/// A track that somebody wants to hear.
#[derive(Clone, Debug)]
struct Asked {
    namespace: Namespace,
    alias: u64,
}

fn pass_on(
    session: &Session,
    request: &IncomingRequest,
    asked: Asked,
    mut floor: broadcast::Receiver<Said>,
    faults: Faults,
) {
    let ok = Message::SubscribeOk(SubscribeOk {
        track_alias: asked.alias,
        params: Parameters::default(),
        properties: Properties::default(),
    });
    request.stream.send(&ok).expect("it waits for this");
    let connection = session.connection().clone();
    tokio::spawn(async move {
        let is_unheard = asked.is_of(faults.unheard);
        let mut number = 0;
        while let Ok((namespace, object)) = floor.recv().await {
            if is_unheard || namespace != asked.namespace {
                continue;
            }
            let lie = faults.lies.iter().find(|(of, _)| *of == number);
            tell(&connection, asked.alias, object, lie.map(|(_, lie)| *lie)).await;
            number += 1;
        }
    });
}

impl Asked {
    fn is_of(&self, participant: Option<&str>) -> bool {
        let mut parts = self.namespace.0.iter();
        participant.is_some_and(|one| parts.any(|part| part == one.as_bytes()))
    }
}

async fn tell(connection: &Connection, alias: u64, mut object: Object, lie: Option<Lie>) {
    match lie {
        None => send(connection, alias, &object).await,
        Some(Lie::Lost) => {}
        Some(Lie::Doubled) => {
            send(connection, alias, &object).await;
            send(connection, alias, &object).await;
        }
        Some(Lie::Altered) => {
            let mut payload = object.payload.to_vec();
            payload[77] ^= 4;
            object.payload = payload.into();
            send(connection, alias, &object).await;
        }
        Some(Lie::Delayed(by)) => {
            let connection = connection.clone();
            tokio::spawn(async move {
                tokio::time::sleep(by).await;
                send(&connection, alias, &object).await;
            });
        }
    }
}

/// On a stream of its own; whoever has gone misses nothing.
async fn send(connection: &Connection, alias: u64, object: &Object) {
    let mut bytes = encoded(alias, object);
    if let Ok(mut stream) = connection.open_uni().await {
        while !bytes.is_empty() && stream.write_chunk(&mut bytes).await.is_ok() {}
        let _ = stream.finish();
    }
}

fn encoded(track_alias: u64, object: &Object) -> Bytes {
    let mut out = BytesMut::new();
    SubgroupHeader {
        track_alias,
        group: object.group,
        subgroup: SubgroupId::Zero,
        priority: Some(16),
        has_properties: true,
        end_of_group: true,
        first_object: true,
    }
    .encode(&mut out);
    let header = ObjectHeader {
        id: object.object,
        properties: object.properties.0.clone(),
        payload_len: object.payload.len() as u64,
        status: ObjectStatus::Normal,
    };
    header.encode(None, true, &mut out);
    out.put_slice(&object.payload);
    out.freeze()
}
