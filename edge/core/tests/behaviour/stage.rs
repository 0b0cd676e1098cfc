//! A relay on a virtual clock, with a shell that writes everything at once unless a test says otherwise.

use crate::common::{Reader, Wire, name};
use bytes::Bytes;
use meridian_relay::{
    Command, Config, Delivery, End, InStreamId, OutRequestId, OutStreamId, Outgoing, Peer,
    Permissions, Relay, Role, SessionId,
};
use meridian_wire::control::{
    NamespaceRequest, Publish, PublishDone, RequestError, RequestOk, RequestUpdate, Subscribe,
    SubscribeOk,
};
use meridian_wire::error::PublishDoneCode;
use meridian_wire::property::Properties;
use meridian_wire::{
    FullTrackName, LocationFilter, Message, Namespace, Parameters, RequestErrorCode,
};
use std::collections::HashMap;
use std::time::{Duration, Instant};

pub(crate) struct Stage {
    pub(crate) relay: Relay,
    pub(crate) now: Instant,
    /// Every stream the relay opened, in that order.
    pub(crate) streams: Vec<Stream>,
    place_of: HashMap<OutStreamId, usize>,
    pub(crate) datagrams: Vec<(SessionId, Bytes)>,
    pub(crate) priorities: Vec<(OutStreamId, i32)>,
    commands: Vec<Command>,
}

/// A stream a relay opened.
pub(crate) struct Stream {
    pub(crate) id: OutStreamId,
    pub(crate) session: SessionId,
    pub(crate) priority: i32,
    pub(crate) reader: Reader,
    /// How it ended, if it did.
    pub(crate) end: Option<End>,
}

pub(crate) const MS: Duration = Duration::from_millis(1);

impl Stage {
    pub(crate) fn new() -> Stage {
        Stage::with(Config::default())
    }

    pub(crate) fn with(config: Config) -> Stage {
        Stage {
            relay: Relay::new(config),
            now: Instant::now(),
            streams: Vec::new(),
            place_of: HashMap::new(),
            datagrams: Vec::new(),
            priorities: Vec::new(),
            commands: Vec::new(),
        }
    }

    pub(crate) fn session(&mut self, role: Role) -> SessionId {
        self.session_with(role, Permissions::default())
    }

    pub(crate) fn session_with(&mut self, role: Role, permissions: Permissions) -> SessionId {
        self.relay
            .add_session(Peer::new(role, permissions), self.now)
    }

    pub(crate) fn client(&mut self) -> SessionId {
        self.session(Role::Client)
    }

    pub(crate) fn leave(&mut self, session: SessionId) {
        self.relay.remove_session(session, self.now);
    }

    pub(crate) fn request(&mut self, session: SessionId, message: Message) {
        self.relay.handle_request(session, message, self.now);
    }

    pub(crate) fn subscribe(&mut self, session: SessionId, id: u64, track: &FullTrackName) {
        self.subscribe_with(session, id, track, Parameters::default());
    }

