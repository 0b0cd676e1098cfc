//! Where agents come in: a gRPC server that takes those with the token and of this version, until all are there.

use super::VERSION;
use super::assembly::Assembly;
use super::attendance::{Attendance, Seat};
use super::error::AgentsError;
use crate::account::Clock;
use crate::rehearsal::HERE;
use meridian_proto::loadtest as says;
use meridian_proto::loadtest::attend_request::Said as Heard;
use meridian_proto::loadtest::coordinator_service_server::{
    CoordinatorService, CoordinatorServiceServer,
};
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{interval, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status, Streaming};

/// On what terms agents are let in.
#[derive(Clone)]
pub struct Terms {
    /// How many.
    pub agents: u32,
    /// Where.
    pub listen: SocketAddr,
    /// A certificate and its key, PEM; without them only on loopback.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
    /// What each has to show.
    pub token: String,
    /// How long they are waited for: until they are there, and then until they are ready.
    pub wait: Duration,
}

/// Where agents wait until all are there.
#[derive(Debug)]
pub struct Lobby {
    terms: Terms,
    address: SocketAddr,
    room: Arc<Room>,
    pub(super) server: Serving,
}

/// The server, until it is dropped.
#[derive(Debug)]
pub(super) struct Serving {
    task: JoinHandle<Result<(), tonic::transport::Error>>,
    /// Nobody is let in any more once it is gone, and the server ends with its last stream.
    stop: oneshot::Sender<()>,
}

/// Who is there.
struct Room {
    agents: usize,
    token: String,
    wall: Clock,
    /// None once it has begun.
    seats: Mutex<Option<Vec<Seat>>>,
}

impl fmt::Debug for Terms {
    /// Without the token and the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terms")
            .field("agents", &self.agents)
            .field("listen", &self.listen)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Room {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room")
            .field("agents", &self.agents)
            .finish_non_exhaustive()
    }
}

impl Lobby {
    /// Lets agents in from now on.
    ///
    /// # Errors
    /// The terms are not safe or not whole, or the port is taken.
    pub async fn open(terms: Terms) -> Result<Lobby, AgentsError> {
        check(&terms)?;
        let taken = |error| AgentsError::Listening(terms.listen, error);
        let listener = TcpListener::bind(terms.listen).await.map_err(taken)?;
        let address = listener.local_addr().map_err(taken)?;
        let room = Arc::new(Room {
            agents: terms.agents as usize,
            token: terms.token.clone(),
            wall: Clock::wall(),
            seats: Mutex::new(Some(Vec::new())),
        });
        let mut server = Server::builder()
            .http2_keepalive_interval(Some(ALIVE_EVERY))
            .http2_keepalive_timeout(Some(ALIVE_WITHIN));
        if let Some((certificate, key)) = &terms.identity {
            let tls = ServerTlsConfig::new().identity(Identity::from_pem(certificate, key));
            let wrong = |error| AgentsError::Usage(format!("the agents' certificate: {error}"));
            server = server.tls_config(tls).map_err(wrong)?;
        }
        let service = CoordinatorServiceServer::new(Door(room.clone()));
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = server
            .add_service(service)
            .serve_with_incoming_shutdown(incoming, async {
                let _ = stopped.await;
            });
        let task = tokio::spawn(serving);
        Ok(Lobby {
            terms,
            address,
            room,
            server: Serving { task, stop },
        })
    }

    /// Where agents are let in.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until all are there and their clocks are known. `say` is told who is, and how many are missing, whenever that
    /// has changed.
    ///
    /// # Errors
    /// Some are missing when the time is up, or `over` has become true.
    pub async fn gather(
        self,
        say: impl FnMut(&str),
        over: watch::Receiver<bool>,
    ) -> Result<Assembly, AgentsError> {
        let gathered = self.wait(say, over).await;
        let seats = self.room.seats().take().unwrap_or_default();
        let assembly = Assembly::new(seats, self.room.wall, self.terms.wait, self.server);
        match gathered {
            Ok(()) => Ok(assembly),
            Err(error) => {
                assembly.dismiss().await;
                Err(error)
            }
        }
    }

