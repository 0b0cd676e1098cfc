//! The next write of a stream that is not simply at the end of its subgroup: one object at a time.

use crate::DropReason;
use crate::command::{Body, Delivery, End, Opening, Outgoing};
use crate::id::OutStreamId;
use crate::relay::Relay;
use crate::subscriber::fanout::body;
use crate::subscriber::subscription::{OutState, OutStream, Subscription, tighter};
use crate::track::subgroup::{State, Subgroup};
use bytes::Bytes;
use meridian_wire::{Location, ResetCode};
use std::time::Instant;

/// What a stream is to be given next.
enum Next {
    /// The rest of an object that has begun (`object` is `None`), or the next object.
    Write {
        object: Option<usize>,
        body: Body,
        cursor: usize,
    },
    /// Nothing yet.
    Nothing,
    /// Nothing, ever.
    End,
}

impl Relay {
    /// Hands out the next object of a stream that is behind or not yet open.
    pub(crate) fn go_on(&mut self, stream: OutStreamId, now: Instant) {
        let Some(out) = self.out_streams.get(stream) else {
            return;
        };
        if self.own == Some(out.session) {
            return self.hear(stream, now);
        }
        let Some(subgroup) = self.held(out).filter(|held| !held.is_gone(out.cursor)) else {
            let code = ResetCode::TOO_FAR_BEHIND;
            return self.cut(stream, DropReason::TooFarBehind, Some(code));
        };
        let subscription = &self.subscriptions[out.subscription];
        let default_priority = self.tracks[out.track].default_priority;
        let is_late = |index: usize| {
            let at = subgroup.objects[index].at;
            now > self.late_at(at, subgroup, subscription)
        };
        match next_write(out, subscription, subgroup, default_priority) {
            Next::Write {
                object: Some(index),
                ..
            } if is_late(index) => {
                self.let_go(stream);
            }
            Next::Write {
                object,
                body,
                cursor,
            } => {
                let open = (out.state == OutState::Idle).then(|| opening(out, subgroup, object));
                let end = end_after(subgroup, subscription, cursor);
                let id = object.map(|index| subgroup.objects[index].header.id);
                self.hand_out(stream, open, body, end, cursor, id);
            }
            Next::Nothing => {
                if let State::Broken(code) = subgroup.state {
                    self.cut(stream, DropReason::SourceReset, Some(code));
                } else if out.state == OutState::Behind {
                    self.out_streams[stream].state = OutState::Live;
                }
            }
            Next::End if out.state == OutState::Idle => self.forget_reader(stream),
            Next::End => {
                let wait = tighter(subgroup.timeouts.subgroup, subscription.subgroup_timeout);
                let cursor = out.cursor;
                self.hand_out(stream, None, Body::Empty, End::Finish(wait), cursor, None);
            }
        }
    }

    fn hand_out(
        &mut self,
        stream: OutStreamId,
        open: Option<Opening>,
        body: Body,
        end: End,
        cursor: usize,
        object: Option<u64>,
    ) {
        let out = &mut self.out_streams[stream];
        out.cursor = cursor;
        out.state = match end {
            End::More => OutState::Behind,
            End::Open => OutState::Live,
            End::Finish(_) | End::Reset(_) => OutState::Ending,
        };
        out.last_object = object.or(out.last_object);
        let bytes = body.len();
        out.gave(u64::from(object.is_some()), bytes as u64, !body.is_empty());
        self.counters.objects_out += u64::from(object.is_some());
        self.counters.bytes_out += bytes as u64;
        let session = out.session;
        if open.is_some() {
            self.subscriptions[out.subscription].streams_opened += 1;
        }
        self.deliveries.push_back(Outgoing::Stream(Delivery {
            session,
            stream,
            open,
            body,
            end,
        }));
    }
}

fn opening(out: &OutStream, held: &Subgroup, object: Option<usize>) -> Opening {
    let is_whole = held.is_from_the_start() && object.unwrap_or(0) == 0;
    Opening {
        priority: out.priority,
        header: match is_whole {
            true => held.opening.clone(),
            false => held.opening_in_the_middle(),
        },
    }
}

/// What follows a write up to `cursor`.
fn end_after(held: &Subgroup, subscription: &Subscription, cursor: usize) -> End {
    let is_last = cursor == held.end();
    match held.state {
        State::Open if is_last => End::Open,
        State::Complete if is_last => End::Finish(tighter(
            held.timeouts.subgroup,
            subscription.subgroup_timeout,
        )),
        // A broken subgroup ends in a reset once what there is of it has been written.
        State::Open | State::Complete | State::Broken(_) => End::More,
    }
}

fn next_write(out: &OutStream, subscription: &Subscription, held: &Subgroup, default: u8) -> Next {
    let mut index = held.first_unstarted(out.cursor);
    let starts_at = held
        .objects
        .get(index)
        .map_or(held.end(), |object| object.chunk);
    if out.cursor < starts_at && out.last_object.is_some() {
        return Next::Write {
            object: None,
            body: body(held.chunks(out.cursor, starts_at)),
            cursor: starts_at,
        };
    }
    let priority = held.header.priority.unwrap_or(default);
    let mut is_past = false;
    while let Some(object) = held.objects.get(index) {
        if subscription.passes(out.group, held.id, priority, &object.header) {
            break;
        }
        let at = Location::new(out.group, object.header.id);
        is_past |= subscription.window.is_past(at);
        index += 1;
    }
    let Some(object) = held.objects.get(index) else {
        let is_over = is_past || held.state == State::Complete;
        return if is_over { Next::End } else { Next::Nothing };
    };
    let cursor = held.end_of(index);
    let chunks = held.chunks(object.chunk, cursor);
    let as_it_came = match index.checked_sub(1) {
        Some(before) => out.last_object == Some(held.objects[before].header.id),
        None => out.last_object.is_none() && held.is_from_the_start(),
    };
    let body = match as_it_came {
        true => body(chunks),
        false => rebased(held, index, out, chunks),
    };
    Next::Write {
        object: Some(index),
        body,
        cursor,
    }
}

/// An object whose predecessor on this stream is not its predecessor in the log: it needs a head of its own.
fn rebased(held: &Subgroup, index: usize, out: &OutStream, chunks: &[Bytes]) -> Body {
    let object = &held.objects[index];
    let head = held.head_after(index, out.last_object);
    let first = chunks[0].slice(object.head_len..);
    let slices: Vec<Bytes> = [head, first]
        .into_iter()
        .chain(chunks[1..].iter().cloned())
        .filter(|slice| !slice.is_empty())
        .collect();
    body(&slices)
}
