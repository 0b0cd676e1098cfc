//! Answers the peer's requests for an outlet's tracks: SUBSCRIBE and its updates, TRACK_STATUS, FETCH and fills.

use super::past::Past;
use super::range::Range;
use super::stream::send_past;
use super::track::{DEFAULT_PRIORITY, Subscription, Track, transport_priority};
use super::{Link, Outlet};
use crate::session::{IncomingRequest, RequestEvent, RequestReceiver, RequestStream};
use meridian_wire::control::{Fetch, FetchOk, RequestError, RequestOk, Subscribe, SubscribeOk};
use meridian_wire::{
    FetchFilter, FullTrackName, GroupOrder, Location, Message, Namespace, Parameters,
    RequestErrorCode,
};
use tokio::task::AbortHandle;

/// Why a request is refused.
type Refusal = (RequestErrorCode, &'static str);

impl Outlet {
    pub(super) fn answer(&mut self, request: IncomingRequest) {
        let IncomingRequest {
            message, stream, ..
        } = request;
        if let Err((code, reason)) = check_filters(&message) {
            return refuse(&stream, code, reason);
        }
        match message {
            Message::Subscribe(ask) => self.subscribe(&ask, stream),
            Message::TrackStatus(ask) => self.tell_status(&ask.track, &stream),
            Message::Fetch(ask) => self.fetch(&ask, stream),
            _ => refuse(
                &stream,
                RequestErrorCode::NOT_SUPPORTED,
                "a publisher takes SUBSCRIBE, FETCH and TRACK_STATUS",
            ),
        }
    }

    /// Takes what came on the stream of a subscription.
    pub(super) fn take(&mut self, request: u64, event: RequestEvent) {
        let Some(link) = &mut self.link else {
            return;
        };
        let Some((track, index)) = subscribed(&mut self.tracks, request) else {
            return;
        };
        match event {
            RequestEvent::Message(Message::RequestUpdate(update)) => {
                let connection = link.session.connection();
                track.update(index, &update.params, connection, &mut link.tasks);
                if let Some((track, index)) = subscribed(&mut self.tracks, request) {
                    link.fill(track, index, update.request_id, &update.params);
                }
            }
            RequestEvent::Message(_) | RequestEvent::Fin => {}
            RequestEvent::Reset(_) | RequestEvent::Stopped(_) | RequestEvent::Done => {
                track.subscriptions.swap_remove(index);
            }
        }
    }

    fn subscribe(&mut self, ask: &Subscribe, stream: RequestStream) {
        let Some(link) = &mut self.link else {
            return;
        };
        let track = match find(&mut self.tracks, &self.namespace, &ask.track) {
            Ok(track) if track.subscriptions.len() < SUBSCRIPTIONS => track,
            Ok(_) => {
                let code = RequestErrorCode::EXCESSIVE_LOAD;
                return refuse(&stream, code, "too many subscriptions");
            }
            Err((code, reason)) => return refuse(&stream, code, reason),
        };
        let ok = Message::SubscribeOk(SubscribeOk {
            track_alias: track.alias,
            params: told(track),
            properties: track.offer.properties.clone(),
        });
        if stream.send(&ok).is_err() {
            return;
        }
        let request = stream.id();
        let (sender, receiver) = stream.split();
        link.listen(request, receiver);
        let subscription = Subscription::new(sender, &ask.params, track.largest);
        track.join(subscription, link.session.connection(), &mut link.tasks);
        link.fill(track, track.subscriptions.len() - 1, request, &ask.params);
    }

    fn tell_status(&mut self, name: &FullTrackName, stream: &RequestStream) {
        let track = match find(&mut self.tracks, &self.namespace, name) {
            Ok(track) => track,
            Err((code, reason)) => return refuse(stream, code, reason),
        };
        let ok = Message::RequestOk(RequestOk {
            params: told(track),
            properties: track.offer.properties.clone(),
        });
        // A requester that is gone needs no answer.
        let _ = stream.send(&ok).and_then(|()| stream.finish());
    }

    fn fetch(&mut self, ask: &Fetch, stream: RequestStream) {
        let Some(link) = &mut self.link else {
            return;
        };
        let (track, range) = match fetched(&mut self.tracks, &self.namespace, ask) {
            Ok(_) if link.tasks.len() >= BUSY => {
                return refuse(
                    &stream,
                    RequestErrorCode::EXCESSIVE_LOAD,
                    "too much at once",
                );
            }
            Ok(found) => found,
            Err((code, reason)) => return refuse(&stream, code, reason),
        };
        let ok = Message::FetchOk(FetchOk {
            end_of_track: false,
            end: range.end,
            params: Parameters::default(),
            properties: track.offer.properties.clone(),
        });
        if stream.send(&ok).and_then(|()| stream.finish()).is_err() {
            return;
        }
        let past = Past {
            request: ask.request_id,
            range,
            order: ask.params.group_order.unwrap_or(GroupOrder::Ascending),
            priority: track.offer.priority,
        };
        let sending = link.send(track, &past, ask.params.subscriber_priority);
        link.tasks.spawn(async move {
            if was_cancelled(stream).await {
                sending.abort();
            }
        });
    }
}

impl Link {
    /// Hands over what comes on a subscription's stream, to its end.
    fn listen(&mut self, request: u64, mut receiver: RequestReceiver) {
        let events = self.events_out.clone();
        self.tasks.spawn(async move {
            while let Ok(event) = receiver.recv().await {
                let is_last = !matches!(event, RequestEvent::Message(_) | RequestEvent::Fin);
                if events.send((request, event)).await.is_err() || is_last {
                    break;
                }
            }
        });
    }

    /// Opens a fill if `params` ask for one while objects are forwarded (draft-22 §5.1.4).
    fn fill(&mut self, track: &mut Track, index: usize, request: u64, params: &Parameters) {
        let subscription = &track.subscriptions[index];
        let Some(fill) = params.fill.as_ref().filter(|_| subscription.forward) else {
            return;
        };
        let filter = fill.location_filter.or(params.location_filter);
        let Some(range) = Range::of_fetch(filter, track.largest) else {
            return;
        };
        let order = fill.group_order.or(params.group_order);
        let past = Past {
            request,
            range,
            order: order.unwrap_or(GroupOrder::Ascending),
            priority: track.offer.priority,
        };
        let priority = fill.subscriber_priority.or(params.subscriber_priority);
        track.subscriptions[index].streams += 1;
        self.send(track, &past, priority);
    }

    fn send(&mut self, track: &Track, past: &Past, subscriber_priority: Option<u8>) -> AbortHandle {
        let chunks = past.encode(self.session.draft(), &track.kept);
        let chunks = chunks.expect("what is kept is in order, and every draft has unknown ranges");
        let priority = subscriber_priority.unwrap_or(DEFAULT_PRIORITY);
        let priority = transport_priority(priority, past.priority);
        let connection = self.session.connection();
        send_past(connection, &mut self.tasks, priority, chunks)
    }
}

/// Answers a request with an error.
fn refuse(stream: &RequestStream, code: RequestErrorCode, reason: &str) {
    let error = Message::RequestError(RequestError {
        code,
        retry_interval: 0,
        reason: reason.to_owned(),
        redirect: None,
    });
    // A requester that is gone needs no answer.
    let _ = stream.send(&error).and_then(|()| stream.finish());
}

/// Range filters are not taken, and a location filter may be one that cannot be.
fn check_filters(message: &Message) -> Result<(), Refusal> {
    let params = match message {
        Message::Subscribe(ask) => &ask.params,
        Message::Fetch(ask) => &ask.params,
        _ => return Ok(()),
    };
    match params.invalid_filter.is_some() || !params.range_filters.is_empty() {
        true => Err((RequestErrorCode::INVALID_FILTER, "no such filter")),
        false => Ok(()),
    }
}

/// What is said of a track in every answer.
fn told(track: &Track) -> Parameters {
    Parameters {
        largest_object: track.largest,
        ..Parameters::default()
    }
}

fn find<'a>(
    tracks: &'a mut [Track],
    namespace: &Namespace,
    name: &FullTrackName,
) -> Result<&'a mut Track, Refusal> {
    let is_it = |track: &&mut Track| {
        name.namespace == *namespace && track.offer.name.as_bytes() == name.name
    };
    let unknown = (RequestErrorCode::DOES_NOT_EXIST, "no such track here");
    tracks.iter_mut().find(is_it).ok_or(unknown)
}

