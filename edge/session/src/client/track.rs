//! A track of ours: who subscribes to it, and what is written to it.

use super::group::{GroupWriter, Outgoing};
use super::kept::{Kept, KeptObject};
use super::object::ObjectData;
use super::range::Range;
use super::shared::{Handle, Shared, lock};
use super::{RequestFailed, answer};
use crate::session::RequestSender;
use bytes::BytesMut;
use meridian_wire::control::PublishDone;
use meridian_wire::data::{ObjectDatagram, ObjectStatus};
use meridian_wire::error::PublishDoneCode;
use meridian_wire::property::Properties;
use meridian_wire::{FullTrackName, Location, Message, Parameters};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// How a track is published.
#[derive(Clone, Debug)]
pub struct TrackOptions {
    /// Publisher priority; 0 is the most urgent.
    pub priority: u8,
    /// Track properties.
    pub properties: Properties,
    /// Groups kept to answer FETCH and fills.
    pub keep_groups: usize,
    /// Bytes kept at most.
    pub keep_bytes: usize,
    /// Bytes of one stream that the peer has not taken; beyond them it is reset.
    pub max_unsent: usize,
}

impl Default for TrackOptions {
    fn default() -> TrackOptions {
        TrackOptions {
            priority: 128,
            properties: Properties::default(),
            keep_groups: 4,
            keep_bytes: 8 * 1024 * 1024,
            max_unsent: 2 * 1024 * 1024,
        }
    }
}

/// What became of what was written, summed over all subscriptions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrackCounters {
    /// Objects written by the owner.
    pub written: u64,
    /// Objects handed to the transport.
    pub sent: u64,
    /// Streams opened.
    pub streams: u64,
    /// Objects dropped for want of stream credit.
    pub no_credit: u64,
    /// Objects dropped with a stream that was reset for lack of progress, or that the peer stopped.
    pub cut_off: u64,
    /// Datagrams that the path does not carry.
    pub no_datagram: u64,
}

/// The owner's handle of a published track. Clones are the same track; when the last is dropped the track ends.
#[derive(Clone, Debug)]
pub struct TrackPublisher {
    owner: Arc<Owner>,
}

#[derive(Debug)]
struct Owner {
    track: Arc<Track>,
    client: Arc<Handle>,
}

/// The client's own tracks.
#[derive(Debug, Default)]
pub(super) struct Tracks {
    tracks_by_name: Mutex<HashMap<FullTrackName, Arc<Track>>>,
    next_alias: AtomicU64,
}

impl Tracks {
    pub(super) fn find(&self, name: &FullTrackName) -> Option<Arc<Track>> {
        lock(&self.tracks_by_name).get(name).cloned()
    }

    pub(super) fn all(&self) -> Vec<Arc<Track>> {
        lock(&self.tracks_by_name).values().cloned().collect()
    }

    pub(super) fn next_alias(&self) -> u64 {
        self.next_alias.fetch_add(1, Ordering::Relaxed)
    }
}

/// A track of ours.
#[derive(Debug)]
pub(super) struct Track {
    pub(super) name: FullTrackName,
    pub(super) options: TrackOptions,
    pub(super) state: Mutex<TrackState>,
    subscribers: watch::Sender<usize>,
}

#[derive(Debug)]
pub(super) struct TrackState {
    pub(super) subscribers: Vec<Arc<Subscriber>>,
    pub(super) largest: Option<Location>,
    pub(super) kept: Kept,
    pub(super) counters: TrackCounters,
}

/// One subscription of the peer's to a track of ours.
#[derive(Debug)]
pub(super) struct Subscriber {
    pub(super) request: u64,
    pub(super) alias: u64,
    pub(super) sender: RequestSender,
    pub(super) wish: Mutex<Wish>,
    pub(super) streams: AtomicU64,
}

/// What the peer wants of it now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    pub(super) forward: bool,
    pub(super) priority: u8,
    pub(super) range: Range,
}

impl TrackPublisher {
    pub(super) fn new(
        client: &Arc<Handle>,
        name: FullTrackName,
        options: TrackOptions,
    ) -> TrackPublisher {
        let state = TrackState {
            subscribers: Vec::new(),
            largest: None,
            kept: Kept::new(options.keep_groups, options.keep_bytes),
            counters: TrackCounters::default(),
        };
        let track = Arc::new(Track {
            name: name.clone(),
            options,
            state: Mutex::new(state),
            subscribers: watch::Sender::new(0),
        });
        lock(&client.shared.tracks.tracks_by_name).insert(name, track.clone());
        TrackPublisher {
            owner: Arc::new(Owner {
                track,
                client: client.clone(),
            }),
        }
    }

    /// The track's name.
    pub fn name(&self) -> &FullTrackName {
        &self.track().name
    }

    /// Writes a group of one object on a stream of its own, as audio is sent.
    pub fn write_object(&self, group: u64, object: ObjectData) {
        let mut group = self.open_group(group, 0);
        group.write(object);
        group.finish();
    }

    /// Opens a group's subgroup: its objects share one stream, as video's do.
    pub fn open_group(&self, group: u64, subgroup: u64) -> GroupWriter {
        GroupWriter::new(self.clone(), group, subgroup)
    }

    /// Writes an object as a datagram.
    pub fn write_datagram(&self, group: u64, object: ObjectData, end_of_group: bool) {
        let wanting = self.note(group, None, &object);
        for subscriber in wanting {
            self.send_datagram(&subscriber, group, &object, end_of_group);
        }
    }

