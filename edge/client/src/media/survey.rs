//! One pass over a file before it is published: what a catalog must say and how long a loop is.

use super::{Frame, Kind, MediaError, Reader, Selection, VideoCodec, VideoFormat, vpx};
use std::collections::VecDeque;
use std::path::Path;

/// What is known of a file after reading it once.
#[derive(Clone, Debug, PartialEq)]
pub struct Survey {
    /// The audio track, if it is taken.
    pub audio: Option<TrackSurvey>,
    /// The video track, if it is taken.
    pub video: Option<TrackSurvey>,
    /// The video format with its final codec string.
    pub video_format: Option<VideoFormat>,
    /// The file ends in the middle of a frame.
    pub truncated: bool,
}

/// One track's figures. Video counts from the first keyframe.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrackSurvey {
    /// Frames.
    pub frames: u64,
    /// Time of the first frame in microseconds.
    pub start_us: u64,
    /// Time at which the last frame ends, in microseconds.
    pub end_us: u64,
    /// The most bits within any second.
    pub max_bitrate: u64,
    /// Frames per second.
    pub frames_per_s: f64,
    /// The longest distance between keyframes in microseconds.
    pub max_gop_us: u64,
    /// Frames before the first keyframe.
    pub undecodable: u64,
}

impl Survey {
    /// Reads the whole file once.
    ///
    /// # Errors
    /// Whatever [`Reader`] finds, and [`MediaError::NoKeyframe`].
    pub fn of(path: &Path, selection: Selection) -> Result<Survey, MediaError> {
        let mut reader = Reader::open(path, selection)?;
        let (mut audio, mut video) = (Tally::default(), Tally::default());
        let mut vp9 = None;
        while let Some(frame) = reader.next_frame()? {
            match frame.kind {
                Kind::Audio => audio.add(&frame),
                Kind::Video => {
                    if frame.key && vp9.is_none() {
                        vp9 = vpx::vp9_head(&frame.data);
                    }
                    video.add(&frame);
                }
            }
        }
        let video_taken = reader.video().is_some();
        if video_taken && video.survey.frames == 0 {
            return Err(MediaError::NoKeyframe);
        }
        let video = video.finish();
        let video_format = reader.video().cloned().map(|mut format| {
            if let (VideoCodec::Vp9, Some(head)) = (format.codec, vp9) {
                format.codec_string =
                    vpx::vp9_codec_string(head, format.width, format.height, video.frames_per_s);
            }
            format
        });
        Ok(Survey {
            audio: reader.audio().map(|_| audio.finish()),
            video: video_taken.then_some(video),
            video_format,
            truncated: reader.is_truncated(),
        })
    }

    /// When the earliest frame is presented, in microseconds of the file's time.
    pub fn start_us(&self) -> u64 {
        self.tracks().map(|track| track.start_us).min().unwrap_or(0)
    }

    /// How long one pass lasts when the file is looped, in microseconds.
    ///
    /// Audio that covers the pass within a second decides, so that its 20 ms rhythm goes on over the seam; the picture is
    /// cut or stays a little. Otherwise the longer track decides, rounded up to that rhythm.
    pub fn loop_us(&self) -> u64 {
        let end = self.tracks().map(|track| track.end_us).max().unwrap_or(0);
        let whole = end.saturating_sub(self.start_us()).max(AUDIO_SLOT_US);
        match &self.audio {
            Some(audio) => {
                let spoken = audio.end_us - audio.start_us;
                if spoken > 0 && spoken.abs_diff(whole) <= SEAM_US {
                    spoken
                } else {
                    whole.next_multiple_of(AUDIO_SLOT_US)
                }
            }
            None => whole,
        }
    }

    fn tracks(&self) -> impl Iterator<Item = &TrackSurvey> {
        self.audio.iter().chain(&self.video)
    }
}

const AUDIO_SLOT_US: u64 = 20_000;
/// Tracks of one recording end within this of each other.
const SEAM_US: u64 = 1_000_000;
const SECOND_US: u64 = 1_000_000;

