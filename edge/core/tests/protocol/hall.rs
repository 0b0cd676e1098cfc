//! A relay on a virtual clock. Everything is written at once, and all that comes of it is kept, unless a test says
//! otherwise.

use crate::common::Wire;
use bytes::{Bytes, BytesMut};
use meridian_relay::{
    Command, Config, Delivery, End, InStreamId, OutRequestId, OutStreamId, Outgoing, Peer,
    Permissions, Relay, Role, SessionId,
};
use meridian_wire::control::{
    Fetch, FetchOk, NamespaceRequest, Publish, RequestError, RequestUpdate, Subscribe, SubscribeOk,
};
use meridian_wire::data::{
    FetchDecoder, FetchEncoder, FetchEvent, FetchHeader, FetchObject, RangeGap, StreamKind,
    SubgroupHeader, SubgroupId,
};
use meridian_wire::property::Properties;
use meridian_wire::{
    Draft, FetchFilter, FullTrackName, GroupOrder, Location, LocationFilter, Message, Namespace,
    Parameters, RequestErrorCode, ResetCode,
};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

pub(crate) struct Hall {
    pub(crate) relay: Relay,
    pub(crate) now: Instant,
    commands: Vec<Command>,
    pub(crate) streams: BTreeMap<OutStreamId, Out>,
    /// Streams of sessions that take nothing for now.
    pub(crate) stuck: Vec<SessionId>,
    /// What such streams were given and have not written.
    waiting: Vec<OutStreamId>,
}

pub(crate) struct Out {
    pub(crate) session: SessionId,
    pub(crate) priority: i32,
    pub(crate) bytes: Vec<Bytes>,
    pub(crate) end: Option<End>,
}

/// What stands on a fetch stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    Object(u64, u64, Vec<u8>),
    /// Nothing up to this location, and why.
    Gap(RangeGap, u64, u64),
}

pub(crate) const MS: Duration = Duration::from_millis(1);

impl Hall {
    pub(crate) fn new() -> Hall {
        Hall::with(Config::default())
    }

    pub(crate) fn with(config: Config) -> Hall {
        Hall {
            relay: Relay::new(config),
            now: Instant::now(),
            commands: Vec::new(),
            streams: BTreeMap::new(),
            stuck: Vec::new(),
            waiting: Vec::new(),
        }
    }

    pub(crate) fn session(&mut self, role: Role) -> SessionId {
        self.peer(Peer::new(role, Permissions::default()))
    }

    pub(crate) fn peer(&mut self, peer: Peer) -> SessionId {
        let session = self.relay.add_session(peer, self.now);
        self.settle();
        session
    }

    pub(crate) fn client(&mut self) -> SessionId {
        self.session(Role::Client)
    }

    pub(crate) fn speaking(&mut self, draft: Draft) -> SessionId {
        let peer = Peer::new(Role::Client, Permissions::default());
        self.peer(Peer { draft, ..peer })
    }

    pub(crate) fn leave(&mut self, session: SessionId) {
        self.relay.remove_session(session, self.now);
        self.settle();
    }

    pub(crate) fn request(&mut self, session: SessionId, message: Message) {
        self.relay.handle_request(session, message, self.now);
        self.settle();
    }

    pub(crate) fn say(&mut self, session: SessionId, request: u64, message: Message) {
        self.relay
            .handle_request_message(session, request, message, self.now);
        self.settle();
    }

    pub(crate) fn update(&mut self, session: SessionId, request: u64, id: u64, params: Parameters) {
        let update = RequestUpdate {
            request_id: id,
            params,
        };
        self.say(session, request, Message::RequestUpdate(update));
    }

    pub(crate) fn cancel(&mut self, session: SessionId, request: u64) {
        self.relay
            .handle_request_closed(session, request, true, self.now);
        self.settle();
    }

    pub(crate) fn subscribe(
        &mut self,
        session: SessionId,
        id: u64,
        track: &FullTrackName,
        params: Parameters,
    ) {
        let track = track.clone();
        let request_id = id;
        let ask = Subscribe {
            request_id,
            track,
            params,
        };
        self.request(session, Message::Subscribe(ask));
    }

