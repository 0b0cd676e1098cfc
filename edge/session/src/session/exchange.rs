//! Which messages may come on a request stream, and how many updates are unanswered (draft-22 §9, §9.1.7).

use super::error::Fault;
use meridian_wire::{Message, TerminationCode};

/// The seven messages that open a request stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Opener {
    /// SUBSCRIBE
    Subscribe,
    /// PUBLISH
    Publish,
    /// FETCH
    Fetch,
    /// TRACK_STATUS
    TrackStatus,
    /// PUBLISH_NAMESPACE
    PublishNamespace,
    /// SUBSCRIBE_NAMESPACE
    SubscribeNamespace,
    /// SUBSCRIBE_TRACKS
    SubscribeTracks,
}

impl Opener {
    /// The kind of opener that `message` is, if it is one, and its request ID.
    pub fn of(message: &Message) -> Option<(Opener, u64)> {
        Some(match message {
            Message::Subscribe(request) => (Opener::Subscribe, request.request_id),
            Message::Publish(request) => (Opener::Publish, request.request_id),
            Message::Fetch(request) => (Opener::Fetch, request.request_id),
            Message::TrackStatus(request) => (Opener::TrackStatus, request.request_id),
            Message::PublishNamespace(request) => (Opener::PublishNamespace, request.request_id),
            Message::SubscribeNamespace(request) => {
                (Opener::SubscribeNamespace, request.request_id)
            }
            Message::SubscribeTracks(request) => (Opener::SubscribeTracks, request.request_id),
            _ => return None,
        })
    }
}

/// The state of one request stream, seen from this side.
#[derive(Debug)]
pub(super) struct Exchange {
    opener: Opener,
    ours: bool,
    answered: bool,
    goaway: bool,
    updates_from_peer: u64,
    updates_to_peer: u64,
}

impl Exchange {
    pub(super) fn new(opener: Opener, ours: bool) -> Exchange {
        Exchange {
            opener,
            ours,
            answered: false,
            goaway: false,
            updates_from_peer: 0,
            updates_to_peer: 0,
        }
    }

    /// Checks and notes a message of the peer's. `max_updates` is what this side allows; 0 is no limit.
    pub(super) fn received(&mut self, message: &Message, max_updates: u64) -> Result<(), Fault> {
        match message {
            Message::Goaway(_) => self.received_goaway(),
            Message::RequestUpdate(_) => self.received_update(max_updates),
            Message::RequestOk(_) | Message::RequestError(_) => self.received_answer(message),
            _ if self.ours && !self.answered => self.received_answer(message),
            _ if self.may_follow(message) => Ok(()),
            _ => Err(OUT_OF_PLACE),
        }
    }

    /// Notes a message of ours.
    pub(super) fn sent(&mut self, message: &Message) {
        match message {
            Message::SubscribeOk(_) | Message::FetchOk(_) => self.answered = true,
            Message::RequestOk(_) | Message::RequestError(_) if !self.ours && !self.answered => {
                self.answered = true;
            }
            Message::RequestOk(_) | Message::RequestError(_) => {
                self.updates_from_peer = self.updates_from_peer.saturating_sub(1);
            }
            Message::RequestUpdate(_) => self.updates_to_peer += 1,
            _ => {}
        }
    }

    /// Whether the peer takes one more update; `max` 0 is no limit.
    pub(super) fn may_update(&self, max: u64) -> bool {
        max == 0 || self.updates_to_peer < max
    }

    fn received_goaway(&mut self) -> Result<(), Fault> {
        match std::mem::replace(&mut self.goaway, true) {
            false => Ok(()),
            true => Err(Fault::violation("a second GOAWAY on a request stream")),
        }
    }

    fn received_update(&mut self, max: u64) -> Result<(), Fault> {
        let updatable = match self.ours {
            true => self.opener == Opener::Publish,
            false => self.opener != Opener::TrackStatus,
        };
        if !updatable {
            return Err(OUT_OF_PLACE);
        }
        self.updates_from_peer += 1;
        if max != 0 && self.updates_from_peer > max {
            return Err(Fault::new(
                TerminationCode::TOO_MANY_REQUEST_UPDATES,
                "more unanswered updates than allowed",
            ));
        }
        Ok(())
    }

