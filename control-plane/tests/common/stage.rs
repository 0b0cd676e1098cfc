//! A replica over a store of its own, certificates, and callers of every kind.

use super::etcd::Cluster;
use meridian_control_core::registry::State;
use meridian_control_plane::config::{self, Config};
use meridian_control_plane::plane::Clock;
use meridian_control_plane::records::{EdgeRecord, key};
use meridian_control_plane::start::{self, Replica};
use meridian_control_plane::tokens::Access;
use meridian_proto::v1::edge_service_client::EdgeServiceClient;
use meridian_proto::v1::join_service_client::JoinServiceClient;
use meridian_proto::v1::meeting_service_client::MeetingServiceClient;
use meridian_proto::v1::ops_service_client::OpsServiceClient;
use meridian_proto::v1::*;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};
use tonic::{Request, Streaming};

/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A replica, and what its callers need.
pub struct Stage {
    pub replica: Replica,
    pub authority: Authority,
    pub folder: TempDir,
}

impl Stage {
    /// Over a fresh embedded store.
    pub async fn set() -> Stage {
        Stage::set_with(|_| {}).await
    }

    /// One of several replicas over an etcd cluster, its clock ahead by so much.
    pub async fn set_over(
        cluster: &Cluster,
        ahead_s: i64,
        change: impl FnOnce(&mut Config),
    ) -> Stage {
        let endpoints = cluster.config().endpoints;
        let over_etcd = |config: &mut Config| {
            config.store = config::StoreConfig {
                embedded: None,
                etcd: Some(config::Etcd {
                    endpoints,
                    ca: None,
                    identity: None,
                    user: None,
                    password_file: None,
                }),
            };
            change(config);
        };
        Stage::set_at(Clock { ahead_s }, over_etcd).await
    }

    /// The same as [`Stage::set`], with another configuration.
    pub async fn set_with(change: impl FnOnce(&mut Config)) -> Stage {
        Stage::set_at(Clock::default(), change).await
    }

    async fn set_at(clock: Clock, change: impl FnOnce(&mut Config)) -> Stage {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = tempfile::tempdir().expect("there is room");
        let authority = Authority::new();
        let mut config = config(&folder, &authority);
        change(&mut config);
        let plane = start::plane(config, clock).await;
        let plane = plane.expect("the store opens");
        let replica = Replica::start(plane).await.expect("it starts");
        Stage {
            replica,
            authority,
            folder,
        }
    }

    /// A connection, with a client certificate if there is one.
    pub async fn channel(&self, identity: Option<Identity>) -> Channel {
        self.try_channel(identity).await.expect("it listens")
    }

