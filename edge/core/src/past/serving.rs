//! Fetches and fills towards subscribers: each is a cursor, never a queue.
//!
//! A cursor goes through what the relay holds of the track, and where that ends through the window of a fetch of ours
//! (see `fetching.rs`). One delivery is out at a time: the next is made when the shell has written the last.

use crate::command::Opening;
use crate::id::{OutRequestId, SessionId, SubscriptionId, TrackId};
use crate::past::fetching::Piece;
use crate::past::held::Slices;
use crate::past::look::passes;
use crate::past::stretch::Stretch;
use crate::subscriber::filter::Ranges;
use bytes::{Bytes, BytesMut};
use meridian_wire::data::{FetchEncoder, FetchHeader, FetchObject, RangeGap};
use meridian_wire::{Draft, GroupOrder, Location, LocationFilter, RequestErrorCode, ResetCode};
use smallvec::SmallVec;
use std::time::{Duration, Instant};

/// The answer to a FETCH, or a fill.
#[derive(Debug)]
pub(crate) struct Serving {
    pub(crate) session: SessionId,
    pub(crate) track: TrackId,
    pub(crate) cause: Cause,
    pub(crate) subscriber_priority: u8,
    pub(crate) priority: i32,
    pub(crate) ranges: Option<Box<Ranges>>,
    /// As asked.
    pub(crate) filter: Option<LocationFilter>,
    pub(crate) order: GroupOrder,
    pub(crate) draft: Draft,
    pub(crate) encoder: FetchEncoder,
    /// What is served; `None` until a publisher has said where it ends.
    pub(crate) stretch: Option<Stretch>,
    /// The next location to serve from what is held; `None`: there is none.
    pub(crate) at: Option<Location>,
    /// The last location that was served, or told to be empty.
    pub(crate) last: Option<Location>,
    /// An object of which so much payload has been handed out, and which is to be gone on with.
    pub(crate) partial: Option<(Location, u64)>,
    /// What was not served since the last object.
    pub(crate) hole: Option<(RangeGap, Location)>,
    pub(crate) source: Source,
    /// Publishers that were asked already.
    pub(crate) tried: SmallVec<[SessionId; 2]>,
    /// What is said of what is not held, once nobody is asked any more.
    pub(crate) missing: Option<RangeGap>,
    /// The request has had its FETCH_OK or REQUEST_ERROR; a fill needs none.
    pub(crate) answered: bool,
    pub(crate) with_properties: bool,
    /// What is left of FILL_TIMEOUT, or of the time that this edge waits if the subscriber named none.
    pub(crate) budget: Duration,
    /// The subscriber named one.
    pub(crate) is_hurried: bool,
    pub(crate) waiting_since: Option<Instant>,
    pub(crate) state: Stage,
}

/// What a serving answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The FETCH with this request ID.
    Fetch(u64),
    /// The fill parameters of the message with this request ID.
    Fill(SubscriptionId, u64),
}

/// Where the next piece comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// What the relay holds.
    Held,
    /// A fetch of ours; whether an object of it passes the filters, while one is in progress.
    Fetch(OutRequestId, Option<bool>),
}

/// How far its stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Not opened.
    Unopened,
    /// Open, with nothing under way.
    Ready,
    /// A delivery is under way.
    Busy,
    /// FIN or a reset is under way.
    Ending,
}

/// What one step led to.
pub(crate) enum Step {
    /// There may be more at once.
    Again,
    /// Nothing more for now.
    Wait,
    /// Everything has been served.
    Finish,
    /// It cannot be gone on with.
    Fail(RequestErrorCode, ResetCode),
}

/// What is put together for one delivery.
#[derive(Default)]
pub(crate) struct Write {
    pub(crate) slices: Vec<Bytes>,
    pub(crate) bytes: usize,
    pub(crate) objects: u64,
}

impl Serving {
    pub(crate) fn opening(&self) -> Opening {
        let (Cause::Fetch(request_id) | Cause::Fill(_, request_id)) = self.cause;
        let mut header = BytesMut::with_capacity(12);
        FetchHeader { request_id }.encode(&mut header);
        Opening {
            priority: self.priority,
            header: header.freeze(),
        }
    }

