//! One delegate's story, from the door to the goodbye.

use super::book::{Book, CellId, RegionId};
use super::copies::{Copies, Told};
use super::ledger::{Heard, Ledger};
use super::picture::Picture;
use crate::outcome::{Count, Key, Latency};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// One delegate. What happens is told to it with the book it is to be written in.
#[derive(Debug)]
pub struct Listener {
    key: Key,
    cell: CellId,
    region: RegionId,
    due: Instant,
    stage: Stage,
    /// Audio tracks that are listened to, by the caller's number for their source.
    tracks: BTreeMap<u32, Copies<Ledger>>,
    pictures: BTreeMap<u32, Copies<Picture>>,
    /// The session that was taken last.
    session: u32,
    /// When the last new audio frame came.
    last: Option<Instant>,
    longest: Duration,
    /// Since when, and the session that was lost.
    reconnecting: Option<(Instant, u32)>,
    switching: Option<(u32, Instant)>,
    turning: Option<(u32, Instant)>,
    /// A speaker was not heard at all: the silence until the next is none between two speakers.
    has_missed: bool,
    has_picture: bool,
}

/// How far somebody has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Coming,
    /// Has been answered.
    Answered,
    /// Has heard something.
    Listening,
    Gone,
}

/// An audio frame that came.
#[derive(Clone, Copy, Debug)]
pub struct AudioFrame {
    /// The caller's number for the source.
    pub source: u32,
    /// Over which session, counted from 1.
    pub session: u32,
    /// Group ID: capture time / 20 ms.
    pub group: u64,
    /// Microseconds since the Unix epoch.
    pub capture_us: u64,
    /// Payload bytes.
    pub bytes: u64,
    /// Whether it is what was published.
    pub fits: bool,
}

/// A video frame that came.
#[derive(Clone, Copy, Debug)]
pub struct VideoFrame {
    /// The caller's number for the source.
    pub source: u32,
    /// Over which session, counted from 1.
    pub session: u32,
    /// Group ID: the keyframe's capture time in milliseconds.
    pub group: u64,
    /// Object ID; 0 is the keyframe.
    pub object: u64,
    /// Microseconds since the Unix epoch.
    pub capture_us: u64,
    /// Payload bytes.
    pub bytes: u64,
    /// Whether it is what was published.
    pub fits: bool,
}

impl Listener {
    /// Somebody who is due at this instant, and comes.
    pub fn come(key: Key, due: Instant, book: &mut Book) -> Listener {
        let cell = book.cell(&key);
        let region = book.region(&key.region);
        book.count(cell, Count::Came, 1);
        book.tick(due, |tick| tick.came += 1);
        Listener {
            key,
            cell,
            region,
            due,
            stage: Stage::Coming,
            tracks: BTreeMap::new(),
            pictures: BTreeMap::new(),
            session: 0,
            last: None,
            longest: Duration::ZERO,
            reconnecting: None,
            switching: None,
            turning: None,
            has_missed: false,
            has_picture: false,
        }
    }

    /// The control plane has answered for the first time: a place in the queue, or in.
    pub fn answered(&mut self, is_queued: bool, now: Instant, book: &mut Book) {
        if self.stage == Stage::Coming {
            self.stage = Stage::Answered;
            book.time(self.cell, Latency::Ticket, now - self.due);
            book.count(self.cell, Count::Queued, u64::from(is_queued));
        }
    }

    /// It has a token.
    pub fn admitted(&mut self, now: Instant, book: &mut Book) {
        self.answered(false, now, book);
        book.time(self.cell, Latency::Token, now - self.due);
    }

    /// A session with an edge is there, the first or another; its number, from 1.
    pub fn connected(&mut self, took: Duration, book: &mut Book) -> u32 {
        self.session += 1;
        book.time(self.cell, Latency::Connect, took);
        book.count(self.cell, Count::Moved, u64::from(self.session > 1));
        self.session
    }

    /// The edge is lost, or says goodbye.
    pub fn lost_edge(&mut self, now: Instant) {
        let (_, lost) = self.reconnecting.get_or_insert((now, self.session));
        *lost = self.session;
    }

    /// Listens to a source from now on, besides others.
    pub fn listen(&mut self, source: u32) {
        self.tracks.entry(source).or_default();
    }

