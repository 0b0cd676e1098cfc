//! Calls, made on whichever member answers, within a time limit.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use etcd_client::{Client, Error, KvClient, LeaseClient, WatchClient};
use tokio::{
    sync::Mutex,
    time::{self, Instant},
};

use super::{
    config::{ConfigError, EtcdConfig},
    verdict::{Refusal, Verdict, judge, unavailable},
};
use crate::store::leader::jittered;

/// No call takes longer, however many members it asks. An election takes one or two seconds.
pub const LIMIT: Duration = Duration::from_secs(5);
/// How long a member may take for what another can be asked for instead.
pub(super) const ATTEMPT: Duration = Duration::from_millis(1500);

/// Whether a call may be made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Doing it twice is as good as once.
    Freely,
    /// Only when it was certainly not done.
    IfNotDone,
}

/// All members, one of which is asked until it fails.
#[derive(Debug)]
pub(super) struct Members {
    members: Vec<Member>,
    config: EtcdConfig,
    /// Counts up when a member fails; the remainder is the one to ask.
    turn: AtomicUsize,
}

#[derive(Debug)]
struct Member {
    endpoint: String,
    connection: Mutex<Option<Connection>>,
}

/// A connection to one member, logged in.
#[derive(Clone)]
pub(super) struct Connection {
    client: Client,
    /// The turn at which this member was asked.
    turn: usize,
    /// Which of a member's connections it is.
    number: u64,
}

impl Connection {
    pub(super) fn turn(&self) -> usize {
        self.turn
    }

    pub(super) fn kv(&self) -> KvClient {
        self.client.kv_client().max_decoding_message_size(LONGEST)
    }

    pub(super) fn lease(&self) -> LeaseClient {
        self.client.lease_client()
    }

    pub(super) fn watch(&self) -> WatchClient {
        let client = self.client.watch_client();
        client.max_decoding_message_size(LONGEST)
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connection({})", self.number)
    }
}

impl Members {
    pub(super) fn new(config: EtcdConfig) -> Result<Self, ConfigError> {
        config.check()?;
        let members = config.endpoints.iter().map(|endpoint| Member {
            endpoint: endpoint.clone(),
            connection: Mutex::new(None),
        });
        Ok(Self {
            members: members.collect(),
            // Replicas do not all ask the same one.
            turn: AtomicUsize::new(rand::random_range(0..config.endpoints.len())),
            config,
        })
    }

    /// Makes a call on one member after the other until it is done, refused, or out of time.
    pub(super) async fn call<T, Asked>(
        &self,
        repeat: Repeat,
        call: impl Fn(Connection) -> Asked,
    ) -> Result<T, Refusal>
    where
        Asked: Future<Output = Result<T, Error>>,
    {
        let deadline = Instant::now() + LIMIT;
        for attempt in 1.. {
            let verdict = match self.attempt(repeat, deadline, &call).await {
                Ok(done) => return Ok(done),
                Err(verdict) => verdict,
            };
            let error = match verdict {
                Verdict::Final(refusal) => return Err(refusal),
                Verdict::Unknown(error) if repeat == Repeat::IfNotDone => return Err(error.into()),
                Verdict::Unknown(error) | Verdict::NotDone(error) | Verdict::LogIn(error) => error,
            };
            let pause = match attempt % self.members.len() {
                0 => jittered(PAUSE),
                _ => Duration::ZERO,
            };
            if Instant::now() + pause >= deadline {
                return Err(error.into());
            }
            time::sleep(pause).await;
        }
        unreachable!("the deadline comes first")
    }

    async fn attempt<T, Asked>(
        &self,
        repeat: Repeat,
        deadline: Instant,
        call: impl Fn(Connection) -> Asked,
    ) -> Result<T, Verdict>
    where
        Asked: Future<Output = Result<T, Error>>,
    {
        let soon = deadline.min(Instant::now() + ATTEMPT);
        let connection = self.connect(soon).await?;
        let until = match repeat {
            Repeat::Freely => soon,
            Repeat::IfNotDone => deadline.min(Instant::now() + ANSWER),
        };
        let asked = call(connection.clone());
        let verdict = match time::timeout_at(until, asked).await {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(error)) => judge(&error),
            Err(_) => Verdict::Unknown(unavailable("a member of etcd does not answer")),
        };
        match &verdict {
            Verdict::Final(_) => {}
            // The connection itself can be mended by its own means.
            Verdict::NotDone(_) => self.pass_on(connection.turn),
            Verdict::Unknown(_) => {
                self.pass_on(connection.turn);
                self.discard(&connection).await;
            }
            Verdict::LogIn(_) => self.discard(&connection).await,
        }
        Err(verdict)
    }

    /// A connection to the member whose turn it is.
    pub(super) async fn connect(&self, deadline: Instant) -> Result<Connection, Verdict> {
        let turn = self.turn.load(Ordering::Relaxed);
        let member = &self.members[turn % self.members.len()];
        let connected = time::timeout_at(deadline, self.connect_to(member)).await;
        let verdict = match connected {
            Ok(Ok(connection)) => return Ok(Connection { turn, ..connection }),
            // Logging in can be repeated, whatever became of it.
            Ok(Err(error)) => match judge(&error) {
                Verdict::Unknown(error) | Verdict::LogIn(error) => Verdict::NotDone(error),
                verdict => verdict,
            },
            Err(_) => Verdict::NotDone(unavailable("a member of etcd does not let us log in")),
        };
        self.pass_on(turn);
        Err(verdict)
    }

    async fn connect_to(&self, member: &Member) -> Result<Connection, Error> {
        let mut slot = member.connection.lock().await;
        if let Some(connection) = &*slot {
            return Ok(connection.clone());
        }
        let options = Some(self.config.options());
        let client = Client::connect([&member.endpoint], options).await?;
        let connection = Connection {
            client,
            turn: 0,
            number: rand::random(),
        };
        *slot = Some(connection.clone());
        Ok(connection)
    }

    /// The member that had this turn failed: it is the next one's, unless somebody has seen to that already.
    pub(super) fn pass_on(&self, turn: usize) {
        let next = turn.wrapping_add(1);
        let _ = self
            .turn
            .compare_exchange(turn, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Connects and logs in anew next time: the connection may be dead, or its token expired.
    pub(super) async fn discard(&self, connection: &Connection) {
        let member = &self.members[connection.turn % self.members.len()];
        let mut slot = member.connection.lock().await;
        if slot.as_ref().map(|held| held.number) == Some(connection.number) {
            *slot = None;
        }
    }
}

/// How long a member may take for what cannot be asked for again. What was passed to a leader that died is never
/// answered, so to wait longer only keeps the caller from reading again.
const ANSWER: Duration = Duration::from_millis(2500);
/// Between rounds in which no member could do it.
const PAUSE: Duration = Duration::from_millis(200);
/// The longest message, in bytes: a page of the largest values, or a thousand revisions of a watch that is far behind.
const LONGEST: usize = i32::MAX as usize;