    /// Writes an object's head; `None` if it cannot follow what came before.
    pub(crate) fn begin(&mut self, head: &FetchObject, write: &mut Write) -> Option<()> {
        self.close_hole(Some(RangeGap::NonExistent), write);
        let mut bytes = BytesMut::with_capacity(32 + head.properties.len());
        self.encoder.encode_object(head, &mut bytes).ok()?;
        write.put(bytes.freeze());
        write.objects += 1;
        self.last = Some(Location::new(head.group, head.object));
        Some(())
    }

    /// Nothing is served up to `end`.
    pub(crate) fn skip(&mut self, kind: RangeGap, end: Location, write: &mut Write) {
        let kind = match kind {
            RangeGap::TimedOut if self.draft < Draft::D20 => RangeGap::Unknown,
            kind => kind,
        };
        if self.hole.is_some_and(|(open, _)| open != kind) {
            self.close_hole(Some(kind), write);
        }
        self.hole = Some((kind, end));
        self.last = Some(end);
    }

    /// Writes what was skipped, unless what follows (`None`: the end of the stream) says it by itself.
    pub(crate) fn close_hole(&mut self, next: Option<RangeGap>, write: &mut Write) {
        let Some((kind, end)) = self.hole.take() else {
            return;
        };
        let goes_without_saying = matches!(next, None | Some(RangeGap::NonExistent));
        if kind == RangeGap::NonExistent && goes_without_saying {
            return;
        }
        let mut bytes = BytesMut::with_capacity(20);
        if self
            .encoder
            .encode_end_of_range(kind, end, &mut bytes)
            .is_ok()
        {
            write.put(bytes.freeze());
        }
    }

    /// Takes a piece of a fetch of ours.
    pub(crate) fn take(&mut self, piece: Piece, write: &mut Write) -> Step {
        let Source::Fetch(request, passing) = self.source else {
            return Step::Wait;
        };
        match piece {
            Piece::Object(head) => {
                let wanted = passes(self.ranges.as_deref(), &head);
                if wanted && self.begin(&head, write).is_none() {
                    return Step::Fail(
                        RequestErrorCode::INTERNAL_ERROR,
                        ResetCode::UNKNOWN_OBJECT_STATUS,
                    );
                }
                self.last = Some(Location::new(head.group, head.object));
                self.source = Source::Fetch(request, Some(wanted));
            }
            Piece::Payload(bytes) if passing == Some(true) => write.put(bytes),
            Piece::Payload(_) => {}
            Piece::End => self.source = Source::Fetch(request, None),
            Piece::Gap(kind, end) => self.skip(kind, end, write),
        }
        Step::Again
    }

    /// Goes back to what is held. `served` is the last location that a fetch answered for, if it came to its end.
    pub(crate) fn go_back_to(&mut self, served: Option<Location>) {
        self.source = Source::Held;
        let last = served.or(self.last);
        self.at = match (self.stretch, last) {
            (Some(stretch), Some(last)) => stretch.after(last),
            (Some(stretch), None) => Some(stretch.first()),
            (None, _) => None,
        };
    }

    pub(crate) fn go_back(&mut self, served: Option<Location>, write: &mut Write) {
        if let (Some(end), Some(stretch)) = (served, self.stretch)
            && self.last.is_none_or(|last| stretch.is_before(last, end))
        {
            self.skip(RangeGap::NonExistent, end, write);
        }
        self.go_back_to(served);
    }

    /// Whether an object of a fetch of ours has been begun and not ended.
    pub(crate) fn is_within_object(&self) -> bool {
        self.partial.is_some() || matches!(self.source, Source::Fetch(_, Some(true)))
    }

    pub(crate) fn stop_waiting(&mut self, now: Instant) {
        if let Some(since) = self.waiting_since.take() {
            let waited = now.saturating_duration_since(since);
            self.budget = self.budget.saturating_sub(waited);
        }
    }
}

impl Write {
    pub(crate) fn put(&mut self, bytes: Bytes) {
        self.bytes += bytes.len();
        self.slices.push(bytes);
    }

    pub(crate) fn put_all(&mut self, slices: Slices) -> u64 {
        let before = self.bytes;
        for slice in slices {
            self.put(slice);
        }
        (self.bytes - before) as u64
    }
}