    pub(crate) fn subscribe_with(
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

    pub(crate) fn filtered(
        &mut self,
        session: SessionId,
        id: u64,
        track: &FullTrackName,
        filter: LocationFilter,
    ) {
        let params = Parameters {
            location_filter: Some(filter),
            ..Parameters::default()
        };
        self.subscribe_with(session, id, track, params);
    }

    pub(crate) fn update(&mut self, session: SessionId, request: u64, params: Parameters) {
        let message = Message::RequestUpdate(RequestUpdate {
            request_id: 1000,
            params,
        });
        self.relay
            .handle_request_message(session, request, message, self.now);
    }

    pub(crate) fn unsubscribe(&mut self, session: SessionId, request: u64) {
        self.relay
            .handle_request_closed(session, request, true, self.now);
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

    pub(crate) fn publish_done(&mut self, session: SessionId, alias: u64, code: PublishDoneCode) {
        let done = done(code);
        self.relay
            .handle_request_message(session, alias, done, self.now);
    }

    /// A client that publishes a track under alias 1, with the commands of it taken.
    pub(crate) fn publisher(&mut self, track: &FullTrackName, properties: Properties) -> SessionId {
        let publisher = self.client();
        self.publish(publisher, 1, track, properties);
        self.commands();
        publisher
    }

    pub(crate) fn announce(&mut self, session: SessionId, id: u64, namespace: &Namespace) {
        let ask = NamespaceRequest {
            request_id: id,
            namespace: namespace.clone(),
            params: Parameters::default(),
        };
        self.request(session, Message::PublishNamespace(ask));
    }

    /// Answers a request of the relay's.
    pub(crate) fn answer(&mut self, (session, request): (SessionId, OutRequestId), with: Message) {
        self.relay.handle_response(session, request, with, self.now);
    }

    pub(crate) fn open(&mut self, session: SessionId) -> InStreamId {
        self.relay
            .accept_stream(session)
            .expect("the session is there")
    }

    pub(crate) fn feed(&mut self, stream: InStreamId, bytes: Bytes) {
        self.relay
            .handle_stream(stream, &[bytes], false, self.now)
            .expect("well-formed");
    }

    pub(crate) fn finish(&mut self, stream: InStreamId, bytes: Bytes) {
        self.relay
            .handle_stream(stream, &[bytes], true, self.now)
            .expect("well-formed");
    }

    /// A group of one object on a stream of its own, as audio comes.
    pub(crate) fn send(&mut self, session: SessionId, alias: u64, group: u64, payload: &[u8]) {
        let stream = self.open(session);
        let bytes = Wire::group(alias, group).object(0, payload).build();
        self.finish(stream, bytes);
    }

    /// Lets time pass, with every timer at its time.
    pub(crate) fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.relay.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.relay.handle_timeout(self.now);
        }
        self.now = until;
    }