    /// The answer to our request, or to an update of ours.
    fn received_answer(&mut self, message: &Message) -> Result<(), Fault> {
        if self.ours && !self.answered {
            self.answered = true;
            return match (self.opener, message) {
                (_, Message::RequestError(_))
                | (Opener::Subscribe, Message::SubscribeOk(_))
                | (Opener::Fetch, Message::FetchOk(_)) => Ok(()),
                (Opener::Subscribe | Opener::Fetch, _) => Err(OUT_OF_PLACE),
                (_, Message::RequestOk(_)) => Ok(()),
                _ => Err(OUT_OF_PLACE),
            };
        }
        // One REQUEST_ERROR may answer several updates, so that further answers may be missing but never surplus.
        self.updates_to_peer = self.updates_to_peer.checked_sub(1).ok_or(OUT_OF_PLACE)?;
        Ok(())
    }

    /// Messages that may come any time after the answer.
    fn may_follow(&self, message: &Message) -> bool {
        match (self.opener, message) {
            (Opener::Subscribe, Message::PublishDone(_) | Message::PublishStateNotify(_)) => {
                self.ours
            }
            (Opener::Publish, Message::PublishDone(_) | Message::PublishStateNotify(_)) => {
                !self.ours
            }
            (Opener::SubscribeNamespace, Message::Namespace(_) | Message::NamespaceDone(_)) => {
                self.ours
            }
            (Opener::SubscribeTracks, Message::PublishSkipped(_)) => self.ours,
            _ => false,
        }
    }
}

const OUT_OF_PLACE: Fault = Fault::violation("a message out of place on a request stream");

#[cfg(test)]
mod tests {
    use super::*;
    use meridian_wire::Parameters;
    use meridian_wire::control::{RequestOk, RequestUpdate};

    fn ok() -> Message {
        Message::RequestOk(RequestOk::default())
    }

    fn update() -> Message {
        Message::RequestUpdate(RequestUpdate {
            request_id: 2,
            params: Parameters::default(),
        })
    }

    #[test]
    fn the_first_answer_must_fit_the_request() {
        let mut subscribe = Exchange::new(Opener::Subscribe, true);
        assert_eq!(subscribe.received(&ok(), 0), Err(OUT_OF_PLACE));
        let mut announce = Exchange::new(Opener::PublishNamespace, true);
        assert_eq!(announce.received(&ok(), 0), Ok(()));
        assert_eq!(announce.received(&ok(), 0), Err(OUT_OF_PLACE));
    }

    #[test]
    fn nothing_comes_before_the_answer() {
        let mut exchange = Exchange::new(Opener::SubscribeNamespace, true);
        let early = Message::Namespace(meridian_wire::Namespace::default());
        assert_eq!(exchange.received(&early, 0), Err(OUT_OF_PLACE));
    }

    #[test]
    fn updates_beyond_the_allowance_end_the_session() {
        let mut exchange = Exchange::new(Opener::Subscribe, false);
        exchange.received(&update(), 2).unwrap();
        exchange.received(&update(), 2).unwrap();
        exchange.sent(&Message::RequestError(refusal()));
        exchange.sent(&ok());
        exchange.received(&update(), 2).unwrap();
        let fault = exchange.received(&update(), 2).unwrap_err();
        assert_eq!(fault.code, TerminationCode::TOO_MANY_REQUEST_UPDATES);
    }

    #[test]
    fn only_the_sender_of_publish_is_updated_by_its_peer() {
        let mut publish = Exchange::new(Opener::Publish, true);
        assert_eq!(publish.received(&update(), 0), Ok(()));
        let mut subscribe = Exchange::new(Opener::Subscribe, true);
        assert_eq!(subscribe.received(&update(), 0), Err(OUT_OF_PLACE));
    }

    fn refusal() -> meridian_wire::control::RequestError {
        meridian_wire::control::RequestError {
            code: meridian_wire::RequestErrorCode::INTERNAL_ERROR,
            retry_interval: 0,
            reason: String::new(),
            redirect: None,
        }
    }
}
