//! One published track: its last groups, kept for those who join, and its subscriptions.

use super::kept::Kept;
use super::range::Range;
use super::stream::{Chunks, GroupStream, send_single};
use super::{Offer, Sent};
use crate::client::Object;
use crate::session::RequestSender;
use crate::transport::Connection;
use bytes::BytesMut;
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
    pub(super) kept: Kept,
}

pub(super) struct Subscription {
    sender: RequestSender,
    pub(super) forward: bool,
    priority: u8,
    range: Range,
    /// The largest location when it began, or went on after a pause: where a joining FETCH ends (draft-18 §5.1).
    pub(super) joined_at: Option<Location>,
    open: Option<GroupStream>,
    /// A group that cannot be sent on: its stream is broken.
    cut: Option<u64>,
    last_object: Option<u64>,
    pub(super) streams: u64,
}

type Way<'a> = (&'a Connection, &'a mut JoinSet<()>);

impl Track {
    pub(super) fn new(alias: u64, offer: Offer) -> Track {
        Track {
            alias,
            offer,
            largest: None,
            subscriptions: Vec::new(),
            kept: Kept::default(),
        }
    }

    /// The same track, as nobody has asked for it yet.
    pub(super) fn twin(&self) -> Track {
        Track {
            alias: self.alias,
            offer: self.offer.clone(),
            largest: self.largest,
            subscriptions: Vec::new(),
            kept: self.kept.clone(),
        }
    }

    /// Sends an object to its takers and keeps it for those who join during its group.
    pub(super) fn publish(&mut self, object: &Object, way: Option<Way<'_>>) -> Sent {
        self.kept.push(object.clone());
        self.largest = Some(object.location());
        let mut sent = Sent::default();
        if let Some((connection, tasks)) = way {
            for subscription in &mut self.subscriptions {
                let wants = subscription.forward && subscription.range.contains(object.location());
                match wants.then(|| {
                    subscription.send(self.alias, &self.offer, &[object], (connection, tasks))
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
            let newest = Location::new(self.largest.map_or(0, |largest| largest.group), 0);
            let wanted = subscription.range.starting_at(newest);
            let objects: Vec<&Object> = self.kept.range(wanted).collect();
            subscription.send(self.alias, &self.offer, &objects, (connection, tasks));
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
        subscription.priority = params.subscriber_priority.unwrap_or(subscription.priority);
        let resumes = subscription.forward && !was_forward;
        if params.location_filter.is_some() {
            subscription.range = Range::of_subscription(params.location_filter, self.largest);
        } else if resumes {
            // What was published during a pause is not sent (draft-22 §5.1).
            subscription.range = subscription.range.resumed(self.largest);
        }
        if resumes {
            subscription.joined_at = self.largest;
        }
        subscription.leave_past_to_fill(params, self.largest);
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
        match resumes {
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
}

impl Subscription {
    pub(super) fn new(
        sender: RequestSender,
        params: &Parameters,
        largest: Option<Location>,
    ) -> Subscription {
        let mut subscription = Subscription {
            sender,
            forward: params.forward.unwrap_or(true),
            priority: params.subscriber_priority.unwrap_or(DEFAULT_PRIORITY),
            range: Range::of_subscription(params.location_filter, largest),
            joined_at: largest,
            open: None,
            cut: None,
            last_object: None,
            streams: 0,
        };
        subscription.leave_past_to_fill(params, largest);
        subscription
    }

    /// With a fill, what is past comes on its stream alone (draft-22 §5.1.4).
    fn leave_past_to_fill(&mut self, params: &Parameters, largest: Option<Location>) {
        if self.forward && params.fill.is_some() {
            self.range = self.range.resumed(largest);
        }
    }

    pub(super) fn id(&self) -> u64 {
        self.sender.id()
    }

    /// Hands objects of one group to the transport; says whether they were taken.
    fn send(&mut self, alias: u64, offer: &Offer, objects: &[&Object], way: Way<'_>) -> bool {
        let Some(first) = objects.first() else {
            return true;
        };
        let header = SubgroupHeader {
            track_alias: alias,
            group: first.group,
            subgroup: SubgroupId::Zero,
            priority: Some(offer.priority),
            has_properties: true,
            end_of_group: true,
            first_object: first.object == 0,
        };
        let priority = transport_priority(self.priority, offer.priority);
        if offer.single_objects {
            let sent = send_single(way.0, way.1, &header, priority, chunks(first, None));
            self.streams += u64::from(sent);
            return sent;
        }
        self.send_on_group(&header, priority, objects, way)
    }

    fn send_on_group(
        &mut self,
        header: &SubgroupHeader,
        priority: i32,
        objects: &[&Object],
        (connection, tasks): Way<'_>,
    ) -> bool {
        if self.cut == Some(header.group) {
            return false;
        }
        let is_open = |open: &GroupStream| open.group == header.group;
        if !self.open.as_ref().is_some_and(is_open) {
            if let Some(before) = self.open.take() {
                before.end();
            }
            self.last_object = None;
        }
        let mut chunks = objects
            .iter()
            .map(|object| chunks(object, self.last_object.replace(object.object)));
        let taken = match &self.open {
            Some(open) => chunks.all(|chunks| open.add(chunks)),
            None => {
                let first = chunks.collect();
                self.open = Some(GroupStream::open(
                    connection, tasks, header, priority, first,
                ));
                self.streams += 1;
                true
            }
        };
        if !taken {
            self.open = None;
            self.cut = Some(header.group);
        }
        taken
    }
}

/// The subscriber's priority before the publisher's, the most urgent first (draft-22 §5.2).
pub(super) fn transport_priority(subscriber: u8, publisher: u8) -> i32 {
    -(i32::from(subscriber) << 8 | i32::from(publisher))
}

/// The subscriber priority of a request that names none.
pub(super) const DEFAULT_PRIORITY: u8 = 128;

fn chunks(object: &Object, previous: Option<u64>) -> Chunks {
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