    pub(crate) fn fetch(
        &mut self,
        session: SessionId,
        id: u64,
        track: &FullTrackName,
        params: Parameters,
    ) {
        let fetch = Fetch {
            request_id: id,
            track: Some(track.clone()),
            filter: FetchFilter::Range,
            params,
        };
        self.request(session, Message::Fetch(fetch));
    }

    /// PUBLISH with request ID = alias.
    pub(crate) fn publish(
        &mut self,
        session: SessionId,
        alias: u64,
        track: &FullTrackName,
        properties: Properties,
    ) {
        let offer = Publish {
            request_id: alias,
            track: track.clone(),
            track_alias: alias,
            params: Parameters::default(),
            properties,
        };
        self.request(session, Message::Publish(offer));
    }

    pub(crate) fn announce(&mut self, session: SessionId, id: u64, namespace: &Namespace) {
        self.request(session, Message::PublishNamespace(under(id, namespace)));
    }

    /// A whole group of objects from 0 on, with its end told.
    pub(crate) fn group(&mut self, session: SessionId, alias: u64, group: u64, objects: &[&[u8]]) {
        let header = SubgroupHeader {
            track_alias: alias,
            group,
            subgroup: SubgroupId::Zero,
            priority: None,
            has_properties: false,
            end_of_group: true,
            first_object: true,
        };
        let mut wire = Wire::new(header);
        for (id, payload) in objects.iter().enumerate() {
            wire = wire.object(id as u64, payload);
        }
        let stream = self.open(session);
        self.feed(stream, wire.build(), true);
    }

    pub(crate) fn open(&mut self, session: SessionId) -> InStreamId {
        let stream = self.relay.accept_stream(session);
        stream.expect("the session is there")
    }

    pub(crate) fn feed(&mut self, stream: InStreamId, bytes: Bytes, end: bool) {
        self.relay
            .handle_stream(stream, &[bytes], end, self.now)
            .expect("well-formed");
        self.settle();
    }

    /// Answers a request of the relay's.
    pub(crate) fn answer(&mut self, (session, request): (SessionId, OutRequestId), with: Message) {
        self.relay.handle_response(session, request, with, self.now);
        self.settle();
    }

    /// Opens the data stream of a fetch of the relay's.
    pub(crate) fn open_fetch(
        &mut self,
        (session, request): (SessionId, OutRequestId),
    ) -> InStreamId {
        let stream = self.relay.accept_fetch_stream(session, request);
        stream.expect("it is waited for")
    }

    /// Feeds a fetch stream; whether it is to be read on.
    pub(crate) fn feed_fetch(&mut self, stream: InStreamId, bytes: Bytes, end: bool) -> bool {
        let more = self
            .relay
            .handle_fetch_stream(stream, &[bytes], end, self.now)
            .expect("well-formed");
        self.settle();
        more
    }