    /// Offers the track to the peer by PUBLISH, without being asked. `params.forward` says whether objects follow at once.
    pub async fn push(&self, params: Parameters) -> Result<(), RequestFailed> {
        answer::push(&self.owner.client, self.track(), params).await
    }

    /// How many subscriptions there are, and every change of it.
    pub fn subscribers(&self) -> watch::Receiver<usize> {
        self.track().subscribers.subscribe()
    }

    /// The largest location written.
    pub fn largest(&self) -> Option<Location> {
        lock(&self.track().state).largest
    }

    /// What became of what was written.
    pub fn counters(&self) -> TrackCounters {
        lock(&self.track().state).counters
    }

    /// Ends the track: PUBLISH_DONE with `code` to every subscriber. What is written later goes nowhere.
    pub fn finish(&self, code: PublishDoneCode, reason: &str) {
        self.owner.end(code, reason);
    }

    pub(super) fn track(&self) -> &Arc<Track> {
        &self.owner.track
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.owner.client.shared
    }

    /// Notes that an object is written, and says who wants it.
    pub(super) fn note(
        &self,
        group: u64,
        subgroup: Option<u64>,
        object: &ObjectData,
    ) -> Vec<Arc<Subscriber>> {
        let track = self.track();
        let location = Location {
            group,
            object: object.id,
        };
        let mut state = lock(&track.state);
        state.largest = state.largest.max(Some(location));
        state.counters.written += 1;
        state.kept.push(KeptObject {
            group,
            subgroup,
            priority: track.options.priority,
            data: object.clone(),
        });
        let wanting = state.subscribers.iter().filter(|one| one.wants(location));
        wanting.cloned().collect()
    }

    pub(super) fn count(&self, count: impl FnOnce(&mut TrackCounters)) {
        count(&mut lock(&self.track().state).counters);
    }

    fn send_datagram(
        &self,
        subscriber: &Subscriber,
        group: u64,
        object: &ObjectData,
        end_of_group: bool,
    ) {
        let properties = Some(object.properties.0.clone()).filter(|bytes| !bytes.is_empty());
        let datagram = ObjectDatagram {
            track_alias: subscriber.alias,
            group,
            object: object.id,
            priority: Some(self.track().options.priority),
            properties,
            end_of_group,
            status: ObjectStatus::Normal,
            payload: object.payload.clone(),
        };
        let mut bytes = BytesMut::new();
        datagram.encode(&mut bytes);
        let sent = self
            .shared()
            .session
            .connection()
            .send_datagram(bytes.freeze());
        self.count(|counters| match sent {
            Ok(()) => counters.sent += 1,
            Err(_) => counters.no_datagram += 1,
        });
    }

    /// A stream to `subscriber`, if the peer permits one now.
    pub(super) fn open_stream(&self, subscriber: &Arc<Subscriber>) -> Option<Outgoing> {
        let stream = self.shared().session.connection().try_open_uni().ok()??;
        subscriber.streams.fetch_add(1, Ordering::Relaxed);
        self.count(|counters| counters.streams += 1);
        let priority = lock(&subscriber.wish).transport_priority(self.track().options.priority);
        Some(Outgoing::new(subscriber.clone(), stream, priority))
    }
}

impl Owner {
    fn end(&self, code: PublishDoneCode, reason: &str) {
        let tracks = &self.client.shared.tracks;
        {
            let mut tracks = lock(&tracks.tracks_by_name);
            // Another track may have taken the name since.
            if tracks
                .get(&self.track.name)
                .is_some_and(|other| Arc::ptr_eq(other, &self.track))
            {
                tracks.remove(&self.track.name);
            }
        }
        let subscribers = std::mem::take(&mut lock(&self.track.state).subscribers);
        for subscriber in subscribers {
            subscriber.end(code, reason);
            self.client.shared.sent.push(subscriber.sender.outbox());
        }
        self.track.subscribers.send_replace(0);
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.end(PublishDoneCode::TRACK_ENDED, "the track ended");
    }
}

impl Track {
    pub(super) fn add(&self, subscriber: Arc<Subscriber>) {
        let mut state = lock(&self.state);
        state.subscribers.push(subscriber);
        self.subscribers.send_replace(state.subscribers.len());
    }

    pub(super) fn remove(&self, subscriber: &Arc<Subscriber>) {
        let mut state = lock(&self.state);
        state
            .subscribers
            .retain(|other| !Arc::ptr_eq(other, subscriber));
        self.subscribers.send_replace(state.subscribers.len());
    }
}

impl Subscriber {
    fn wants(&self, location: Location) -> bool {
        let wish = lock(&self.wish);
        wish.forward && wish.range.contains(location)
    }

    fn end(&self, code: PublishDoneCode, reason: &str) {
        let done = Message::PublishDone(PublishDone {
            code,
            stream_count: self.streams.load(Ordering::Relaxed),
            reason: reason.to_owned(),
        });
        // The peer may have left by now.
        let _ = self.sender.send(&done);
        let _ = self.sender.finish();
    }
}

impl Wish {
    /// Subscriber priority before publisher priority, the most urgent first (draft-22 §5.2).
    fn transport_priority(&self, publisher: u8) -> i32 {
        -(i32::from(self.priority) << 8 | i32::from(publisher))
    }
}
