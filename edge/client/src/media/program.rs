//! A file as a schedule: frames in the order in which they are due, once or round and round.

use super::{AudioFormat, Frame, Kind, MediaError, Reader, Selection, Survey, VideoFormat};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A frame and when to send it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scheduled {
    /// Microseconds since the program's start; falls only where a file interleaves its tracks more than 5 s apart. A
    /// frame is due when the newest picture decoded before it is: with reordered pictures (B-frames) that is after its
    /// own presentation time.
    pub due_us: u64,
    /// The frame; its presentation time counts from the program's start too.
    pub frame: Frame,
}

/// Frames of a file in the order of their due times.
pub struct Program {
    path: PathBuf,
    selection: Selection,
    survey: Survey,
    repeat: bool,
    reader: Reader,
    pass: Pass,
    /// Frames read ahead, by due time and then reading order.
    ahead: BTreeMap<(u64, u64), Frame>,
}

/// Where the current pass over the file stands.
#[derive(Default)]
struct Pass {
    offset_us: u64,
    newest_us: BTreeMap<Kind, u64>,
    video_begun: bool,
    ended: bool,
    read: u64,
}

impl Program {
    /// Surveys and opens a file. With `repeat` the program never ends.
    ///
    /// # Errors
    /// Whatever [`Survey::of`] and [`Reader::open`] find.
    pub fn open(path: &Path, selection: Selection, repeat: bool) -> Result<Program, MediaError> {
        Ok(Program {
            survey: Survey::of(path, selection)?,
            reader: Reader::open(path, selection)?,
            path: path.to_owned(),
            selection,
            repeat,
            pass: Pass::default(),
            ahead: BTreeMap::new(),
        })
    }

    /// What the survey found.
    pub fn survey(&self) -> &Survey {
        &self.survey
    }

    /// The audio track's format.
    pub fn audio(&self) -> Option<&AudioFormat> {
        self.reader.audio()
    }

    /// The video track's format, codec string final.
    pub fn video(&self) -> Option<&VideoFormat> {
        self.survey.video_format.as_ref()
    }

    /// The next frame; `None` at the end of a program that does not repeat.
    ///
    /// # Errors
    /// Whatever [`Reader::next_frame`] finds.
    pub fn next_due(&mut self) -> Result<Option<Scheduled>, MediaError> {
        loop {
            self.read_ahead()?;
            if let Some(((due_us, _), frame)) = self.ahead.pop_first() {
                return Ok(Some(Scheduled { due_us, frame }));
            }
            if !self.repeat {
                return Ok(None);
            }
            self.rewind()?;
        }
    }

    /// Files interleave their tracks only roughly: reads until the earliest frame cannot be overtaken.
    fn read_ahead(&mut self) -> Result<(), MediaError> {
        while !self.pass.ended && !self.is_ahead_enough() {
            match self.reader.next_frame()? {
                Some(frame) => self.place(frame),
                None => self.pass.ended = true,
            }
        }
        Ok(())
    }

    fn is_ahead_enough(&self) -> bool {
        let first = self.ahead.first_key_value().map(|((due_us, _), _)| *due_us);
        let last = self.ahead.last_key_value().map(|((due_us, _), _)| *due_us);
        first
            .zip(last)
            .is_some_and(|(first, last)| last - first >= AHEAD_US)
            || self.ahead.len() >= AHEAD_FRAMES
    }

    fn place(&mut self, mut frame: Frame) {
        if frame.kind == Kind::Video && !self.pass.video_begun {
            if !frame.key {
                return;
            }
            self.pass.video_begun = true;
        }
        let pts_us = frame.pts_us.saturating_sub(self.survey.start_us());
        let newest = self.pass.newest_us.entry(frame.kind).or_default();
        *newest = pts_us.max(*newest);
        let due_us = *newest;
        if self.repeat && due_us >= self.survey.loop_us() {
            return;
        }
        frame.pts_us = self.pass.offset_us + pts_us;
        self.pass.read += 1;
        self.ahead
            .insert((self.pass.offset_us + due_us, self.pass.read), frame);
    }

    fn rewind(&mut self) -> Result<(), MediaError> {
        self.reader = Reader::open(&self.path, self.selection)?;
        self.pass = Pass {
            offset_us: self.pass.offset_us + self.survey.loop_us(),
            read: self.pass.read,
            ..Pass::default()
        };
        Ok(())
    }
}

/// Writers interleave within a cluster, which lasts up to 5 s; most keep within one.
const AHEAD_US: u64 = 5_000_000;
/// Bounds memory when one track is far ahead in the file: 5 s of audio and of 120 fps video fit.
const AHEAD_FRAMES: usize = 1_024;
