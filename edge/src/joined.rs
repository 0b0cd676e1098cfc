//! Draft 18's way to join a track in the middle of a group: a joining FETCH beside the SUBSCRIBE (draft-18 §10.12.2).
//!
//! On later drafts a SUBSCRIBE begins at the newest group's start. Here what is fetched is handed to the relay as though it
//! had come on subgroup streams, so that the relay knows one way only.

use crate::receiving::MAX_CHUNK;
use crate::worker::Worker;
use bytes::{Bytes, BytesMut};
use meridian_relay::{InStreamId, SessionId};
use meridian_session::session::{RequestEvent, Session, SessionError};
use meridian_session::transport::RecvStream;
use meridian_wire::control::Fetch;
use meridian_wire::data::{
    FetchDecoder, FetchEvent, FetchObject, ObjectHeader, ObjectStatus, SubgroupHeader, SubgroupId,
};
use meridian_wire::{Draft, FetchFilter, GroupOrder, Message, Parameters, ResetCode, WireError};
use std::collections::HashMap;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// A joining fetch whose stream has not come yet.
pub(crate) struct Joining {
    /// What the publisher calls the track.
    pub(crate) alias: u64,
    /// Dropped when the stream has been read.
    pub(crate) reading: oneshot::Sender<()>,
}

/// The alias of a track in which something was published before it was subscribed to.
pub(crate) fn alias_to_join(answer: &Message) -> Option<u64> {
    match answer {
        Message::SubscribeOk(ok) if ok.params.largest_object.is_some() => Some(ok.track_alias),
        _ => None,
    }
}

/// How long live streams wait for the group they are part of: a round trip across the world, thrice.
const PATIENCE: Duration = Duration::from_millis(1500);

/// Asks for the group in which the subscription with the request ID `joined` began, up to there. The relay has the track's
/// live streams wait meanwhile.
pub(crate) async fn fetch(worker: Worker, id: SessionId, joined: u64, alias: u64) {
    let asking = ask(&worker, id, joined, alias);
    if tokio::time::timeout(PATIENCE, asking).await.is_err() {
        tracing::debug!("a group in progress did not come in time");
    }
    worker.relay(|relay| relay.handle_joined(id, alias, Instant::now()));
}

async fn ask(worker: &Worker, id: SessionId, joined: u64, alias: u64) {
    let session = worker.state(|state| state.links.get(id).map(|link| link.session.clone()));
    let Some(session) = session else {
        return;
    };
    let filter = FetchFilter::RelativeJoining {
        request_id: joined,
        groups_back: 0,
    };
    let opened = session.open_request(|request_id| {
        Message::Fetch(Fetch {
            request_id,
            track: None,
            filter,
            params: Parameters::default(),
        })
    });
    let mut request = match opened.await {
        Ok(request) => request,
        Err(error) => return tracing::debug!(%error, "a group could not be joined"),
    };
    let asked = request.id();
    let (reading, mut read) = oneshot::channel();
    worker.state(|state| {
        if let Some(link) = state.links.get_mut(id) {
            link.joining.insert(asked, Joining { alias, reading });
        }
    });
    // To end the request before its stream has been read is to cancel it.
    while tokio::select! {
        event = request.recv() => goes_on(event),
        _ = &mut read => {
            // The publisher may have ended it first.
            let _ = request.finish();
            false
        }
    } {}
    worker.state(|state| {
        if let Some(link) = state.links.get_mut(id) {
            link.joining.remove(&asked);
        }
    });
}

fn goes_on(event: Result<RequestEvent, SessionError>) -> bool {
    match event {
        Ok(RequestEvent::Message(Message::RequestError(error))) => {
            tracing::debug!(code = ?error.code, "a group could not be joined");
            false
        }
        Ok(RequestEvent::Message(_) | RequestEvent::Fin) => true,
        Ok(RequestEvent::Reset(_) | RequestEvent::Stopped(_) | RequestEvent::Done) | Err(_) => {
            false
        }
    }
}

