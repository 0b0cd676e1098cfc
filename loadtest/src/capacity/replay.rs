//! A source to measure a load tester by: it says what a control plane and an edge say to their clients, and costs as little
//! as bare quinn.
//!
//! It knows no publisher. Whatever track is asked for is made up: audio, 160 bytes fifty times a second, a stream each,
//! numbered and stamped by capture time as our clients do, and filled with [`Payloads`]. All who ask for a track are sent
//! the same bytes.

use super::door;
use crate::account::Payloads;
use anyhow::{Context as _, Result, bail};
use bytes::{BufMut, Bytes, BytesMut};
use meridian_session::endpoint::QuicSettings;
use meridian_session::session::{IncomingRequest, Options, RequestEvent, Session};
use meridian_session::tls::{self, Identity};
use meridian_session::transport::{Connection, Incoming};
use meridian_wire::control::{RequestError, SubscribeOk};
use meridian_wire::data::{ObjectHeader, ObjectStatus, SubgroupHeader, SubgroupId};
use meridian_wire::param::Parameters;
use meridian_wire::property::Properties;
use meridian_wire::{FullTrackName, Message, RequestErrorCode, ResetCode};
use serde::{Deserialize, Serialize};
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::task::LocalSet;
use tokio::time::Instant;

/// How to be the source.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where to listen, for raw QUIC, WebTransport and, by TCP, those who ask to come in. Others are told this address.
    #[arg(long)]
    listen: SocketAddr,
    /// The most tracks that are made up at a time; further ones are refused.
    #[arg(long, default_value_t = 8)]
    tracks: usize,
    /// What payloads follow from, beside the track's name as the project writes names (`bench-talk--a`).
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What somebody has to know to come in: the line that the source prints when it is ready.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Opening {
    /// Where to ask to come in, as a control plane is asked.
    pub(super) door: String,
    /// The certificate there (PEM).
    pub(super) certificate: String,
}

/// Serves until the process is killed.
///
/// # Errors
/// It cannot listen there.
pub fn run(args: &Args) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, async {
        let identity = Identity::ephemeral()?;
        let fingerprint = identity.fingerprint().context("there is a certificate")?;
        let endpoint = open(args.listen, identity)?;
        let (opening, keeping) = door::open(endpoint.local_addr()?, fingerprint).await?;
        meridian_process::say(serde_json::to_string(&opening)?);
        let source = Rc::new(Source::new(args.tracks, args.seed));
        tokio::select! {
            served = source.serve(&endpoint) => served,
            kept = keeping => kept,
        }
    })
}

fn open(listen: SocketAddr, identity: Identity) -> Result<quinn::Endpoint> {
    let settings = QuicSettings::client_side();
    let tls = tls::server(identity, tls::client_facing_protocols())?;
    Ok(settings.endpoint(listen, Some(settings.server_config(tls)?))?)
}

/// What is played, and to whom.
struct Source {
    most_tracks: usize,
    seed: u64,
    /// By alias, less one: the same for all who listen.
    tracks: RefCell<Vec<Track>>,
    next_listener: Cell<u64>,
    /// Objects that a listener's connection did not take at once.
    left_out: Cell<u64>,
}

struct Track {
    name: FullTrackName,
    listeners: Vec<Listener>,
}

struct Listener {
    id: u64,
    connection: Connection,
}

const FRAME_US: u64 = 20_000;
const AUDIO_BYTES: usize = 160;
/// Sound is the most urgent on the wire, as an edge has it.
const PRIORITY: u8 = 16;

impl Source {
    fn new(most_tracks: usize, seed: u64) -> Source {
        Source {
            most_tracks,
            seed,
            tracks: RefCell::default(),
            next_listener: Cell::new(0),
            left_out: Cell::new(0),
        }
    }

    async fn serve(self: Rc<Self>, endpoint: &quinn::Endpoint) -> Result<()> {
        tokio::task::spawn_local(self.clone().tell_what_is_left_out());
        while let Some(incoming) = endpoint.accept().await {
            let source = self.clone();
            tokio::task::spawn_local(async move {
                if let Err(error) = source.receive(incoming).await {
                    eprintln!("a listener: {error:#}");
                }
            });
        }
        bail!("the endpoint closed")
    }

    /// Says when listeners were not sent everything, and how much not.
    async fn tell_what_is_left_out(self: Rc<Self>) {
        let mut seconds = tokio::time::interval(Duration::from_secs(1));
        loop {
            seconds.tick().await;
            let left_out = self.left_out.take();
            if left_out > 0 {
                eprintln!("{left_out} objects were not taken at once and left out");
            }
        }
    }