    async fn wait(
        &self,
        mut say: impl FnMut(&str),
        mut over: watch::Receiver<bool>,
    ) -> Result<(), AgentsError> {
        let Terms { agents, wait, .. } = self.terms;
        let begun = Instant::now();
        let mut looks = interval(LOOK);
        let mut seen = None;
        loop {
            tokio::select! {
                _ = looks.tick() => {}
                Ok(_) = over.wait_for(|over| *over) => return Err(AgentsError::Interrupted),
            }
            let (there, unknown) = self.room.look();
            if seen.as_ref() != Some(&there) {
                say(&who(&there, agents, self.address));
                seen = Some(there.clone());
            }
            if are_all(agents, there, unknown, wait, begun.elapsed())? {
                return Ok(());
            }
        }
    }
}

impl Serving {
    /// Ends once the last stream has, which is soon.
    pub(super) async fn end(mut self) {
        drop(self.stop);
        if timeout(END_WITHIN, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

impl Room {
    /// Who is there, and whose clock is not known yet; those who have gone are forgotten.
    fn look(&self) -> (Vec<String>, Vec<String>) {
        let mut seats = self.seats();
        let Some(seats) = seats.as_mut() else {
            return (Vec::new(), Vec::new());
        };
        seats.retain(|seat| !seat.stream.is_finished());
        let is_unknown = |seat: &&Seat| seat.told.borrow().skew.pings() < PINGS;
        let name = |seat: &Seat| seat.name.clone();
        let unknown = seats.iter().filter(is_unknown).map(name).collect();
        (seats.iter().map(name).collect(), unknown)
    }

    fn seats(&self) -> MutexGuard<'_, Option<Vec<Seat>>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives somebody a place, under a name that nobody else has.
    fn seat(&self, wanted: &str, begin: impl FnOnce(String) -> Seat) -> Result<(), Status> {
        let mut seats = self.seats();
        let full = || Status::failed_precondition(format!("all {} agents are there", self.agents));
        let seats = seats.as_mut().ok_or_else(full)?;
        seats.retain(|seat| !seat.stream.is_finished());
        if seats.len() >= self.agents {
            return Err(full());
        }
        let is_free = |name: &String| {
            !OWN_NAMES.contains(&name.as_str()) && seats.iter().all(|seat| seat.name != *name)
        };
        let others = (2..).map(|n| format!("{wanted}-{n}"));
        let mut names = [wanted.to_owned()].into_iter().chain(others);
        let name = names.find(is_free).expect("numbers do not end");
        seats.push(begin(name));
        Ok(())
    }
}

/// Whether all are there and their clocks known, after waiting so long.
fn are_all(
    wanted: u32,
    there: Vec<String>,
    unknown: Vec<String>,
    wait: Duration,
    waited: Duration,
) -> Result<bool, AgentsError> {
    let is_full = there.len() >= wanted as usize;
    if is_full && unknown.is_empty() {
        return Ok(true);
    }
    match is_full {
        // The last one may have come at the last moment.
        true if waited >= wait + KNOWN_WITHIN => Err(AgentsError::ClocksUnknown(unknown)),
        false if waited >= wait => Err(AgentsError::Missing {
            wanted,
            there,
            waited: wait,
        }),
        _ => Ok(false),
    }
}

/// The service.
struct Door(Arc<Room>);

#[tonic::async_trait]
impl CoordinatorService for Door {
    type AttendStream = ReceiverStream<Result<says::AttendResponse, Status>>;

    async fn attend(
        &self,
        request: Request<Streaming<says::AttendRequest>>,
    ) -> Result<Response<Self::AttendStream>, Status> {
        let shown = request.metadata().get("authorization");
        if !shown.is_some_and(|shown| is_token(shown.as_bytes(), &self.0.token)) {
            let why = "the token is not the coordinator's: both take it from --token-file";
            return Err(Status::unauthenticated(why));
        }
        let mut inbound = request.into_inner();
        let first = timeout(HELLO_WITHIN, inbound.message()).await;
        let first = first.map_err(|_| Status::deadline_exceeded("no hello"))??;
        let Some(Heard::Hello(hello)) = first.and_then(|first| first.said) else {
            return Err(Status::invalid_argument("hello comes first"));
        };
        if hello.version != VERSION {
            let theirs: String = hello.version.chars().take(LONGEST_NAME).collect();
            let why = format!(
                "the agent is version {theirs} and the coordinator {VERSION}: use the same program"
            );
            return Err(Status::failed_precondition(why));
        }
        let (outbound, said) = mpsc::channel(OUTBOUND);
        let wall = self.0.wall;
        self.0.seat(&name(&hello.name), |name| {
            Attendance::begin(name, wall, inbound, outbound)
        })?;
        Ok(Response::new(ReceiverStream::new(said)))
    }
}

fn check(terms: &Terms) -> Result<(), AgentsError> {
    let wrong = |why: &str| Err(AgentsError::Usage(why.to_owned()));
    if terms.agents == 0 {
        return wrong("--agents: at least one");
    }
    if terms.token.is_empty() {
        return wrong("--agents-token-file: it is empty");
    }
    if terms.identity.is_none() && !terms.listen.ip().is_loopback() {
        return wrong(
            "--agents-listen: without TLS only on loopback, for agents are told personal invitations; give --agents-certificate and --agents-key",
        );
    }
    Ok(())
}

/// As long as it takes for any other token of its length.
fn is_token(shown: &[u8], token: &str) -> bool {
    let wanted = format!("Bearer {token}");
    let pairs = shown.iter().zip(wanted.as_bytes());
    let differ = pairs.fold(0, |differ, (a, b)| differ | (a ^ b));
    shown.len() == wanted.len() && differ == 0
}

/// A name that can stand in any report.
fn name(wanted: &str) -> String {
    let fits = |c: &char| c.is_ascii_alphanumeric() || "-._".contains(*c);
    let name: String = wanted.chars().filter(fits).take(LONGEST_NAME).collect();
    match name.is_empty() {
        true => "agent".to_owned(),
        false => name,
    }
}

fn who(there: &[String], agents: u32, address: SocketAddr) -> String {
    let missing = agents as usize - there.len();
    match (there.is_empty(), missing) {
        (true, _) => format!("waiting for {agents} agents at {address}"),
        (false, 0) => format!("all agents are there: {}", there.join(", ")),
        (false, _) => format!(
            "waiting for {missing} of {agents} agents at {address}; there: {}",
            there.join(", ")
        ),
    }
}

/// How soon somebody who comes or goes is noticed.
const LOOK: Duration = Duration::from_millis(100);
/// Beyond the wait, for clocks of agents that have come just in time: a clock is asked five times a second.
const KNOWN_WITHIN: Duration = Duration::from_secs(8);
/// What reports call the coordinator, and a tester without agents.
const OWN_NAMES: [&str; 2] = ["coordinator", HERE];
/// Echoes after which a clock counts as known: the quickest of them is what is relied on.
const PINGS: usize = 8;
/// A machine that answers nothing for so long together is gone.
const ALIVE_EVERY: Duration = Duration::from_secs(5);
const ALIVE_WITHIN: Duration = Duration::from_secs(10);
const HELLO_WITHIN: Duration = Duration::from_secs(10);
const END_WITHIN: Duration = Duration::from_secs(2);
/// Messages on their way to an agent.
const OUTBOUND: usize = 16;
const LONGEST_NAME: usize = 63;

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(listen: &str) -> Terms {
        Terms {
            agents: 2,
            listen: listen.parse().expect("an address"),
            identity: None,
            token: "secret".to_owned(),
            wait: Duration::from_secs(1),
        }
    }

    #[tokio::test]
    async fn without_tls_nobody_is_let_in_from_elsewhere_and_never_without_a_token() {
        let refused = |terms| async move {
            let opened = Lobby::open(terms).await;
            opened.expect_err("refused").to_string()
        };
        let said = refused(terms("0.0.0.0:0")).await;
        assert!(said.contains("--agents-certificate"), "{said}");
        let mut empty = terms("127.0.0.1:0");
        empty.token = String::new();
        let said = refused(empty).await;
        assert!(said.contains("token"), "{said}");
        assert!(Lobby::open(terms("127.0.0.1:0")).await.is_ok());
    }

    #[tokio::test]
    async fn those_who_do_not_come_are_missed() {
        let mut soon = terms("127.0.0.1:0");
        soon.wait = Duration::ZERO;
        let lobby = Lobby::open(soon).await.expect("a free port");
        let (_end, over) = watch::channel(false);
        let mut said = Vec::new();
        let gathered = lobby.gather(|who| said.push(who.to_owned()), over).await;
        let error = gathered.expect_err("nobody came").to_string();
        assert!(error.starts_with("0 of 2 agents have come"), "{error}");
        assert!(said[0].starts_with("waiting for 2 agents at 127.0.0.1:"));
    }

    #[test]
    fn who_comes_at_the_last_moment_has_time_to_tell_its_clock() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let wait = Duration::from_secs(60);
        let after = |there: &[&str], unknown: &[&str], waited: Duration| {
            are_all(2, names(there), names(unknown), wait, waited)
        };
        assert!(after(&["a", "b"], &[], wait).is_ok_and(|all| all));
        assert!(after(&["a", "b"], &["b"], wait).is_ok_and(|all| !all));
        assert!(after(&["a"], &[], wait / 2).is_ok_and(|all| !all));
        let error = after(&["a"], &[], wait).expect_err("one is missing");
        assert!(error.to_string().starts_with("1 of 2 agents have come"));
        let error = after(&["a", "b"], &["b"], wait + KNOWN_WITHIN);
        let error = error.expect_err("it answers nothing");
        assert_eq!(error.exit_code(), 69);
        assert!(error.to_string().contains("the clock of b "), "{error}");
    }

    #[tokio::test]
    async fn the_coordinators_own_names_are_taken_and_no_two_agents_have_the_same() {
        let mut three = terms("127.0.0.1:0");
        three.agents = 3;
        let lobby = Lobby::open(three).await.expect("a free port");
        for wanted in ["coordinator", "local", "local"] {
            let seated = lobby.room.seat(wanted, |name| Seat {
                name,
                orders: mpsc::channel(1).0,
                told: watch::channel(Default::default()).1,
                stream: tokio::spawn(std::future::pending()),
            });
            seated.expect("there is room");
        }
        let (there, unknown) = lobby.room.look();
        assert_eq!(there, ["coordinator-2", "local-2", "local-3"]);
        assert_eq!(unknown, there);
    }

    #[tokio::test]
    async fn what_is_secret_is_not_shown() {
        let mut secret = terms("127.0.0.1:0");
        secret.token = "hush".to_owned();
        secret.identity = Some((b"certificate".to_vec(), vec![171; 9]));
        let shown = format!("{secret:?}");
        assert!(
            shown.contains("127.0.0.1") && !shown.contains("171"),
            "{shown}"
        );
        secret.identity = None;
        let lobby = Lobby::open(secret).await.expect("a free port");
        let shown = format!("{lobby:?} {shown}");
        assert!(!shown.contains("hush"), "{shown}");
    }

    #[test]
    fn only_the_token_is_the_token() {
        assert!(is_token(b"Bearer secret", "secret"));
        for other in [
            "Bearer secreT",
            "Bearer secre",
            "Bearer secrets",
            "secret",
            "",
        ] {
            assert!(!is_token(other.as_bytes(), "secret"), "{other}");
        }
    }

    #[test]
    fn names_can_stand_anywhere() {
        assert_eq!(name("node-7.example"), "node-7.example");
        assert_eq!(name("<b>\n"), "b");
        assert_eq!(name("☃"), "agent");
        assert_eq!(name(&"x".repeat(500)).len(), LONGEST_NAME);
    }
}
