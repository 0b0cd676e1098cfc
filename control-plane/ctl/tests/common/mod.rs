//! A replica with edges, and `meridianctl` run against it.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use meridian_control_plane::config::Config;
use meridian_control_plane::plane::Clock;
use meridian_control_plane::start::{self, Replica};
use meridian_control_plane::tokens::Access;
use meridian_proto::v1::edge_service_client::EdgeServiceClient;
use meridian_proto::v1::{
    Capacity, Edge, Load, NeighbourReport, RegisterRequest, ReportRequest, ReportResponse, Rtt,
    Session,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};

/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Stage {
    pub replica: Replica,
    pub folder: TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
}

/// What a run printed, and how it ended.
#[derive(Debug)]
pub struct Run {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Run {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Stage {
    /// A replica over a fresh embedded store.
    pub async fn set() -> Stage {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = tempfile::tempdir().expect("there is room");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("there is randomness");
        let authority = CertifiedIssuer::self_signed(params, key).expect("good parameters");
        let path = |name: &str| folder.path().join(name);
        let (certificate, key) = sign(&authority, "localhost");
        fs::write(path("ca.pem"), authority.pem()).expect("there is room");
        fs::write(path("server.pem"), certificate).expect("there is room");
        fs::write(path("server.key"), key).expect("there is room");
        let config = folder.path().display();
        let config = format!(
            "listen = \"127.0.0.1:0\"\nreplica = \"cp-1\"\n\
             [tls]\ncertificate = \"{config}/server.pem\"\nkey = \"{config}/server.key\"\n\
             [edges]\nca = \"{config}/ca.pem\"\n[store]\nembedded = \"{config}/state.redb\"\n"
        );
        fs::write(path("control-plane.toml"), config).expect("there is room");
        let config = Config::load(&path("control-plane.toml")).expect("it is good");
        let plane = start::plane(config, Clock::default()).await;
        let replica = Replica::start(plane.expect("the store opens")).await;
        let stage = Stage {
            replica: replica.expect("it starts"),
            folder,
            authority,
        };
        stage.write_settings(&stage.token(&[]));
        stage
    }

    /// A token of an operator, or of an organiser of these offices.
    pub fn token(&self, offices: &[&str]) -> String {
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

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file, and says where.
    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::write(&path, text).expect("there is room");
        path.display().to_string()
    }

    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.replica.address().port())
    }

    fn write_settings(&self, token: &str) {
        use std::os::unix::fs::PermissionsExt;
        self.file("token", token);
        let private = fs::Permissions::from_mode(0o600);
        fs::set_permissions(self.path("token"), private).expect("it is ours");
        let url = self.url();
        let settings = format!("server = \"{url}\"\nca = \"ca.pem\"\ntoken_file = \"token\"\n");
        self.file("ctl.toml", &settings);
    }

    /// `meridianctl` with an operator's settings and nothing else from the environment.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meridianctl"));
        command
            .args(args)
            .env_clear()
            .env("MERIDIAN_CTL_CONFIG", self.path("ctl.toml"))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Runs it to its end.
    pub async fn run(&self, args: &[&str]) -> Run {
        finish(self.command(args)).await
    }

    /// Runs it; it has to end well.
    pub async fn ok(&self, args: &[&str]) -> Run {
        let run = self.run(args).await;
        assert_eq!(run.code, Some(0), "{args:?}: {run:?}");
        run
    }

    /// Runs it with `-o json`; it has to end well.
    pub async fn json(&self, args: &[&str]) -> Value {
        self.ok(&[args, &["-o", "json"]].concat()).await.json()
    }

    /// Starts it, to read what it prints while it runs.
    pub fn watch(&self, args: &[&str]) -> Watch {
        let mut command = self.command(args);
        command.stdout(Stdio::piped());
        let mut child = command.spawn().expect("it is built");
        let out = child.stdout.take().expect("it is piped");
        Watch {
            lines: BufReader::new(out).lines(),
            _child: child,
        }
    }