    /// The same, which may be refused.
    pub async fn try_channel(
        &self,
        identity: Option<Identity>,
    ) -> Result<Channel, tonic::transport::Error> {
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(self.authority.pem()))
            .domain_name("localhost");
        let tls = match identity {
            Some(identity) => tls.identity(identity),
            None => tls,
        };
        let url = format!("https://{}", self.replica.address());
        let endpoint = Channel::from_shared(url).expect("a URL");
        let endpoint = endpoint.tls_config(tls).expect("good certificates");
        endpoint.connect().await
    }

    /// A token of an operator, or of an organiser of these offices.
    pub fn access(&self, offices: &[&str]) -> String {
        let access = Access {
            sub: "tester".into(),
            operator: offices.is_empty(),
            offices: offices.iter().map(|office| office.to_string()).collect(),
            generation: 0,
            exp: 4_000_000_000,
        };
        let signed = self.replica.plane().rings().access.sign(&access);
        signed.expect("the keys are good")
    }

    pub async fn join(&self) -> JoinServiceClient<Channel> {
        JoinServiceClient::new(self.channel(None).await)
    }

    pub async fn meetings(&self) -> MeetingServiceClient<Channel> {
        MeetingServiceClient::new(self.channel(None).await)
    }

    pub async fn ops(&self) -> OpsServiceClient<Channel> {
        OpsServiceClient::new(self.channel(None).await)
    }

    /// A call in an operator's name.
    pub fn by_operator<T>(&self, message: T) -> Request<T> {
        with_token(message, &self.access(&[]))
    }

    /// An edge that has registered and reported once.
    pub async fn edge(&self, office: &str, places: u32) -> Edge {
        let identity = self.authority.identity(office);
        let client = EdgeServiceClient::new(self.channel(Some(identity)).await);
        let mut edge = Edge {
            client,
            office: office.to_owned(),
            instance: format!("{office}-1"),
            outlet: None,
            orders: None,
        };
        edge.register(places).await.expect("it may register");
        edge.report(ReportRequest {
            is_complete: true,
            ..edge.said()
        })
        .await;
        edge
    }

    /// The same, once its report was taken: delegates can go there.
    pub async fn open_edge(&self, office: &str, places: u32) -> Edge {
        let edge = self.edge(office, places).await;
        let plane = self.replica.plane();
        until("the edge is open", || {
            let sites = plane.desk().sites();
            let mut open = sites.iter().filter(|site| site.state == State::Alive);
            let is_known = plane.record::<EdgeRecord>(&key::edge(office)).is_some();
            is_known && open.any(|site| site.office.as_str() == office)
        })
        .await;
        edge
    }

    /// A meeting of Geneva's without anybody, for edges of one country alone.
    pub async fn meeting_in(&self, id: &str, country: &str) {
        let meeting = Some(Meeting {
            id: id.into(),
            title: "A meeting".into(),
            office: "geneva".into(),
            countries: vec![country.into()],
            ..Meeting::default()
        });
        let create = self.by_operator(CreateMeetingRequest { meeting });
        let created = self.meetings().await.create_meeting(create).await;
        created.expect("it can be made");
    }

    /// A meeting of Geneva's with one delegate from each of these countries, named `p-1` and so on.
    pub async fn meeting(&self, id: &str, countries: &[&str]) -> Vec<Invitation> {
        let mut meetings = self.meetings().await;
        let meeting = Meeting {
            id: id.into(),
            title: "A meeting".into(),
            office: "geneva".into(),
            ..Meeting::default()
        };
        let create = CreateMeetingRequest {
            meeting: Some(meeting),
        };
        let created = meetings.create_meeting(self.by_operator(create)).await;
        created.expect("it can be made");
        let delegates = countries.iter().zip(1..).map(|(country, n)| Delegate {
            id: format!("p-{n}"),
            name: format!("Person {n}"),
            delegation: country.to_string(),
            role: Role::Delegate.into(),
            country: country.to_string(),
            ..Delegate::default()
        });
        let import = ImportDelegatesRequest {
            meeting: id.into(),
            delegates: delegates.collect(),
            csv: Vec::new().into(),
        };
        let imported = meetings.import_delegates(self.by_operator(import)).await;
        imported.expect("they can be imported");
        let invite = InviteDelegatesRequest {
            meeting: id.into(),
            ..InviteDelegatesRequest::default()
        };
        let invited = meetings.invite_delegates(self.by_operator(invite)).await;
        invited.expect("they are invited").into_inner().invitations
    }
}

/// An edge as the control plane sees it, without media.
pub struct Edge {
    pub client: EdgeServiceClient<Channel>,
    pub office: String,
    pub instance: String,
    outlet: Option<mpsc::Sender<ReportRequest>>,
    orders: Option<Streaming<ReportResponse>>,
}

