//! Reads WebM and Matroska: one audio and one video track, frame by frame, in file order.

use super::opus::{self, SampleClock};
use super::{AudioFormat, Frame, Kind, MediaError, VideoCodec, VideoFormat, av1, avc, vpx};
use bytes::Bytes;
use matroska_demuxer::{
    ContentCompAlgo, ContentEncodingValue, DemuxError, MatroskaFile, TrackEntry, TrackType,
};
use std::fs::File;
use std::io::{BufReader, ErrorKind};
use std::path::Path;

/// Which tracks to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selection {
    /// The first enabled audio track.
    pub audio: bool,
    /// The first enabled video track.
    pub video: bool,
}

impl Default for Selection {
    fn default() -> Selection {
        Selection {
            audio: true,
            video: true,
        }
    }
}

/// An open media file.
pub struct Reader {
    file: MatroskaFile<BufReader<File>>,
    timestamp_scale_ns: u64,
    audio: Option<Audio>,
    video: Option<Video>,
    frames_read: u64,
    truncated: bool,
}

struct Audio {
    number: u64,
    format: AudioFormat,
    stripped: Bytes,
    clock: SampleClock,
}

struct Video {
    number: u64,
    format: VideoFormat,
    stripped: Bytes,
    default_duration_us: Option<u64>,
}

impl Reader {
    /// Opens a file and checks that its tracks can be carried.
    ///
    /// # Errors
    /// Every [`MediaError`] but those of single frames.
    pub fn open(path: &Path, selection: Selection) -> Result<Reader, MediaError> {
        let file = File::open(path).map_err(|source| MediaError::File {
            path: path.to_owned(),
            source,
        })?;
        let file =
            MatroskaFile::open(BufReader::new(file)).map_err(|source| open_error(path, source))?;
        let wanted = |kind: TrackType, take: bool| {
            let first = |track: &&TrackEntry| track.track_type() == kind && track.flag_enabled();
            file.tracks().iter().find(first).filter(|_| take)
        };
        let audio = wanted(TrackType::Audio, selection.audio)
            .map(Audio::new)
            .transpose()?;
        let video = wanted(TrackType::Video, selection.video)
            .map(Video::new)
            .transpose()?;
        if audio.is_none() && video.is_none() {
            let ids: Vec<&str> = file.tracks().iter().map(TrackEntry::codec_id).collect();
            return Err(MediaError::NoTracks {
                found: ids.join(", "),
            });
        }
        Ok(Reader {
            timestamp_scale_ns: file.info().timestamp_scale().get(),
            file,
            audio,
            video,
            frames_read: 0,
            truncated: false,
        })
    }

    /// The audio track's format.
    pub fn audio(&self) -> Option<&AudioFormat> {
        self.audio.as_ref().map(|audio| &audio.format)
    }

    /// The video track's format. A VP9 track's codec string is known only after [`super::Survey::of`].
    pub fn video(&self) -> Option<&VideoFormat> {
        self.video.as_ref().map(|video| &video.format)
    }

    /// Whether the file ended in the middle of a frame, as a recording that was cut off does.
    pub fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// The next frame of either track; `None` at the end.
    ///
    /// # Errors
    /// [`MediaError::Damaged`], [`MediaError::OpusPacket`] and [`MediaError::OpusFrameTooShort`].
    pub fn next_frame(&mut self) -> Result<Option<Frame>, MediaError> {
        loop {
            // A fresh frame each time: the demuxer refuses a second duration on one that still has its first.
            let mut raw = matroska_demuxer::Frame::default();
            match self.file.next_frame(&mut raw) {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                Err(DemuxError::ElementSizeExceedsStream { .. }) => {
                    self.truncated = true;
                    return Ok(None);
                }
                Err(source) => {
                    return Err(MediaError::Damaged {
                        after_frames: self.frames_read,
                        source,
                    });
                }
            }
            if let Some(frame) = self.take(raw)? {
                self.frames_read += 1;
                return Ok(Some(frame));
            }
        }
    }

    fn take(&mut self, raw: matroska_demuxer::Frame) -> Result<Option<Frame>, MediaError> {
        let pts_us = ticks_to_us(raw.timestamp, self.timestamp_scale_ns);
        let duration_us = raw
            .duration
            .map(|ticks| ticks_to_us(ticks, self.timestamp_scale_ns));
        if let Some(audio) = self
            .audio
            .as_mut()
            .filter(|audio| audio.number == raw.track)
        {
            return audio.frame(pts_us, raw.data).map(Some);
        }
        let video = self
            .video
            .as_ref()
            .filter(|video| video.number == raw.track);
        Ok(video
            .filter(|_| !raw.data.is_empty())
            .map(|video| video.frame(pts_us, duration_us, raw)))
    }
}

impl Audio {
    fn new(track: &TrackEntry) -> Result<Audio, MediaError> {
        if track.codec_id() != "A_OPUS" {
            return Err(MediaError::UnsupportedAudio {
                codec: track.codec_id().to_owned(),
            });
        }
        let private = |what| MediaError::CodecPrivate {
            kind: Kind::Audio,
            what,
        };
        let head = track.codec_private().ok_or_else(|| private("missing"))?;
        let parsed = opus::Head::parse(head).ok_or_else(|| private("malformed"))?;
        Ok(Audio {
            number: track.track_number().get(),
            format: AudioFormat {
                channels: parsed.channels,
                head: Bytes::copy_from_slice(head),
            },
            stripped: stripped_head(track, Kind::Audio)?,
            clock: SampleClock::default(),
        })
    }

