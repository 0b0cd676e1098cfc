//! The yardstick: what comes from the publisher goes to every subscriber, and nothing else happens.
//!
//! No protocol, no cache, no priorities, nobody slow: what QUIC itself costs, written as well as we can. A stream of the
//! publisher's becomes a stream to each subscriber, a datagram a datagram.

use super::dial::Purpose;
use anyhow::{Result, bail};
use bytes::Bytes;
use clap::ValueEnum;
use meridian_session::endpoint::QuicSettings;
use meridian_session::tls::{self, Identity};
use meridian_session::transport::alpn;
use quinn::{Connection, RecvStream, SendStream};
use std::cell::RefCell;
use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use tokio::sync::mpsc;
use tokio::task::LocalSet;

/// How to be the yardstick.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where to listen.
    #[arg(long)]
    listen: SocketAddr,
    /// Who writes.
    #[arg(long, value_enum, default_value = "loop")]
    mode: Mode,
}

/// Two ways to do it; the faster one is the yardstick.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// Whoever reads the publisher's bytes writes them to all.
    Loop,
    /// A task for each subscriber.
    Tasks,
}

/// Serves until the process is killed.
pub(super) fn run(args: &Args) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, serve(args))
}

async fn serve(args: &Args) -> Result<()> {
    let settings = QuicSettings::client_side();
    let protocols = vec![Purpose::Publish.alpn(), Purpose::Subscribe.alpn()];
    let tls = tls::server(Identity::ephemeral()?, protocols)?;
    let endpoint = settings.endpoint(args.listen, Some(settings.server_config(tls)?))?;
    let hall = Rc::new(Hall {
        mode: args.mode,
        listeners: RefCell::default(),
    });
    while let Some(incoming) = endpoint.accept().await {
        let hall = hall.clone();
        tokio::task::spawn_local(async move {
            if let Ok(connection) = incoming.await {
                hall.enter(connection).await;
            }
        });
    }
    bail!("the endpoint closed")
}

struct Hall {
    mode: Mode,
    listeners: RefCell<Vec<Listener>>,
}

enum Listener {
    Direct(Connection),
    Task(mpsc::UnboundedSender<Piece>),
}

/// Bytes of one of the publisher's streams.
#[derive(Clone)]
struct Piece {
    stream: quinn::StreamId,
    bytes: Option<Bytes>,
    end: bool,
}

impl Hall {
    async fn enter(self: Rc<Self>, connection: Connection) {
        if alpn(&connection) == Some(Purpose::Publish.alpn()) {
            tokio::task::spawn_local(self.clone().take_datagrams(connection.clone()));
            return self.take_streams(connection).await;
        }
        let listener = match self.mode {
            Mode::Loop => Listener::Direct(connection.clone()),
            Mode::Tasks => {
                let (sender, pieces) = mpsc::unbounded_channel();
                tokio::task::spawn_local(write_pieces(connection.clone(), pieces));
                Listener::Task(sender)
            }
        };
        self.listeners.borrow_mut().push(listener);
    }

    async fn take_datagrams(self: Rc<Self>, publisher: Connection) {
        while let Ok(bytes) = publisher.read_datagram().await {
            for listener in self.listeners.borrow().iter() {
                if let Listener::Direct(connection) = listener {
                    // One that does not fit is lost; the load counts it.
                    let _ = connection.send_datagram(bytes.clone());
                }
            }
        }
    }

    async fn take_streams(self: Rc<Self>, publisher: Connection) {
        while let Ok(stream) = publisher.accept_uni().await {
            let mut passage = Passage {
                hall: self.clone(),
                stream,
                out: None,
            };
            if !passage.pass_what_is_there() {
                tokio::task::spawn_local(async move { while passage.pass().await {} });
            }
        }
    }
}

/// A publisher's stream on its way to everybody.
struct Passage {
    hall: Rc<Hall>,
    stream: RecvStream,
    /// In the order of the listeners that were there when it began.
    out: Option<Vec<Option<SendStream>>>,
}

impl Passage {
    /// Whether it has ended.
    fn pass_what_is_there(&mut self) -> bool {
        let mut held = None;
        loop {
            match at_once(self.stream.read_chunk(usize::MAX, true)) {
                Poll::Ready(Ok(Some(chunk))) => {
                    if let Some(before) = held.replace(chunk.bytes) {
                        self.hand_out(Some(before), false);
                    }
                }
                Poll::Ready(_) => {
                    self.hand_out(held, true);
                    return true;
                }
                Poll::Pending => {
                    if held.is_some() {
                        self.hand_out(held, false);
                    }
                    return false;
                }
            }
        }
    }

    /// Whether there is more to come.
    async fn pass(&mut self) -> bool {
        match self.stream.read_chunk(usize::MAX, true).await {
            Ok(Some(chunk)) => {
                self.hand_out(Some(chunk.bytes), false);
                !self.pass_what_is_there()
            }
            _ => {
                self.hand_out(None, true);
                false
            }
        }
    }

    fn hand_out(&mut self, bytes: Option<Bytes>, end: bool) {
        let listeners = self.hall.listeners.borrow();
        let direct = |listener: &Listener| match listener {
            Listener::Direct(connection) => open_at_once(connection),
            Listener::Task(_) => None,
        };
        let out = self
            .out
            .get_or_insert_with(|| listeners.iter().map(direct).collect());
        // Whoever has come since must not hear the rest of it.
        for (listener, slot) in listeners.iter().zip(out) {
            match listener {
                Listener::Direct(_) => write_at_once(slot, &bytes, end),
                Listener::Task(sender) => {
                    let stream = self.stream.id();
                    let bytes = bytes.clone();
                    // A listener that has left needs nothing.
                    let _ = sender.send(Piece { stream, bytes, end });
                }
            }
        }
    }
}

fn open_at_once(connection: &Connection) -> Option<SendStream> {
    match at_once(connection.open_uni()) {
        Poll::Ready(Ok(stream)) => Some(stream),
        _ => None,
    }
}

/// Writes, or gives the stream up: there are no slow listeners here.
fn write_at_once(slot: &mut Option<SendStream>, bytes: &Option<Bytes>, end: bool) {
    let Some(stream) = slot else {
        return;
    };
    if let Some(bytes) = bytes {
        let mut chunks = [bytes.clone()];
        let written = at_once(stream.write_chunks(&mut chunks));
        if !matches!(written, Poll::Ready(Ok(_)) if chunks[0].is_empty()) {
            let _ = stream.reset(quinn::VarInt::from_u32(0));
            slot.take();
            return;
        }
    }
    if end {
        let _ = stream.finish();
    }
}

async fn write_pieces(connection: Connection, mut pieces: mpsc::UnboundedReceiver<Piece>) {
    let mut open: HashMap<quinn::StreamId, SendStream> = HashMap::new();
    while let Some(piece) = pieces.recv().await {
        let mut stream = match open.remove(&piece.stream) {
            Some(stream) => stream,
            None => match connection.open_uni().await {
                Ok(stream) => stream,
                Err(_) => return,
            },
        };
        if let Some(bytes) = piece.bytes
            && stream.write_chunk(bytes).await.is_err()
        {
            continue;
        }
        if piece.end {
            let _ = stream.finish();
        } else {
            open.insert(piece.stream, stream);
        }
    }
}

/// What a future says when asked once.
fn at_once<T>(future: impl Future<Output = T>) -> Poll<T> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}