    /// The writes there are, with nothing said about them to the relay. Resets and openings are noted.
    pub(crate) fn deliveries(&mut self) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        while let Some(outgoing) = self.relay.poll_delivery() {
            match outgoing {
                Outgoing::Stream(delivery) => {
                    self.note(&delivery);
                    deliveries.push(delivery);
                }
                Outgoing::Datagram { session, bytes } => self.datagrams.push((session, bytes)),
                Outgoing::Priority { stream, priority } => self.priorities.push((stream, priority)),
            }
        }
        deliveries
    }

    fn note(&mut self, delivery: &Delivery) {
        if let Some(open) = &delivery.open {
            let stream = Stream {
                id: delivery.stream,
                session: delivery.session,
                priority: open.priority,
                reader: Reader::default(),
                end: None,
            };
            let other = self.place_of.insert(delivery.stream, self.streams.len());
            assert_eq!(other, None, "a stream is opened once");
            self.streams.push(stream);
        }
        let place = self.place_of.get(&delivery.stream);
        let place = *place.expect("a stream is opened before it is written");
        let stream = &mut self.streams[place];
        assert_eq!(stream.end, None, "nothing follows a stream's end");
        if let Some(open) = &delivery.open {
            stream.reader.push(open.header.clone());
        }
        for slice in delivery.body.slices() {
            stream.reader.push(slice.clone());
        }
        if matches!(delivery.end, End::Finish(_)) {
            assert!(stream.reader.is_at_boundary(), "FIN stands between objects");
        }
        if matches!(delivery.end, End::Finish(_) | End::Reset(_)) {
            stream.end = Some(delivery.end);
        }
    }

    /// Writes everything there is, and all that follows.
    pub(crate) fn settle(&mut self) -> Vec<Delivery> {
        let mut all = Vec::new();
        loop {
            let deliveries = self.deliveries();
            if deliveries.is_empty() {
                return all;
            }
            for delivery in &deliveries {
                self.written(delivery);
            }
            all.extend(deliveries);
        }
    }

    /// Tells the relay that a delivery was written at once.
    pub(crate) fn written(&mut self, delivery: &Delivery) {
        match delivery.end {
            End::More => self.relay.handle_writable(delivery.stream, self.now),
            End::Finish(_) => self.relay.handle_finished(delivery.stream),
            End::Open | End::Reset(_) => {}
        }
    }

    pub(crate) fn commands(&mut self) -> Vec<Command> {
        while let Some(command) = self.relay.poll_command() {
            self.commands.push(command);
        }
        std::mem::take(&mut self.commands)
    }

    /// The only command there is.
    pub(crate) fn command(&mut self) -> Command {
        let mut commands = self.commands();
        assert_eq!(commands.len(), 1, "{commands:?}");
        commands.remove(0)
    }

    /// The relay's new requests: to whom, which, and what. Other commands are dropped.
    pub(crate) fn requests(&mut self) -> Vec<(SessionId, OutRequestId, Message)> {
        let request = |command| match command {
            Command::Request {
                session,
                request,
                message,
            } => Some((session, request, message)),
            _ => None,
        };
        self.commands().into_iter().filter_map(request).collect()
    }

    /// The relay's new SUBSCRIBEs: to whom and which.
    pub(crate) fn asked(&mut self) -> Vec<(SessionId, OutRequestId)> {
        self.requests()
            .into_iter()
            .filter(|(_, _, message)| matches!(message, Message::Subscribe(_)))
            .map(|(session, request, _)| (session, request))
            .collect()
    }

    /// What was said to peers on their requests: session, request and message.
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

    /// The streams of a session: group, objects and end, in the order of opening.
    pub(crate) fn got(&self, session: SessionId) -> Vec<&Stream> {
        self.streams
            .iter()
            .filter(|stream| stream.session == session)
            .collect()
    }

    /// All objects a session got, by location.
    pub(crate) fn objects(&self, session: SessionId) -> Vec<(u64, u64, Vec<u8>)> {
        let objects = |stream: &&Stream| {
            let group = stream.reader.group();
            let objects = stream.reader.objects.iter();
            objects
                .map(|(id, payload)| (group, *id, payload.clone()))
                .collect::<Vec<_>>()
        };
        let mut all: Vec<_> = self.got(session).iter().flat_map(objects).collect();
        all.sort();
        all
    }

    /// Everybody leaves and everything runs out: nothing is left behind.
    pub(crate) fn ends_empty(mut self, sessions: &[SessionId]) {
        for session in sessions {
            self.leave(*session);
        }
        self.wait(Duration::from_secs(300));
        self.settle();
        assert_eq!(self.relay.population(), [0; 7]);
        assert_eq!(self.relay.cached_bytes(), 0);
        assert_eq!(self.relay.poll_timeout(), None);
    }
}

pub(crate) fn subscribe_ok(track_alias: u64, properties: Properties) -> Message {
    Message::SubscribeOk(SubscribeOk {
        track_alias,
        params: Parameters::default(),
        properties,
    })
}

pub(crate) fn error(code: RequestErrorCode) -> Message {
    Message::RequestError(RequestError {
        code,
        retry_interval: 0,
        reason: String::new(),
        redirect: None,
    })
}

pub(crate) fn ok() -> Message {
    Message::RequestOk(RequestOk::default())
}

pub(crate) fn done(code: PublishDoneCode) -> Message {
    Message::PublishDone(PublishDone {
        code,
        stream_count: 0,
        reason: String::new(),
    })
}

pub(crate) fn rendezvous(ms: u64) -> Parameters {
    Parameters {
        rendezvous_timeout: Some(ms),
        ..Parameters::default()
    }
}

pub(crate) fn forward(forward: bool) -> Parameters {
    Parameters {
        forward: Some(forward),
        ..Parameters::default()
    }
}

/// The code of a REQUEST_ERROR.
pub(crate) fn error_code(message: &Message) -> RequestErrorCode {
    match message {
        Message::RequestError(error) => error.code,
        other => panic!("not an error: {other:?}"),
    }
}

/// The code of a PUBLISH_DONE.
pub(crate) fn done_code(message: &Message) -> PublishDoneCode {
    match message {
        Message::PublishDone(done) => done.code,
        other => panic!("not PUBLISH_DONE: {other:?}"),
    }
}

pub(crate) fn audio() -> FullTrackName {
    name("ana", "audio")
}

pub(crate) fn video() -> FullTrackName {
    name("ana", "video-high")
}
