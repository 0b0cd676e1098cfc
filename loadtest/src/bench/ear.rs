//! What a subscriber hears: objects found in streams and datagrams, counted and timed.

use super::dial::Dialect;
use super::lite::GroupDecoder;
use super::shape::{FILLER, Stamp, now};
use super::witness::Witness;
use anyhow::Result;
use bytes::Bytes;
use hdrhistogram::Histogram;
use meridian_wire::data::{Datagram, SubgroupDecoder, SubgroupEvent};
use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::rc::Rc;

/// Most tracks in one scenario.
pub(super) const TRACKS: usize = 2;

/// What a group of subscribers has heard.
pub(super) struct Meter {
    objects: Cell<u64>,
    bytes: Cell<u64>,
    /// Objects published in this time are timed and counted by track.
    window: RefCell<Range<u64>>,
    tracks: [TrackMeter; TRACKS],
    joins: RefCell<Vec<u64>>,
}

struct TrackMeter {
    heard: Cell<u64>,
    lag: RefCell<Histogram<u64>>,
}

impl Meter {
    pub(super) fn new() -> Rc<Meter> {
        let track = || TrackMeter {
            heard: Cell::new(0),
            // Up to a minute of nanoseconds, to three digits.
            lag: RefCell::new(
                Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("the bounds are in order"),
            ),
        };
        Rc::new(Meter {
            objects: Cell::new(0),
            bytes: Cell::new(0),
            window: RefCell::new(0..0),
            tracks: [track(), track()],
            joins: RefCell::default(),
        })
    }

    /// Objects and payload bytes heard so far.
    pub(super) fn totals(&self) -> (u64, u64) {
        (self.objects.get(), self.bytes.get())
    }

    /// Times and counts what was published in this time from now on.
    pub(super) fn watch(&self, window: Range<u64>) {
        self.window.replace(window);
    }

    /// Forgets what it has timed and counted by track.
    pub(super) fn reset(&self) {
        for track in &self.tracks {
            track.heard.set(0);
            track.lag.borrow_mut().reset();
        }
    }

    /// Objects of the window heard on a track.
    pub(super) fn heard(&self, track: u8) -> u64 {
        self.tracks[usize::from(track)].heard.get()
    }

    /// Milliseconds from publishing to the last byte here.
    pub(super) fn lag_ms(&self, track: u8, quantile: f64) -> f64 {
        let lag = self.tracks[usize::from(track)].lag.borrow();
        lag.value_at_quantile(quantile) as f64 / 1e6
    }

    /// Milliseconds from connecting to the first object, sorted.
    pub(super) fn joins_ms(&self) -> Vec<f64> {
        let mut joins: Vec<_> = self
            .joins
            .borrow()
            .iter()
            .map(|n| *n as f64 / 1e6)
            .collect();
        joins.sort_by(f64::total_cmp);
        joins
    }

    fn hear(&self, stamp: Stamp, bytes: u64) {
        self.objects.set(self.objects.get() + 1);
        self.bytes.set(self.bytes.get() + bytes);
        let Some(track) = self.tracks.get(usize::from(stamp.track)) else {
            return;
        };
        if self.window.borrow().contains(&stamp.sent) {
            track.heard.set(track.heard.get() + 1);
            let lag = now().saturating_sub(stamp.sent);
            track.lag.borrow_mut().saturating_record(lag);
        }
    }
}

/// One subscriber's.
pub(super) struct Ear {
    meter: Rc<Meter>,
    witness: Option<Rc<Witness>>,
    /// When it began to connect, until its first object is there.
    connecting_since: Cell<Option<u64>>,
}

impl Ear {
    pub(super) fn new(meter: Rc<Meter>, witness: Option<Rc<Witness>>) -> Ear {
        Ear {
            meter,
            witness,
            connecting_since: Cell::new(Some(now())),
        }
    }

    /// An object as a datagram.
    pub(super) fn datagram(&self, bytes: Bytes) -> Result<()> {
        if let Datagram::Object(object) = Datagram::decode(bytes)? {
            let mut head = Head::default();
            head.take(&object.payload);
            self.hear(&head, object.payload.len() as u64);
        }
        Ok(())
    }

