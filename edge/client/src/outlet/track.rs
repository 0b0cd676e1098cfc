//! One published track: its newest group, kept for those who join, and its subscriptions.

use super::stream::{Chunks, GroupStream, send_single};
use super::window::Window;
use super::{Offer, Sent};
use crate::loc::LocObject;
use bytes::BytesMut;
use meridian_session::session::RequestSender;
use meridian_session::transport::Connection;
use meridian_wire::control::{PublishDone, RequestOk};
use meridian_wire::data::{ObjectHeader, ObjectStatus, SubgroupHeader, SubgroupId};
use meridian_wire::error::PublishDoneCode;
use meridian_wire::{Location, Message, Parameters};
use tokio::task::JoinSet;

pub(super) struct Track {
    pub(super) alias: u64,
    pub(super) offer: Offer,
    pub(super) largest: Option<Location>,
    pub(super) subscriptions: Vec<Subscription>,
    /// The newest group's objects, from its first on; empty while it is too large to keep.
    newest: Vec<LocObject>,
    newest_bytes: usize,
}

pub(super) struct Subscription {
    sender: RequestSender,
    forward: bool,
    window: Window,
    open: Option<GroupStream>,
    /// A group that cannot be sent on: its stream is broken.
    cut: Option<u64>,
    last_object: Option<u64>,
    streams: u64,
}

type Way<'a> = (&'a Connection, &'a mut JoinSet<()>);

impl Track {
    pub(super) fn new(alias: u64, offer: Offer) -> Track {
        Track {
            alias,
            offer,
            largest: None,
            subscriptions: Vec::new(),
            newest: Vec::new(),
            newest_bytes: 0,
        }
    }

    /// Sends an object to its takers and keeps it for those who join during its group.
    pub(super) fn publish(&mut self, object: &LocObject, way: Option<Way<'_>>) -> Sent {
        self.keep(object);
        self.largest = Some(location(object));
        let mut sent = Sent::default();
        if let Some((connection, tasks)) = way {
            for subscription in &mut self.subscriptions {
                let forward =
                    subscription.forward && subscription.window.contains(location(object));
                match forward.then(|| {
                    subscription.send(self.alias, &self.offer, object, (connection, tasks))
                }) {
                    Some(true) => sent.taken += 1,
                    Some(false) => sent.dropped += 1,
                    None => {}
                }
            }
        }
        sent
    }

    /// Adds a subscription and sends what it wants of the newest group.
    pub(super) fn join(
        &mut self,
        mut subscription: Subscription,
        connection: &Connection,
        tasks: &mut JoinSet<()>,
    ) {
        if subscription.forward {
            for object in &self.newest {
                if subscription.window.contains(location(object)) {
                    subscription.send(self.alias, &self.offer, object, (connection, &mut *tasks));
                }
            }
        }
        self.subscriptions.push(subscription);
    }

    /// REQUEST_UPDATE of the subscription at `index`.
    pub(super) fn update(
        &mut self,
        index: usize,
        params: &Parameters,
        connection: &Connection,
        tasks: &mut JoinSet<()>,
    ) {
        let mut subscription = self.subscriptions.swap_remove(index);
        let was_forward = subscription.forward;
        subscription.forward = params.forward.unwrap_or(was_forward);
        if params.location_filter.is_some() {
            subscription.window = Window::resolve(params.location_filter, self.largest);
        } else if subscription.forward && !was_forward {
            // What was published during a pause is not sent (draft-22 §5.1).
            subscription.window = subscription.window.resumed(self.largest);
        }
        if !subscription.forward {
            subscription.open = None;
        }
        let ok = Message::RequestOk(RequestOk {
            params: Parameters {
                largest_object: self.largest,
                ..Parameters::default()
            },
            ..RequestOk::default()
        });
        if subscription.sender.send(&ok).is_err() {
            return;
        }
        match subscription.forward && !was_forward {
            true => self.join(subscription, connection, tasks),
            false => self.subscriptions.push(subscription),
        }
    }