    /// Lets time pass, with every timer at its time.
    pub(crate) fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.relay.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.relay.handle_timeout(self.now);
            self.settle();
        }
        self.now = until;
    }

    /// Writes everything there is and keeps the commands.
    pub(crate) fn settle(&mut self) {
        loop {
            let mut idle = true;
            while let Some(outgoing) = self.relay.poll_delivery() {
                idle = false;
                if let Outgoing::Stream(delivery) = outgoing {
                    self.write(delivery);
                }
            }
            while let Some(command) = self.relay.poll_command() {
                idle = false;
                self.commands.push(command);
            }
            if idle {
                return;
            }
        }
    }

    fn write(&mut self, delivery: Delivery) {
        let stream = delivery.stream;
        if let Some(open) = &delivery.open {
            let out = Out {
                session: delivery.session,
                priority: open.priority,
                bytes: vec![open.header.clone()],
                end: None,
            };
            assert!(self.streams.insert(stream, out).is_none(), "opened once");
        }
        let out = self.streams.get_mut(&stream).expect("opened first");
        assert!(
            !matches!(out.end, Some(End::Finish(_) | End::Reset(_))),
            "nothing follows a stream's end"
        );
        out.bytes.extend(delivery.body.slices().iter().cloned());
        out.end = Some(delivery.end);
        if self.stuck.contains(&delivery.session) && !matches!(delivery.end, End::Reset(_)) {
            self.relay.handle_blocked(stream, self.now);
            self.waiting.push(stream);
            return;
        }
        match delivery.end {
            End::More => self.relay.handle_writable(stream, self.now),
            End::Finish(_) => self.relay.handle_finished(stream),
            End::Open | End::Reset(_) => {}
        }
    }

    /// A stuck session takes one more write on each of its streams.
    pub(crate) fn take_one(&mut self, session: SessionId) {
        let waiting = std::mem::take(&mut self.waiting);
        for stream in waiting {
            match self.streams[&stream].session == session {
                true => self.relay.handle_writable(stream, self.now),
                false => self.waiting.push(stream),
            }
        }
        self.settle();
    }

    pub(crate) fn commands(&mut self) -> Vec<Command> {
        self.settle();
        std::mem::take(&mut self.commands)
    }

    /// What was said to peers on their requests.
    pub(crate) fn responses(&mut self) -> Vec<(SessionId, u64, Message)> {
        let response = |command| match command {
            Command::Respond {
                session,
                request,
                message,
                ..
            } => Some((session, request, message)),
            _ => None,
        };
        self.commands().into_iter().filter_map(response).collect()
    }

    /// The relay's new requests.
    pub(crate) fn requests(&mut self) -> Vec<((SessionId, OutRequestId), Message)> {
        let request = |command| match command {
            Command::Request {
                session,
                request,
                message,
            } => Some(((session, request), message)),
            _ => None,
        };
        self.commands().into_iter().filter_map(request).collect()
    }

    /// The only new request there is.
    pub(crate) fn only_request(&mut self) -> ((SessionId, OutRequestId), Message) {
        let mut requests = self.requests();
        assert_eq!(requests.len(), 1, "{requests:?}");
        requests.remove(0)
    }

    /// The only FETCH_OK there is.
    pub(crate) fn fetch_ok(&mut self) -> FetchOk {
        let responses = self.responses();
        match &responses[..] {
            [(_, _, Message::FetchOk(ok))] => ok.clone(),
            other => panic!("not one FETCH_OK: {other:?}"),
        }
    }

    /// The only REQUEST_ERROR there is.
    pub(crate) fn error(&mut self) -> RequestErrorCode {
        let responses = self.responses();
        match &responses[..] {
            [(_, _, Message::RequestError(error))] => error.code,
            other => panic!("not one error: {other:?}"),
        }
    }

    /// What stands on the fetch stream for a request, and how it ended.
    pub(crate) fn fetched(&self, session: SessionId, id: u64) -> (Vec<Item>, Option<End>) {
        self.fetched_as(session, id, Draft::D22, GroupOrder::Ascending)
    }

    pub(crate) fn fetched_as(
        &self,
        session: SessionId,
        id: u64,
        draft: Draft,
        order: GroupOrder,
    ) -> (Vec<Item>, Option<End>) {
        let is_it = |out: &&Out| out.session == session && request_of(&out.bytes[0]) == Some(id);
        let out = self.streams.values().find(is_it);
        let out = out.expect("a fetch stream was opened");
        (read(&out.bytes, draft, order), out.end)
    }

    /// Whether a fetch stream was opened for a request.
    pub(crate) fn has_fetch_stream(&self, session: SessionId, id: u64) -> bool {
        self.streams
            .values()
            .any(|out| out.session == session && request_of(&out.bytes[0]) == Some(id))
    }

    /// Groups and objects that a session got live.
    pub(crate) fn live(&self, session: SessionId) -> Vec<(u64, u64, Vec<u8>)> {
        let mut all = Vec::new();
        for out in self.streams.values().filter(|out| out.session == session) {
            if StreamKind::peek(&out.bytes[0]) != Ok(Some(StreamKind::Subgroup)) {
                continue;
            }
            let mut reader = crate::common::Reader::default();
            for bytes in &out.bytes {
                reader.push(bytes.clone());
            }
            let group = reader.group();
            let objects = reader.objects.into_iter();
            all.extend(objects.map(|(id, payload)| (group, id, payload)));
        }
        all.sort();
        all
    }

    /// Everybody leaves and everything runs out: nothing is left behind.
    pub(crate) fn ends_empty(mut self, sessions: &[SessionId]) {
        for session in sessions {
            self.leave(*session);
        }
        self.wait(Duration::from_secs(300));
        assert_eq!(self.relay.population(), [0; 7]);
        assert_eq!(self.relay.cached_bytes(), 0);
        assert_eq!(self.relay.poll_timeout(), None);
    }
}

