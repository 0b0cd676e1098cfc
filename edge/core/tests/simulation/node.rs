//! A relay with a simple shell: streams take so much and no more, and are opened as the peer allows.

use crate::common::Reader;
use crate::network::{After, ConnId, Packet};
use crate::truth::{Track, track_of};
use bytes::Bytes;
use meridian_relay::{
    Command, Config, Delivery, DropReason, End, InStreamId, OutRequestId, OutStreamId, Outgoing,
    Relay, SessionId,
};
use meridian_wire::Message;
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A track, group and object.
pub(crate) type Spot = (Track, u64, u64);

pub(crate) struct Node {
    pub(crate) relay: Relay,
    pub(crate) is_up: bool,
    pub(crate) conn_of: FxHashMap<SessionId, ConnId>,
    sending: FxHashMap<OutStreamId, Sending>,
    by_wire: FxHashMap<(ConnId, u64), OutStreamId>,
    in_streams: FxHashMap<(ConnId, u64), InStream>,
    wire_request: FxHashMap<(ConnId, OutRequestId), u64>,
    request_of: FxHashMap<(ConnId, u64), OutRequestId>,
    asked: FxHashMap<(ConnId, u64), Track>,
    pub(crate) books: Books,
    /// Objects that came in whole by the last packet.
    pub(crate) arrived: Vec<Spot>,
}

/// What came in whole, and what was to go out: the model that counters are checked against.
#[derive(Default)]
pub(crate) struct Books {
    pub(crate) came: FxHashMap<Spot, u64>,
    /// Established subscriptions, by connection and request.
    pub(crate) owed: FxHashMap<(ConnId, u64), Owed>,
}

pub(crate) struct Owed {
    pub(crate) track: Track,
    pub(crate) since: u64,
    /// Only groups above this one are sure to be wanted.
    pub(crate) above: Option<u64>,
    pub(crate) got: FxHashSet<(u64, u64)>,
}

struct Sending {
    conn: ConnId,
    wire: u64,
    priority: i32,
    rest: VecDeque<Bytes>,
    under_way: usize,
    is_blocked: bool,
    end: End,
}

struct InStream {
    id: InStreamId,
    reader: Reader,
}

/// What a node sends, on which connection.
pub(crate) type Sent = Vec<(ConnId, Packet)>;

/// What a node asks of the connection it writes to.
pub(crate) trait Ways {
    /// Takes credit for a stream and names it, or notes that somebody waits for it.
    fn open(&mut self, conn: ConnId) -> Option<u64>;
    /// Takes room for at most `most` bytes of a stream that has `under_way`; how much there is.
    fn take_room(&mut self, conn: ConnId, under_way: usize, most: usize) -> usize;
    fn consumed(&mut self, conn: ConnId, bytes: usize);
    fn request_id(&mut self, conn: ConnId) -> u64;
}

pub(crate) fn config() -> Config {
    Config {
        track_cache_bytes: 40_000,
        track_cache_groups: 24,
        cache_bytes: 150_000,
        late_after: Duration::from_millis(1500),
        audio_late_after: Duration::from_millis(600),
        stalled_after: Duration::from_millis(700),
        linger: Duration::from_millis(800),
        orphan_after: Duration::from_secs(8),
        pending_subgroups: 12,
        ..Config::default()
    }
}

impl Node {
    pub(crate) fn new() -> Node {
        Node {
            relay: Relay::new(config()),
            is_up: true,
            conn_of: FxHashMap::default(),
            sending: FxHashMap::default(),
            by_wire: FxHashMap::default(),
            in_streams: FxHashMap::default(),
            wire_request: FxHashMap::default(),
            request_of: FxHashMap::default(),
            asked: FxHashMap::default(),
            books: Books::default(),
            arrived: Vec::new(),
        }
    }

    /// A connection is gone, as far as this node is concerned.
    pub(crate) fn lose(&mut self, conn: ConnId, session: SessionId, now: Instant) {
        self.conn_of.remove(&session);
        self.sending.retain(|_, sending| sending.conn != conn);
        self.by_wire.retain(|key, _| key.0 != conn);
        self.in_streams.retain(|key, _| key.0 != conn);
        self.wire_request.retain(|key, _| key.0 != conn);
        self.request_of.retain(|key, _| key.0 != conn);
        self.asked.retain(|key, _| key.0 != conn);
        self.books.owed.retain(|key, _| key.0 != conn);
        self.relay.remove_session(session, now);
    }