    /// Forgets all subscriptions. A group that is being sent goes on elsewhere: its stream is cut, so that nobody takes
    /// it for whole.
    pub(super) fn leave(&mut self) {
        self.subscriptions.clear();
    }

    /// Ends all subscriptions in order; says how many there were.
    pub(super) fn finish(&mut self, code: PublishDoneCode) -> usize {
        let count = self.subscriptions.len();
        for mut subscription in self.subscriptions.drain(..) {
            if let Some(open) = subscription.open.take() {
                open.end();
            }
            let done = Message::PublishDone(PublishDone {
                code,
                stream_count: subscription.streams,
                reason: "the broadcast is over".to_owned(),
            });
            // A subscriber that is gone needs no farewell.
            let _ = subscription
                .sender
                .send(&done)
                .and_then(|()| subscription.sender.finish());
        }
        count
    }

    fn keep(&mut self, object: &LocObject) {
        if object.object == 0 {
            self.newest.clear();
            self.newest_bytes = 0;
        }
        self.newest_bytes += object.payload.len();
        if self.newest_bytes > KEPT_BYTES {
            self.newest.clear();
        } else if self.newest.len() as u64 == object.object {
            self.newest.push(object.clone());
        }
    }
}

/// The newest group is kept up to this size: ten seconds at 6 Mbit/s. Beyond it a joiner waits for the next group.
const KEPT_BYTES: usize = 8 << 20;

impl Subscription {
    pub(super) fn new(
        sender: RequestSender,
        params: &Parameters,
        largest: Option<Location>,
    ) -> Subscription {
        Subscription {
            sender,
            forward: params.forward.unwrap_or(true),
            window: Window::resolve(params.location_filter, largest),
            open: None,
            cut: None,
            last_object: None,
            streams: 0,
        }
    }

    pub(super) fn id(&self) -> u64 {
        self.sender.id()
    }

    /// Hands an object to the transport; says whether it was taken.
    fn send(&mut self, alias: u64, offer: &Offer, object: &LocObject, way: Way<'_>) -> bool {
        let header = SubgroupHeader {
            track_alias: alias,
            group: object.group,
            subgroup: SubgroupId::Zero,
            priority: Some(offer.priority),
            has_properties: true,
            end_of_group: true,
            first_object: object.object == 0,
        };
        if offer.single_objects {
            let sent = send_single(way.0, way.1, &header, offer.priority, chunks(object, None));
            self.streams += u64::from(sent);
            return sent;
        }
        self.send_on_group(&header, offer.priority, object, way)
    }

    fn send_on_group(
        &mut self,
        header: &SubgroupHeader,
        priority: u8,
        object: &LocObject,
        (connection, tasks): Way<'_>,
    ) -> bool {
        if self.cut == Some(object.group) {
            return false;
        }
        if self
            .open
            .as_ref()
            .is_none_or(|open| open.group != object.group)
        {
            if let Some(open) = self.open.take() {
                open.end();
            }
            self.open = Some(GroupStream::open(connection, tasks, header, priority));
            self.last_object = None;
            self.streams += 1;
        }
        let chunks = chunks(object, self.last_object.replace(object.object));
        let taken = self.open.as_ref().is_some_and(|open| open.add(chunks));
        if !taken {
            self.open = None;
            self.cut = Some(object.group);
        }
        taken
    }
}

fn location(object: &LocObject) -> Location {
    Location {
        group: object.group,
        object: object.object,
    }
}

fn chunks(object: &LocObject, previous: Option<u64>) -> Chunks {
    let header = ObjectHeader {
        id: object.object,
        properties: object.properties.0.clone(),
        payload_len: object.payload.len() as u64,
        status: ObjectStatus::Normal,
    };
    let mut head = BytesMut::new();
    header.encode(previous, true, &mut head);
    [head.freeze(), object.payload.clone()]
}
