//! What the relay tells its shell to do.

use crate::id::{InStreamId, OutRequestId, OutStreamId, SessionId};
use bytes::Bytes;
use meridian_wire::{Message, ResetCode, TerminationCode};
use std::rc::Rc;
use std::time::Duration;

/// Slow work: control messages and cancellations.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Say something on a request stream the peer opened.
    Respond {
        /// Whose stream.
        session: SessionId,
        /// The request ID on the wire.
        request: u64,
        /// What to say.
        message: Message,
        /// Close our direction after it.
        finish: bool,
    },
    /// End a request the peer made: reset and stop its stream.
    Reject {
        /// Whose stream.
        session: SessionId,
        /// The request ID on the wire.
        request: u64,
        /// Why.
        code: ResetCode,
    },
    /// Open a request stream. The message's request ID is filled in by the session.
    Request {
        /// Towards whom.
        session: SessionId,
        /// What the answers will be handed in with.
        request: OutRequestId,
        /// The opener.
        message: Message,
    },
    /// Say something more on a request stream of ours.
    Update {
        /// Towards whom.
        session: SessionId,
        /// Which request.
        request: OutRequestId,
        /// What to say; a request ID in it is filled in by the session.
        message: Message,
        /// Close our direction after it.
        finish: bool,
    },
    /// Give up a request of ours: reset and stop its stream.
    Cancel {
        /// Towards whom.
        session: SessionId,
        /// Which request.
        request: OutRequestId,
        /// Why.
        code: ResetCode,
    },
    /// Close our direction of a request stream the peer opened: everything has been said.
    FinishResponse {
        /// Whose stream.
        session: SessionId,
        /// The request ID on the wire.
        request: u64,
    },
    /// Close our direction of a request stream of ours, and forget it.
    FinishRequest {
        /// Towards whom.
        session: SessionId,
        /// Which request.
        request: OutRequestId,
    },
    /// Read on in a fetch stream that was to be read no further.
    Resume {
        /// Whose stream.
        session: SessionId,
        /// Which stream.
        stream: InStreamId,
    },
    /// Ask the peer to stop a data stream; the shell reads no more of it.
    Stop {
        /// Whose stream.
        session: SessionId,
        /// Which stream.
        stream: InStreamId,
        /// Why.
        code: ResetCode,
    },
    /// Tell the peer to leave.
    Goaway {
        /// Whom.
        session: SessionId,
        /// How long it has before it is closed.
        within: Duration,
    },
    /// Close a session.
    Close {
        /// Which.
        session: SessionId,
        /// Why.
        code: TerminationCode,
        /// For people.
        reason: &'static str,
    },
}

/// Fast work, in the order it is to be done.
#[derive(Clone, Debug)]
pub enum Outgoing {
    /// Bytes for a data stream.
    Stream(Delivery),
    /// A datagram, whole.
    Datagram {
        /// To whom.
        session: SessionId,
        /// Its bytes.
        bytes: Bytes,
    },
    /// A stream's priority has changed.
    Priority {
        /// Which stream.
        stream: OutStreamId,
        /// Higher first.
        priority: i32,
    },
}

/// One write: perhaps open a stream, perhaps write, perhaps end it.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// To whom.
    pub session: SessionId,
    /// On which stream.
    pub stream: OutStreamId,
    /// Present on the first delivery of a stream.
    pub open: Option<Opening>,
    /// What to write.
    pub body: Body,
    /// What comes after it.
    pub end: End,
}

/// How a stream begins.
#[derive(Clone, Debug)]
pub struct Opening {
    /// Higher first.
    pub priority: i32,
    /// The stream's header, written before the body.
    pub header: Bytes,
}

/// Bytes to write: slices of what the publisher sent.
#[derive(Clone, Debug)]
pub enum Body {
    /// Nothing.
    Empty,
    /// One slice.
    One(Bytes),
    /// Several, in order, shared by all subscribers of the object.
    Many(Rc<[Bytes]>),
}

/// What follows a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The stream goes on when the publisher goes on.
    Open,
    /// The relay has more for this stream at once: it waits for [`crate::Relay::handle_writable`].
    More,
    /// FIN. With a time: reset with DELIVERY_TIMEOUT if it is not acknowledged by then.
    Finish(Option<Duration>),
    /// Reset; what is still unsent is dropped.
    Reset(ResetCode),
}

impl Body {
    /// The slices, in order.
    pub fn slices(&self) -> &[Bytes] {
        match self {
            Body::Empty => &[],
            Body::One(bytes) => std::slice::from_ref(bytes),
            Body::Many(slices) => slices,
        }
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.slices().iter().map(Bytes::len).sum()
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
