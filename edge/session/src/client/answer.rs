//! Answers the peer's requests: SUBSCRIBE, TRACK_STATUS and FETCH for our tracks, PUBLISH for those who watch.

use super::ask::{RequestFailed, ask, expect_ok};
use super::kept::KeptObject;
use super::range::Range;
use super::shared::{Handle, Shared, lock};
use super::track::{Subscriber, Track, Wish};
use super::watch_tracks::{self, refuse};
use crate::session::{IncomingRequest, Opener, RequestEvent, RequestReceiver, RequestStream};
use crate::transport::{SendStream, StreamError};
use bytes::{Bytes, BytesMut};
use meridian_wire::control::{
    Fetch, FetchOk, Publish, RequestOk, RequestUpdate, Subscribe, SubscribeOk,
};
use meridian_wire::data::{FetchEncoder, FetchHeader, FetchObject, RangeGap};
use meridian_wire::{
    EncodeError, FetchFilter, GroupOrder, Location, LocationFilter, Message, Parameters,
    RequestErrorCode, ResetCode,
};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// The subscriber priority of a request that names none.
const DEFAULT_PRIORITY: u8 = 128;

pub(super) fn start(shared: &Arc<Shared>) {
    let task = shared.clone();
    shared.tasks.spawn(async move {
        while let Ok(request) = task.session.accept_request().await {
            answer(&task, request);
        }
    });
}

fn answer(shared: &Arc<Shared>, request: IncomingRequest) {
    if is_filter_invalid(&request.message) {
        return refuse(
            &request.stream,
            RequestErrorCode::INVALID_FILTER,
            "no such filter",
        );
    }
    match (request.opener, request.message) {
        (Opener::Subscribe, Message::Subscribe(message)) => {
            subscribe(shared, message, request.stream);
        }
        (Opener::TrackStatus, Message::TrackStatus(message)) => {
            track_status(shared, &message, &request.stream);
        }
        (Opener::Fetch, Message::Fetch(message)) => fetch(shared, message, request.stream),
        (Opener::Publish, message) => {
            let request = IncomingRequest { message, ..request };
            watch_tracks::offer(shared, request);
        }
        _ => refuse(
            &request.stream,
            RequestErrorCode::NOT_SUPPORTED,
            "this is a client",
        ),
    }
}

/// Range filters are not taken, and a location filter may be one that cannot be.
fn is_filter_invalid(message: &Message) -> bool {
    let params = match message {
        Message::Subscribe(message) => &message.params,
        Message::Fetch(message) => &message.params,
        _ => return false,
    };
    params.invalid_filter.is_some() || !params.range_filters.is_empty()
}

fn subscribe(shared: &Arc<Shared>, message: Subscribe, stream: RequestStream) {
    let Some(track) = shared.tracks.find(&message.track) else {
        return refuse(&stream, RequestErrorCode::DOES_NOT_EXIST, "no such track");
    };
    let alias = shared.tracks.next_alias();
    let ok = Message::SubscribeOk(SubscribeOk {
        track_alias: alias,
        params: told(&track),
        properties: track.options.properties.clone(),
    });
    if stream.send(&ok).is_err() {
        return;
    }
    attach(shared, &track, alias, &message.params, stream);
}

/// Sends the track to a new subscriber, from now on and, if it asked for that, its fill.
fn attach(
    shared: &Arc<Shared>,
    track: &Arc<Track>,
    alias: u64,
    params: &Parameters,
    stream: RequestStream,
) {
    let request = stream.id();
    let (sender, receiver) = stream.split();
    let largest = lock(&track.state).largest;
    let wish = Wish {
        forward: params.forward.unwrap_or(true),
        priority: params.subscriber_priority.unwrap_or(DEFAULT_PRIORITY),
        range: Range::of_subscription(params.location_filter, largest),
    };
    let subscriber = Arc::new(Subscriber {
        request,
        alias,
        sender,
        wish: Mutex::new(wish),
        streams: AtomicU64::new(0),
    });
    track.add(subscriber.clone());
    fill(shared, track, &subscriber, request, params);
    let (task, track) = (shared.clone(), track.clone());
    shared.tasks.spawn(async move {
        follow(&task, &track, &subscriber, receiver).await;
        track.remove(&subscriber);
        subscriber.sender.reset(ResetCode::CANCELLED);
    });
}

