//! REQUEST_UPDATE on a subscription: what it means for the streams there are, and for the publishers.

use crate::command::Outgoing;
use crate::id::{InRequest, SubscriptionId};
use crate::relay::Relay;
use crate::subscriber::filter::Window;
use crate::subscriber::subscription::{OutState, stream_priority};
use meridian_wire::control::RequestOk;
use meridian_wire::{LocationFilter, Message, Parameters, ResetCode};
use std::time::Instant;

impl Relay {
    /// REQUEST_UPDATE on a subscription.
    pub(crate) fn update_subscription(
        &mut self,
        request: InRequest,
        id: SubscriptionId,
        params: &Parameters,
        now: Instant,
    ) {
        let entry = &self.tracks[self.subscriptions[id].track];
        let ok = RequestOk {
            params: Parameters {
                largest_object: entry.largest,
                ..Parameters::default()
            },
            ..RequestOk::default()
        };
        self.answer_subscriber(id, request, Message::RequestOk(ok));
        self.apply_update(id, params, now);
    }

    /// Does what an update of a subscription says.
    pub(crate) fn apply_update(&mut self, id: SubscriptionId, params: &Parameters, now: Instant) {
        let Some(subscription) = self.subscriptions.get_mut(id) else {
            return;
        };
        let (had_forward, track) = (subscription.forward, subscription.track);
        subscription.apply(params);
        if self.tracks[track].waiting.contains(&id) {
            return;
        }
        self.update_window(id, had_forward, params, now);
        if params.subscriber_priority.is_some() {
            self.reprioritise(id);
        }
        if let Some(group) = params.new_group_request {
            self.ask_new_group(track, group);
        }
        self.update_forward(track);
    }

    /// What an update of the filter or the forward state means for the streams there are.
    fn update_window(
        &mut self,
        id: SubscriptionId,
        had_forward: bool,
        params: &Parameters,
        now: Instant,
    ) {
        let has_filter = params.location_filter.is_some();
        let subscription = &mut self.subscriptions[id];
        let forward = subscription.forward;
        let largest = self.tracks[subscription.track].largest;
        if has_filter {
            subscription.window = Window::resolve(subscription.filter, largest);
        } else if forward && !had_forward {
            // What was published while the subscription was paused is not sent (draft-22 §5.1).
            let next = Window::resolve(Some(LocationFilter::NextObject), largest);
            subscription.window.start = subscription.window.start.max(next.start);
        }
        if params.fill.is_some() {
            subscription.start_after(largest);
        }
        let window = subscription.window;
        if forward && !had_forward {
            subscription.joined_at = largest;
        }
        if had_forward && !forward {
            self.drop_streams(id, ResetCode::CANCELLED, |_| true);
        } else if forward && !had_forward {
            subscription.since = now;
            self.attach(id, now);
        } else if has_filter {
            self.drop_streams(id, ResetCode::CANCELLED, |out| !window.touches(out.group));
        }
    }

    /// Gives a subscription's open streams its new priority.
    fn reprioritise(&mut self, id: SubscriptionId) {
        let subscription = &self.subscriptions[id];
        let (subscriber, session) = (subscription.priority, subscription.session);
        let streams = self.out_streams.iter_mut();
        for (stream, out) in streams.filter(|(_, out)| out.subscription == id) {
            let publisher = (-out.priority) as u32 as u8;
            let priority = stream_priority(subscriber, publisher);
            out.priority = priority;
            if matches!(out.state, OutState::Idle | OutState::Cut(_)) {
                continue;
            }
            let blocked = &mut self.sessions[session].blocked;
            if let Some(blocked) = blocked.iter_mut().find(|blocked| blocked.1 == stream) {
                blocked.0 = priority;
            }
            self.deliveries
                .push_back(Outgoing::Priority { stream, priority });
        }
    }
}