    /// Puts the object on record, if there is one.
    fn testify(&self, objects: &Objects) {
        let Some(witness) = &self.witness else { return };
        if objects.head.len == Stamp::LEN {
            let stamp = Stamp::from_bytes(objects.head.bytes);
            let (group, object) = objects.location;
            let length = objects.len as usize;
            witness.hear(stamp, group, object, (length, objects.is_altered));
        }
    }

    fn hear(&self, head: &Head, len: u64) {
        if let Some(since) = self.connecting_since.take() {
            self.meter.joins.borrow_mut().push(now() - since);
        }
        if head.len == Stamp::LEN {
            self.meter.hear(Stamp::from_bytes(head.bytes), len);
        }
    }
}

/// The objects of one stream.
#[derive(Default)]
pub(super) struct Objects {
    framing: Framing,
    head: Head,
    len: u64,
    location: (u64, u64),
    /// Something other than what publishers fill payloads with is in this one. Looked for only if there is a witness.
    is_altered: bool,
}

/// How objects are told apart on a stream.
enum Framing {
    Moqt(SubgroupDecoder),
    Lite(GroupDecoder),
}

impl Default for Framing {
    fn default() -> Framing {
        Framing::Moqt(SubgroupDecoder::default())
    }
}

impl Framing {
    fn push(&mut self, chunk: Bytes) {
        match self {
            Framing::Moqt(decoder) => decoder.push(chunk),
            Framing::Lite(decoder) => decoder.push(chunk),
        }
    }

    fn poll(&mut self) -> Result<Option<SubgroupEvent>> {
        match self {
            Framing::Moqt(decoder) => Ok(decoder.poll()?),
            Framing::Lite(decoder) => decoder.poll(),
        }
    }
}

impl Objects {
    /// Those of a stream in this dialect.
    pub(super) fn said_in(dialect: Dialect) -> Objects {
        let framing = match dialect {
            Dialect::MoqLite => Framing::Lite(GroupDecoder::default()),
            Dialect::Moqt22 | Dialect::Moqt18 | Dialect::Bare => Framing::default(),
        };
        Objects {
            framing,
            ..Objects::default()
        }
    }

    pub(super) fn take(&mut self, chunk: Bytes, ear: &Ear) -> Result<()> {
        self.framing.push(chunk);
        while let Some(event) = self.framing.poll()? {
            match event {
                SubgroupEvent::Header(header) => self.location.0 = header.group,
                SubgroupEvent::Object {
                    header,
                    wire,
                    head_len,
                } => {
                    self.head.len = 0;
                    self.len = header.payload_len;
                    self.location.1 = header.id;
                    self.is_altered = false;
                    self.take_payload(&wire[head_len..], ear);
                }
                SubgroupEvent::Payload(bytes) => self.take_payload(&bytes, ear),
                SubgroupEvent::ObjectEnd => {
                    ear.testify(self);
                    ear.hear(&self.head, self.len);
                }
            }
        }
        Ok(())
    }

    fn take_payload(&mut self, bytes: &[u8], ear: &Ear) {
        let stamp = self.head.take(bytes);
        if ear.witness.is_some() {
            self.is_altered |= bytes[stamp..].iter().any(|byte| *byte != FILLER);
        }
    }
}

/// The stamp at the start of a payload, which may come in pieces.
#[derive(Default)]
struct Head {
    bytes: [u8; Stamp::LEN],
    len: usize,
}

impl Head {
    /// How many of these bytes belong to it.
    fn take(&mut self, payload: &[u8]) -> usize {
        let more = payload.len().min(Stamp::LEN - self.len);
        self.bytes[self.len..self.len + more].copy_from_slice(&payload[..more]);
        self.len += more;
        more
    }
}

#[cfg(test)]
mod tests {
    use super::super::shape::Shape;
    use super::*;

    #[test]
    fn an_object_is_heard_however_it_is_cut() {
        let meter = Meter::new();
        meter.watch(0..u64::MAX);
        let ear = Ear::new(meter.clone(), None);
        let (_, bytes) = Shape::AudioStreams.encode(1, 0);
        for cut in 0..bytes.len() {
            let mut objects = Objects::default();
            objects.take(bytes.slice(..cut), &ear).expect("well-formed");
            objects.take(bytes.slice(cut..), &ear).expect("well-formed");
        }
        assert_eq!(meter.heard(1), bytes.len() as u64);
        assert_eq!(meter.totals().1, 160 * bytes.len() as u64);
        assert_eq!(meter.joins_ms().len(), 1);
    }
}