/// The subscription that was made by `request`.
fn subscribed(tracks: &mut [Track], request: u64) -> Option<(&mut Track, usize)> {
    tracks.iter_mut().find_map(|track| {
        let mut subscriptions = track.subscriptions.iter();
        let index = subscriptions.position(|one| one.id() == request)?;
        Some((track, index))
    })
}

const NOTHING_THERE: Refusal = (
    RequestErrorCode::INVALID_RANGE,
    "nothing was published there",
);

/// What a FETCH is for.
fn fetched<'a>(
    tracks: &'a mut [Track],
    namespace: &Namespace,
    ask: &Fetch,
) -> Result<(&'a mut Track, Range), Refusal> {
    match ask.filter {
        FetchFilter::Range => {
            let nameless = (RequestErrorCode::DOES_NOT_EXIST, "no track is named");
            let track = find(tracks, namespace, ask.track.as_ref().ok_or(nameless)?)?;
            let range = Range::of_fetch(ask.params.location_filter, track.largest);
            Ok((track, range.ok_or(NOTHING_THERE)?))
        }
        FetchFilter::RelativeJoining {
            request_id,
            groups_back,
        } => joined(tracks, request_id, |newest| {
            newest.saturating_sub(groups_back)
        }),
        FetchFilter::AbsoluteJoining {
            request_id,
            start_group,
        } => joined(tracks, request_id, |_| start_group),
    }
}

/// Draft 18's FETCH that ends where a subscription begins (draft-18 §10.12.2). `start` is told the group of that.
fn joined(
    tracks: &mut [Track],
    request: u64,
    start: impl Fn(u64) -> u64,
) -> Result<(&mut Track, Range), Refusal> {
    let unknown = RequestErrorCode::INVALID_JOINING_REQUEST_ID;
    let found = subscribed(tracks, request);
    let (track, index) = found.ok_or((unknown, "no such subscription"))?;
    let subscription = &track.subscriptions[index];
    if !subscription.forward {
        let code = RequestErrorCode::INVALID_RANGE;
        return Err((code, "the subscription is paused"));
    }
    let end = subscription.joined_at.ok_or(NOTHING_THERE)?;
    let start = Location::new(start(end.group), 0);
    match start <= end {
        true => Ok((track, Range { start, end })),
        false => Err(NOTHING_THERE),
    }
}

/// Waits for the end of a FETCH that was answered, and says whether the peer no longer wants it.
async fn was_cancelled(mut stream: RequestStream) -> bool {
    loop {
        match stream.recv().await {
            Ok(RequestEvent::Message(_) | RequestEvent::Fin) => {}
            Ok(RequestEvent::Done) => return false,
            Ok(RequestEvent::Reset(_) | RequestEvent::Stopped(_)) | Err(_) => return true,
        }
    }
}

/// Tasks of a session beyond which nothing is fetched: live objects come first.
const BUSY: usize = 128;
/// Subscriptions per track: an edge needs one.
const SUBSCRIPTIONS: usize = 16;