/// Reads the stream of a joining fetch to its end.
pub(crate) async fn read(
    worker: &Worker,
    session: &Session,
    id: SessionId,
    joining: Joining,
    first: Bytes,
    mut stream: RecvStream,
) {
    let Joining {
        alias,
        reading: _reading,
    } = joining;
    let mut joined = Joined {
        worker,
        id,
        alias,
        decoder: FetchDecoder::new(Draft::D18, GroupOrder::Ascending),
        subgroups: HashMap::new(),
        current: None,
    };
    let mut chunk = first;
    loop {
        if let Err(error) = joined.take(chunk) {
            joined.leave();
            return session.close(error.code, error.what);
        }
        chunk = match stream.read_chunk(MAX_CHUNK).await {
            Ok(Some(chunk)) => chunk,
            Ok(None) | Err(_) => return joined.leave(),
        };
    }
}

/// The subgroups that a joining fetch brings.
struct Joined<'a> {
    worker: &'a Worker,
    id: SessionId,
    alias: u64,
    decoder: FetchDecoder,
    /// Each with the last object that came of it, by group and subgroup.
    subgroups: HashMap<(u64, u64), (InStreamId, u64)>,
    /// Where payload belongs.
    current: Option<InStreamId>,
}

impl Joined<'_> {
    fn take(&mut self, chunk: Bytes) -> Result<(), WireError> {
        self.decoder.push(chunk);
        while let Some(event) = self.decoder.poll()? {
            match event {
                FetchEvent::Object {
                    header,
                    wire,
                    head_len,
                } => self.begin(&header, wire.slice(head_len..))?,
                FetchEvent::Payload(payload) => self.pass_on(&[payload])?,
                FetchEvent::Header(_) | FetchEvent::ObjectEnd | FetchEvent::EndOfRange { .. } => {}
            }
        }
        Ok(())
    }

    fn begin(&mut self, object: &FetchObject, payload: Bytes) -> Result<(), WireError> {
        self.current = None;
        // What was a datagram is over: nobody joins it.
        let Some(subgroup) = object.subgroup else {
            return Ok(());
        };
        let mut head = BytesMut::new();
        let place = (object.group, subgroup);
        let previous = match self.subgroups.get(&place) {
            Some((stream, previous)) => {
                self.current = Some(*stream);
                Some(*previous)
            }
            None => {
                self.current = self
                    .worker
                    .relay(|relay| relay.accept_fetched_group(self.id));
                self.subgroup_header(object, subgroup).encode(&mut head);
                None
            }
        };
        let Some(stream) = self.current else {
            return Ok(());
        };
        self.subgroups.insert(place, (stream, object.object));
        let header = ObjectHeader {
            id: object.object,
            properties: object.properties.clone(),
            payload_len: object.payload_len,
            status: ObjectStatus::Normal,
        };
        header.encode(previous, true, &mut head);
        self.pass_on(&[head.freeze(), payload])
    }

    fn subgroup_header(&self, object: &FetchObject, subgroup: u64) -> SubgroupHeader {
        SubgroupHeader {
            track_alias: self.alias,
            group: object.group,
            subgroup: SubgroupId::Explicit(subgroup),
            priority: Some(object.priority),
            has_properties: true,
            end_of_group: false,
            // The fetch covers the group from its start.
            first_object: true,
        }
    }

    fn pass_on(&self, chunks: &[Bytes]) -> Result<(), WireError> {
        let Some(stream) = self.current else {
            return Ok(());
        };
        let now = Instant::now();
        self.worker
            .relay(|relay| relay.handle_stream(stream, chunks, false, now))
    }

    /// The live streams go on from here, unless an object was cut in two.
    fn leave(self) {
        let is_cut = !self.decoder.is_at_boundary();
        self.worker.relay(|relay| {
            for (stream, _) in self.subgroups.into_values() {
                if is_cut && self.current == Some(stream) {
                    relay.handle_stream_reset(stream, ResetCode::INTERNAL_ERROR, Instant::now());
                } else {
                    relay.handle_stream_left(stream);
                }
            }
        });
    }
}
