//! Fills, which come with a subscription (draft-22 §5.1.4), and draft 18's joining fetches, which refer to one.

use crate::id::{InRequest, SubscriptionId};
use crate::past::fetch::Wanted;
use crate::past::serving::Cause;
use crate::past::stretch::Stretch;
use crate::relay::Relay;
use crate::session::Incoming;
use crate::subscriber::filter::{Ranges, Window};
use crate::subscriber::subscription::{Origin, Subscription};
use meridian_wire::param::FillParameters;
use meridian_wire::{FetchFilter, Location, LocationFilter, RequestErrorCode};
use std::time::Instant;

/// What is to begin when a subscription that waits is established.
#[derive(Clone, Debug)]
pub(crate) enum Joining {
    /// Fill parameters of the message with this request ID.
    Fill(u64, Box<FillParameters>),
    /// Draft 18's FETCH with this request ID.
    Fetch(u64, FetchFilter, Box<Wanted>),
}

/// Joining fetches that one waiting subscription may have.
const MAX_JOINING: usize = 8;

impl Relay {
    /// A SUBSCRIBE or REQUEST_UPDATE with this request ID asks for a fill.
    pub(crate) fn fill(
        &mut self,
        id: SubscriptionId,
        request: u64,
        fill: Option<&FillParameters>,
        now: Instant,
    ) {
        let (Some(fill), Some(subscription)) = (fill, self.subscriptions.get_mut(id)) else {
            return;
        };
        if !subscription.forward {
            return;
        }
        let (session, track) = (subscription.session, subscription.track);
        if !self.tracks[track].subscribers.contains(&id) {
            if subscription.joining.len() < MAX_JOINING {
                let joining = Joining::Fill(request, Box::new(fill.clone()));
                subscription.joining.push(joining);
            }
            return;
        }
        let Some(largest) = self.tracks[track].largest else {
            return;
        };
        let wanted = Wanted::of_fill(subscription, fill);
        let Some(stretch) = Stretch::resolve(wanted.filter, largest, wanted.order) else {
            return;
        };
        let cause = Cause::Fill(id, request);
        let too_many = self.has_enough_servings(session);
        let stream = self.new_serving(session, track, cause, &wanted, Some(stretch));
        if too_many {
            // A fill has no REQUEST_ERROR: it fails by a reset.
            let code = meridian_wire::ResetCode::EXCESSIVE_LOAD;
            let error = RequestErrorCode::EXCESSIVE_LOAD;
            return self.serving_failed(stream, error, code, now);
        }
        self.serve(stream, now);
    }

    /// Begins what waited for a subscription to be established.
    pub(crate) fn begin_joining(&mut self, id: SubscriptionId, now: Instant) {
        let Some(subscription) = self.subscriptions.get_mut(id) else {
            return;
        };
        let session = subscription.session;
        for joining in std::mem::take(&mut subscription.joining) {
            match joining {
                Joining::Fill(request, fill) => self.fill(id, request, Some(&fill), now),
                Joining::Fetch(request, filter, wanted) => {
                    let request = InRequest {
                        session,
                        id: request,
                    };
                    self.join(request, filter, *wanted, now);
                }
            }
        }
    }

    /// The joining fetches of a subscription that never came about are refused.
    pub(crate) fn refuse_joining(&mut self, subscription: &Subscription) {
        for joining in &subscription.joining {
            if let Joining::Fetch(id, ..) = joining {
                let session = subscription.session;
                if let Some(peer) = self.sessions.get_mut(session) {
                    peer.requests.remove(id);
                }
                self.refuse(
                    InRequest { session, id: *id },
                    RequestErrorCode::INVALID_JOINING_REQUEST_ID,
                    "the subscription did not come about",
                );
            }
        }
    }

    /// The fills of a subscription end with it (draft-22 §5.1.4).
    pub(crate) fn drop_fills(&mut self, id: SubscriptionId, now: Instant) {
        let Some(subscription) = self.subscriptions.get(id) else {
            return;
        };
        let Some(peer) = self.sessions.get(subscription.session) else {
            return;
        };
        let is_fill = |stream: &&crate::OutStreamId| {
            let serving = self.servings.get(**stream);
            serving.is_some_and(|serving| matches!(serving.cause, Cause::Fill(of, _) if of == id))
        };
        let fills: Vec<_> = peer.servings.iter().filter(is_fill).copied().collect();
        for stream in fills {
            self.drop_serving(stream, meridian_wire::ResetCode::CANCELLED, now);
        }
    }