    /// Has chosen another language, whose booth is this source.
    pub fn switch(&mut self, language: &str, source: u32, now: Instant, book: &mut Book) {
        language.clone_into(&mut self.key.language);
        self.cell = book.cell(&self.key);
        book.count(self.cell, Count::Switched, 1);
        self.switching = Some((source, now));
        self.turning = None;
        self.listen(source);
    }

    /// Somebody else has the floor since `at`.
    pub fn turn(&mut self, source: u32, at: Instant) {
        self.has_missed |= self.is_silent(at);
        self.turning = Some((source, at));
        self.listen(source);
    }

    /// An audio frame has come. Whether it is the first of its source.
    pub fn hear(&mut self, frame: AudioFrame, now: Instant, book: &mut Book) -> bool {
        self.note_session(frame.session, now, book);
        let track = self.tracks.entry(frame.source).or_default();
        let is_first = track.all.is_empty();
        let told = track.hear(frame.session, |ledger| ledger.hear(frame.group));
        if !self.is_new(told, frame.fits, book) {
            return false;
        }
        self.note_lag(&frame, now, book);
        self.note_arrival(&frame, now, book);
        self.note_silence(now, book);
        is_first
    }

    /// A video frame has come.
    pub fn see(&mut self, frame: VideoFrame, now: Instant, book: &mut Book) {
        let picture = self.pictures.entry(frame.source).or_default();
        let told = picture.hear(frame.session, |one| one.see(frame.group, frame.object));
        if !self.is_new(told, frame.fits, book) {
            return;
        }
        let lag = lag(frame.capture_us, now, book);
        book.count(self.cell, Count::VideoObjects, 1);
        book.count(self.cell, Count::Bytes, frame.bytes);
        book.time(self.cell, Latency::VideoLag, lag);
        book.tick(now, |tick| {
            tick.objects += 1;
            tick.bytes += frame.bytes;
        });
        if !self.has_picture && frame.object == 0 {
            self.has_picture = true;
            book.time(self.cell, Latency::FirstPicture, now - self.due);
        }
    }

    /// Listens to a source no longer, of which every group up to `last` was to have come by now.
    pub fn drop_source(&mut self, source: u32, last: u64, book: &mut Book) {
        if let Some(track) = self.tracks.remove(&source) {
            book.count(self.cell, Count::Lost, track.all.lost(last));
        }
        if let Some(mut picture) = self.pictures.remove(&source) {
            picture.all.close();
            book.count(self.cell, Count::VideoLost, picture.all.lost());
        }
    }

    /// Nothing has come of a source that was asked for, for so long that it has been missed: of a track of audio these
    /// frames.
    pub fn missed(&mut self, frames: u64, book: &mut Book) {
        book.count(self.cell, Count::Missed, 1);
        book.count(self.cell, Count::Lost, frames);
    }

    /// Whether it has heard anything.
    pub fn is_listening(&self) -> bool {
        self.stage == Stage::Listening
    }

    /// Goes as planned. Sources it still listens to must have been dropped.
    pub fn leave(&mut self, now: Instant, book: &mut Book) {
        match self.stage {
            Stage::Gone => {}
            Stage::Listening => {
                self.settle(now, book);
                book.tick(now, |tick| tick.left += 1);
            }
            Stage::Coming | Stage::Answered => self.fail("heard nothing until the end", now, book),
        }
        self.stage = Stage::Gone;
    }

    /// Has given up, or was turned away.
    pub fn fail(&mut self, why: &str, now: Instant, book: &mut Book) {
        if self.stage == Stage::Listening {
            self.settle(now, book);
        }
        if self.stage != Stage::Gone {
            book.count(self.cell, Count::Failed, 1);
            book.tick(now, |tick| tick.failed += 1);
            book.failure(why);
        }
        self.stage = Stage::Gone;
    }

    /// What is wrong with a frame, and whether it is the first of its kind.
    fn is_new(&self, told: Told, fits: bool, book: &mut Book) -> bool {
        book.count(self.cell, Count::Altered, u64::from(!fits));
        let fault = match told {
            Told::New(Heard::OutOfOrder) => Some(Count::Reordered),
            Told::Again => Some(Count::Duplicated),
            Told::New(_) | Told::Twin => None,
        };
        if let Some(fault) = fault {
            book.count(self.cell, fault, 1);
        }
        matches!(told, Told::New(_))
    }

