//! Connections with delay and jitter: streams are ordered, whatever is on different ones is not.

use bytes::Bytes;
use meridian_relay::SessionId;
use meridian_wire::Message;
use rustc_hash::FxHashMap;

pub(crate) type ConnId = usize;

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Relay(usize, SessionId),
    Client(usize),
}

#[derive(Debug)]
pub(crate) enum Packet {
    /// The opener of a request stream said something; the first opens it.
    Request(u64, Message),
    /// The opener's direction ended; cancelled or not.
    RequestClosed(u64, bool),
    /// The other direction of the stream.
    Response(u64, Message),
    ResponseClosed(u64, bool),
    /// Bytes of a data stream, and what follows them.
    Data(u64, Vec<Bytes>, After),
    Datagram(Bytes),
    /// The receiver has consumed so much of a stream.
    Consumed(u64, usize),
    /// Another stream may be opened.
    Credit,
    /// The receiver wants no more of a stream.
    Stop(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    More,
    Fin,
    Reset,
}

pub(crate) struct Conn {
    pub(crate) sides: [Side; 2],
    pub(crate) is_alive: bool,
    pub(crate) delay: u64,
    pub(crate) ways: [Way; 2],
}

/// One direction of a connection, as its sender and the network between see it.
pub(crate) struct Way {
    /// Streams that may be opened now.
    pub(crate) credit: usize,
    pub(crate) waits_for_credit: bool,
    /// Bytes of one stream that may be under way.
    pub(crate) window: usize,
    /// Bytes of all streams that may be under way, and that are.
    pub(crate) pipe: usize,
    pub(crate) under_way: usize,
    /// Bytes a millisecond.
    pub(crate) rate: u64,
    busy_until: u64,
    pub(crate) next_stream: u64,
    pub(crate) next_request: u64,
    arrival: FxHashMap<(u8, u64), u64>,
}

impl Way {
    pub(crate) fn new(first_request: u64) -> Way {
        Way {
            credit: 1000,
            waits_for_credit: false,
            window: 1 << 20,
            pipe: 1 << 20,
            under_way: 0,
            rate: 1 << 20,
            busy_until: 0,
            next_stream: 0,
            next_request: first_request,
            arrival: FxHashMap::default(),
        }
    }

    /// When a packet sent now arrives: never before the one before it on its stream.
    pub(crate) fn arrival(&mut self, packet: &Packet, now: u64, delay: u64) -> u64 {
        let (key, size) = match packet {
            Packet::Request(id, _) | Packet::RequestClosed(id, _) => ((0, *id), 0),
            Packet::Response(id, _) | Packet::ResponseClosed(id, _) => ((1, *id), 0),
            Packet::Data(stream, chunks, _) => {
                let bytes: usize = chunks.iter().map(Bytes::len).sum();
                ((2, *stream), bytes as u64)
            }
            Packet::Consumed(stream, _) | Packet::Stop(stream) => ((3, *stream), 0),
            Packet::Datagram(_) => ((4, 0), 0),
            Packet::Credit => ((5, 0), 0),
        };
        self.busy_until = self.busy_until.max(now) + size / self.rate;
        let before = self.arrival.entry(key).or_insert(0);
        *before = (*before).max(self.busy_until + delay);
        *before
    }

    pub(crate) fn request_id(&mut self) -> u64 {
        self.next_request += 2;
        self.next_request - 2
    }
}

impl Packet {
    pub(crate) fn is_data(&self) -> bool {
        matches!(
            self,
            Packet::Data(..) | Packet::Datagram(_) | Packet::Consumed(..) | Packet::Credit
        )
    }

    /// In few words.
    pub(crate) fn brief(&self) -> String {
        match self {
            Packet::Request(id, message) => format!("request {id} {}", brief(message)),
            Packet::Response(id, message) => format!("response {id} {}", brief(message)),
            Packet::Data(stream, chunks, after) => {
                let bytes: Vec<u8> = chunks.iter().flatten().take(10).copied().collect();
                format!("data {stream} {after:?} {bytes:02x?}")
            }
            other => format!("{other:?}"),
        }
    }
}

fn brief(message: &Message) -> String {
    match message {
        Message::Subscribe(ask) => {
            let wait = ask.params.rendezvous_timeout;
            format!("SUBSCRIBE {} wait {wait:?}", ask.track)
        }
        Message::Publish(offer) => format!("PUBLISH {}", offer.track),
        Message::PublishNamespace(ask) => format!("PUBLISH_NAMESPACE {}", ask.namespace),
        Message::RequestError(error) => format!("REQUEST_ERROR {:?}", error.code),
        Message::PublishDone(done) => format!("PUBLISH_DONE {:?}", done.code),
        Message::RequestUpdate(update) => {
            format!("REQUEST_UPDATE forward {:?}", update.params.forward)
        }
        other => format!("{:?}", other.kind()),
    }
}

impl std::fmt::Display for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Side::Relay(node, _) => write!(f, "relay {node}"),
            Side::Client(number) => write!(f, "client {number}"),
        }
    }
}
