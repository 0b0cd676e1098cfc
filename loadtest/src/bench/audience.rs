//! The subscribers: each joins, and listens until the process ends.

use super::dial::{Dialect, Dialer, Purpose, attentive};
use super::ear::{Ear, Meter, Objects};
use super::lite;
use super::publisher::{Programme, track_name};
use super::witness::Witness;
use anyhow::{Context, Result, bail};
use meridian_session::endpoint::QuicSettings;
use meridian_session::session::{RequestEvent, RequestStream, Session};
use meridian_session::transport::{Connection, RecvStream, TryRead};
use meridian_wire::Message;
use meridian_wire::control::Subscribe;
use meridian_wire::param::{LocationFilter, Parameters};
use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// Sockets the attentive subscribers share.
const SOCKETS: usize = 8;
/// The most one read takes.
const MAX_CHUNK: usize = 64 * 1024;

/// Subscribers that share a way to connect and a meter.
#[derive(Clone)]
pub(super) struct Audience {
    dialer: Rc<Dialer>,
    programme: Programme,
    target: SocketAddr,
    pub(super) meter: Rc<Meter>,
    manner: Manner,
    witness: Option<Rc<Witness>>,
    /// How long an edge may look for the tracks (MoQT's RENDEZVOUS_TIMEOUT), in milliseconds.
    patience: Option<u64>,
    failed: Rc<Cell<usize>>,
}

/// How a subscriber behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// Reads everything at once.
    Attentive,
    /// Like it, but with a client's usual limits.
    Usual,
    /// Subscribes and never reads.
    Stalled,
}

impl Audience {
    /// Nobody yet. Must run inside a [`tokio::task::LocalSet`].
    pub(super) fn new(
        programme: &Programme,
        target: SocketAddr,
        manner: Manner,
    ) -> Result<Audience> {
        let (settings, sockets) = match manner {
            Manner::Attentive => (attentive(), SOCKETS),
            Manner::Usual | Manner::Stalled => (QuicSettings::client_side(), 1),
        };
        let dialer = Dialer::new(programme.dialect, Purpose::Subscribe, &settings, sockets)?;
        Ok(Audience {
            dialer: Rc::new(dialer),
            programme: programme.clone(),
            target,
            meter: Meter::new(),
            manner,
            witness: None,
            patience: None,
            failed: Rc::default(),
        })
    }

    /// Puts every object heard on record. For an audience of one, as copies heard by several would count as doubles.
    pub(super) fn with_witness(self, witness: Rc<Witness>) -> Audience {
        Audience {
            witness: Some(witness),
            ..self
        }
    }

    /// Lets edges look for the tracks for so long: what is announced far away is known here only later.
    pub(super) fn with_patience(self, patience: Duration) -> Audience {
        Audience {
            patience: Some(patience.as_millis() as u64),
            ..self
        }
    }

    /// Lets `count` join, evenly spread over `time`, and waits until all that do have heard something.
    pub(super) async fn join(&self, count: usize, time: Duration) {
        let start = tokio::time::Instant::now();
        let wanted = self.meter.joins_ms().len() + self.failed.get() + count;
        for n in 0..count {
            tokio::time::sleep_until(start + time * n as u32 / count as u32).await;
            tokio::task::spawn_local(self.clone().take_part());
        }
        let patience = tokio::time::Instant::now() + Duration::from_secs(10);
        while self.meter.joins_ms().len() + self.failed.get() < wanted
            && tokio::time::Instant::now() < patience
            && self.manner != Manner::Stalled
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// How many could not join, or were thrown out.
    pub(super) fn failed(&self) -> usize {
        self.failed.get()
    }

    async fn take_part(self) {
        if let Err(error) = self.try_to_take_part().await {
            eprintln!("a subscriber: {error:#}");
            self.failed.set(self.failed.get() + 1);
        }
    }

    async fn try_to_take_part(&self) -> Result<()> {
        let ear = Rc::new(Ear::new(self.meter.clone(), self.witness.clone()));
        let (connection, session) = self.dialer.connect(self.target).await?;
        // Dropped, they would be cancelled.
        let (mut requests, mut lite_requests) = (Vec::new(), Vec::new());
        for track in 0..self.programme.shapes.len() as u8 {
            match &session {
                Some(session) => requests.push(subscribe(session, track, self.patience).await?),
                None if self.programme.dialect == Dialect::MoqLite => {
                    lite_requests.push(lite::subscribe(&connection, track).await?);
                }
                None => {}
            }
        }
        let lost = match self.manner {
            Manner::Stalled => connection.closed().await,
            _ if self.programme.is_datagrams() => loop {
                match connection.read_datagram().await {
                    Ok(bytes) => ear.datagram(bytes)?,
                    Err(lost) => break lost,
                }
            },
            _ => listen(&connection, self.programme.dialect, &ear).await?,
        };
        Err(lost.into())
    }
}

async fn subscribe(session: &Session, track: u8, patience: Option<u64>) -> Result<RequestStream> {
    let params = Parameters {
        rendezvous_timeout: patience,
        location_filter: Some(LocationFilter::NextObject),
        ..Parameters::default()
    };
    let ask = |request_id| {
        Message::Subscribe(Subscribe {
            request_id,
            track: track_name(track),
            params,
        })
    };
    let mut request = session.open_request(ask).await?;
    match request.recv().await.context("waiting for SUBSCRIBE_OK")? {
        RequestEvent::Message(Message::SubscribeOk(_)) => Ok(request),
        other => bail!("SUBSCRIBE was answered by {other:?}"),
    }
}

async fn listen(
    connection: &Connection,
    dialect: Dialect,
    ear: &Rc<Ear>,
) -> Result<meridian_session::transport::ConnectionLost> {
    loop {
        let mut stream = match connection.accept_uni().await {
            Ok(stream) => stream,
            Err(lost) => return Ok(lost),
        };
        let mut objects = Objects::said_in(dialect);
        if !take_what_is_there(&mut stream, &mut objects, ear)? {
            tokio::task::spawn_local(listen_on(stream, objects, ear.clone()));
        }
    }
}

/// Whether that was all.
fn take_what_is_there(stream: &mut RecvStream, objects: &mut Objects, ear: &Ear) -> Result<bool> {
    loop {
        match stream.try_read_chunk(MAX_CHUNK) {
            Ok(TryRead::Chunk(chunk)) => objects.take(chunk, ear)?,
            Ok(TryRead::Pending) => return Ok(false),
            // A reset is the relay's right; what is missing shows in what was heard.
            Ok(TryRead::Fin) | Err(_) => return Ok(true),
        }
    }
}

async fn listen_on(mut stream: RecvStream, mut objects: Objects, ear: Rc<Ear>) {
    while let Ok(Some(chunk)) = stream.read_chunk(MAX_CHUNK).await {
        if let Err(error) = objects.take(chunk, &ear) {
            return eprintln!("a subscriber: {error:#}");
        }
    }
}