    fn note_lag(&mut self, frame: &AudioFrame, now: Instant, book: &mut Book) {
        let lag = lag(frame.capture_us, now, book);
        book.count(self.cell, Count::Objects, 1);
        book.count(self.cell, Count::Bytes, frame.bytes);
        book.count(self.cell, Count::Late, u64::from(lag > LATE));
        book.time(self.cell, Latency::Lag, lag);
        book.lag(now, self.region, lag);
        book.tick(now, |tick| {
            tick.objects += 1;
            tick.bytes += frame.bytes;
        });
    }

    /// What was waited for, and has come with this frame.
    fn note_arrival(&mut self, frame: &AudioFrame, now: Instant, book: &mut Book) {
        if self.stage < Stage::Listening {
            self.stage = Stage::Listening;
            book.count(self.cell, Count::Joined, 1);
            book.time(self.cell, Latency::FirstAudio, now - self.due);
            book.tick(now, |tick| tick.joined += 1);
        }
        if let Some((_, since)) = self
            .switching
            .take_if(|(source, _)| *source == frame.source)
        {
            book.time(
                self.cell,
                Latency::Switch,
                now.saturating_duration_since(since),
            );
        }
        if let Some((_, since)) = self.turning.take_if(|(source, _)| *source == frame.source) {
            book.time(
                self.cell,
                Latency::Turn,
                now.saturating_duration_since(since),
            );
            // Between two speakers there is silence by nature: it is timed as a turn, and is no gap.
            if !std::mem::take(&mut self.has_missed) {
                self.last = Some(now);
            }
        }
    }

    /// This session brings audio.
    fn note_session(&mut self, session: u32, now: Instant, book: &mut Book) {
        let back = self.reconnecting.take_if(|(_, lost)| session > *lost);
        if let Some((since, _)) = back {
            book.time(self.cell, Latency::Reconnect, now - since);
        }
    }

    fn note_silence(&mut self, now: Instant, book: &mut Book) {
        // Frames that come in one go may be told in any order.
        let last = *self.last.get_or_insert(now);
        if now <= last {
            return;
        }
        self.last = Some(now);
        let gap = (now - last).saturating_sub(FRAME);
        self.longest = self.longest.max(gap);
        if gap <= GAPS[0].0 {
            return;
        }
        for (limit, count) in GAPS {
            book.count(self.cell, count, u64::from(gap > limit));
        }
        book.tick(last, |tick| tick.gaps.record(gap));
    }

    /// The silence it ends in counts, too.
    fn settle(&mut self, now: Instant, book: &mut Book) {
        if self.turning.is_none() || self.is_silent(now) || self.has_missed {
            self.note_silence(now, book);
        }
        book.time(self.cell, Latency::Gap, self.longest);
    }

    /// Whether whoever has the floor has not been heard for longer than turns take.
    fn is_silent(&self, now: Instant) -> bool {
        let turning = self.turning;
        turning.is_some_and(|(_, since)| now.saturating_duration_since(since) >= MISSED)
    }
}

/// From capture to now; a publisher whose clock is ahead is not heard before it speaks.
fn lag(capture_us: u64, now: Instant, book: &Book) -> Duration {
    Duration::from_micros(book.clock().unix_us(now).saturating_sub(capture_us))
}

/// How long something is asked for in vain until it has been missed: as long as a group of pictures.
pub const MISSED: Duration = Duration::from_secs(2);
/// Between two frames of audio.
const FRAME: Duration = Duration::from_millis(20);
/// One-way delay from which on conversation suffers for everybody (ITU-T G.114).
const LATE: Duration = Duration::from_millis(400);
const GAPS: [(Duration, Count); 3] = [
    (Duration::from_millis(40), Count::Gaps40ms),
    (Duration::from_millis(200), Count::Gaps200ms),
    (Duration::from_millis(1_000), Count::Gaps1000ms),
];

#[cfg(test)]
#[path = "listener_tests.rs"]
mod tests;