impl Edge {
    pub async fn register(&mut self, places: u32) -> Result<RegisterResponse, tonic::Status> {
        let request = RegisterRequest {
            edge: Some(meridian_proto::v1::Edge {
                office: self.office.clone(),
                neighbour_address: "127.0.0.1:4444".into(),
                client_address: "127.0.0.1:4443".into(),
                certificate_sha256: vec![7; 32].into(),
                failure_domain: String::new(),
            }),
            instance: self.instance.clone(),
            started_at_ms: 1_000,
            capacity: Some(Capacity {
                clients: places,
                ..Capacity::default()
            }),
            software: "test".into(),
        };
        Ok(self.client.register(request).await?.into_inner())
    }

    /// A report to be filled in.
    pub fn said(&self) -> ReportRequest {
        ReportRequest {
            office: self.office.clone(),
            instance: self.instance.clone(),
            load: Some(Load::default()),
            ..ReportRequest::default()
        }
    }

    /// Sends a report, on the stream that there is.
    pub async fn report(&mut self, report: ReportRequest) {
        if let Some(outlet) = &self.outlet {
            outlet.send(report).await.expect("the stream is open");
            return;
        }
        let (outlet, reports) = mpsc::channel(8);
        outlet.send(report).await.expect("there is room");
        let orders = self.client.report(ReceiverStream::new(reports)).await;
        self.orders = Some(orders.expect("reports are taken").into_inner());
        self.outlet = Some(outlet);
    }

    /// Reports on and on, until it is dropped.
    pub fn beating(mut self) -> Beating {
        let beat = async move {
            loop {
                tokio::time::sleep(Duration::from_millis(200)).await;
                let Some(outlet) = &self.outlet else {
                    return;
                };
                if outlet.send(self.said()).await.is_err() {
                    // Its stream has ended; whoever is served by it sees that.
                    self.outlet = None;
                }
            }
        };
        Beating(tokio::spawn(beat))
    }

    /// The next order on the stream, or why it ended.
    pub async fn order(&mut self) -> Result<Option<ReportResponse>, tonic::Status> {
        let orders = self.orders.as_mut().expect("it has reported");
        let next = tokio::time::timeout(PATIENCE, orders.message()).await;
        next.expect("something comes")
    }
}

/// An edge that reports.
pub struct Beating(tokio::task::JoinHandle<()>);

impl Drop for Beating {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Signs certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("there is randomness");
        Authority(CertifiedIssuer::self_signed(params, key).expect("good parameters"))
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate and key for a name, PEM.
    pub fn sign(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().expect("there is randomness");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("a good name");
        let certificate = params.signed_by(&key, &self.0).expect("it signs");
        (certificate.pem(), key.serialize_pem())
    }

    pub fn identity(&self, name: &str) -> Identity {
        let (certificate, key) = self.sign(name);
        Identity::from_pem(certificate, key)
    }
}

/// A call in the name of whoever a token is for.
pub fn with_token<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    let value = format!("Bearer {token}").parse().expect("tokens are ASCII");
    request.metadata_mut().insert("authorization", value);
    request
}

/// Waits until something is so.
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !is_so() {
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What a call was refused with.
pub fn refused<T: std::fmt::Debug>(result: Result<T, tonic::Status>) -> (tonic::Code, String) {
    let status = result.expect_err("it is refused");
    (status.code(), status.message().to_owned())
}

fn config(folder: &TempDir, authority: &Authority) -> Config {
    let write = |name: &str, text: String| -> PathBuf {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("there is room");
        path
    };
    let (certificate, key) = authority.sign("localhost");
    Config {
        listen: ([127, 0, 0, 1], 0).into(),
        replica: Some("cp-1".into()),
        tls: config::Identity {
            certificate: write("server.pem", certificate),
            key: write("server.key", key),
        },
        edges: config::Edges {
            ca: write("ca.pem", authority.pem()),
        },
        store: config::StoreConfig {
            embedded: Some(folder.path().join("state.redb")),
            etcd: None,
        },
        topology: Default::default(),
        admission: Default::default(),
        tokens: Default::default(),
        pages: Default::default(),
        geography: Default::default(),
        oidc: None,
        timing: Default::default(),
    }
}