/// Answers a subscriber's updates until it leaves.
async fn follow(
    shared: &Arc<Shared>,
    track: &Arc<Track>,
    subscriber: &Arc<Subscriber>,
    mut receiver: RequestReceiver,
) {
    while let Ok(event) = receiver.recv().await {
        match event {
            RequestEvent::Message(Message::RequestUpdate(update)) => {
                change(shared, track, subscriber, update);
            }
            RequestEvent::Message(_) | RequestEvent::Fin => {}
            RequestEvent::Reset(_) | RequestEvent::Stopped(_) | RequestEvent::Done => return,
        }
    }
}

fn change(
    shared: &Arc<Shared>,
    track: &Arc<Track>,
    subscriber: &Arc<Subscriber>,
    update: RequestUpdate,
) {
    let params = update.params;
    let largest = lock(&track.state).largest;
    {
        let mut wish = lock(&subscriber.wish);
        wish.forward = params.forward.unwrap_or(wish.forward);
        wish.priority = params.subscriber_priority.unwrap_or(wish.priority);
        if let Some(filter) = params.location_filter {
            wish.range = Range::of_subscription(Some(filter), largest);
        }
    }
    let ok = RequestOk {
        params: told(track),
        ..RequestOk::default()
    };
    // It may have left by now.
    let _ = subscriber.sender.send(&Message::RequestOk(ok));
    fill(shared, track, subscriber, update.request_id, &params);
}

fn track_status(shared: &Arc<Shared>, message: &Subscribe, stream: &RequestStream) {
    let Some(track) = shared.tracks.find(&message.track) else {
        return refuse(stream, RequestErrorCode::DOES_NOT_EXIST, "no such track");
    };
    let ok = RequestOk {
        params: told(&track),
        properties: track.options.properties.clone(),
    };
    // The asker may have left by now.
    let _ = stream.send(&Message::RequestOk(ok));
    let _ = stream.finish();
}

/// What is said of a track in every answer.
fn told(track: &Track) -> Parameters {
    Parameters {
        largest_object: lock(&track.state).largest,
        ..Parameters::default()
    }
}

/// Objects to send on a fetch stream.
struct Answer {
    request: u64,
    order: GroupOrder,
    /// The last of those before the first object that are no longer known.
    forgotten: Option<Location>,
    objects: Vec<KeptObject>,
}

fn fetch(shared: &Arc<Shared>, message: Fetch, stream: RequestStream) {
    let Some((track, filter)) = fetched(shared, &message) else {
        return refuse(&stream, RequestErrorCode::DOES_NOT_EXIST, "no such track");
    };
    let order = message.params.group_order.unwrap_or(GroupOrder::Ascending);
    let Some((range, answer)) = collect(&track, message.request_id, filter, order) else {
        return refuse(
            &stream,
            RequestErrorCode::INVALID_RANGE,
            "nothing there yet",
        );
    };
    let ok = Message::FetchOk(FetchOk {
        end_of_track: false,
        end: range.end,
        params: Parameters::default(),
        properties: track.options.properties.clone(),
    });
    if stream.send(&ok).and_then(|()| stream.finish()).is_err() {
        return;
    }
    let task = shared.clone();
    shared.tasks.spawn(async move {
        let (_sender, mut receiver) = stream.split();
        let cancelled = async {
            use RequestEvent::{Reset, Stopped};
            while !matches!(receiver.recv().await, Ok(Reset(_) | Stopped(_)) | Err(_)) {}
        };
        tokio::select! {
            // A stream that fails, or is dropped here, is reset: the peer sees it.
            _ = send(&task, answer) => {}
            () = cancelled => {}
        }
    });
}

/// The track that is asked for, and which part of it. Draft 18 may name a subscription instead.
fn fetched(shared: &Shared, message: &Fetch) -> Option<(Arc<Track>, Option<LocationFilter>)> {
    let joined = |request: u64| {
        let of = |track: &Arc<Track>| {
            let state = lock(&track.state);
            state.subscribers.iter().any(|one| one.request == request)
        };
        shared.tracks.all().into_iter().find(of)
    };
    let from = |group| {
        Some(LocationFilter::Absolute {
            start: Location { group, object: 0 },
            end_group: None,
            end_object: None,
        })
    };
    match message.filter {
        FetchFilter::Range => {
            let track = shared.tracks.find(message.track.as_ref()?)?;
            Some((track, message.params.location_filter))
        }
        FetchFilter::RelativeJoining {
            request_id,
            groups_back,
        } => {
            let track = joined(request_id)?;
            let largest = lock(&track.state).largest?;
            Some((track, from(largest.group.saturating_sub(groups_back))))
        }
        FetchFilter::AbsoluteJoining {
            request_id,
            start_group,
        } => Some((joined(request_id)?, from(start_group))),
    }
}