fn request_of(bytes: &Bytes) -> Option<u64> {
    let header = FetchHeader::decode(bytes).ok()??;
    Some(header.0.request_id)
}

fn read(bytes: &[Bytes], draft: Draft, order: GroupOrder) -> Vec<Item> {
    let mut decoder = FetchDecoder::new(draft, order);
    let mut items = Vec::new();
    for bytes in bytes {
        decoder.push(bytes.clone());
        while let Some(event) = decoder.poll().expect("a relay writes what can be read") {
            match event {
                FetchEvent::Object {
                    header,
                    wire,
                    head_len,
                } => items.push(Item::Object(
                    header.group,
                    header.object,
                    wire[head_len..].to_vec(),
                )),
                FetchEvent::Payload(payload) => match items.last_mut() {
                    Some(Item::Object(_, _, all)) => all.extend_from_slice(&payload),
                    other => panic!("payload after {other:?}"),
                },
                FetchEvent::EndOfRange { kind, end } => {
                    items.push(Item::Gap(kind, end.group, end.object));
                }
                FetchEvent::Header(_) | FetchEvent::ObjectEnd => {}
            }
        }
    }
    items
}

/// A fetch stream as a publisher writes it.
pub(crate) struct FetchWire {
    encoder: FetchEncoder,
    bytes: BytesMut,
}

impl FetchWire {
    pub(crate) fn new(order: GroupOrder) -> FetchWire {
        let mut bytes = BytesMut::new();
        FetchHeader { request_id: 0 }.encode(&mut bytes);
        FetchWire {
            encoder: FetchEncoder::new(Draft::D22, order),
            bytes,
        }
    }

    pub(crate) fn object(self, group: u64, object: u64, payload: &[u8]) -> FetchWire {
        let mut wire = self.head(group, object, payload.len() as u64);
        wire.bytes.extend_from_slice(payload);
        wire
    }

    pub(crate) fn head(mut self, group: u64, object: u64, payload_len: u64) -> FetchWire {
        let head = FetchObject {
            group,
            subgroup: Some(0),
            object,
            priority: 128,
            properties: Bytes::new(),
            payload_len,
        };
        self.encoder
            .encode_object(&head, &mut self.bytes)
            .expect("in order");
        self
    }

    pub(crate) fn gap(mut self, kind: RangeGap, group: u64, object: u64) -> FetchWire {
        let end = Location::new(group, object);
        self.encoder
            .encode_end_of_range(kind, end, &mut self.bytes)
            .expect("in order");
        self
    }

    pub(crate) fn take(&mut self) -> Bytes {
        self.bytes.split().freeze()
    }
}

pub(crate) fn fetch_ok(group: u64, object: u64) -> Message {
    Message::FetchOk(FetchOk {
        end_of_track: false,
        end: Location::new(group, object),
        params: Parameters::default(),
        properties: Properties::default(),
    })
}

pub(crate) fn subscribe_ok(track_alias: u64, largest: Option<Location>) -> Message {
    Message::SubscribeOk(SubscribeOk {
        track_alias,
        params: Parameters {
            largest_object: largest,
            ..Parameters::default()
        },
        properties: Properties::default(),
    })
}

pub(crate) fn ok() -> Message {
    Message::RequestOk(meridian_wire::control::RequestOk::default())
}

pub(crate) fn refusal(code: RequestErrorCode) -> Message {
    Message::RequestError(RequestError {
        code,
        retry_interval: 0,
        reason: String::new(),
        redirect: None,
    })
}

pub(crate) fn under(request_id: u64, namespace: &Namespace) -> NamespaceRequest {
    NamespaceRequest {
        request_id,
        namespace: namespace.clone(),
        params: Parameters::default(),
    }
}

/// Parameters with an absolute range, the last group whole.
pub(crate) fn groups(from: u64, to: u64) -> Parameters {
    Parameters {
        location_filter: Some(LocationFilter::Absolute {
            start: Location::new(from, 0),
            end_group: Some(to),
            end_object: None,
        }),
        ..Parameters::default()
    }
}

pub(crate) fn object(group: u64, object: u64, payload: &[u8]) -> Item {
    Item::Object(group, object, payload.to_vec())
}

pub(crate) const DONE: Option<End> = Some(End::Finish(None));

pub(crate) const fn reset(code: ResetCode) -> Option<End> {
    Some(End::Reset(code))
}
