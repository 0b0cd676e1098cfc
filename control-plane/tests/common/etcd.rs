//! Real etcd members, each a process with an address of its own on loopback and its data in a temporary folder.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, OnceLock, mpsc},
    time::Duration,
};

use etcd_client::{Certificate, Client, ConnectOptions, TlsOptions};
use meridian_control_plane::store::{
    Store,
    etcd::{EtcdConfig, EtcdStore, Identity, Tls, User},
};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    SanType,
};
use tempfile::TempDir;

use super::soon;

/// A cluster. Dropped, its members are killed and their data is removed.
pub struct Cluster {
    folder: TempDir,
    pub members: Vec<Member>,
    pub options: Options,
    security: Option<Security>,
    token: String,
}

/// How members are run.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Clients are served over TLS only, and need a certificate.
    pub tls: bool,
    /// Further flags.
    pub flags: Vec<String>,
}

/// One member, running or not.
pub struct Member {
    name: String,
    address: Ipv4Addr,
    process: Option<Child>,
}

struct Security {
    authority: Vec<u8>,
    client: Identity,
}

impl Cluster {
    /// Starts so many members and waits until they serve.
    pub async fn start(members: usize) -> Self {
        Self::start_with(members, Options::default()).await
    }

    pub async fn start_with(members: usize, options: Options) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let members: Vec<_> = (0..members)
            .map(|n| Member::new(&format!("etcd-{n}")))
            .collect();
        let security = options
            .tls
            .then(|| Security::make(folder.path(), members.iter().map(|member| member.address)));
        let mut cluster = Self {
            token: folder.path().display().to_string(),
            folder,
            members,
            options,
            security,
        };
        for member in 0..cluster.members.len() {
            cluster.run(member, "new");
        }
        cluster.ready().await;
        cluster
    }

    /// Waits until transactions are made.
    pub async fn ready(&self) {
        let client = async {
            // Also with authentication on, this tells whether there is a leader.
            while self.leader().await.is_none() {
                tokio::time::sleep(POLL).await;
            }
        };
        if tokio::time::timeout(super::PATIENCE, client).await.is_err() {
            let logs = self.members.iter().map(|member| self.last_words(member));
            panic!("etcd does not start:\n{}", logs.collect::<String>());
        }
    }

    /// How to reach it.
    pub fn config(&self) -> EtcdConfig {
        let mut config = EtcdConfig::new(self.members.iter().map(|member| self.url(member)));
        config.tls = self.security.as_ref().map(|security| Tls {
            authority: security.authority.clone(),
            identity: Some(security.client.clone()),
            server_name: None,
        });
        config
    }

    /// A store with connections of its own.
    pub fn store(&self) -> EtcdStore {
        EtcdStore::new(self.config()).unwrap()
    }

    /// A client of one member alone.
    pub async fn client(&self, member: usize, user: Option<&User>) -> Option<Client> {
        let timeout = Duration::from_secs(2);
        let mut options = ConnectOptions::new()
            .with_connect_timeout(timeout)
            .with_timeout(timeout);
        if let Some(Security { authority, client }) = &self.security {
            let authority = Certificate::from_pem(authority);
            let identity = etcd_client::Identity::from_pem(&client.certificate, &client.key);
            let tls = TlsOptions::new()
                .ca_certificate(authority)
                .identity(identity);
            options = options.with_tls(tls);
        }
        if let Some(User { name, password }) = user {
            options = options.with_user(name, password);
        }
        let url = self.url(&self.members[member]);
        Client::connect([url], Some(options)).await.ok()
    }

    /// The member that leads now, by its own account.
    pub async fn leader(&self) -> Option<usize> {
        for (index, member) in self.members.iter().enumerate() {
            if member.process.is_none() {
                continue;
            }
            let Some(mut client) = self.client(index, None).await else {
                continue;
            };
            if let Ok(status) = client.status().await {
                let id = status.header().map(|header| header.member_id());
                if id == Some(status.leader()) {
                    return Some(index);
                }
            }
        }
        None
    }

    /// Kills a member, as a power failure would.
    pub fn kill(&mut self, member: usize) {
        if let Some(mut process) = self.members[member].process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Starts a member that was killed, with the data it had.
    pub fn restart(&mut self, member: usize) {
        self.run(member, "existing");
    }

    /// Stops a process where it is, or lets it go on.
    pub fn freeze(&self, member: usize, frozen: bool) {
        let process = self.members[member].process.as_ref().unwrap();
        let signal = if frozen { "-STOP" } else { "-CONT" };
        let status = Command::new("kill")
            .args([signal, &process.id().to_string()])
            .status();
        assert!(status.unwrap().success());
    }

    /// Replaces a killed member whose disk is lost by a new one with the same name and address.
    pub async fn replace(&mut self, member: usize) {
        let other = (member + 1) % self.members.len();
        let mut client = self.client(other, None).await.unwrap();
        let listed = soon(client.member_list()).await.unwrap();
        let name = &self.members[member].name;
        let lost = listed.members().iter().find(|listed| listed.name() == name);
        client.member_remove(lost.unwrap().id()).await.unwrap();
        fs::remove_dir_all(self.folder.path().join(name)).unwrap();
        let peer = self.members[member].peer();
        // A cluster that has just changed wants its members in touch first.
        soon(async {
            while client.member_add([peer.clone()], None).await.is_err() {
                tokio::time::sleep(POLL).await;
            }
        })
        .await;
        self.run(member, "existing");
    }

    fn run(&mut self, member: usize, state: &str) {
        let all = self.members.iter();
        let all: Vec<_> = all
            .map(|one| format!("{}={}", one.name, one.peer()))
            .collect();
        let (one, url) = (&self.members[member], self.url(&self.members[member]));
        let mut command = Command::new("setpriv");
        // Ends with the thread that starts it, and that with the tests.
        command.args(["--pdeathsig", "KILL", "etcd"]);
        command.args(["--name", &one.name, "--initial-cluster-state", state]);
        command
            .arg("--data-dir")
            .arg(self.folder.path().join(&one.name));
        command.args([
            "--listen-client-urls",
            &url,
            "--advertise-client-urls",
            &url,
        ]);
        let peer = one.peer();
        command.args([
            "--listen-peer-urls",
            &peer,
            "--initial-advertise-peer-urls",
            &peer,
        ]);
        command.args(["--initial-cluster", &all.join(",")]);
        command.args(["--initial-cluster-token", &self.token]);
        command.args(["--logger", "zap", "--log-outputs", "stderr"]);
        if self.security.is_some() {
            let file = |name| self.folder.path().join(name);
            command.arg("--cert-file").arg(file("server.pem"));
            command.arg("--key-file").arg(file("server.key"));
            command.arg("--trusted-ca-file").arg(file("authority.pem"));
            command.arg("--client-cert-auth");
        }
        command.args(&self.options.flags);
        let log = File::options()
            .append(true)
            .create(true)
            .open(self.log(one))
            .unwrap();
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        self.members[member].process = Some(spawn(command));
    }

    fn url(&self, member: &Member) -> String {
        let scheme = if self.options.tls { "https" } else { "http" };
        format!("{scheme}://{}:2379", member.address)
    }

    fn log(&self, member: &Member) -> PathBuf {
        self.folder.path().join(format!("{}.log", member.name))
    }

    fn last_words(&self, member: &Member) -> String {
        let text = fs::read_to_string(self.log(member)).unwrap_or_default();
        let lines: Vec<_> = text.lines().rev().take(5).collect();
        format!("{}: {}\n", member.name, lines.join("\n"))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for member in 0..self.members.len() {
            self.kill(member);
        }
    }
}