    /// Does everything the relay wants done.
    pub(crate) fn drain(&mut self, ways: &mut impl Ways, at: u64, now: Instant) -> Sent {
        let mut out = Vec::new();
        loop {
            if let Some(outgoing) = self.relay.poll_delivery() {
                match outgoing {
                    Outgoing::Stream(delivery) => self.deliver(delivery, ways, now, &mut out),
                    Outgoing::Datagram { session, bytes } => {
                        if let Some(conn) = self.conn_of.get(&session) {
                            out.push((*conn, Packet::Datagram(bytes)));
                        }
                    }
                    Outgoing::Priority { .. } => {}
                }
            } else if let Some(command) = self.relay.poll_command() {
                self.command(command, ways, at, &mut out);
            } else {
                return out;
            }
        }
    }

    fn deliver(&mut self, delivery: Delivery, ways: &mut impl Ways, now: Instant, out: &mut Sent) {
        let stream = delivery.stream;
        if let End::Reset(_) = delivery.end {
            if let Some(sending) = self.sending.remove(&stream) {
                self.by_wire.remove(&(sending.conn, sending.wire));
                let reset = Packet::Data(sending.wire, Vec::new(), After::Reset);
                out.push((sending.conn, reset));
            }
            return;
        }
        let Some(&conn) = self.conn_of.get(&delivery.session) else {
            return;
        };
        if let Some(open) = &delivery.open {
            let Some(wire) = ways.open(conn) else {
                return self.relay.handle_no_credit(stream);
            };
            let sending = Sending {
                conn,
                wire,
                priority: open.priority,
                rest: VecDeque::from([open.header.clone()]),
                under_way: 0,
                is_blocked: false,
                end: End::Open,
            };
            let other = self.sending.insert(stream, sending);
            assert!(other.is_none(), "a stream is opened once");
            self.by_wire.insert((conn, wire), stream);
        }
        let Some(sending) = self.sending.get_mut(&stream) else {
            return;
        };
        assert!(!sending.is_blocked, "a blocked stream is left alone");
        sending.rest.extend(delivery.body.slices().iter().cloned());
        sending.end = delivery.end;
        self.write(stream, ways, now, out);
    }

    /// Writes as much as the stream takes.
    fn write(&mut self, stream: OutStreamId, ways: &mut impl Ways, now: Instant, out: &mut Sent) {
        let Some(sending) = self.sending.get_mut(&stream) else {
            return;
        };
        let mut chunks = Vec::new();
        while let Some(front) = sending.rest.front_mut() {
            let room = ways.take_room(sending.conn, sending.under_way, front.len());
            if room == 0 && !front.is_empty() {
                break;
            }
            let chunk = front.split_to(room);
            if front.is_empty() {
                sending.rest.pop_front();
            }
            sending.under_way += chunk.len();
            chunks.push(chunk);
        }
        let (conn, wire, end) = (sending.conn, sending.wire, sending.end);
        let is_done = sending.rest.is_empty();
        let was_blocked = std::mem::replace(&mut sending.is_blocked, !is_done);
        let is_fin = is_done && matches!(end, End::Finish(_));
        let after = if is_fin { After::Fin } else { After::More };
        if !chunks.is_empty() || is_fin {
            out.push((conn, Packet::Data(wire, chunks, after)));
        }
        if is_fin {
            self.sending.remove(&stream);
            self.by_wire.remove(&(conn, wire));
        }
        match (is_done, was_blocked) {
            (false, false) => self.relay.handle_blocked(stream, now),
            (false, true) => {}
            (true, true) => self.relay.handle_writable(stream, now),
            (true, false) if is_fin => self.relay.handle_finished(stream),
            (true, false) if end == End::More => self.relay.handle_writable(stream, now),
            (true, false) => {}
        }
    }

    /// Streams of a connection that have more to write, the most urgent first.
    fn blocked(&self, conn: ConnId) -> Vec<OutStreamId> {
        let waits =
            |(_, sending): &(&OutStreamId, &Sending)| sending.conn == conn && sending.is_blocked;
        let blocked = self.sending.iter().filter(waits);
        let mut blocked: Vec<_> = blocked
            .map(|(id, sending)| (-sending.priority, sending.wire, *id))
            .collect();
        blocked.sort();
        blocked.into_iter().map(|(_, _, id)| id).collect()
    }