/// Opens a fill if the parameters ask for one while objects are forwarded (draft-22 §3.3.1.1).
fn fill(
    shared: &Arc<Shared>,
    track: &Arc<Track>,
    subscriber: &Arc<Subscriber>,
    request: u64,
    params: &Parameters,
) {
    let Some(fill) = &params.fill else {
        return;
    };
    if !lock(&subscriber.wish).forward {
        return;
    }
    let filter = fill.location_filter.or(params.location_filter);
    let order = fill.group_order.or(params.group_order);
    let order = order.unwrap_or(GroupOrder::Ascending);
    let Some((_, answer)) = collect(track, request, filter, order) else {
        return;
    };
    subscriber.streams.fetch_add(1, Ordering::Relaxed);
    let task = shared.clone();
    // A fill that fails is reset: the peer sees it.
    shared
        .tasks
        .spawn(async move { send(&task, answer).await.unwrap_or_default() });
}

fn collect(
    track: &Track,
    request: u64,
    filter: Option<LocationFilter>,
    order: GroupOrder,
) -> Option<(Range, Answer)> {
    let state = lock(&track.state);
    let range = Range::of_fetch(filter, state.largest)?;
    let mut objects = state.kept.range(range);
    if order == GroupOrder::Descending {
        // Groups downwards, objects upwards.
        objects.sort_by_key(|object| (std::cmp::Reverse(object.group), object.data.id));
    }
    let forgotten = state.kept.forgotten_in(range);
    let answer = Answer {
        request,
        order,
        forgotten: forgotten.filter(|_| order == GroupOrder::Ascending),
        objects,
    };
    Some((range, answer))
}

/// Why a fetch stream broke off; the peer sees a reset.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Encode(#[from] EncodeError),
    #[error(transparent)]
    Stream(#[from] StreamError),
}

async fn send(shared: &Shared, answer: Answer) -> Result<(), Failed> {
    let opened = shared.session.connection().open_uni().await;
    let mut stream = opened.map_err(StreamError::Lost)?;
    let mut encoder = FetchEncoder::new(shared.session.draft(), answer.order);
    let mut bytes = BytesMut::new();
    let request_id = answer.request;
    FetchHeader { request_id }.encode(&mut bytes);
    if let Some(end) = answer.forgotten {
        encoder.encode_end_of_range(RangeGap::Unknown, end, &mut bytes)?;
    }
    for object in answer.objects {
        encoder.encode_object(&head(&object), &mut bytes)?;
        write(&mut stream, &mut bytes, object.data.payload).await?;
    }
    write(&mut stream, &mut bytes, Bytes::new()).await?;
    Ok(stream.finish()?)
}

async fn write(
    stream: &mut SendStream,
    head: &mut BytesMut,
    mut payload: Bytes,
) -> Result<(), StreamError> {
    stream.write_chunk(&mut head.split().freeze()).await?;
    stream.write_chunk(&mut payload).await
}

fn head(object: &KeptObject) -> FetchObject {
    FetchObject {
        group: object.group,
        subgroup: object.subgroup,
        object: object.data.id,
        priority: object.priority,
        properties: object.data.properties.0.clone(),
        payload_len: object.data.payload.len() as u64,
    }
}

/// Offers a track by PUBLISH and sends it once, and as long as, the peer wants it.
pub(super) async fn push(
    client: &Arc<Handle>,
    track: &Arc<Track>,
    params: Parameters,
) -> Result<(), RequestFailed> {
    let shared = &client.shared;
    let alias = shared.tracks.next_alias();
    let offered = Parameters {
        largest_object: lock(&track.state).largest,
        ..params.clone()
    };
    let build = |request_id| {
        Message::Publish(Publish {
            request_id,
            track: track.name.clone(),
            track_alias: alias,
            params: offered,
            properties: track.options.properties.clone(),
        })
    };
    let (answer, stream) = ask(&shared.session, build).await?;
    let ok = expect_ok(answer)?;
    let agreed = Parameters {
        forward: ok.params.forward.or(params.forward),
        subscriber_priority: ok.params.subscriber_priority.or(params.subscriber_priority),
        ..params
    };
    attach(shared, track, alias, &agreed, stream);
    Ok(())
}
