//! Received LOC objects as a playable file: sorted within a bounded window, pictures only from keyframes on and without
//! holes inside a group, the container's needs restored.

use crate::loc::LocInfo;
use crate::media::mux::{Block, Writer};
use crate::media::{AudioFormat, Kind, MediaError, VideoCodec, VideoFormat, av1, avc, opus};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::io::{Seek, Write};

/// One received object.
#[derive(Clone, Debug)]
pub struct Received {
    /// Its track.
    pub kind: Kind,
    /// Group ID.
    pub group: u64,
    /// Object ID.
    pub object: u64,
    /// What its properties say.
    pub info: LocInfo,
    /// The frame.
    pub payload: Bytes,
}

/// What was left out of the file, by reason, and what went in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Audio frames written.
    pub audio: u64,
    /// Video frames written.
    pub video: u64,
    /// Frames that came after their place in the file was passed.
    pub late: u64,
    /// Video frames that cannot be decoded: before the first keyframe, or behind one that is missing.
    pub undecodable: u64,
    /// Frames without a usable capture time.
    pub untimed: u64,
}

/// A file being recorded.
pub struct Recording<W: Write + Seek> {
    output: Output<W>,
    audio: Option<AudioFormat>,
    video: Option<VideoFormat>,
    held: BTreeMap<Place, Held>,
    newest_us: u64,
    gate: Gate,
    last_place: BTreeMap<Kind, Place>,
    written: Written,
}

enum Output<W: Write + Seek> {
    Waiting(W),
    Open { writer: Writer<W>, origin_us: u64 },
    Failed,
}

/// Where a frame stands in the file: by the time it can be decoded, then by track, then by its place in the track.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    at_us: u64,
    kind: Kind,
    group: u64,
    object: u64,
}

struct Held {
    capture_us: u64,
    key: bool,
    discardable: bool,
    data: Bytes,
}

/// Lets through the gapless beginning of each video group.
#[derive(Default)]
struct Gate {
    open: BTreeMap<u64, (u64, u64)>,
}

impl<W: Write + Seek> Recording<W> {
    /// Records into `dest` the tracks that are given.
    pub fn new(dest: W, audio: Option<AudioFormat>, video: Option<VideoFormat>) -> Recording<W> {
        Recording {
            output: Output::Waiting(dest),
            audio,
            video,
            held: BTreeMap::new(),
            newest_us: 0,
            gate: Gate::default(),
            last_place: BTreeMap::new(),
            written: Written::default(),
        }
    }

    /// What was written and left out so far. Frames in the window are in neither.
    pub fn written(&self) -> Written {
        self.written
    }

    /// Takes an object in and writes what can no longer be overtaken.
    ///
    /// # Errors
    /// [`MediaError::Write`].
    pub fn add(&mut self, received: Received) -> Result<(), MediaError> {
        let Some(capture_us) = received.info.capture_us else {
            self.written.untimed += 1;
            return Ok(());
        };
        let at_us = match received.kind {
            Kind::Audio => Some(capture_us),
            Kind::Video => self.gate.admit(received.group, received.object, capture_us),
        };
        let Some(at_us) = at_us else {
            self.written.undecodable += 1;
            return Ok(());
        };
        let place = Place {
            at_us,
            kind: received.kind,
            group: received.group,
            object: received.object,
        };
        if self
            .last_place
            .get(&place.kind)
            .is_some_and(|last| place <= *last)
        {
            self.written.late += 1;
            self.gate.close(received.kind, received.group);
            return Ok(());
        }
        let held = self.convert(received, capture_us);
        self.newest_us = self.newest_us.max(at_us);
        self.held.insert(place, held);
        self.release(WINDOW_US)
    }

    /// Writes what is left in the window and ends the file. Without any frame the file stays empty.
    ///
    /// # Errors
    /// [`MediaError::Write`].
    pub fn finish(mut self) -> Result<Written, MediaError> {
        self.release(0)?;
        if let Output::Open { writer, .. } = self.output {
            writer.finish()?;
        }
        Ok(self.written)
    }

    /// What Matroska wants instead of what LOC carried; learns the decoder configuration on the way.
    fn convert(&mut self, received: Received, capture_us: u64) -> Held {
        let key = received.kind == Kind::Audio || received.object == 0;
        let mut data = received.payload;
        if let Some(format) = self.video.as_mut().filter(|_| received.kind == Kind::Video) {
            if key && format.config.is_none() {
                format.config = received
                    .info
                    .video_config
                    .or_else(|| derived_config(format, &data));
            }
            data = match format.codec {
                VideoCodec::Av1 => av1::without_delimiters(data),
                VideoCodec::Avc if avc::is_annex_b(&data) => avc::to_length_prefixed(&data),
                _ => data,
            };
        }
        Held {
            capture_us,
            key,
            discardable: received.info.discardable,
            data,
        }
    }