impl Member {
    /// On an address that nobody uses: the ports stay free even while the member is down, as they would not on a shared one.
    fn new(name: &str) -> Self {
        let address = loop {
            let host = rand::random::<[u8; 3]>();
            let address = Ipv4Addr::new(127, host[0].max(64), host[1], host[2].clamp(1, 254));
            let free = [2379, 2380].map(|port| TcpListener::bind((address, port)).is_ok());
            if free == [true, true] {
                break address;
            }
        };
        Self {
            name: name.into(),
            address,
            process: None,
        }
    }

    fn peer(&self) -> String {
        format!("http://{}:2380", self.address)
    }
}

impl Security {
    /// An authority, a certificate for the members and one for clients.
    fn make(folder: &Path, addresses: impl Iterator<Item = Ipv4Addr>) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let authority = CertifiedIssuer::self_signed(params, key).unwrap();
        let issue = |addresses: Vec<SanType>| {
            let mut params = CertificateParams::default();
            params.subject_alt_names = addresses;
            // etcd's gateway is a client of etcd itself, with the server's certificate.
            params.extended_key_usages = vec![
                ExtendedKeyUsagePurpose::ServerAuth,
                ExtendedKeyUsagePurpose::ClientAuth,
            ];
            let key = KeyPair::generate().unwrap();
            let certificate = params.signed_by(&key, &authority).unwrap();
            Identity {
                certificate: certificate.pem().into_bytes(),
                key: key.serialize_pem().into_bytes(),
            }
        };
        let server = issue(
            addresses
                .map(|address| SanType::IpAddress(address.into()))
                .collect(),
        );
        let write = |name, bytes: &[u8]| fs::write(folder.join(name), bytes).unwrap();
        write("authority.pem", authority.pem().as_bytes());
        write("server.pem", &server.certificate);
        write("server.key", &server.key);
        Self {
            authority: authority.pem().into_bytes(),
            client: issue(Vec::new()),
        }
    }
}

/// Starts it from a thread that lives as long as the tests do, so that it ends with them however they end.
fn spawn(command: Command) -> Child {
    type Order = (Command, mpsc::Sender<std::io::Result<Child>>);
    static SPAWNER: OnceLock<Mutex<mpsc::Sender<Order>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, orders) = mpsc::channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, reply) in orders {
                let _ = reply.send(command.spawn());
            }
        });
        Mutex::new(sender)
    });
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&folders).any(|folder| folder.join("etcd").is_file());
    assert!(found, "etcd is not installed: run `cargo xtask setup`");
    let (reply, child) = mpsc::channel();
    spawner.lock().unwrap().send((command, reply)).unwrap();
    let child = child.recv().unwrap();
    child.expect("setpriv (of util-linux) cannot be started")
}

/// Makes etcd forget the history up to now.
pub async fn compact(cluster: &Cluster) {
    cluster.ready().await;
    let now = cluster.store().list("").await.unwrap().revision;
    let leader = cluster.leader().await.unwrap();
    let mut client = cluster.client(leader, None).await.unwrap();
    client.compact(now as i64, None).await.unwrap();
}

/// How often it is looked whether something has become true.
pub const POLL: Duration = Duration::from_millis(50);