    fn frame(&mut self, container_us: u64, data: Vec<u8>) -> Result<Frame, MediaError> {
        let data = restored(&self.stripped, data);
        let malformed = MediaError::OpusPacket { len: data.len() };
        let us = opus::packet_duration_us(&data).ok_or(malformed)?;
        if us < MIN_OPUS_US {
            return Err(MediaError::OpusFrameTooShort { us });
        }
        Ok(Frame {
            kind: Kind::Audio,
            pts_us: self.clock.stamp(container_us, us),
            duration_us: Some(us),
            key: true,
            discardable: false,
            data,
        })
    }
}

/// Audio groups are counted in 20 ms of capture time.
const MIN_OPUS_US: u64 = 20_000;

impl Video {
    fn new(track: &TrackEntry) -> Result<Video, MediaError> {
        let unsupported = || MediaError::UnsupportedVideo {
            codec: track.codec_id().to_owned(),
        };
        let codec = VideoCodec::from_matroska_id(track.codec_id()).ok_or_else(unsupported)?;
        let picture = track.video().ok_or_else(unsupported)?;
        let config = video_config(codec, track.codec_private())?;
        Ok(Video {
            number: track.track_number().get(),
            format: VideoFormat {
                codec,
                codec_string: codec_string(codec, config.as_deref())?,
                width: picture.pixel_width().get() as u32,
                height: picture.pixel_height().get() as u32,
                config,
            },
            stripped: stripped_head(track, Kind::Video)?,
            default_duration_us: track.default_duration().map(|ns| ns.get() / 1_000),
        })
    }

    fn frame(&self, pts_us: u64, duration_us: Option<u64>, raw: matroska_demuxer::Frame) -> Frame {
        let mut data = restored(&self.stripped, raw.data);
        // The codec's own bits decide: blocks in groups carry no keyframe flag, and a flag on a picture that is not
        // independent would make a group that cannot be decoded.
        let (key, discardable) = match self.format.codec {
            VideoCodec::Vp8 => (vpx::is_vp8_key(&data), false),
            VideoCodec::Vp9 => (vpx::vp9_head(&data).is_some_and(|head| head.key), false),
            VideoCodec::Av1 => (av1::is_key(&data), false),
            VideoCodec::Avc => {
                let info = avc::inspect(avc::length_prefixed(&data, self.nal_length_size()));
                (info.key, info.discardable)
            }
        };
        if self.format.codec == VideoCodec::Av1 {
            data =
                av1::with_sequence_header(data, self.format.config.as_deref().unwrap_or_default());
        }
        Frame {
            kind: Kind::Video,
            pts_us,
            duration_us: duration_us.or(self.default_duration_us),
            key,
            discardable: discardable || raw.is_discardable == Some(true),
            data,
        }
    }

    fn nal_length_size(&self) -> usize {
        let record = self.format.config.as_deref().unwrap_or_default();
        avc::Config::parse(record).map_or(4, |config| config.length_size)
    }
}

fn open_error(path: &Path, source: DemuxError) -> MediaError {
    let path = path.to_owned();
    match source {
        // An index at the front that leads behind the end.
        DemuxError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => {
            MediaError::EndMissing { path }
        }
        DemuxError::ElementSizeExceedsStream { .. } => MediaError::EndMissing { path },
        source => MediaError::NotMatroska { path, source },
    }
}

fn video_config(codec: VideoCodec, private: Option<&[u8]>) -> Result<Option<Bytes>, MediaError> {
    match (codec, private) {
        (VideoCodec::Vp8 | VideoCodec::Vp9, _) => Ok(None),
        (_, Some(record)) => Ok(Some(Bytes::copy_from_slice(record))),
        (_, None) => Err(MediaError::CodecPrivate {
            kind: Kind::Video,
            what: "missing",
        }),
    }
}

fn codec_string(codec: VideoCodec, config: Option<&[u8]>) -> Result<String, MediaError> {
    let record = config.unwrap_or_default();
    match codec {
        VideoCodec::Vp8 => Some("vp8".to_owned()),
        VideoCodec::Vp9 => Some("vp09.00.10.08".to_owned()),
        VideoCodec::Av1 => av1::codec_string(record),
        VideoCodec::Avc => avc::Config::parse(record).map(|config| config.codec_string()),
    }
    .ok_or(MediaError::CodecPrivate {
        kind: Kind::Video,
        what: "malformed",
    })
}

/// The bytes that every block of the track leaves out (header stripping); the only encoding that is undone here.
fn stripped_head(track: &TrackEntry, kind: Kind) -> Result<Bytes, MediaError> {
    match track.content_encodings() {
        None | Some([]) => Ok(Bytes::new()),
        Some([only]) => match only.encoding() {
            ContentEncodingValue::Compression(how) if how.algo() == ContentCompAlgo::Stripping => {
                Ok(Bytes::copy_from_slice(how.settings().unwrap_or_default()))
            }
            ContentEncodingValue::Encryption(_) => Err(MediaError::Encoded {
                kind,
                how: "encrypted",
            }),
            _ => Err(MediaError::Encoded {
                kind,
                how: "compressed",
            }),
        },
        Some(_) => Err(MediaError::Encoded {
            kind,
            how: "encoded twice",
        }),
    }
}

fn restored(stripped: &Bytes, data: Vec<u8>) -> Bytes {
    if stripped.is_empty() {
        return data.into();
    }
    [&stripped[..], &data].concat().into()
}

fn ticks_to_us(ticks: u64, scale_ns: u64) -> u64 {
    (u128::from(ticks) * u128::from(scale_ns) / 1_000).min(u128::from(u64::MAX / 4)) as u64
}