    async fn receive(self: Rc<Self>, incoming: quinn::Incoming) -> Result<()> {
        let connection = Incoming::read(incoming.await?).await?.accept().await?;
        let session = Session::accept(connection.clone(), Options::default()).await?;
        // Ends with an error when the listener has left.
        while let Ok(request) = session.accept_request().await {
            tokio::task::spawn_local(self.clone().answer(request, connection.clone()));
        }
        Ok(())
    }

    /// Lets somebody listen for as long as the request stands.
    async fn answer(self: Rc<Self>, mut request: IncomingRequest, connection: Connection) {
        let number = match &request.message {
            Message::Subscribe(ask) => self.number(&ask.track).ok_or((
                RequestErrorCode::DOES_NOT_EXIST,
                "as many tracks as are allowed are being played",
            )),
            _ => Err((RequestErrorCode::NOT_SUPPORTED, "there are only tracks")),
        };
        let answer = match number {
            Ok(number) => Message::SubscribeOk(SubscribeOk {
                track_alias: number as u64 + 1,
                params: Parameters::default(),
                properties: Properties::default(),
            }),
            Err((code, reason)) => Message::RequestError(RequestError {
                code,
                retry_interval: 0,
                reason: reason.to_owned(),
                redirect: None,
            }),
        };
        let (Ok(()), Ok(number)) = (request.stream.send(&answer), number) else {
            // A refusal is the last word; without this it would be taken back.
            let _ = request.stream.finish();
            return;
        };
        let id = self.next_listener.replace(self.next_listener.get() + 1);
        self.tracks.borrow_mut()[number]
            .listeners
            .push(Listener { id, connection });
        // Updates change nothing: everybody gets everything.
        while let Ok(RequestEvent::Message(_)) = request.stream.recv().await {}
        self.tracks.borrow_mut()[number]
            .listeners
            .retain(|listener| listener.id != id);
    }

    /// A track's number. It begins to play with the first who asks for it, and plays on.
    fn number(self: &Rc<Self>, name: &FullTrackName) -> Option<usize> {
        let mut tracks = self.tracks.borrow_mut();
        let known = tracks.iter().position(|track| track.name == *name);
        if known.is_some() || tracks.len() >= self.most_tracks {
            return known;
        }
        let number = tracks.len();
        tracks.push(Track {
            name: name.clone(),
            listeners: Vec::new(),
        });
        let payloads = Payloads::of(&name.to_string(), self.seed);
        tokio::task::spawn_local(self.clone().play(number, payloads));
        Some(number)
    }

    async fn play(self: Rc<Self>, number: usize, payloads: Payloads) {
        // One reading of the wall clock: from here on time is the kind that never jumps.
        let (start, start_us) = (Instant::now(), unix_us());
        // Tracks are not in step with each other.
        let phase_us = FRAME_US * number as u64 / self.most_tracks as u64;
        for group in start_us / FRAME_US + 1.. {
            let capture_us = group * FRAME_US + phase_us;
            let since = Duration::from_micros(capture_us.saturating_sub(start_us));
            tokio::time::sleep_until(start + since).await;
            let bytes = object(number, group, capture_us, payloads);
            self.send(number, &bytes);
        }
    }

    fn send(&self, number: usize, bytes: &Bytes) {
        for listener in &self.tracks.borrow()[number].listeners {
            if !send_at_once(&listener.connection, bytes.clone()) {
                self.left_out.set(self.left_out.get() + 1);
            }
        }
    }
}

/// Whether the connection took it: nothing waits for who is slow.
fn send_at_once(connection: &Connection, mut bytes: Bytes) -> bool {
    let Ok(Some(mut stream)) = connection.try_open_uni() else {
        return false;
    };
    let taken = stream.try_write_chunk(&mut bytes).is_ok() && bytes.is_empty();
    if !taken {
        // It is gone if the connection is.
        let _ = stream.reset(ResetCode::CANCELLED);
    }
    taken && stream.finish().is_ok()
}

/// A whole stream: a group of one object.
fn object(number: usize, group: u64, capture_us: u64, payloads: Payloads) -> Bytes {
    let payload = payloads.make(group, 0, AUDIO_BYTES);
    let mut out = BytesMut::with_capacity(payload.len() + 64);
    SubgroupHeader {
        track_alias: number as u64 + 1,
        group,
        subgroup: SubgroupId::Zero,
        priority: Some(PRIORITY),
        has_properties: true,
        end_of_group: true,
        first_object: true,
    }
    .encode(&mut out);
    let properties = Properties::builder().timestamp(capture_us);
    let header = ObjectHeader {
        id: 0,
        properties: properties.build().expect("one property fits").0,
        payload_len: payload.len() as u64,
        status: ObjectStatus::Normal,
    };
    header.encode(None, true, &mut out);
    out.put_slice(&payload);
    out.freeze()
}

fn unix_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_micros() as u64
}

#[cfg(test)]
mod tests;