    /// Writes the frames that are older than the window, or all of them if it is zero.
    fn release(&mut self, window_us: u64) -> Result<(), MediaError> {
        if matches!(self.output, Output::Waiting(_)) && window_us > 0 && !self.may_open() {
            return Ok(());
        }
        while let Some((place, _)) = self.held.first_key_value() {
            let is_due = place.at_us + window_us <= self.newest_us;
            if !is_due && window_us > 0 && self.held.len() < HELD_FRAMES {
                break;
            }
            let (place, held) = self.held.pop_first().expect("an entry was there");
            self.write(place, held)?;
        }
        Ok(())
    }

    /// A file's head names its tracks: it waits for the first picture, though not for ever.
    fn may_open(&self) -> bool {
        let has_picture = self.held.keys().any(|place| place.kind == Kind::Video);
        let oldest_us = self
            .held
            .first_key_value()
            .map_or(self.newest_us, |(place, _)| place.at_us);
        self.video.is_none() || has_picture || self.newest_us - oldest_us >= PICTURE_WAIT_US
    }

    fn write(&mut self, place: Place, held: Held) -> Result<(), MediaError> {
        self.open(held.capture_us)?;
        let Output::Open { writer, origin_us } = &mut self.output else {
            return Ok(());
        };
        let duration_us = match place.kind {
            Kind::Audio => opus::packet_duration_us(&held.data).unwrap_or(0),
            Kind::Video => 0,
        };
        let wrote = writer.write(Block {
            kind: place.kind,
            pts_us: held.capture_us.saturating_sub(*origin_us),
            duration_us,
            key: held.key,
            discardable: held.discardable,
            data: &held.data,
        })?;
        match (wrote, place.kind) {
            (true, Kind::Audio) => self.written.audio += 1,
            (true, Kind::Video) => self.written.video += 1,
            (false, _) => self.written.undecodable += 1,
        }
        self.last_place.insert(place.kind, place);
        Ok(())
    }

    fn open(&mut self, origin_us: u64) -> Result<(), MediaError> {
        if !matches!(self.output, Output::Waiting(_)) {
            return Ok(());
        }
        let Output::Waiting(dest) = std::mem::replace(&mut self.output, Output::Failed) else {
            return Ok(());
        };
        let video = self.video.as_ref().filter(|format| is_decodable(format));
        let writer = Writer::new(dest, self.audio.as_ref(), video)?;
        self.output = Output::Open { writer, origin_us };
        Ok(())
    }
}

impl Gate {
    /// The time by which a frame can be placed, if everything it needs came before it.
    fn admit(&mut self, group: u64, object: u64, capture_us: u64) -> Option<u64> {
        if object == 0 {
            self.open.insert(group, (1, capture_us));
            while self.open.len() > OPEN_GROUPS {
                self.open.pop_first();
            }
            return Some(capture_us);
        }
        let (next, newest_us) = self.open.get_mut(&group)?;
        if *next != object {
            self.open.remove(&group);
            return None;
        }
        *next += 1;
        *newest_us = capture_us.max(*newest_us);
        Some(*newest_us)
    }

    fn close(&mut self, kind: Kind, group: u64) {
        if kind == Kind::Video {
            self.open.remove(&group);
        }
    }
}

fn derived_config(format: &VideoFormat, key_frame: &[u8]) -> Option<Bytes> {
    match format.codec {
        VideoCodec::Avc if avc::is_annex_b(key_frame) => avc::config_from_start_coded(key_frame),
        VideoCodec::Av1 => av1::config_from(&format.codec_string, key_frame),
        _ => None,
    }
}

fn is_decodable(format: &VideoFormat) -> bool {
    let needs_config = matches!(format.codec, VideoCodec::Avc | VideoCodec::Av1);
    format.config.is_some() || !needs_config
}

