//! What the shell says of the streams of fetches and fills: written, stuck, stopped.

use crate::Command;
use crate::DropReason;
use crate::id::{OutStreamId, SessionId, TrackId};
use crate::past::serving::{Cause, Stage};
use crate::relay::Relay;
use crate::subscriber::subscription::{OutState, OutStream};
use meridian_wire::ResetCode;
use std::time::Instant;

impl Relay {
    /// Everything handed out has been written: whether the stream is one of these.
    pub(crate) fn serving_written(&mut self, stream: OutStreamId, now: Instant) -> bool {
        let Some(serving) = self.servings.get_mut(stream) else {
            return false;
        };
        let session = serving.session;
        if let Some(peer) = self.sessions.get_mut(session) {
            peer.unblock(stream);
        }
        if serving.state == Stage::Ending {
            self.serving_over(stream);
        } else {
            serving.state = Stage::Ready;
            self.serve(stream, now);
        }
        true
    }

    /// The shell keeps the rest of what it was given until it can be written.
    pub(crate) fn serving_stuck(&mut self, stream: OutStreamId) -> bool {
        let Some(serving) = self.servings.get(stream) else {
            return false;
        };
        let entry = (serving.priority, stream);
        if let Some(peer) = self.sessions.get_mut(serving.session)
            && !peer.blocked.contains(&entry)
        {
            peer.blocked.push(entry);
        }
        true
    }

    /// There was no credit to open the stream. Nothing was in its first delivery but the header.
    pub(crate) fn serving_unopened(&mut self, stream: OutStreamId) -> bool {
        let Some(serving) = self.servings.get_mut(stream) else {
            return false;
        };
        serving.state = Stage::Unopened;
        let (session, cause) = (serving.session, serving.cause);
        if let Cause::Fill(subscription, _) = cause
            && let Some(subscription) = self.subscriptions.get_mut(subscription)
        {
            subscription.streams_opened -= 1;
        }
        if let Some(peer) = self.sessions.get_mut(session) {
            peer.out_of_credit = true;
            if !peer.parked.contains(&stream) {
                peer.parked.push(stream);
            }
        }
        true
    }

    /// The subscriber wants no more of it.
    pub(crate) fn serving_stopped(&mut self, stream: OutStreamId, now: Instant) -> bool {
        let Some(serving) = self.servings.get_mut(stream) else {
            return false;
        };
        let (session, cause) = (serving.session, serving.cause);
        // The stream is gone already: there is nothing to reset.
        serving.state = Stage::Unopened;
        self.counters.drop(DropReason::Stopped, 1);
        self.drop_serving(stream, ResetCode::CANCELLED, now);
        if let Cause::Fetch(request) = cause
            && let Some(peer) = self.sessions.get_mut(session)
            && peer.requests.remove(&request).is_some()
        {
            let code = ResetCode::CANCELLED;
            self.commands.push_back(Command::Reject {
                session,
                request,
                code,
            });
        }
        true
    }

    /// A stream's FIN has been written.
    pub(crate) fn serving_over(&mut self, stream: OutStreamId) -> bool {
        self.forget_serving(stream).is_some()
    }

    /// The servings of a subscriber whose session is gone.
    pub(crate) fn drop_servings(&mut self, servings: Vec<OutStreamId>, now: Instant) {
        for stream in servings {
            self.drop_serving(stream, ResetCode::SESSION_CLOSED, now);
        }
    }
}

impl OutStream {
    /// The stream of a fetch or fill: it belongs to no subscription, and is never simply gone on with.
    #[inline]
    pub(crate) fn detached(session: SessionId, track: TrackId) -> OutStream {
        OutStream {
            session,
            subscription: crate::SubscriptionId::default(),
            track,
            group: 0,
            subgroup: 0,
            cursor: 0,
            last_object: None,
            priority: 0,
            state: OutState::Idle,
            deadline: None,
            given_objects: 0,
            given_bytes: 0,
            given_started: false,
        }
    }
}
