//! A control plane of one replica over a store of its own, and meetings in it.

#![allow(dead_code, reason = "each test file uses its part")]

use meridian_control_plane::config::Config;
use meridian_control_plane::plane::Clock;
use meridian_control_plane::start::{self, Replica};
use meridian_control_plane::tokens::Access;
use meridian_proto::v1::join_service_client::JoinServiceClient;
use meridian_proto::v1::meeting_service_client::MeetingServiceClient;
use meridian_proto::v1::*;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;
use tonic::Request;
use tonic::transport::{Certificate, Channel, ClientTlsConfig};

/// A replica and who signs its and the edges' certificates.
pub(crate) struct Plane {
    pub(crate) replica: Replica,
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Plane {
    /// One that has just begun.
    pub(crate) async fn start() -> Plane {
        meridian_session::tls::install_default();
        let folder = TempDir::new().expect("a temporary folder");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        fs::write(folder.path().join("ca.pem"), issuer.pem()).expect("the folder is ours");
        sign(&issuer, folder.path(), "localhost");
        let config = config(folder.path());
        let plane = start::plane(config, Clock::default()).await;
        let replica = Replica::start(plane.expect("the store opens")).await;
        Plane {
            replica: replica.expect("a free port"),
            issuer,
            folder,
        }
    }

    /// Where everything is kept.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The authority's certificate.
    pub(crate) fn ca(&self) -> PathBuf {
        self.folder().join("ca.pem")
    }

    /// For clients.
    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}", self.replica.address().port())
    }

    /// Puts a certificate for this name, and its key, into `NAME.pem` and `NAME.key`.
    pub(crate) fn sign(&self, name: &str) {
        sign(&self.issuer, self.folder(), name);
    }

    /// Waits until delegates are sent to this many offices.
    pub(crate) async fn has_open(&self, offices: usize) {
        let mut join = JoinServiceClient::new(self.channel().await);
        for _ in 0..3_000 {
            let listed = join.list_offices(ListOfficesRequest {}).await;
            if listed.expect("it answers").into_inner().offices.len() == offices {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never: {offices} offices are open");
    }

    /// A meeting of Geneva's with one delegate from each of these countries, named `p-1` and so on.
    pub(crate) async fn meeting(&self, id: &str, countries: &[&str]) -> Vec<Invitation> {
        self.meeting_with(id, countries, 16).await
    }

    /// The same, where each may be in with so many devices at once.
    pub(crate) async fn meeting_with(
        &self,
        id: &str,
        countries: &[&str],
        sessions_per_participant: u32,
    ) -> Vec<Invitation> {
        let mut meetings = self.meetings().await;
        let meeting = Some(Meeting {
            id: id.into(),
            title: "A meeting".into(),
            office: "geneva".into(),
            sessions_per_participant,
            ..Meeting::default()
        });
        let create = self.by_operator(CreateMeetingRequest { meeting });
        let created = meetings.create_meeting(create).await;
        created.expect("it can be made");
        let delegates = countries.iter().zip(1..).map(|(country, n)| Delegate {
            id: format!("p-{n}"),
            name: format!("Person {n}"),
            delegation: country.to_string(),
            role: Role::Delegate.into(),
            country: country.to_string(),
            ..Delegate::default()
        });
        let import = self.by_operator(ImportDelegatesRequest {
            meeting: id.into(),
            delegates: delegates.collect(),
            csv: Vec::new().into(),
        });
        let imported = meetings.import_delegates(import).await;
        imported.expect("they can be imported");
        let invite = self.by_operator(InviteDelegatesRequest {
            meeting: id.into(),
            ..InviteDelegatesRequest::default()
        });
        let invited = meetings.invite_delegates(invite).await;
        invited.expect("they are invited").into_inner().invitations
    }

    /// Waits until edges are told of this many; what it says of them then.
    pub(crate) async fn tells_of(&self, edges: usize) -> Vec<Edge> {
        let mut snapshots = self.replica.plane().snapshot.subscribe();
        let told = snapshots.wait_for(|snapshot| snapshot.edges.len() == edges);
        told.await.expect("it runs").edges.clone()
    }

    /// A media token for somebody invited.
    pub(crate) async fn admits(&self, invited: &Invitation) -> String {
        let request = JoinRequest {
            invitation: invited.invitation.clone(),
            ..JoinRequest::default()
        };
        let joined = JoinServiceClient::new(self.channel().await)
            .join(request)
            .await;
        match joined.expect("the invitation is good").into_inner().outcome {
            Some(join_response::Outcome::Admitted(admission)) => admission.token,
            other => panic!("not admitted: {other:?}"),
        }
    }

    /// For organisers' calls.
    pub(crate) async fn meetings(&self) -> MeetingServiceClient<Channel> {
        MeetingServiceClient::new(self.channel().await)
    }

    async fn channel(&self) -> Channel {
        let ca = fs::read(self.ca()).expect("it was written");
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca));
        let endpoint = Channel::from_shared(self.url()).expect("a URL");
        let endpoint = endpoint.tls_config(tls).expect("good certificates");
        endpoint.connect().await.expect("it listens")
    }

    /// A call in an operator's name.
    pub(crate) fn by_operator<T>(&self, message: T) -> Request<T> {
        let access = Access {
            sub: "tester".into(),
            operator: true,
            offices: Vec::new(),
            generation: 0,
            exp: 4_000_000_000,
        };
        let token = self.replica.plane().rings().access.sign(&access);
        let value = format!("Bearer {}", token.expect("the keys are good"));
        let mut request = Request::new(message);
        let value = value.parse().expect("tokens are ASCII");
        request.metadata_mut().insert("authorization", value);
        request
    }
}

fn sign(issuer: &CertifiedIssuer<'static, KeyPair>, folder: &Path, name: &str) {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new([name.to_owned()]).expect("a valid name");
    let certificate = params.signed_by(&key, issuer).expect("signed");
    let write =
        |suffix: &str, text: String| fs::write(folder.join(format!("{name}{suffix}")), text);
    write(".pem", certificate.pem()).expect("the folder is ours");
    write(".key", key.serialize_pem()).expect("the folder is ours");
}

fn config(folder: &Path) -> Config {
    let text = format!(
        r#"
listen = "127.0.0.1:0"
replica = "cp-1"
[tls]
certificate = "{0}/localhost.pem"
key = "{0}/localhost.key"
[edges]
ca = "{0}/ca.pem"
[store]
embedded = "{0}/state.redb"
"#,
        folder.display()
    );
    let path = folder.join("control-plane.toml");
    fs::write(&path, text).expect("the folder is ours");
    Config::load(&path).expect("the configuration is good")
}