    /// Draft 18 §10.12.2: a fetch up to where a subscription began.
    pub(crate) fn join(
        &mut self,
        request: InRequest,
        filter: FetchFilter,
        mut wanted: Wanted,
        now: Instant,
    ) {
        let (joined, start) = match filter {
            FetchFilter::RelativeJoining {
                request_id,
                groups_back,
            } => (request_id, Start::Back(groups_back)),
            FetchFilter::AbsoluteJoining {
                request_id,
                start_group,
            } => (request_id, Start::At(start_group)),
            FetchFilter::Range => {
                let code = RequestErrorCode::INVALID_RANGE;
                return self.refuse(request, code, "a fetch without a track");
            }
        };
        let session = request.session;
        let Some(id) = self.subscription_of(request.session, joined) else {
            return self.refuse(
                request,
                RequestErrorCode::INVALID_JOINING_REQUEST_ID,
                "no such subscription",
            );
        };
        let subscription = &mut self.subscriptions[id];
        let track = subscription.track;
        if !subscription.forward {
            let code = RequestErrorCode::INVALID_RANGE;
            return self.refuse(request, code, "the subscription is paused");
        }
        if !self.tracks[track].subscribers.contains(&id) {
            return self.join_later(request, id, filter, wanted);
        }
        let stretch = subscription.joined_at.and_then(|end| {
            let group = match start {
                Start::Back(groups) => end.group.saturating_sub(groups),
                Start::At(group) => group,
            };
            let start = Location::new(group, 0);
            let order = wanted.order;
            (start <= end).then_some(Stretch { start, end, order })
        });
        let Some(stretch) = stretch else {
            self.sessions[session].requests.remove(&request.id);
            let code = RequestErrorCode::INVALID_RANGE;
            return self.refuse(request, code, "nothing was published there");
        };
        wanted.filter = Some(stretch.as_filter());
        self.begin_here(request, track, &wanted, stretch, now);
    }

    /// Has a joining fetch wait for its subscription.
    fn join_later(
        &mut self,
        request: InRequest,
        id: SubscriptionId,
        filter: FetchFilter,
        wanted: Wanted,
    ) {
        let subscription = &mut self.subscriptions[id];
        if subscription.joining.len() >= MAX_JOINING {
            let code = RequestErrorCode::EXCESSIVE_LOAD;
            return self.refuse(request, code, "too many joining fetches");
        }
        let joining = Joining::Fetch(request.id, filter, Box::new(wanted));
        subscription.joining.push(joining);
        let incoming = Incoming::Joining(id);
        let peer = &mut self.sessions[request.session];
        peer.requests.insert(request.id, incoming);
    }

    /// A joining fetch is cancelled before its subscription came about.
    pub(crate) fn forget_joining(&mut self, id: SubscriptionId, request: u64) {
        if let Some(subscription) = self.subscriptions.get_mut(id) {
            subscription.joining.retain(
                |joining| !matches!(joining, Joining::Fetch(other, ..) if *other == request),
            );
        }
    }

    fn subscription_of(&self, session: crate::SessionId, request: u64) -> Option<SubscriptionId> {
        match self.sessions[session].requests.get(&request)? {
            Incoming::Subscription(id) => {
                let origin = self.subscriptions.get(*id)?.origin;
                matches!(origin, Origin::Subscribe(_)).then_some(*id)
            }
            _ => None,
        }
    }
}

/// Where a joining fetch starts.
#[derive(Clone, Copy, Debug)]
enum Start {
    /// So many groups before the subscription's.
    Back(u64),
    /// At this group.
    At(u64),
}

impl Subscription {
    /// Whether a fill begins with it.
    pub(crate) fn has_fill(&self) -> bool {
        let is_fill = |joining: &Joining| matches!(joining, Joining::Fill(..));
        self.joining.iter().any(is_fill)
    }

    /// With a fill the past comes on its stream alone: what is live begins after the largest object.
    pub(crate) fn start_after(&mut self, largest: Option<Location>) {
        let next = Window::resolve(Some(LocationFilter::NextObject), largest);
        self.window.start = self.window.start.max(next.start);
    }
}

impl Wanted {
    /// What fill parameters leave out is as in the subscription.
    fn of_fill(subscription: &Subscription, fill: &FillParameters) -> Wanted {
        let ranges = subscription.ranges.clone();
        Wanted {
            filter: fill.location_filter.or(subscription.filter),
            order: fill.group_order.unwrap_or(subscription.order),
            priority: fill.subscriber_priority.unwrap_or(subscription.priority),
            ranges: match fill.range_filters.is_empty() {
                true => ranges,
                false => Ranges::updated(ranges, &fill.range_filters),
            },
            timeout: fill.fill_timeout,
            with_properties: true,
        }
    }
}