/// How much older than the newest a frame may be and still find its place.
const WINDOW_US: u64 = 2_000_000;
/// How long the file waits for a first picture while there is sound.
const PICTURE_WAIT_US: u64 = 10_000_000;
/// Frames held at most: 10 s of audio and of 60 fps video, and some.
const HELD_FRAMES: usize = 2_048;
/// Video groups that may be arriving at once.
const OPEN_GROUPS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use matroska_demuxer::{Frame, MatroskaFile};
    use std::io::Cursor;
    use std::sync::{Arc, Mutex};

    #[test]
    fn sound_out_of_order_is_sorted() {
        let (mut recording, file) = recording(false);
        for index in [0, 2, 1, 4, 3] {
            recording.add(sound(index)).expect("writes");
        }
        assert_eq!(recording.finish().expect("writes").audio, 5);
        let times: Vec<u64> = frames(&file).iter().map(|frame| frame.timestamp).collect();
        assert_eq!(times, [0, 20, 40, 60, 80]);
    }

    #[test]
    fn sound_beyond_the_window_is_late_and_left_out() {
        let (mut recording, file) = recording(false);
        for index in (0..200).filter(|index| *index != 10) {
            recording.add(sound(index)).expect("writes");
        }
        recording.add(sound(10)).expect("writes");
        let written = recording.finish().expect("writes");
        assert_eq!((written.audio, written.late), (199, 1));
        assert_eq!(frames(&file).len(), 199);
    }

    #[test]
    fn pictures_start_at_a_keyframe_and_stop_at_a_hole() {
        let (mut recording, file) = recording(true);
        for (group, object) in [
            (0, 3),
            (0, 4),
            (1, 0),
            (1, 1),
            (1, 3),
            (1, 4),
            (2, 0),
            (2, 1),
        ] {
            recording.add(picture(group, object)).expect("writes");
        }
        let written = recording.finish().expect("writes");
        assert_eq!((written.video, written.undecodable), (4, 4));
        let keys: Vec<Option<bool>> = frames(&file)
            .iter()
            .map(|frame| frame.is_keyframe)
            .collect();
        assert_eq!(keys, [Some(true), Some(false), Some(true), Some(false)]);
    }

    #[test]
    fn the_tail_of_a_group_and_the_next_group_may_mix() {
        let (mut recording, file) = recording(true);
        for (group, object) in [(1, 0), (2, 0), (1, 1), (2, 1), (1, 2)] {
            recording.add(picture(group, object)).expect("writes");
        }
        recording.finish().expect("writes");
        let times: Vec<u64> = frames(&file).iter().map(|frame| frame.timestamp).collect();
        assert_eq!(times, [0, 40, 80, 1_000, 1_040]);
    }

    #[test]
    fn the_file_waits_for_a_picture_and_has_both_tracks() {
        let (mut recording, file) = recording(true);
        for index in 0..150 {
            recording.add(sound(index)).expect("writes");
        }
        assert_eq!(recording.written(), Written::default());
        recording.add(picture(2, 0)).expect("writes");
        let written = recording.finish().expect("writes");
        assert_eq!((written.audio, written.video), (150, 1));
        let opened = MatroskaFile::open(file.take()).expect("well formed");
        assert_eq!(opened.tracks().len(), 2);
    }

    #[test]
    fn frames_without_capture_time_are_counted_and_left_out() {
        let (mut recording, _) = recording(false);
        let mut untimed = sound(0);
        untimed.info.capture_us = None;
        recording.add(untimed).expect("writes");
        assert_eq!(recording.finish().expect("writes").untimed, 1);
    }

    #[test]
    fn what_is_held_is_bounded() {
        let (mut recording, _) = recording(false);
        for index in 0..5_000 {
            let mut frame = sound(index);
            frame.info.capture_us = Some(NOON_US + index);
            recording.add(frame).expect("writes");
            assert!(recording.held.len() <= HELD_FRAMES);
        }
    }

    const NOON_US: u64 = 1_793_880_000_000_000;

    fn sound(index: u64) -> Received {
        let capture_us = NOON_US + index * 20_000;
        received(Kind::Audio, capture_us / 20_000, 0, capture_us)
    }

    fn picture(group: u64, object: u64) -> Received {
        let start_us = NOON_US + group * 1_000_000;
        received(
            Kind::Video,
            start_us / 1_000,
            object,
            start_us + object * 40_000,
        )
    }

    fn received(kind: Kind, group: u64, object: u64, capture_us: u64) -> Received {
        Received {
            kind,
            group,
            object,
            info: LocInfo {
                capture_us: Some(capture_us),
                ..LocInfo::default()
            },
            payload: Bytes::from_static(&[0xfc, 0xff, 0xfe]),
        }
    }

    fn recording(with_video: bool) -> (Recording<SharedFile>, SharedFile) {
        let file = SharedFile::default();
        let audio = AudioFormat {
            channels: 2,
            head: opus::Head::plain(2),
        };
        let video = VideoFormat {
            codec: VideoCodec::Vp8,
            codec_string: "vp8".to_owned(),
            width: 64,
            height: 64,
            config: None,
        };
        let recording = Recording::new(file.clone(), Some(audio), with_video.then_some(video));
        (recording, file)
    }

    fn frames(file: &SharedFile) -> Vec<Frame> {
        let mut opened = MatroskaFile::open(file.take()).expect("well formed");
        let mut frames = Vec::new();
        let mut frame = Frame::default();
        while opened.next_frame(&mut frame).expect("well formed") {
            frames.push(std::mem::take(&mut frame));
        }
        frames
    }

    /// A file in memory that can be read after its writer is gone.
    #[derive(Clone, Default)]
    struct SharedFile(Arc<Mutex<Cursor<Vec<u8>>>>);

    impl SharedFile {
        fn take(&self) -> Cursor<Vec<u8>> {
            Cursor::new(self.0.lock().expect("one thread").get_ref().clone())
        }
    }

    impl Write for SharedFile {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("one thread").write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl Seek for SharedFile {
        fn seek(&mut self, to: std::io::SeekFrom) -> std::io::Result<u64> {
            self.0.lock().expect("one thread").seek(to)
        }
    }
}