    /// An edge that has registered, and reported round-trip times to others, in milliseconds.
    pub async fn edge(&self, office: &str, rtts_ms: &[(&str, u32)]) -> Outlet {
        let (certificate, key) = sign(&self.authority, office);
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(self.authority.pem()))
            .identity(Identity::from_pem(certificate, key));
        let endpoint = Channel::from_shared(self.url()).expect("a URL");
        let endpoint = endpoint.tls_config(tls).expect("good certificates");
        let channel = endpoint.connect().await.expect("it listens");
        let mut client = EdgeServiceClient::new(channel);
        client.register(registration(office)).await.expect("it may");
        let (reports, queue) = mpsc::channel(8);
        let rtts = rtts_ms.iter().map(|(office, ms)| Rtt {
            office: (*office).into(),
            rtt_us: ms * 1_000,
        });
        let first = ReportRequest {
            rtts: rtts.collect(),
            is_complete: true,
            ..report(office)
        };
        reports.send(first).await.expect("there is room");
        tokio::spawn(go_on(office.to_owned(), reports.clone()));
        let orders = client.report(ReceiverStream::new(queue)).await;
        Outlet {
            office: office.into(),
            reports,
            _orders: orders.expect("reports are taken").into_inner(),
        }
    }
}

/// An edge as the control plane sees it, without media.
pub struct Outlet {
    office: String,
    reports: mpsc::Sender<ReportRequest>,
    _orders: Streaming<ReportResponse>,
}

impl Outlet {
    /// Tells of a session that has begun.
    pub async fn opens(&self, meeting: &str, participant: &str) {
        let session = Session {
            number: 1,
            meeting: meeting.into(),
            participant: participant.into(),
            session: "cp-1-1".into(),
            issued_at_s: 1_796_126_400,
            opened_at_us: 1_796_126_400_000_000,
            limit: 2,
            transport: "quic".into(),
        };
        let report = ReportRequest {
            opened: vec![session],
            load: Some(Load {
                clients: 1,
                ..Load::default()
            }),
            ..report(&self.office)
        };
        self.reports.send(report).await.expect("it is connected");
    }

    /// Tells of its link to a parent.
    pub async fn has_parent(&self, parent: &str, rtt_ms: u32) {
        let link = NeighbourReport {
            office: parent.into(),
            role: "parent".into(),
            is_heard: true,
            rtt_us: rtt_ms * 1_000,
            lost_ppm: 0,
        };
        let report = ReportRequest {
            neighbours: vec![link],
            ..report(&self.office)
        };
        self.reports.send(report).await.expect("it is connected");
    }
}

/// What a command that runs prints.
pub struct Watch {
    lines: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl Watch {
    /// The next line that is as it should be.
    pub async fn until(&mut self, is_it: impl Fn(&str) -> bool) -> String {
        let found = async {
            loop {
                let line = self.lines.next_line().await.expect("it can be read");
                let line = line.expect("it goes on");
                if is_it(&line) {
                    return line;
                }
            }
        };
        tokio::time::timeout(PATIENCE, found)
            .await
            .expect("it comes in time")
    }
}

/// Runs a command to its end.
pub async fn finish(mut command: Command) -> Run {
    let output = tokio::time::timeout(PATIENCE, command.output()).await;
    let output = output.expect("it ends in time").expect("it is built");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it is text");
    Run {
        code: output.status.code(),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

fn registration(office: &str) -> RegisterRequest {
    RegisterRequest {
        edge: Some(Edge {
            office: office.into(),
            neighbour_address: "127.0.0.1:4444".into(),
            client_address: "127.0.0.1:4443".into(),
            certificate_sha256: vec![7; 32].into(),
            failure_domain: String::new(),
        }),
        instance: format!("{office}-1"),
        started_at_ms: 1_000,
        capacity: Some(Capacity {
            clients: 200,
            ..Capacity::default()
        }),
        software: "0.1.0".into(),
    }
}

fn report(office: &str) -> ReportRequest {
    ReportRequest {
        office: office.into(),
        instance: format!("{office}-1"),
        load: Some(Load::default()),
        ..ReportRequest::default()
    }
}

/// Reports as edges do, until nobody hears it.
async fn go_on(office: String, reports: mpsc::Sender<ReportRequest>) {
    let mut every = tokio::time::interval(Duration::from_millis(500));
    loop {
        every.tick().await;
        if reports.send(report(&office)).await.is_err() {
            return;
        }
    }
}

/// A certificate and key for a name, PEM.
fn sign(authority: &CertifiedIssuer<'static, KeyPair>, name: &str) -> (String, String) {
    let key = KeyPair::generate().expect("there is randomness");
    let params = CertificateParams::new(vec![name.to_owned()]).expect("a good name");
    let certificate = params.signed_by(&key, authority).expect("it signs");
    (certificate.pem(), key.serialize_pem())
}