#[derive(Default)]
struct Tally {
    survey: TrackSurvey,
    last_key_us: u64,
    last_pts_us: u64,
    last_duration_us: Option<u64>,
    window: VecDeque<(u64, u64)>,
    window_bits: u64,
}

impl Tally {
    fn add(&mut self, frame: &Frame) {
        let survey = &mut self.survey;
        if survey.frames == 0 && !frame.key {
            survey.undecodable += 1;
            return;
        }
        if survey.frames == 0 {
            survey.start_us = frame.pts_us;
            self.last_key_us = frame.pts_us;
        }
        survey.frames += 1;
        if frame.key {
            survey.max_gop_us = survey
                .max_gop_us
                .max(frame.pts_us.saturating_sub(self.last_key_us));
            self.last_key_us = frame.pts_us;
        }
        if frame.pts_us >= self.last_pts_us {
            self.last_pts_us = frame.pts_us;
            self.last_duration_us = frame.duration_us;
        }
        self.weigh(self.last_pts_us, frame.data.len() as u64 * 8);
    }

    /// Keeps the sum of bits over the last second.
    fn weigh(&mut self, at_us: u64, bits: u64) {
        self.window.push_back((at_us, bits));
        self.window_bits += bits;
        while let Some((_, old)) = self.window.pop_front_if(|(at, _)| *at + SECOND_US <= at_us) {
            self.window_bits -= old;
        }
        self.survey.max_bitrate = self.survey.max_bitrate.max(self.window_bits);
    }

    fn finish(mut self) -> TrackSurvey {
        let survey = &mut self.survey;
        let span_us = self.last_pts_us.saturating_sub(survey.start_us);
        let intervals = survey.frames.saturating_sub(1);
        let mean_us = span_us.checked_div(intervals).unwrap_or(AUDIO_SLOT_US);
        let last_us = self.last_duration_us.unwrap_or(mean_us);
        survey.end_us = self.last_pts_us + last_us;
        survey.max_gop_us = survey
            .max_gop_us
            .max(survey.end_us.saturating_sub(self.last_key_us));
        let whole_us = span_us + last_us;
        survey.frames_per_s = if whole_us > 0 {
            survey.frames as f64 * 1e6 / whole_us as f64
        } else {
            0.0
        };
        self.survey
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn track(start_us: u64, end_us: u64) -> Option<TrackSurvey> {
        Some(TrackSurvey {
            start_us,
            end_us,
            ..TrackSurvey::default()
        })
    }

    fn survey(audio: Option<TrackSurvey>, video: Option<TrackSurvey>) -> Survey {
        Survey {
            audio,
            video,
            video_format: None,
            truncated: false,
        }
    }

    #[test]
    fn audio_of_nearly_the_same_length_decides_how_long_a_loop_is() {
        let survey = survey(track(7_000, 10_007_000), track(0, 10_033_333));
        assert_eq!(survey.loop_us(), 10_000_000);
        assert_eq!(survey.start_us(), 0);
    }

    #[test]
    fn a_much_longer_picture_decides_in_steps_of_20_ms() {
        let survey = survey(track(0, 3_000_000), track(0, 10_033_333));
        assert_eq!(survey.loop_us(), 10_040_000);
    }

    #[test]
    fn a_picture_alone_loops_at_its_own_length() {
        assert_eq!(survey(None, track(0, 2_002_000)).loop_us(), 2_002_000);
    }

    #[test]
    fn a_tally_finds_rates_and_the_longest_distance_between_keyframes() {
        let mut tally = Tally::default();
        for index in 0..60 {
            tally.add(&Frame {
                kind: Kind::Video,
                pts_us: index * 50_000,
                duration_us: None,
                key: index == 0 || index == 10,
                discardable: false,
                data: vec![0; 100].into(),
            });
        }
        let survey = tally.finish();
        assert_eq!((survey.frames, survey.end_us), (60, 3_000_000));
        assert_eq!(survey.max_gop_us, 2_500_000);
        assert_eq!(survey.max_bitrate, 20 * 800);
        assert!((survey.frames_per_s - 20.0).abs() < 1e-9);
    }
}