    fn command(&mut self, command: Command, ways: &mut impl Ways, at: u64, out: &mut Sent) {
        let (session, packets) = match command {
            Command::Respond {
                session,
                request,
                message,
                finish,
            } => {
                self.note_response(session, request, &message, at);
                let mut packets = vec![Packet::Response(request, message)];
                if finish {
                    packets.push(Packet::ResponseClosed(request, false));
                }
                (session, packets)
            }
            Command::Reject {
                session, request, ..
            } => (session, vec![Packet::ResponseClosed(request, true)]),
            Command::Request {
                session,
                request,
                message,
            } => {
                let Some(&conn) = self.conn_of.get(&session) else {
                    return;
                };
                let id = ways.request_id(conn);
                self.wire_request.insert((conn, request), id);
                self.request_of.insert((conn, id), request);
                (session, vec![Packet::Request(id, with_id(message, id))])
            }
            Command::Update {
                session,
                request,
                message,
                ..
            } => (
                session,
                self.on_request(session, request, |id| Packet::Request(id, message)),
            ),
            Command::Cancel {
                session, request, ..
            } => (
                session,
                self.on_request(session, request, |id| Packet::RequestClosed(id, true)),
            ),
            Command::Stop {
                session, stream, ..
            } => {
                let found = self.in_streams.iter().find(|(_, held)| held.id == stream);
                let stop = found.map(|((_, wire), _)| Packet::Stop(*wire));
                (session, stop.into_iter().collect())
            }
            Command::FinishResponse { session, request } => {
                (session, vec![Packet::ResponseClosed(request, false)])
            }
            Command::FinishRequest { session, request } => (
                session,
                self.on_request(session, request, |id| Packet::RequestClosed(id, false)),
            ),
            Command::Resume { .. } | Command::Goaway { .. } => return,
            Command::Close { reason, .. } => panic!("nobody breaks the protocol here: {reason}"),
        };
        if let Some(&conn) = self.conn_of.get(&session) {
            out.extend(packets.into_iter().map(|packet| (conn, packet)));
        }
    }

    fn on_request(
        &self,
        session: SessionId,
        request: OutRequestId,
        packet: impl FnOnce(u64) -> Packet,
    ) -> Vec<Packet> {
        let conn = self.conn_of.get(&session);
        let id = conn.and_then(|conn| self.wire_request.get(&(*conn, request)));
        id.map(|id| packet(*id)).into_iter().collect()
    }

    /// A subscription is established, or is over.
    fn note_response(&mut self, session: SessionId, request: u64, message: &Message, at: u64) {
        let Some(&conn) = self.conn_of.get(&session) else {
            return;
        };
        match message {
            Message::SubscribeOk(ok) => {
                if let Some(&track) = self.asked.get(&(conn, request)) {
                    let owed = Owed {
                        track,
                        since: at,
                        above: ok.params.largest_object.map(|largest| largest.group),
                        got: FxHashSet::default(),
                    };
                    self.books.owed.insert((conn, request), owed);
                }
            }
            Message::PublishDone(_) | Message::RequestError(_) => {
                self.books.owed.remove(&(conn, request));
            }
            _ => {}
        }
    }

    /// Something arrived on a connection.
    pub(crate) fn take(
        &mut self,
        conn: ConnId,
        session: SessionId,
        packet: Packet,
        ways: &mut impl Ways,
        at: u64,
        now: Instant,
    ) -> Sent {
        let mut out = Vec::new();
        match packet {
            Packet::Request(id, message) => self.take_request(conn, session, id, message, now),
            Packet::RequestClosed(id, cancelled) => {
                if cancelled {
                    self.books.owed.remove(&(conn, id));
                }
                self.relay
                    .handle_request_closed(session, id, cancelled, now);
            }
            Packet::Response(id, message) => {
                if let Some(&request) = self.request_of.get(&(conn, id)) {
                    self.relay.handle_response(session, request, message, now);
                }
            }
            Packet::ResponseClosed(id, cancelled) => {
                if let Some(&request) = self.request_of.get(&(conn, id)) {
                    self.relay
                        .handle_response_closed(session, request, cancelled, now);
                }
            }
            Packet::Data(wire, chunks, after) => {
                self.take_data(conn, session, wire, &chunks, after, (at, now));
                let bytes = chunks.iter().map(Bytes::len).sum();
                out.push((conn, Packet::Consumed(wire, bytes)));
                if after != After::More {
                    out.push((conn, Packet::Credit));
                }
            }
            Packet::Datagram(bytes) => {
                let decoded = meridian_wire::data::Datagram::decode(bytes);
                if let Ok(meridian_wire::data::Datagram::Object(object)) = decoded {
                    let spot = (object.payload[0], object.group, object.object);
                    self.books.came.entry(spot).or_insert(at);
                    self.arrived.push(spot);
                    self.relay.handle_datagram(session, object, now);
                }
            }
            Packet::Consumed(wire, bytes) => {
                ways.consumed(conn, bytes);
                if let Some(stream) = self.by_wire.get(&(conn, wire)) {
                    let sending = self.sending.get_mut(stream).expect("listed by its number");
                    sending.under_way -= bytes;
                }
                for stream in self.blocked(conn) {
                    self.write(stream, ways, now, &mut out);
                }
            }
            Packet::Credit => self.relay.handle_credit(session, now),
            Packet::Stop(wire) => {
                if let Some(stream) = self.by_wire.remove(&(conn, wire)) {
                    self.sending.remove(&stream);
                    self.relay.handle_stopped(stream, now);
                    out.push((conn, Packet::Data(wire, Vec::new(), After::Reset)));
                }
            }
        }
        out.extend(self.drain(ways, at, now));
        out
    }

    fn take_request(
        &mut self,
        conn: ConnId,
        session: SessionId,
        id: u64,
        message: Message,
        now: Instant,
    ) {
        if let Message::RequestUpdate(_) | Message::PublishDone(_) | Message::RequestOk(_) = message
        {
            return self.relay.handle_request_message(session, id, message, now);
        }
        if let Message::Subscribe(ask) = &message
            && ask.params.range_filters.is_empty()
        {
            self.asked.insert((conn, id), track_of(&ask.track));
        }
        self.relay.handle_request(session, message, now);
    }

    fn take_data(
        &mut self,
        conn: ConnId,
        session: SessionId,
        wire: u64,
        chunks: &[Bytes],
        after: After,
        (at, now): (u64, Instant),
    ) {
        let stream = self.in_streams.entry((conn, wire)).or_insert_with(|| {
            let id = self.relay.accept_stream(session);
            InStream {
                id: id.expect("the session is there"),
                reader: Reader::default(),
            }
        });
        let id = stream.id;
        for chunk in chunks {
            stream.reader.push(chunk.clone());
        }
        for spot in stream.reader.whole() {
            self.books.came.entry(spot).or_insert(at);
            self.arrived.push(spot);
        }
        if after == After::Reset {
            let code = meridian_wire::ResetCode::CANCELLED;
            self.relay.handle_stream_reset(id, code, now);
        } else {
            self.relay
                .handle_stream(id, chunks, after == After::Fin, now)
                .expect("relays and publishers write what can be read");
        }
        if after != After::More {
            self.in_streams.remove(&(conn, wire));
        }
    }

    /// Every gap has a counted reason: what came in whole and did not get to a subscriber was counted.
    pub(crate) fn check_gaps(&self) {
        let mut missing = Vec::new();
        for (key, owed) in &self.books.owed {
            let is_owed = |(spot, at): &(&Spot, &u64)| {
                spot.0 == owed.track
                    && **at > owed.since
                    && owed.above.is_none_or(|above| spot.1 > above)
                    && !owed.got.contains(&(spot.1, spot.2))
            };
            let spots = self.books.came.iter().filter(is_owed);
            missing.extend(spots.map(|(spot, at)| (*key, *spot, *at, owed.since)));
        }
        let counters = self.relay.counters();
        let sessions = self.books.owed.len() as u64;
        let count = |reason: &DropReason| counters.dropped(*reason);
        let is_ingress = |reason: &&DropReason| {
            matches!(
                reason,
                DropReason::SourceReset | DropReason::UnknownAlias | DropReason::Late
            )
        };
        let ingress: u64 = DropReason::ALL.iter().filter(is_ingress).map(count).sum();
        let egress: u64 = DropReason::ALL
            .iter()
            .filter(|reason| !is_ingress(reason))
            .map(count)
            .sum();
        // One stream that is lost on its way in may hold a whole group, for every subscriber.
        let counted = egress + ingress * sessions * crate::truth::PICTURES;
        assert!(
            missing.len() as u64 <= counted,
            "{} objects missing, {counted} counted: {missing:?}\n{counters:?}",
            missing.len()
        );
    }
}

fn with_id(message: Message, id: u64) -> Message {
    match message {
        Message::Subscribe(mut ask) => {
            ask.request_id = id;
            Message::Subscribe(ask)
        }
        Message::PublishNamespace(mut ask) => {
            ask.request_id = id;
            Message::PublishNamespace(ask)
        }
        other => panic!("not asked by relays here: {other:?}"),
    }
}
